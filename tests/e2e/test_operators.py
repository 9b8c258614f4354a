"""What an operator asks, and the answers."""

from pathlib import Path

import pytest

from tests.e2e.product import SERVICES, Product
from tests.e2e.shop import Shop

FAMILIES = {
    "collector": ("closeloop_responses_received_total", "closeloop_kafka_produce_duration_seconds"),
    "scorer": ("closeloop_kafka_consumer_lag_records", "closeloop_kafka_consumer_time_lag_seconds"),
    "segmenter": ("closeloop_kafka_processed_records_total", "closeloop_outbox_oldest_pending_age_seconds"),
    "notifier": ("closeloop_deliveries_total", "closeloop_dead_letter_records_total"),
}


class TestTheCommands:
    async def test_status_shows_every_part_and_what_a_script_needs(self, product: Product) -> None:
        shown = await product.command("status", "--json")
        assert shown.code == 0
        assert shown.json["healthy"]
        assert set(shown.json["health"]) == {"kafka", "postgres", *SERVICES}
        assert product.demo.items() <= shown.json.items()

    async def test_verify_finds_the_books_in_balance(self, product: Product, shop: Shop) -> None:
        said = await shop.answer(10)
        await shop.post("/v1/responses", shop.body(0, response_id=said["response_id"]))
        await shop.retract((await shop.answer(3))["response_id"])
        await product.caught_up()
        checked = await product.command("verify", "--json")
        assert checked.code == 0, checked.output + checked.errors

    async def test_verify_notices_a_bucket_that_is_wrong(self, product: Product, shop: Shop) -> None:
        await shop.answer(10)
        await product.caught_up()
        change = """UPDATE scorer.buckets SET promoters = promoters + $2 WHERE series =
                    (SELECT id FROM scorer.series WHERE segment = $1 AND touchpoint = '')"""
        await product.sql(change, f"market:{shop.market}", 1)
        try:
            checked = await product.command("verify", "--json")
        finally:
            await product.sql(change, f"market:{shop.market}", -1)
        assert checked.code == 1
        assert shop.market in checked.output

    async def test_topics_are_as_the_services_need_them(self, product: Product) -> None:
        shown = await product.command("topics", "--json")
        assert shown.code == 0
        assert {topic["name"] for topic in shown.json} >= {"feedback.responses.v1", "feedback.cases.v1"}

    async def test_doctor_finds_nothing_wrong(self, product: Product) -> None:
        looked = await product.command("doctor", "--json")
        assert [finding for finding in looked.json if not finding["ok"]] == []
        assert looked.code == 0

    async def test_config_check_names_the_line_of_each_mistake(
        self, product: Product, tmp_path: Path
    ) -> None:
        assert (await product.command("config", "check")).code == 0
        good = Path(product.environment["CLOSELOOP_CONFIG"]).read_text()
        bad = tmp_path / "bad.yaml"
        bad.write_text(good.replace("enter: 500", "enter: x").replace("max_score: 3", "max_score: low"))
        checked = await product.command("config", "check", str(bad))
        assert checked.code == 1
        for wrong in ("enter: x", "max_score: low"):
            line = next(n for n, text in enumerate(bad.read_text().splitlines(), 1) if wrong in text)
            assert f"line {line}:" in checked.output


class TestTheProbes:
    @pytest.mark.parametrize("service", SERVICES)
    async def test_say_that_a_service_lives_and_is_ready(self, product: Product, service: str) -> None:
        for probe in ("/livez", "/readyz"):
            said = await product.get(service, probe)
            assert (said.status_code, said.json()["status"]) == (200, "ok")

    @pytest.mark.parametrize("service", SERVICES)
    async def test_show_the_metrics_of_the_catalogue(self, product: Product, service: str) -> None:
        shown = (await product.get(service, "/metrics")).text
        for family in ("closeloop_build_info", "closeloop_dependency_up", *FAMILIES[service]):
            assert f"# TYPE {family.removesuffix('_total')}" in shown
