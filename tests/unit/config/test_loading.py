"""`closeloop.yaml` is refused with the line of every mistake."""

from pathlib import Path

import pytest

from services.notifier.settings import Alerts
from shared.config import Config, ConfigError, load
from shared.feedback.metrics import Metric

GOOD = """\
stores:
  demo:
    name: Demo
    timezone: Europe/Amsterdam
    segments:
      country: {values: [NL, DE]}
"""


def read(tmp_path: Path, text: str, **environment: str) -> Config:
    path = tmp_path / "closeloop.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path, environment)


def mistakes(tmp_path: Path, text: str, **environment: str) -> list[tuple[int, str, str]]:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text, **environment)
    return [(found.line, found.where, found.what) for found in caught.value.mistakes]


class TestHiding:
    def test_is_by_metric_and_what_is_not_said_stays(self, tmp_path: Path) -> None:
        by_default = read(tmp_path, GOOD).stores["demo"].hide_below
        assert [by_default.of(metric) for metric in Metric] == [1, 1, 1, 5]
        written = read(tmp_path, GOOD + "    hide_below: {csat: 10}\n").stores["demo"].hide_below
        assert [written.of(metric) for metric in Metric] == [1, 10, 1, 5]

    @pytest.mark.parametrize("line", ["hide_below: {nps: 0}", "hide_below: {mps: 3}", "hide_below: 5"])
    def test_of_nonsense_is_refused(self, tmp_path: Path, line: str) -> None:
        ((number, where, _),) = mistakes(tmp_path, f"{GOOD}    {line}\n")
        assert number == 7
        assert where.startswith("stores.demo.hide_below")

    def test_says_what_took_the_place_of_the_one_number(self, tmp_path: Path) -> None:
        ((number, where, what),) = mistakes(tmp_path, GOOD + "    min_n: 1\n")
        assert (number, where) == (7, "stores.demo.min_n")
        assert "hide_below" in what


class TestAGoodFile:
    def test_is_read(self, tmp_path: Path) -> None:
        store = read(tmp_path, GOOD).stores["demo"]

        assert store.name == "Demo"
        assert str(store.zone) == "Europe/Amsterdam"
        assert store.segments["country"].values == ("NL", "DE")
        assert store.windows == ("7d", "30d", "90d", "365d")

    def test_has_a_version_that_names_its_content(self, tmp_path: Path) -> None:
        assert read(tmp_path, GOOD).version == read(tmp_path, GOOD).version
        assert read(tmp_path, GOOD).version != read(tmp_path, GOOD + "    currency: USD\n").version

    def test_takes_values_from_the_environment(self, tmp_path: Path) -> None:
        text = GOOD + "    industry: ${INDUSTRY}\n    currency: ${CURRENCY:-USD}\n"
        store = read(tmp_path, text, INDUSTRY="retail").stores["demo"]

        assert store.industry == "retail"
        assert store.currency == "USD"

    def test_an_empty_variable_takes_the_default(self, tmp_path: Path) -> None:
        text = GOOD + "    currency: ${CURRENCY:-USD}\n"
        assert read(tmp_path, text, CURRENCY="").stores["demo"].currency == "USD"

    def test_an_alias_may_be_used_twice(self, tmp_path: Path) -> None:
        text = GOOD.replace("[NL, DE]", "&countries [NL, DE]") + "      delivered_to: {values: *countries}\n"
        assert read(tmp_path, text).stores["demo"].segments["delivered_to"].values == ("NL", "DE")


