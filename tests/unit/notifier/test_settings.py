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

WORK = """stores:
  demo:
    name: Demo
    business_hours:
      mon-fri: "09:00-18:00"
    loyalty: {tiers: [{name: Base}, {name: Gold}]}
    alerts:
      channels: {hook: {kind: slack, url: "https://example.com/x"}}
      teams: {care: {members: [a@x.nl, b@x.nl], lead: A@x.nl, assign: round_robin}}
      rules:
        - name: bad
          when: {tiers: [Gold], words: [refund], groups: [passive], fell_by: 2}
          team: care
          clock: business
      escalation: [{name: old, when: age, assign: lead, channels: [hook]}]
      root_causes: [Courier]
      replies:
        - {name: Sorry, text: "Dear {{ name }},"}
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
        assert (alerts.policy.rules, alerts.targets) == ((), {})

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

    @pytest.mark.parametrize(
        ("old", "new", "line", "what"),
        [
            ("team: care", "team: cares", 13, "cares is not a team of this store (declared: care)"),
            ("tiers: [Gold]", "tiers: [Goud]", 12, "Goud is not a tier of this store (declared: Base, Gold)"),
            ('mon-fri: "09:00-18:00"', 'mon-fri: "18:00-09:00"', 5, "ends before it begins"),
            ('mon-fri: "09:00-18:00"', "mon-fri: 9", 5, "is not text"),
            ('mon-fri: "09:00-18:00"', 'mon-fr: "09:00-18:00"', 5, "neither a day"),
            ('mon-fri: "09:00-18:00"', 'mon-fri: "09:00-18:00, 17:00-19:00"', 5, "overlap"),
            ('mon-fri: "09:00-18:00"', "holidays: []", 4, "no day with hours"),
            ("members: [a@x.nl, b@x.nl]", "members: []", 9, "without members"),
            ("members: [a@x.nl, b@x.nl]", "members: [kim]", 9, "should match"),
            ("channels: [hook]", "channels: [hok]", 15, "hok is not a channel"),
            ("when: age", "when: late", 15, "should be"),
            ("assign: lead", "assign: kim", 15, "should match"),
            ("name: Sorry", "nam: Sorry", 18, "required"),
            ("{{ name }}", "{{ first_name }}", 18, "first_name cannot be filled in"),
            ("{{ name }}", "{{ name", 18, "belongs to no"),
            ("words: [refund]", 'words: ["!"]', 12, "no letter"),
            ("groups: [passive]", "groups: [neutral]", 12, "is not one of"),
            ("fell_by: 2", "fell_by: 0", 12, "greater than"),
        ],
    )
    def test_a_mistake_in_what_cases_need_is_named_with_its_line(
        self, tmp_path: Path, old: str, new: str, line: int, what: str
    ) -> None:
        assert old in WORK
        with pytest.raises(ConfigError) as refused:
            alerts_of(read(tmp_path, WORK.replace(old, new)))
        [mistake, *_] = [m for m in refused.value.mistakes if what in m.what]
        assert mistake.line == line

    def test_of_mistakes_on_one_line_those_of_teams_come_last(self, tmp_path: Path) -> None:
        section = (
            "{rules: [{name: bad, team: cares, channels: [hok]}], "
            "silence_rules: [{name: quiet, channels: [hok]}, {name: quiet}], "
            "weekly_report: {channels: [hok]}}"
        )
        with pytest.raises(ConfigError) as refused:
            alerts_of(read(tmp_path, f"stores:\n  demo:\n    name: Demo\n    alerts: {section}\n"))
        assert [mistake.what.split()[0] for mistake in refused.value.mistakes] == [
            "hok",
            "is",
            "hok",
            "hok",
            "cares",
        ]

    def test_a_business_clock_needs_business_hours(self, tmp_path: Path) -> None:
        lines = WORK.splitlines()
        with pytest.raises(ConfigError, match="has no business_hours"):
            alerts_of(read(tmp_path, "\n".join(lines[:3] + lines[5:])))

    def test_says_what_the_domain_works_by(self, tmp_path: Path) -> None:
        policy = alerts_of(read(tmp_path, WORK))["demo"].policy
        assert policy.hours is not None
        assert policy.hours.week[0] == ((540, 1080),)
        assert policy.hours.week[6] == ()
        assert policy.clock(policy.rules[0].clock) is policy.hours
        assert policy.teams["care"].members == ("a@x.nl", "b@x.nl")
        assert policy.lead("care") == "a@x.nl"
        assert policy.lead(None) is None

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
