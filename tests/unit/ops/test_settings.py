"""The settings of every service that name addresses and hosts."""

import pytest
from pydantic import ValidationError

from shared.ops.settings import ListenSettings, PlatformSettings


def settings(**given: object) -> PlatformSettings:
    return PlatformSettings.model_validate(
        {
            "database_url": "postgresql://nobody@127.0.0.1:1/none",
            "kafka_bootstrap_servers": "127.0.0.1:1",
            "closeloop_secret": "s" * 32,
            **given,
        }
    )


NO_ADDRESSES = [
    "feedback.shop.example",
    "feedback.shop.example:443",
    "https:feedback.shop.example",
    "ftp://feedback.shop.example",
    "https://",
    "https://shop.example/feedback",
    "https://shop.example?a=b",
    "https://shop.example:port",
    "https://user@shop.example",
    "https://*.shop.example",
    " https://shop.example",
    "https://bücher.example",
]


class TestAPublicAddress:
    @pytest.mark.parametrize("url", NO_ADDRESSES)
    def test_that_is_none_is_refused(self, url: str) -> None:
        for given in ({"notifier_public_url": url}, {"closeloop_urls": {"inbox": url}}):
            with pytest.raises(ValidationError, match=r"is no address: write http\(s\)://host\[:port\]"):
                settings(**given)

    @pytest.mark.parametrize(
        ("url", "host"),
        [
            ("https://feedback.shop.example", "feedback.shop.example"),
            ("http://Feedback.Shop.example:8004/", "feedback.shop.example"),
            ("https://xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("https://[2001:db8::7]:8004", "[2001:db8::7]"),
        ],
    )
    def test_names_a_host(self, url: str, host: str) -> None:
        for given in ({"notifier_public_url": url}, {"closeloop_urls": {"inbox": url}}):
            assert settings(**given).hosts(ListenSettings(host="0.0.0.0")) == {host}

    def test_may_be_absent(self) -> None:
        given = settings(notifier_public_url="", closeloop_urls={"inbox": ""}, closeloop_hosts="")
        assert given.hosts(ListenSettings(host="0.0.0.0")) == frozenset()


class TestFurtherHosts:
    @pytest.mark.parametrize(
        "entry",
        ["https://shop.example", "*", "*.shop.example", "shop.example:8001", "shop.example/", "bü"],
    )
    def test_that_can_never_match_are_refused(self, entry: str) -> None:
        with pytest.raises(ValidationError, match="is no name of a host: write names alone"):
            settings(closeloop_hosts=f"collector.closeloop.svc, {entry}")

    def test_are_names_with_commas_between_them(self) -> None:
        given = settings(closeloop_hosts=" Shop.svc,,collector_1, 192.0.2.7,[2001:DB8:0::7],fd00::8")
        assert given.hosts(ListenSettings(host="0.0.0.0")) == {
            "shop.svc",
            "collector_1",
            "192.0.2.7",
            "[2001:db8::7]",
            "[fd00::8]",
        }
