"""Look at everything that the product shows and stores, and find where it differs from the books."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import asyncpg
import httpx
from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.e2e.receiver import Alert
from tests.faults.books import WINDOWS, Books

RESPONSES, ORDERS = "feedback.responses.v1", "commerce.orders.v1"
CUSTOMERS, CASES = "loyalty.customers.v1", "feedback.cases.v1"
SCORES, ERASURES = "feedback.scores.v1", "feedback.erasures.v1"
READERS = {
    RESPONSES: ("scorer", "segmenter", "notifier"),
    ORDERS: ("segmenter",),
    CUSTOMERS: ("scorer", "notifier"),
    CASES: ("segmenter",),
    SCORES: ("notifier",),
    ERASURES: ("scorer", "segmenter", "notifier"),
}
GROUPS = ("scorer", "segmenter", "notifier")

Place = tuple[str, str, int, int]
"""(group, topic, partition, offset)."""


@dataclass
class Findings:
    """`lost` and `doubled` name what was; `wrong` says everything else that differs, in sentences."""

    accepted: int = 0
    counted: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    alerts: int = 0
    repeated_alerts: int = 0

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.wrong)

    def expect(self, what: str, found: object, expected: object) -> None:
        if found != expected:
            self.wrong.append(f"{what}: {found}, the ledger says {expected}")


class Auditor:
    """Reads by HTTP, SQL and Kafka, as an operator would."""

    def __init__(self, *, urls: dict[str, str], key: str, database_url: str, bootstrap: str) -> None:
        self._urls = urls
        self._headers = {"Authorization": f"Bearer {key}"}
        self._database_url = database_url
        self._bootstrap = bootstrap
        self._at_once = asyncio.Semaphore(8)

    # -- what must come true before anything is compared

    async def watch_offsets(self) -> None:
        """Have the database write down every move of a stored offset."""
        await self.sql("""CREATE TABLE public.moves (id bigserial PRIMARY KEY, consumer text, topic text,
                              partition int, was bigint, becomes bigint)""")
        await self.sql("""CREATE FUNCTION public.note_move() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO public.moves (consumer, topic, partition, was, becomes) VALUES
                (NEW.consumer, NEW.topic, NEW.partition, OLD.next_offset, NEW.next_offset);
            RETURN NEW; END $$""")
        for group in GROUPS:
            await self.sql(f"""CREATE TRIGGER note_move AFTER UPDATE ON {group}.progress
                               FOR EACH ROW EXECUTE FUNCTION public.note_move()""")

    async def lie_to_kafka(self, consumers: Iterable[str]) -> None:
        """Commit for these groups, which have no members, that they have read everything."""
        for service in consumers:
            topics = [topic for topic, readers in READERS.items() if service in readers]
            client = AIOKafkaConsumer(
                bootstrap_servers=self._bootstrap, group_id=f"closeloop-{service}", enable_auto_commit=False
            )
            await client.start()
            try:
                places = [TopicPartition(topic, p) for topic in topics for p in range(6)]
                client.assign(places)
                await client.commit(await client.end_offsets(places))
            finally:
                await client.stop()

    async def settled(self) -> bool:
        """Nothing is on its way: all is applied, published, and sent."""
        for table in ("segmenter.customers", "scorer.scores"):
            known = " AND known" if table == "segmenter.customers" else ""
            if await self._count(f"{table} WHERE seq > published_seq{known}"):
                return False
        if await self._count("notifier.outbox") or await self._count(
            "notifier.deliveries WHERE state = 'pending'"
        ):
            return False
        return not +await self.lag()

    async def lag(self) -> Counter[str]:
        """Records still to be applied, by topic and group."""
        behind: Counter[str] = Counter()
        client = AIOKafkaConsumer(bootstrap_servers=self._bootstrap, group_id=None)
        await client.start()
        try:
            for group in GROUPS:
                rows = await self.sql(f"SELECT topic, partition, next_offset FROM {group}.progress")
                places = {TopicPartition(row[0], row[1]): row[2] for row in rows}
                missing = len(places) != 6 * sum(group in readers for readers in READERS.values())
                ends = await client.end_offsets(list(places))
                for place, at in places.items():
                    behind[f"{group} {place.topic}"] += ends[place] - at
                behind[f"{group} has no place"] += missing
        finally:
            await client.stop()
        return behind

    async def log_of(self, topic: str) -> list[Any]:
        """Every record of a topic."""
        client = AIOKafkaConsumer(
            topic, bootstrap_servers=self._bootstrap, group_id=None, auto_offset_reset="earliest"
        )
        await client.start()
        found: list[Any] = []
        try:
            ends = await client.end_offsets([TopicPartition(topic, p) for p in range(6)])
            left = {place for place, end in ends.items() if end}
            while left:
                for place, records in (await client.getmany(timeout_ms=1000)).items():
                    found += [record for record in records if record.offset < ends[place]]
                    if records[-1].offset + 1 >= ends[place]:
                        left.discard(place)
        finally:
            await client.stop()
        return found

    # -- the comparisons

    async def compare(self, books: Books, alerts: Sequence[Alert], garbage: set[Place]) -> Findings:
        findings = Findings(accepted=len(books.acknowledged))
        await self._answers(books, findings)
        await self._scores(books, findings)
        await self._customers(books, findings)
        await self._cases(books, findings)
        await self._deliveries(alerts, findings)
        await self._dead_letters(garbage, findings)
        await self._offsets(findings)
        return findings

    async def _answers(self, books: Books, findings: Findings) -> None:
        """Id by id: every accepted answer is there, and none that nobody sent."""
        rows = await self.sql(
            "SELECT response_id, series IS NOT NULL FROM scorer.answers WHERE body IS NOT NULL"
        )
        stored: dict[str, bool] = {row[0]: row[1] for row in rows}
        for answer in books.answers.values():
            if answer.counts and not stored.get(answer.id) and answer.id in books.acknowledged:
                findings.lost.append(answer.id)
            elif answer.id not in stored:
                findings.wrong.append(f"{answer.id} is in the log and not in the scorer")
            elif stored[answer.id] != answer.counts:
                findings.wrong.append(f"{answer.id} counts {stored[answer.id]}, should {answer.counts}")
        known = books.acknowledged | books.unknown
        findings.wrong += [f"{i} counts, and nobody sent it" for i in stored if i not in known]
        findings.counted = sum(stored.values())

    async def _scores(self, books: Books, findings: Findings) -> None:
        """Every series in every window by both policies; and the month as it was three days ago."""
        past = books.began - timedelta(days=3, hours=5)
        moments = [(window, None) for window in WINDOWS] + [("30d", past)]
        async with self._client("scorer") as client:
            for window, as_of in moments:
                for policy in ("all", "latest"):
                    expected = books.scores(window, policy, as_of)
                    query = {"window": window, "policy": policy}
                    query |= {"as_of": as_of.isoformat()} if as_of else {}
                    await asyncio.gather(
                        *(
                            self._score(client, findings, expected, series, query)
                            for series in books.every_series()
                        )
                    )

    async def _score(
        self,
        client: httpx.AsyncClient,
        findings: Findings,
        expected: Counter[Any],
        series: tuple[str, str],
        query: dict[str, str],
    ) -> None:
        shown = await self._get(client, "/v1/scores", segment=series[0], touchpoint=series[1], **query)
        counts = tuple(shown[name] or 0 for name in ("promoters", "passives", "detractors"))
        wanted = tuple(expected[series, group] for group in range(3))
        findings.expect(f"score of {series} {query}", counts, wanted)
        n = sum(wanted)
        score = 100 * (wanted[0] - wanted[2]) / n if n else None
        if shown["score"] != score and (
            None in (shown["score"], score) or abs(shown["score"] - score) > 0.051
        ):
            findings.wrong.append(f"score of {series} {query}: {shown['score']}, should be {score}")
        if series == ("", "") and query == {"window": "365d", "policy": "all"} and sum(counts) > n:
            findings.doubled += ["an answer"] * (sum(counts) - n)

    async def _customers(self, books: Books, findings: Findings) -> None:
        async with self._client("segmenter") as client:

            async def one(customer: str) -> None:
                shown = await self._get(client, f"/v1/customers/{customer}")
                orders = shown["orders"]
                found = (shown["tier"], shown["points"], orders["count"], int(float(orders["spent"])))
                findings.expect(f"customer {customer}", found, books.standing(customer))

            await asyncio.gather(*(one(customer) for customer in sorted(books.customers)))

    async def _cases(self, books: Books, findings: Findings) -> None:
        """One live case for each customer with a low answer, and every answer in one case at most."""
        cases = await self._all_cases()
        live: dict[str, list[str]] = defaultdict(list)
        where: dict[str, list[str]] = defaultdict(list)
        for case in cases:
            if case["status"] not in ("closed", "dismissed"):
                live[case["customer"]["id"]].append(case["id"])
            for answer in case["all_answers"]:
                where[answer["response_id"]].append(case["id"])
        low = books.low_answers()
        for customer, answers in low.items():
            if not live[customer]:
                findings.lost.append(f"the case of {customer} for {[answer.id for answer in answers]}")
            for answer in answers:
                if not where[answer.id]:
                    findings.lost.append(f"{answer.id} in a case of {customer}")
        for customer, ids in live.items():
            if len(ids) > 1:
                findings.doubled.append(f"the case of {customer}: {ids}")
            if ids and customer not in low:
                findings.wrong.append(f"{customer} has the case {ids} and no low answer")
        allowed = books.may_be_in_a_case()
        for response_id, ids in where.items():
            if len(ids) > 1:
                findings.doubled.append(f"{response_id} is in the cases {ids}")
            if response_id not in allowed:
                findings.wrong.append(f"{response_id} is in the case {ids} and was never low")

    async def _all_cases(self) -> list[Any]:
        async with self._client("notifier") as client:
            ids: list[str] = []
            page = "/v1/cases?limit=200"
            while page:
                said = await client.get(page)
                assert said.status_code == 200, said.text
                ids += [case["id"] for case in said.json()["cases"]]
                page = said.links.get("next", {}).get("url", "")
            return await asyncio.gather(*(self._get(client, f"/v1/cases/{case_id}") for case_id in ids))

    async def _deliveries(self, alerts: Sequence[Alert], findings: Findings) -> None:
        """One row for each (case, reason, channel), sent under one id that the receiver knows."""
        rows = await self.sql("""SELECT d.delivery_id, d.case_id, d.reason, d.channel, d.state, c.status
                                 FROM notifier.deliveries d JOIN notifier.cases c USING (case_id)""")
        cases = {row[0] for row in await self.sql("SELECT case_id FROM notifier.cases")}
        told = Counter((row["case_id"], row["reason"], row["channel"]) for row in rows)
        findings.doubled += [f"the alert {place}" for place, times in told.items() if times > 1]
        opened = {row["case_id"] for row in rows if row["reason"] == "opened"}
        findings.lost += [f"the alert of the case {case_id}" for case_id in cases - opened]
        received: dict[str, set[tuple[str, str]]] = defaultdict(set)
        for alert in alerts:
            received[alert.id].add((alert.body["data"]["case"]["id"], alert.body["type"]))
        for row in rows:
            name = f"the alert {row['delivery_id']} ({row['reason']}) of the case {row['case_id']}"
            if row["state"] == "sent" and row["delivery_id"] not in received:
                findings.lost.append(f"{name}: the receiver never got it")
            elif row["state"] == "cancelled" and row["status"] != "dismissed":
                findings.wrong.append(f"{name}: cancelled, and the case is {row['status']}")
            elif row["state"] not in ("sent", "cancelled"):
                findings.wrong.append(f"{name}: is {row['state']}")
        known = {row["delivery_id"]: row["case_id"] for row in rows}
        for webhook_id, about in received.items():
            if {case_id for case_id, _ in about} != {known.get(webhook_id)} or len(about) > 1:
                findings.wrong.append(f"the webhook id {webhook_id} stood for {about}")
        findings.alerts = len(rows)
        findings.repeated_alerts = len(alerts) - len(received)

    async def _dead_letters(self, garbage: set[Place], findings: Findings) -> None:
        found: set[Place] = set()
        for group in GROUPS:
            rows = await self.sql(f'SELECT topic, partition, "offset", reason FROM {group}.dead_letters')
            for topic, partition, offset, reason in rows:
                place = (group, topic, partition, offset)
                found.add(place)
                if place not in garbage:
                    findings.wrong.append(f"a dead letter: {place}, {reason}")
        findings.wrong += [f"garbage that is no dead letter: {place}" for place in sorted(garbage - found)]

    async def _offsets(self, findings: Findings) -> None:
        """A stored offset only ever moves on from where it stood."""
        rows = await self.sql("""SELECT consumer, topic, partition, was, becomes, id FROM public.moves
                                 WHERE becomes <= was""")
        findings.wrong += [f"a stored offset went back: {tuple(row)}" for row in rows]

    # -- how it is read

    async def sql(self, query: str) -> list[Any]:
        connection = await asyncpg.connect(self._database_url, timeout=10)
        try:
            return await connection.fetch(query)
        finally:
            await connection.close()

    async def _count(self, of: str) -> int:
        return int((await self.sql(f"SELECT count(*) FROM {of}"))[0][0])

    def _client(self, service: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self._urls[service], headers=self._headers, timeout=30, trust_env=False, verify=False
        )

    async def _get(self, client: httpx.AsyncClient, path: str, **query: str) -> Any:
        async with self._at_once:
            said = await client.get(path, params=query or None)
        assert said.status_code == 200, f"{said.request.url}: {said.text}"
        return said.json()
