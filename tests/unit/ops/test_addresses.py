"""Who a client is, behind proxies or not."""

import pytest

from shared.ops.addresses import TrustedProxies, one_client


def client(setting: str, peer: str, *forwarded: str) -> str:
    headers = [(b"host", b"x"), *((b"x-forwarded-for", value.encode()) for value in forwarded)]
    return TrustedProxies(setting).client(peer, headers)


class TestAClientBehindProxies:
    @pytest.mark.parametrize(
        ("setting", "peer", "forwarded", "expected"),
        [
            ("0", "192.0.2.1", ["203.0.113.9"], "192.0.2.1"),
            ("", "192.0.2.1", ["203.0.113.9"], "192.0.2.1"),
            ("1", "10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
            ("1", "10.0.0.1", ["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
            ("1", "10.0.0.1", ["1.1.1.1", "203.0.113.9"], "203.0.113.9"),
            ("2", "10.0.0.1", ["1.1.1.1, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
            ("2", "10.0.0.1", ["203.0.113.9"], "10.0.0.1"),
            ("1", "10.0.0.1", [], "10.0.0.1"),
            ("1", "10.0.0.1", ["not an address"], "10.0.0.1"),
            ("1", "10.0.0.1", ["203.0.113.9:4711"], "203.0.113.9"),
            ("1", "10.0.0.1", ["[2001:db8::7]:4711"], "2001:db8::7"),
            ("10.0.0.0/8", "10.0.0.1", ["1.1.1.1, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
            ("10.0.0.0/8, fd00::/8", "fd00::1", ["203.0.113.9, 10.0.0.2"], "203.0.113.9"),
            ("10.0.0.0/8", "203.0.113.5", ["1.1.1.1"], "203.0.113.5"),
            ("10.0.0.0/8", "10.0.0.1", ["10.0.0.7"], "10.0.0.7"),
            ("10.0.0.0/8", "10.0.0.1", ["1.1.1.1, nonsense, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.0/8", "::ffff:10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ],
    )
    def test_is_who_the_outermost_of_ours_saw(
        self, setting: str, peer: str, forwarded: list[str], expected: str
    ) -> None:
        assert client(setting, peer, *forwarded) == expected

    @pytest.mark.parametrize("setting", ["9", "-1", "proxy.example", "10.0.0.1/8", "10.0.0.0/8,"])
    def test_must_be_said_so_that_it_can_be_read(self, setting: str) -> None:
        with pytest.raises(ValueError):
            TrustedProxies(setting)


class TestOneClient:
    def test_has_all_of_its_ipv6_network(self) -> None:
        assert one_client("2001:db8:1:2:aaaa::1") == one_client("2001:db8:1:2:ffff::9")
        assert one_client("2001:db8:1:2::1") != one_client("2001:db8:1:3::1")

    def test_has_one_ipv4_address_however_it_is_written(self) -> None:
        assert one_client("192.0.2.1") == one_client("::ffff:192.0.2.1") != one_client("192.0.2.2")

    def test_may_be_no_address_at_all(self) -> None:
        assert one_client("testclient") == "testclient"
