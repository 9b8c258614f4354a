"""The `alerts` section of closeloop.yaml, and the line of each mistake."""

from pathlib import Path

import pytest

from services.notifier.app import alerts_of, build_handlers
from services.notifier.settings import NotifierSettings
from shared.config import Config, ConfigError, load
from shared.config.secrets import Secrets
from shared.events.responses import ResponseSubmitted

GOOD = """stores:
  demo:
    name: Demo
    alerts:
      channels:
        hook: {kind: webhook, url: "https://example.com/x", secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
        chat: {kind: slack, url: "${SLACK:-}"}
      rules:
        - name: bad
          when: {metric: nps, max_score: 3}
          channels: [hook, chat]
"""


def read(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "closeloop.yaml"
    path.write_text(text)
    return load(path, {})


class TestTheSection:
    def test_a_channel_without_an_address_is_off(self, tmp_path: Path) -> None:
        alerts = alerts_of(read(tmp_path, GOOD))["demo"]
        assert list(alerts.targets) == ["hook"]

    def test_a_store_without_one_has_the_built_in_rule_and_no_channel(self, tmp_path: Path) -> None:
        alerts = alerts_of(read(tmp_path, "stores:\n  demo:\n    name: Demo\n"))["demo"]
        assert (alerts.domain_rules, alerts.targets) == ((), {})

    @pytest.mark.parametrize(
        ("old", "new", "line", "what"),
        [
            (
                "[hook, chat]",
                "[hook, chart]",
                11,
                "chart is not a channel of this store (declared: hook, chat)",
            ),
            ("name: bad", "name: default", 9, "is taken"),
            ("max_score: 3", "max_scor: 3", 10, "Extra inputs"),
            ("metric: nps", "metric: npx", 10, "should be"),
            ("https://example.com/x", "ftp://example.com", 6, "not an address"),
            ("https://example.com/x", "https://me:pw@example.com", 6, "not an address"),
            ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_short", 6, "24 to 64 bytes"),
            ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "", 6, "needs a secret"),
            ("kind: slack", "kind: pager", 7, "should be"),
        ],
    )
    def test_a_mistake_is_named_with_its_line(
        self, tmp_path: Path, old: str, new: str, line: int, what: str
    ) -> None:
        with pytest.raises(ConfigError) as refused:
            alerts_of(read(tmp_path, GOOD.replace(old, new)))
        [mistake] = refused.value.mistakes
        assert mistake.line == line
        assert what in mistake.what
        assert "MfKQ" not in str(refused.value)

    def test_the_example_that_ships_is_right(self) -> None:
        config = load(Path(__file__).parents[3] / "closeloop.yaml", {})
        assert "alerts" in alerts_of(config)["demo"].targets
        assert ResponseSubmitted in build_handlers(config, Secrets("x" * 32))


class TestSettings:
    def test_private_targets_are_allowed_by_either_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert not NotifierSettings().allow_private_targets
        monkeypatch.setenv("CLOSELOOP_ALLOW_PRIVATE_TARGETS", "1")
        assert NotifierSettings().allow_private_targets
        monkeypatch.setenv("NOTIFIER_ALLOW_PRIVATE_TARGETS", "0")
        assert not NotifierSettings().allow_private_targets

    def test_a_lease_must_outlive_an_attempt(self) -> None:
        with pytest.raises(ValueError, match="lease_seconds"):
            NotifierSettings(lease_seconds=10, send_timeout_seconds=15)
