"""Which hosts a sandbox may reach: by name, from a list, and never an address that is not the internet's."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

from bot.config_words import HOST_LABEL, HOST_TOP

HTTPS = 443
LONGEST_NAME = 253

_NAME = re.compile(rf"(?:{HOST_LABEL}\.)*{HOST_TOP}")
_AUTHORITY = re.compile(r"(?P<host>[^:]+):(?P<port>[1-9][0-9]{0,4})")


@dataclass(frozen=True, slots=True)
class Destination:
    """A host by name, in small letters and without the last dot, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def entry(self) -> str:
        """What an admin would write into a list to let it through."""
        return self.host if self.port == HTTPS else str(self)


def destination(authority: str) -> Destination | None:
    """The destination that "host:port" names; None when it is an address, or no name at all.

    International names come in their ASCII form (`xn--…`), as clients send them: letters that only look like
    others never reach the comparison.
    """
    found = _AUTHORITY.fullmatch(authority) if authority.isascii() else None
    if found is None or int(found["port"]) > 65535:
        return None
    host = found["host"].lower().removesuffix(".")
    if len(host) > LONGEST_NAME or not _NAME.fullmatch(host):
        return None
    return Destination(host, int(found["port"]))


class AllowList:
    """Of "host", "host:port", "*.host" and "*.host:port"; no port means 443. Empty lets nothing through."""

    def __init__(self, entries: Iterable[str] = ()) -> None:
        self._exact: set[Destination] = set()
        self._below: set[Destination] = set()
        for entry in entries:
            host, _, port = entry.lower().partition(":")
            kept = self._below if host.startswith("*.") else self._exact
            kept.add(Destination(host.removeprefix("*."), int(port) if port else HTTPS))

    def allows(self, wanted: Destination) -> bool:
        """`*.host` stands for one or more labels, so never for the host itself."""
        if wanted in self._exact:
            return True
        _, *parents = _suffixes(wanted.host)
        return any(Destination(parent, wanted.port) in self._below for parent in parents)


def _suffixes(host: str) -> list[str]:
    labels = host.split(".")
    return [".".join(labels[start:]) for start in range(len(labels))]


# IANA's special-purpose registries, and what clouds put beside them. A list of our own, since Python's
# `is_global` changed its mind between patch releases.
_NOT_THE_INTERNET = [
    ipaddress.ip_network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24"),
        *("192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
        *("224.0.0.0/4", "240.0.0.0/4"),
        "168.63.129.16/32",  # Azure's WireServer: metadata behind a public-looking address
        "2001::/23",  # protocol assignments, Teredo among them
        *("2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"),  # 2002 is 6to4
    )
]
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")  # of IPv6, nothing else is the internet
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # IPv4 as networks without it see it


def is_public(address: str) -> bool:
    """Is this an address of the internet at large, and nobody's own network, machine or metadata?"""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:  # with a zone ("fe80::1%eth0") it is link-local at best
        return False
    if isinstance(found, ipaddress.IPv6Address):
        if found.scope_id is not None:
            return False
        if found in _NAT64:
            return is_public(str(ipaddress.IPv4Address(found.packed[-4:])))
        if found not in _GLOBAL_UNICAST:
            return False
    return not any(found.version == net.version and found in net for net in _NOT_THE_INTERNET)
