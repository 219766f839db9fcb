"""Resolves the host of a webhook, and refuses addresses that nobody outside could mean.

A hook must not become a way into the machine and its network: loopback, private, link-local (with the clouds' metadata
services), multicast and reserved addresses are refused, also where they hide in an IPv6 address. The connection then goes to the
very address that was looked at, so a name that resolves to another one a moment later changes nothing.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Final

Address = IPv4Address | IPv6Address
#: IPv6 networks whose addresses hold an IPv4 address, and the bit at which it ends: NAT64, 6to4, and IPv4-compatible ones.
_HOLDING: Final = (
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),
    (ipaddress.IPv6Network("64:ff9b:1::/48"), 0),
    (ipaddress.IPv6Network("2002::/16"), 80),
    (ipaddress.IPv6Network("::/96"), 0),
)


#: Networks of all addresses.
ANYWHERE: Final = ("0.0.0.0/0", "::/0")


class RefusedAddressError(Exception):
    """A host has only addresses that are refused."""


def resolve(host: str, port: int, allow: Sequence[str]) -> list[Address]:
    """Return the addresses of a host that may be connected to, in the resolver's order.

    Args:
        allow: networks that are accepted although they are private.

    Raises:
        RefusedAddressError: it has addresses, and all are refused.
        OSError: the name cannot be resolved now.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except UnicodeError as exc:  # a part of the name is empty or too long
        raise OSError(f"{host} is no name of a host") from exc
    addresses = list(dict.fromkeys(ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))
    good = [one for one in addresses if is_public(one) or is_within(one, allow)]
    if not good:
        shown = ", ".join(map(str, addresses))
        named = "" if shown == host else f"{shown}, which is "
        raise RefusedAddressError(f"{host} is {named}not a public address")
    return good


def is_within(address: Address, networks: Sequence[str]) -> bool:
    """Return whether an address lies in one of the networks."""
    return any(address in ipaddress.ip_network(network) for network in networks)


def is_public(address: Address) -> bool:
    """Return whether an address is one of the public internet."""
    if isinstance(address, IPv6Address):
        if (mapped := address.ipv4_mapped) is not None:
            return is_public(mapped)
        if address.teredo is not None:
            return False
        for network, shift in _HOLDING:
            if address in network:
                return is_public(IPv4Address((int(address) >> shift) & 0xFFFFFFFF))
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)