class TestAMistake:
    @pytest.mark.parametrize(
        ("wrong", "line", "where"),
        [
            ("timezone: Europe/Amsterdam|timezone: Europe/Amsterdm", 4, "stores.demo.timezone"),
            ("name: Demo|nam: Demo", 2, "stores.demo.name"),
            ("name: Demo|nam: Demo", 3, "stores.demo.nam"),
            ("[NL, DE]|[NL, NO]", 6, "stores.demo.segments.country.values.1"),
            ("country: {|tier: {", 6, "stores.demo.segments.tier"),
            ("  demo:|  Demo Store:", 2, "stores.Demo Store.[key]"),
        ],
    )
    def test_is_named_with_its_line(self, tmp_path: Path, wrong: str, line: int, where: str) -> None:
        old, new = wrong.split("|")
        found = mistakes(tmp_path, GOOD.replace(old, new))

        assert (line, where) in [(at, place) for at, place, _ in found]

    @pytest.mark.parametrize(
        ("added", "line", "says"),
        [
            ("    currency: euro\n", 7, "should match"),
            ("    windows: [7d, 1w]\n", 7, "window"),
            ("    policy: newest\n", 7, "'all' or 'latest'"),
            ("    touchpoints:\n      - support\n      - Post Delivery\n", 9, "should match"),
            (
                "    combinations:\n      - [country, touchpoint]\n      - [country, colour]\n",
                9,
                "colour is not",
            ),
            (
                "    allowed_origins:\n      - https://shop.example\n      - shop.example\n",
                9,
                "scheme://host",
            ),
            ("    name: Demo again\n", 7, "a second time"),
            ("    industry: ${INDUSTRY}\n", 7, "the environment has no INDUSTRY"),
            ("    industry: ${industry}\n", 7, "in capitals"),
            ("    industry: !!python/name:os.system x\n", 7, "cannot be read"),
            ("    industry: 2026-13-45\n", 7, "cannot be read as timestamp"),
            ("    loyalty:\n      ? [a, b]\n      : c\n", 8, "a key that is not a word"),
            ("    loyalty: &itself\n      more: *itself\n", 8, "contains itself"),
        ],
    )
    def test_further_down_too(self, tmp_path: Path, added: str, line: int, says: str) -> None:
        found = mistakes(tmp_path, GOOD + added)

        assert [at for at, _, _ in found] == [line]
        assert says in found[0][2]

    def test_never_hides_another(self, tmp_path: Path) -> None:
        text = GOOD.replace("Amsterdam", "Amsterdm") + "    currency: euro\n    colour: red\n"
        assert [line for line, _, _ in mistakes(tmp_path, text)] == [4, 7, 8]

    def test_reads_as_a_sentence_with_file_and_line(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"closeloop\.yaml, line 7: stores\.demo\.colour: Extra inputs"):
            read(tmp_path, GOOD + "    colour: red\n")

    def test_never_quotes_a_secret(self, tmp_path: Path) -> None:
        text = GOOD + "    policy: ${SECRET}\n"
        with pytest.raises(ConfigError) as caught:
            read(tmp_path, text, SECRET="hunter2")

        assert "hunter2" not in str(caught.value)


class TestAFileThatIsNone:
    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"nowhere\.yaml, cannot be read: No such file"):
            load(tmp_path / "nowhere.yaml", {})

    def test_empty(self, tmp_path: Path) -> None:
        assert mistakes(tmp_path, "") == [(1, "stores", "Field required")]

    def test_without_a_store(self, tmp_path: Path) -> None:
        assert [line for line, _, _ in mistakes(tmp_path, "# here\nstores: {}\n")] == [2]

    def test_a_list(self, tmp_path: Path) -> None:
        assert [line for line, _, _ in mistakes(tmp_path, "- stores\n")] == [1]

    def test_not_yaml(self, tmp_path: Path) -> None:
        assert [line for line, _, _ in mistakes(tmp_path, GOOD + "   - {\n")] == [7]

    def test_two_documents(self, tmp_path: Path) -> None:
        assert "single document" in mistakes(tmp_path, f"{GOOD}---\n{GOOD}")[0][2]

    def test_not_text(self, tmp_path: Path) -> None:
        path = tmp_path / "closeloop.yaml"
        path.write_bytes(b"\xff\xfe\x00")
        with pytest.raises(ConfigError, match="is not UTF-8 text"):
            load(path, {})


class TestASectionOfAService:
    def test_is_checked_by_its_own_model(self, tmp_path: Path) -> None:
        text = GOOD + "    alerts:\n      rules:\n        - name: vip\n          channels: [support]\n"
        config = read(tmp_path, text)
        with pytest.raises(ConfigError) as caught:
            config.section("demo", "alerts", Alerts)

        (mistake,) = caught.value.mistakes
        assert mistake.line == 10
        assert "support is not a channel" in mistake.what
