"""Scores as the scorer publishes them, and what is told when one falls."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.notifier.settings import Alerts
from services.notifier.watch.handlers import ScoreSamples
from services.notifier.watch.jobs import Watch
from shared.events import Received
from shared.events.scores import Figure, ScoreChanged
from shared.feedback.nps import Counts
from tests.integration.notifier.desk import Desk, received, webhook
from tests.integration.notifier.past_cases import AMSTERDAM

START = datetime(2026, 9, 1, 12, tzinfo=UTC)
HIGH, LOW = Counts(700, 150, 150), Counts(400, 250, 350)


class Watched:
    """A store with a rule over its segments, and its scorer."""

    def __init__(self, desk: Desk, **rule: Any) -> None:
        self.desk = desk
        self.alerts = Alerts.model_validate(
            {
                "channels": {"alerts": webhook(), "slack": {"kind": "slack", "url": "http://127.0.0.1:1/s"}},
                "score_rules": [{"name": "falls", "window": "7d", "segments": ["*", ""], **rule}],
            }
        )
        self._seq = 0

    def score(self, counts: Counts | None, at: datetime, *, seq: int | None = None, **given: Any) -> Received:
        self._seq += 1
        figure = Figure()
        if counts:
            figure = Figure(
                n=counts.n,
                promoters=counts.promoters,
                passives=counts.passives,
                detractors=counts.detractors,
                score=0.0,
            )
        fields: dict[str, Any] = {"metric": "nps", "policy": "latest", "window": "7d", **given}
        return received(
            ScoreChanged(store=self.desk.store, seq=seq or self._seq, as_of=at, figure=figure, **fields)
        )

    async def publish(self, *events: Received) -> dict[str, int]:
        samples = ScoreSamples({self.desk.store: self.alerts.watch_policy}, {self.desk.store: AMSTERDAM.zone})
        async with self.desk.database.transaction() as session:
            outcomes = await samples.apply(session, events)
        return {outcome: count for (_, outcome), count in (outcomes or {}).items() if count}

    @property
    def watch(self) -> Watch:
        return Watch(
            self.desk.database, {self.desk.store: self.alerts.watch_policy}, {self.desk.store: AMSTERDAM}
        )

    async def notices(self) -> list[dict[str, Any]]:
        return await self.desk.rows(
            "SELECT * FROM notifier.notices WHERE store = :store ORDER BY created_at, notice_id"
        )


def day(n: float) -> datetime:
    return START + timedelta(days=n)


@pytest.fixture
def watched(desk: Desk) -> Watched:
    return Watched(desk)


class TestAFall:
    async def test_is_told_once_and_again_only_after_it_was_over(self, watched: Watched) -> None:
        await watched.publish(watched.score(HIGH, day(0)))
        assert await watched.watch.look(day(0)) == 0
        for n in (7, 7.5, 8, 9):
            await watched.publish(watched.score(LOW, day(n)))
            await watched.watch.look(day(n))
        assert len(await watched.notices()) == 1

        await watched.publish(watched.score(HIGH, day(16)))
        await watched.watch.look(day(16))
        await watched.publish(watched.score(LOW, day(23)))
        assert await watched.watch.look(day(23)) == 1
        first, second = await watched.notices()

        assert first["kind"] == "score_fell"
        assert first["title"] == "NPS of all customers fell by 50.0 points"
        assert "NPS of all customers over 7d is 5.0 (n = 1,000), and was 55.0 (n = 1,000)" in str(
            first["detail"]["text"]
        )
        assert first["notice_id"] != second["notice_id"]
        assert sorted(d["channel"] for d in await watched.desk.deliveries()) == [
            *["alerts"] * 2,
            *["slack"] * 2,
        ]

    async def test_windows_that_overlap_are_not_compared(self, watched: Watched) -> None:
        await watched.publish(watched.score(HIGH, day(0)), watched.score(LOW, day(6.9)))
        assert await watched.watch.look(day(7)) == 0
        await watched.publish(watched.score(LOW, day(7.1)))
        assert await watched.watch.look(day(7.1)) == 1

    async def test_a_sample_of_long_ago_is_no_yesterday(self, watched: Watched) -> None:
        await watched.publish(watched.score(HIGH, day(0)), watched.score(LOW, day(14.5)))
        assert await watched.watch.look(day(15)) == 0

    async def test_of_a_score_that_nobody_publishes_any_more_is_no_news(self, watched: Watched) -> None:
        await watched.publish(watched.score(HIGH, day(0)), watched.score(LOW, day(7)))
        assert await watched.watch.look(day(14.1)) == 0
        assert await watched.watch.look(day(13.9)) == 1

    async def test_a_hidden_score_tells_nothing(self, watched: Watched) -> None:
        await watched.publish(watched.score(HIGH, day(0)), watched.score(None, day(8)))
        assert await watched.watch.look(day(8)) == 0
        await watched.publish(watched.score(None, day(0), segment="country:NL"))
        await watched.publish(watched.score(LOW, day(8), segment="country:NL"))
        assert await watched.watch.look(day(8)) == 0

    async def test_of_a_segment_names_it_and_its_rules_channels(self, desk: Desk) -> None:
        watched = Watched(desk, segments=["country:NL"], channels=["slack"])
        for segment in ("country:NL", "country:DE", ""):
            await watched.publish(watched.score(HIGH, day(0), segment=segment))
            await watched.publish(watched.score(LOW, day(7), segment=segment))
        assert await watched.watch.look(day(7)) == 1

        [notice] = await watched.notices()
        assert notice["title"] == "NPS of country:NL fell by 50.0 points"
        assert [d["channel"] for d in await desk.deliveries()] == ["slack"]

    async def test_two_replicas_at_once_tell_it_once(self, watched: Watched) -> None:
        await watched.publish(watched.score(HIGH, day(0)), watched.score(LOW, day(7)))
        await asyncio.gather(*(watched.watch.look(day(7)) for _ in range(4)))

        assert len(await watched.notices()) == 1


class TestSamples:
    async def test_old_news_changes_nothing(self, watched: Watched) -> None:
        new, old = watched.score(LOW, day(0.1), seq=9), watched.score(HIGH, day(0), seq=3)
        assert await watched.publish(new) == {"ok": 1}
        assert await watched.publish(old, new) == {"duplicate": 2}
        [sample] = await watched.desk.rows("SELECT * FROM notifier.score_samples WHERE store = :store")
        assert (sample["seq"], sample["n"], str(sample["day"])) == (9, 1000, "2026-09-01")

    async def test_one_a_day_of_the_stores_zone(self, watched: Watched) -> None:
        # 21:59 and 22:01 in UTC are two days in Amsterdam.
        midnight = datetime(2026, 9, 1, 22, tzinfo=UTC)
        await watched.publish(
            watched.score(HIGH, midnight - timedelta(minutes=1)),
            watched.score(LOW, midnight + timedelta(minutes=1)),
        )
        rows = await watched.desk.rows(
            "SELECT day FROM notifier.score_samples WHERE store = :store ORDER BY day"
        )
        assert [str(row["day"]) for row in rows] == ["2026-09-01", "2026-09-02"]

    async def test_what_no_rule_watches_is_not_kept(self, watched: Watched) -> None:
        assert await watched.publish(
            watched.score(HIGH, day(0), window="30d"),
            watched.score(HIGH, day(0), metric="csat"),
            watched.score(HIGH, day(0), touchpoint="support"),
        ) == {"skipped": 3}
