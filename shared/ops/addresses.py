"""The network address of a client, also behind proxies, and which addresses are one client."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

_MOST_PROXIES = 8
_ONE_CLIENT_BITS = 64


class TrustedProxies:
    """Whose `X-Forwarded-For` is believed, as the setting `CLOSELOOP_PROXIES` says.

    A number: so many proxies of ours add to the header, and nobody reaches us but through them. Networks,
    separated by commas: the proxies have addresses of these, and what anybody else sends is ignored.
    """

    def __init__(self, setting: str) -> None:
        """Raises ValueError for a setting that is neither."""
        self._count = 0
        self._networks: tuple[IPv4Network | IPv6Network, ...] = ()
        text = setting.strip() or "0"
        if text.isdecimal():
            self._count = int(text)
            if self._count > _MOST_PROXIES:
                raise ValueError(f"at most {_MOST_PROXIES} proxies, or their networks")
            return
        self._networks = tuple(ip_network(part.strip()) for part in text.split(","))

    def __bool__(self) -> bool:
        """Whether anybody's header is believed."""
        return bool(self._count or self._networks)

    def client(self, peer: str, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """The address of the client: of the connection, or as the outermost of our proxies saw it."""
        sent = [value for name, value in headers if name == b"x-forwarded-for"]
        if not sent:
            return peer
        last = b",".join(sent).decode("latin-1").rsplit(",", _MOST_PROXIES)[-_MOST_PROXIES:]
        hops = [_without_port(hop) for hop in last]
        if self._count:
            seen = hops[-self._count] if len(hops) >= self._count else ""
            return seen if _parsed(seen) else peer
        address = peer
        for hop in reversed(hops):
            if not self._is_ours(address) or not _parsed(hop):
                break
            address = hop
        return address

    def _is_ours(self, address: str) -> bool:
        parsed = _parsed(address)
        return parsed is not None and any(parsed in network for network in self._networks)


@lru_cache(maxsize=4096)
def one_client(address: str) -> str:
    """What stands for everybody who may be the same client: an IPv4 address, or a /64 of IPv6.

    Whoever has one address of IPv6 has the 2^64 of its network too.
    """
    parsed = _parsed(address)
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, _ONE_CLIENT_BITS), strict=False))
    return str(parsed) if parsed else address


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    return (parsed.ipv4_mapped or parsed) if isinstance(parsed, IPv6Address) else parsed


def _without_port(hop: str) -> str:
    """The address of a hop; some proxies write `192.0.2.7:4711` and `[2001:db8::7]:4711`."""
    hop = hop.strip()
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
