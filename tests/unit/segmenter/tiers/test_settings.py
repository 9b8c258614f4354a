"""The loyalty section: what it becomes, and what it says of mistakes."""

from pathlib import Path

import pytest

from services.segmenter.tiers.domain.programme import DEFAULT_TIERS, Programme
from services.segmenter.tiers.settings import Loyalty, loyalty_rules
from shared.config import ConfigError, Store, load


def config(tmp_path: Path, loyalty: str, *, store: str = "currency: EUR") -> Path:
    path = tmp_path / "closeloop.yaml"
    path.write_text(f"stores:\n  shop:\n    name: A\n    {store}\n{loyalty}")
    return path


def mistakes(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loyalty_rules(load(path))
    return [str(mistake) for mistake in caught.value.mistakes]


class TestRulebook:
    def test_without_a_section_has_the_rules_of_the_contract(self, tmp_path: Path) -> None:
        programme = loyalty_rules(load(config(tmp_path, "")))["shop"].programme
        assert programme == Programme(currency="EUR", version=programme.version)
        assert programme.tiers == DEFAULT_TIERS

    def test_the_shipped_file_is_valid_and_says_the_defaults(self, tmp_path: Path) -> None:
        shipped = loyalty_rules(load(Path(__file__).parents[4] / "closeloop.yaml"))["demo"].programme
        assert shipped == Programme(currency="EUR", version=shipped.version)

    def test_the_version_changes_with_the_rules_and_with_nothing_else(self, tmp_path: Path) -> None:
        def version(loyalty: str, store: str = "currency: EUR") -> str:
            return loyalty_rules(load(config(tmp_path, loyalty, store=store)))["shop"].programme.version

        assert version("") == version("# a comment\n") == version("    loyalty: {grace_days: 60}\n")
        assert version("") != version("    loyalty: {grace_days: 61}\n")
        assert version("") != version("", store="currency: USD")

    @pytest.mark.parametrize(("currency", "minor"), [("EUR", 100), ("JPY", 1), ("KWD", 1000)])
    def test_a_point_is_one_unit_of_any_currency(self, tmp_path: Path, currency: str, minor: int) -> None:
        rules_by_store = loyalty_rules(load(config(tmp_path, "", store=f"currency: {currency}")))
        assert rules_by_store["shop"].programme.minor_per_point == minor


class TestTierNames:
    def test_are_those_that_every_service_reads_from_the_store(self) -> None:
        default = Store(name="Shop")
        assert default.tiers == tuple(tier.name for tier in Loyalty().tiers)
        declared = Store(name="Shop", loyalty={"tiers": [{"name": "Tin", "enter": 0, "keep": 0}]})
        assert declared.tiers == ("Tin",)


class TestMistakes:
    def test_are_told_with_their_lines(self, tmp_path: Path) -> None:
        path = config(
            tmp_path,
            "    loyalty:\n"
            "      tiers:\n"
            "        - {name: Base, enter: 5, keep: 0}\n"
            "        - {name: Top, enter: 3, keep: 9}\n"
            "        - {name: Top, enter: 20, keep: 0}\n",
        )
        assert mistakes(path) == [
            "line 7: stores.shop.loyalty.tiers.0.enter: the first tier is everybody's:"
            " it is entered with 0 points",
            "line 8: stores.shop.loyalty.tiers.1.enter: must be more than the 5 of Base",
            "line 8: stores.shop.loyalty.tiers.1.keep: must not be more than enter, 3",
            "line 9: stores.shop.loyalty.tiers.2.name: is the name of a tier above",
        ]

    @pytest.mark.parametrize(
        ("loyalty", "where"),
        [
            ("    loyalty: {grace_days: -1}\n", "loyalty.grace_days"),
            ("    loyalty: {window: 365}\n", "loyalty.window"),
            ("    loyalty: {nps_effect: bonus}\n", "loyalty.nps_effect"),
            ("    loyalty: {engagement: {points: {answer: -20}}}\n", "loyalty.engagement.points.answer"),
            ("    loyalty: {engagement: {points: {likes: 1}}}\n", "loyalty.engagement.points.likes"),
            ("    loyalty: {tiers: []}\n", "loyalty.tiers"),
        ],
    )
    def test_name_the_place(self, tmp_path: Path, loyalty: str, where: str) -> None:
        (mistake,) = mistakes(config(tmp_path, loyalty))
        assert mistake.startswith(f"line 5: stores.shop.{where}")
