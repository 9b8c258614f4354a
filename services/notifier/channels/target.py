"""Whether an alert may go to an address: https, and nowhere inside our own network.

What is still missing for reliability.md S16: the connection is made by name after this check, so a name
server that changes its answer in between is not caught; the address checked is not yet pinned.
"""

import asyncio
import ipaddress
import socket
from urllib.parse import urlsplit


class Forbidden(Exception):
    """The address may not be called. The text says why and is safe to show."""


async def check_target(url: str, *, allow_private: bool, timeout_seconds: float = 5) -> None:
    """Raises Forbidden. Every address that the name stands for must be a public one."""
    parts = urlsplit(url)
    host = parts.hostname
    if not host or parts.username is not None or parts.password is not None:
        raise Forbidden("the target's address names no host, or carries credentials")
    if parts.scheme != "https" and not (allow_private and parts.scheme == "http"):
        raise Forbidden("the target must be https")
    if allow_private:
        return
    if (parts.port or 443) != 443:
        raise Forbidden("the target's port must be 443")
    for address in await _addresses(host, timeout_seconds):
        if not is_public(address):
            raise Forbidden("the target resolves to an address that is not public")


def is_public(text: str) -> bool:
    """Whether an IP address is one of the open internet, also when it is wrapped in IPv6."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inside = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inside is not None:
            return is_public(str(inside)) and address.ipv4_mapped is not None
        if address in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)))
    return address.is_global and not address.is_multicast and not address.is_reserved


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


async def _addresses(host: str, timeout_seconds: float) -> set[str]:
    try:
        async with asyncio.timeout(timeout_seconds):
            found = await asyncio.get_running_loop().getaddrinfo(host, 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError) as error:
        raise Forbidden("the target's name does not resolve") from error
    return {str(entry[4][0]) for entry in found}
