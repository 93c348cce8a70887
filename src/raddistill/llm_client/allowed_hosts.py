"""Decides which hosts may get the text of reports.

Text that is not public goes only to this machine or to a host that the user has approved by name. URLs are parsed by httpx2,
which also opens the connection, so check and connection cannot read a URL differently. Unusual spellings are refused, not
interpreted: `127.1`, a host with a percent sign, a backslash.
"""

import ipaddress
import re
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

import httpx2

from raddistill.errors import InputError, ParamsError

PUBLIC = "public"  # the sensitivity of text that may go anywhere
PORTS = {"http": 80, "https": 443}
PROXY_PORTS = {**PORTS, "socks5": 1080, "socks5h": 1080}
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_.])?")
_ENTRY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/?#@\\\[\]%*]+)(?P<port>:[0-9]{1,5})?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_LOOPBACK = re.compile(r"localhost|::1|127(\.[0-9]+){3}")


class Destination(NamedTuple):
    """Host and port of a connection."""

    host: str  # ASCII, lower case; IPv6 in its short form without brackets
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class AllowedHosts:
    """The hosts that may get reports of certain sensitivities: any host if all are public, else loopback and approved hosts.

    An approved host must match exactly: no subdomains, no prefixes. A dot at the end of a name is ignored.
    """

    def __init__(self, approved: list[str], sensitivities: Iterable[str]) -> None:
        """`approved`: asking.approved_hosts.

        Raises:
            ParamsError: an entry of `approved` is neither host nor host:port.
        """
        self._approved = [_parse_entry(entry, number) for number, entry in enumerate(approved, 1)]
        self._guarded = sorted(set(sensitivities) - {PUBLIC})

    def check(self, url: str, named: str) -> Destination:
        """Returns host and port of a URL to which the reports may be sent.

        `named`: name of the URL in messages, such as its environment variable. Messages show no user, password, path or query.

        Raises:
            InputError: not an http or https URL, or the reports may not be sent there.
        """
        place = destination_of(url, named)
        if self._guarded and not is_loopback(place.host) and not self._approves(place):
            raise InputError(
                f"{named} leads to {place}, but there are reports that are {' and '.join(self._guarded)}, and such text goes "
                "only to this machine (localhost) or to approved hosts. Nothing was sent. If your data use agreement covers that "
                f"host, add {place} to asking.approved_hosts; else use a model on this machine or only public reports."
            )
        return place

    def check_proxy(self, proxy: str, place: Destination) -> None:
        """Raises unless reports may go to `place` through the proxy. One on loopback needs approval, too: it passes the text on.

        Raises:
            InputError: the proxy is not a URL, or is not approved.
        """
        if not self._guarded:
            return
        named = "the proxy of the environment (HTTP_PROXY, HTTPS_PROXY or ALL_PROXY)"
        through = destination_of(proxy if "://" in proxy else f"http://{proxy}", named, PROXY_PORTS)
        if not self._approves(through):
            raise InputError(
                f"{named} is {through}, which is not approved for text that is not public. Nothing was sent. "
                f"Set NO_PROXY={place.host} to go there directly, or add {through} to asking.approved_hosts."
            )

    def _approves(self, place: Destination) -> bool:
        return any(place.host.removesuffix(".") == host and port in (None, place.port) for host, port in self._approved)


def destination_of(url: str, named: str, ports: dict[str, int] = PORTS) -> Destination:
    """Returns host and port of a URL. `ports`: the allowed schemes and the default port of each.

    Raises:
        InputError: the URL is not valid, or is ambiguous.
    """
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:  # its message repeats the URL, which may hold a password
        raise InputError(f"{named} is not a URL. Write it as https://host/v1 or http://localhost:8000/v1.") from None
    if parsed.scheme not in ports or not parsed.raw_host:
        raise InputError(f"{named} has to begin with http:// or https:// and a host, as in http://localhost:8000/v1.")
    host = _canonical(parsed.raw_host.decode("ascii"))
    port = ports[parsed.scheme] if parsed.port is None else parsed.port
    if host is None or "\\" in url or not 0 < port < 65536:
        raise InputError(f"{named} has an unusual host or port. Write a name, four decimal numbers, or IPv6 in brackets.")
    return Destination(host, port)


def is_loopback(host: str) -> bool:
    """Whether the `host` of a Destination is in 127.0.0.0/8, ::1 or `localhost`. A name such as localhost.example.org is not."""
    return _LOOPBACK.fullmatch(host) is not None


def _canonical(host: str) -> str | None:
    """The canonical spelling of a host; None if resolvers may read it in different ways."""
    with suppress(ValueError):
        if ":" in host:
            return None if "%" in host else str(ipaddress.IPv6Address(host))
        if _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):  # to resolvers 127.1 and 0x7f000001 are addresses, too
            return str(ipaddress.IPv4Address(host))
        return host if _NAME.fullmatch(host) and ".." not in host else None
    return None


def _parse_entry(entry: str, number: int) -> tuple[str, int | None]:
    """Host and port of an entry of asking.approved_hosts; port None: any. `number`: its place in the list, from 1."""
    written = f"[{entry}]" if entry.count(":") > 1 and "[" not in entry else entry  # IPv6 may come without brackets
    if found := _ENTRY.fullmatch(written):
        with suppress(InputError):
            place = destination_of(f"http://{written}", "the entry")
            return place.host.removesuffix("."), place.port if found["port"] else None
    raise ParamsError(f"asking.approved_hosts: entry {number} is neither a host nor host:port, without https:// and wildcards")
