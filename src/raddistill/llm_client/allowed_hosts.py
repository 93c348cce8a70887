"""Where text may go: what is not public stays on this machine or goes to a host that the user has approved by name. Pure.

URLs are read by httpx2, which also opens the connection, so that no second reading of one URL can differ from the first. What is
written in an unusual way is refused, not interpreted: `127.1`, a host with a percent sign, a backslash.
"""

import ipaddress
import re
from collections.abc import Iterable
from typing import NamedTuple

import httpx2

from raddistill.errors import InputError, ParamsError

PUBLIC = "public"
PORTS = {"http": 80, "https": 443}
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_.])?")
_ENTRY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:/?#@\\\[\]%*]+)(:(?P<port>[0-9]{1,5}))?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


class Destination(NamedTuple):
    """What a connection is opened to."""

    host: str  # ASCII, lower case; IPv6 in its short form without brackets
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def check_destination(url: str, sensitivities: Iterable[str], approved: list[str], named: str = "the teacher's URL") -> None:
    """Returns if text of these sensitivities may be sent to the URL.

    `named`: what the messages call the URL, as the environment variable it comes from. Never shown: user, password, path, query.

    Raises:
        InputError: not a URL of http or https, or the text may not go there.
        ParamsError: an entry of `approved` is neither host nor host:port.
    """
    entries = [approved_entry(entry, number) for number, entry in enumerate(approved, 1)]
    place = destination_of(url, named)
    guarded = sorted(set(sensitivities) - {PUBLIC})
    if not guarded or is_loopback(place.host) or is_approved(place, entries):
        return
    raise InputError(
        f"{named} leads to {place}, but there are reports that are {' and '.join(guarded)}, and such text goes only to "
        "this machine (localhost) or to approved hosts. Nothing was sent. If your data use agreement covers that host, add "
        f"{place} to asking.approved_hosts; else use a model on this machine or only public reports."
    )


def check_proxy(proxy: str, place: Destination, approved: list[str]) -> None:
    """Returns if text that is not public may go to `place` through the proxy; one on loopback has to be approved as well, as it
    passes on what it gets.

    Raises:
        InputError: the proxy is no URL or is not approved.
    """
    named = "the proxy of the environment (HTTP_PROXY, HTTPS_PROXY or ALL_PROXY)"
    through = destination_of(
        proxy if "://" in proxy else f"http://{proxy}", named, schemes=("http", "https", "socks5", "socks5h")
    )
    if not is_approved(through, [approved_entry(entry, number) for number, entry in enumerate(approved, 1)]):
        raise InputError(
            f"{named} is {through}, which is not approved for text that is not public. Nothing was sent. "
            f"Set NO_PROXY={place.host} to go there directly, or add {through} to asking.approved_hosts."
        )


def destination_of(url: str, named: str, schemes: Iterable[str] = PORTS) -> Destination:
    """Host and port that a URL leads to.

    Raises:
        InputError: it cannot be read in one way only.
    """
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:  # its message repeats the URL, in which there may be a password
        raise InputError(f"{named} is not a URL. Write it as https://host/v1 or http://localhost:8000/v1.") from None
    if parsed.scheme not in schemes or not parsed.raw_host:
        raise InputError(f"{named} has to begin with http:// or https:// and a host, as in http://localhost:8000/v1.")
    host = _canonical(parsed.raw_host.decode("ascii"))
    port = PORTS.get(parsed.scheme, 1080) if parsed.port is None else parsed.port
    if host is None or "\\" in url or not 0 < port < 65536:
        raise InputError(f"{named} has an unusual host or port. Write a name, four decimal numbers, or IPv6 in brackets.")
    return Destination(host, port)


def _canonical(host: str) -> str | None:
    """The host in its one spelling; None where resolvers may read it in different ways."""
    if ":" in host:
        try:
            address = ipaddress.IPv6Address(host)
        except ValueError:
            return None
        return None if address.scope_id else str(address)
    if _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):  # resolvers take 127.1, 2130706433 and 0x7f000001 for addresses
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            return None
    return host if _NAME.fullmatch(host) and ".." not in host else None


def is_loopback(host: str) -> bool:
    """127.0.0.0/8, ::1 and `localhost`, nothing else: a name such as localhost.example.org is anyone's."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return address == ipaddress.IPv6Address("::1") or (address.version == 4 and address.is_loopback)


def approved_entry(entry: str, number: int) -> tuple[str, int | None]:
    """Host and port of the n-th approved host, from 1; None: any port.

    Raises:
        ParamsError: neither host nor host:port.
    """
    try:
        written = f"[{ipaddress.IPv6Address(entry)}]"
    except ValueError:
        written = entry
    found = _ENTRY.fullmatch(written)
    if found is not None:
        try:
            place = destination_of(f"http://{written}", "the entry")
        except InputError:
            found = None
    if found is None:
        raise ParamsError(
            f"asking.approved_hosts: entry {number} is neither a host nor host:port, without https:// and wildcards"
        )
    return place.host.removesuffix("."), place.port if found["port"] else None


def is_approved(place: Destination, entries: list[tuple[str, int | None]]) -> bool:
    """Exactly approved: no subdomains, no prefixes; a dot at the end of a name makes no other name."""
    return any(place.host.removesuffix(".") == host and port in (None, place.port) for host, port in entries)
