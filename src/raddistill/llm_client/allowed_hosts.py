"""Where text may be sent: text that is not public only to this machine or to a host that the user has approved by name. Pure.

URLs are parsed by httpx2, which also opens the connection, so that check and connection cannot read a URL differently. Unusual
spellings are refused, not interpreted: `127.1`, a host with a percent sign, a backslash.
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
    """Host and port of a connection."""

    host: str  # ASCII, lower case; IPv6 in its short form without brackets
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def check_destination(url: str, sensitivities: Iterable[str], approved: list[str], named: str = "the teacher's URL") -> None:
    """Raises unless text of these sensitivities may be sent to the URL.

    `named`: name of the URL in messages, such as its environment variable. User, password, path and query are never shown.

    Raises:
        InputError: not an http or https URL, or the text may not be sent there.
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
    """Raises unless text that is not public may go to `place` through the proxy. A proxy on loopback needs approval, too: it
    passes the text on.

    Raises:
        InputError: the proxy is not a URL, or is not approved.
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
    """Returns host and port of a URL.

    Raises:
        InputError: the URL is not valid, or is ambiguous.
    """
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:  # its message repeats the URL, which may hold a password
        raise InputError(f"{named} is not a URL. Write it as https://host/v1 or http://localhost:8000/v1.") from None
    if parsed.scheme not in schemes or not parsed.raw_host:
        raise InputError(f"{named} has to begin with http:// or https:// and a host, as in http://localhost:8000/v1.")
    host = _canonical(parsed.raw_host.decode("ascii"))
    port = PORTS.get(parsed.scheme, 1080) if parsed.port is None else parsed.port
    if host is None or "\\" in url or not 0 < port < 65536:
        raise InputError(f"{named} has an unusual host or port. Write a name, four decimal numbers, or IPv6 in brackets.")
    return Destination(host, port)


def _canonical(host: str) -> str | None:
    """The canonical spelling of a host; None if resolvers may read it in different ways."""
    if ":" in host:
        try:
            address = ipaddress.IPv6Address(host)
        except ValueError:
            return None
        return None if address.scope_id else str(address)
    if _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):  # to resolvers 127.1, 2130706433 and 0x7f000001 are addresses
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            return None
    return host if _NAME.fullmatch(host) and ".." not in host else None


def is_loopback(host: str) -> bool:
    """Whether the host is in 127.0.0.0/8, ::1 or `localhost`. A name such as localhost.example.org is not."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return address == ipaddress.IPv6Address("::1") or (address.version == 4 and address.is_loopback)


def approved_entry(entry: str, number: int) -> tuple[str, int | None]:
    """Returns host and port of an entry of asking.approved_hosts; port None: any. `number`: its place in the list, from 1.

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
    """Whether host and port match an entry exactly: no subdomains, no prefixes. A dot at the end of a name is ignored."""
    return any(place.host.removesuffix(".") == host and port in (None, place.port) for host, port in entries)
