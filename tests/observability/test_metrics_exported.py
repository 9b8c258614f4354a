"""The catalogue against a running product: all of it is exported, nothing else, and not too much."""

import subprocess
from collections import Counter

from prometheus_client.parser import text_string_to_metric_families

from deploy.prometheus.catalogue import declared
from tests.e2e.eventually import eventually
from tests.e2e.product import SERVICES, Product
from tests.e2e.shop import Shop

# Labelled by the fault, so that there is no series before there was one; their names are there all the same.
AFTER_A_FAULT = {
    "closeloop_kafka_produce_errors_total",
    "closeloop_kafka_commit_errors_total",
    "closeloop_kafka_batch_retries_total",
    "closeloop_digests_total",
}
SERIES_OF_A_REPLICA = 500
SERIES_OF_A_METRIC = 60
PERSONAL = {"customer", "email", "survey", "respondent", "trace", "trace_id", "comment", "path", "case"}


async def exposed(product: Product, service: str) -> str:
    return (await product.get(service, "/metrics")).text


def series(text: str) -> set[str]:
    """The names under which there is at least one sample, as the catalogue spells them."""
    found = set()
    for family in text_string_to_metric_families(text):
        if family.samples:
            found.add(f"{family.name}_total" if family.type == "counter" else family.name)
    return found


class TestTheCatalogue:
    async def test_is_exported_by_a_running_product(self, product: Product, traffic: Shop) -> None:
        wanted = {one.name for one in declared()} - AFTER_A_FAULT

        async def all_there() -> bool:
            found = set().union(*[series(await exposed(product, service)) for service in SERVICES])
            assert wanted <= found, f"not exported: {sorted(wanted - found)}"
            return True

        await eventually(all_there, within_seconds=60)

    async def test_has_all_that_is_exported_under_our_name(self, product: Product, traffic: Shop) -> None:
        known = {one.name for one in declared()}
        for service in SERVICES:
            ours = {name for name in series(await exposed(product, service)) if name.startswith("closeloop")}
            assert ours <= known

    async def test_names_metrics_as_prometheus_wants_them(
        self, tools: None, product: Product, traffic: Shop
    ) -> None:
        for service in SERVICES:
            text = await exposed(product, service)
            lint = ["promtool", "check", "metrics"]
            done = subprocess.run(lint, input=text, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr

    def test_has_no_label_that_names_a_person(self) -> None:
        for one in declared():
            assert not PERSONAL & set(one.labels), one.name

    async def test_stays_within_its_budget_of_series(self, product: Product, traffic: Shop) -> None:
        for service in SERVICES:
            sizes = Counter[str]()
            for family in text_string_to_metric_families(await exposed(product, service)):
                sizes[family.name] = len(family.samples)
                if family.type != "histogram":
                    assert len(family.samples) <= SERIES_OF_A_METRIC, (service, family.name)
            assert sizes.total() <= SERIES_OF_A_REPLICA, (service, sizes.most_common(5))


class TestScores:
    async def test_of_too_few_answers_have_no_value(self, product: Product, traffic: Shop) -> None:
        async def value(**labels: str) -> float:
            return await product.metric("scorer", "closeloop_score_sample_size", window="30d", **labels)

        await eventually(lambda: value(dimension="country", segment="NL"), within_seconds=40)
        text = await exposed(product, "scorer")
        assert 'dimension="country",metric="nps",segment="DE"' not in text

    async def test_of_a_long_tail_are_one_and_told(self, product: Product, traffic: Shop) -> None:
        await eventually(
            lambda: product.metric("scorer", "closeloop_label_overflow_total", label="segment"),
            within_seconds=40,
        )
        text = await exposed(product, "scorer")
        cities = {line for line in text.splitlines() if "score_sample_size{" in line and '"city"' in line}
        assert len(cities) <= 22
