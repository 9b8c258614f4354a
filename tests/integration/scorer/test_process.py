"""The API and the published scores of a running scorer."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest

from shared.access import Scope, keys
from shared.config.secrets import Secrets
from shared.db import Database
from tests.integration.scorer.builders import DAY, amend, answer, configured, retract, tiers
from tests.integration.scorer.process import SECRET, Scorer, running, skip_the_log

STORE = f"process-{uuid4().hex[:8]}"
RULES: dict[str, Any] = {
    "name": "A shop",
    "timezone": "Europe/Amsterdam",
    "segments": {"country": {"values": ["NL", "DE"]}, "plan": {}},
    "touchpoints": ["support", "delivery"],
    "combinations": [["country", "touchpoint"]],
    "windows": ["7d", "30d"],
    "policy": "latest",
    "hide_below": {"nps": 3, "csat": 3},
    "normal_n": 6,
}


@pytest.fixture(scope="module")
async def scorer(
    bootstrap: str, database_url: str, database: Database, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Scorer]:
    folder = tmp_path_factory.mktemp("scorer")
    by_default = {name: rule for name, rule in RULES.items() if name != "hide_below"}
    stores = {
        STORE: RULES,
        f"{STORE}-first": by_default,
        **{f"{STORE}-{name}": RULES for name in ("published", "quiet")},
    }
    config = configured(folder, **stores)
    pepper = Secrets(SECRET).pepper
    async with database.transaction() as session:
        tokens = {
            name: await keys.create(session, store=store, kind="secret", scopes=scopes, pepper=pepper)
            for name, store, scopes in [
                ("reader", STORE, [Scope.SCORES_READ]),
                ("writer", STORE, [Scope.RESPONSES_WRITE]),
                ("quiet", f"{STORE}-quiet", [Scope.SCORES_READ]),
                ("first", f"{STORE}-first", [Scope.SCORES_READ]),
                ("gone", "a-store-that-left", [Scope.SCORES_READ]),
                ("published", f"{STORE}-published", [Scope.SCORES_READ]),
            ]
        }
        tokens["public"] = await keys.create(session, store=STORE, kind="public", pepper=pepper)
    await skip_the_log(bootstrap, database_url)
    settings = {"SCORER_PUBLISH_INTERVAL_SECONDS": "1", "SCORER_LATEST_SCAN_LIMIT": "30"}
    async with running(bootstrap, database_url, config.path, folder, tokens, **settings) as scorer:
        await fill(scorer)
        yield scorer


NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)


async def fill(scorer: Scorer) -> None:
    """Ten answers of seven people, and what became of them."""
    nl = {"segments": {"country": "NL", "plan": "a,b:c"}, "touchpoint": "support"}
    de = {"segments": {"country": "DE"}, "touchpoint": "delivery"}
    await scorer.produce(
        STORE,
        [
            tiers("asha", (NOW - 90 * DAY, "Gold")),
            answer("a1", 9, NOW - 5 * HOUR, who="asha", **nl, comment="Fast"),
            answer("a2", 3, NOW - 20 * DAY, who="asha", **nl),
            answer("b1", 10, NOW - 2 * DAY, who="ben", **nl),
            answer("c1", 7, NOW - 3 * DAY, who="cleo", **nl),
            answer("d1", 8, NOW - 3 * DAY, who="dan", **de),
            answer("e1", 2, NOW - 3 * DAY, who="eve", **de),
            amend("e1", score=9, comment="Solved"),
            answer("f1", 0, NOW - 4 * DAY, **de),
            answer("g1", 0, NOW - 4 * DAY, who="gil", **de),
            retract("g1"),
            answer("h1", 0, NOW - 4 * DAY, who="hal", test=True),
            amend("i1", score=5),
            answer("j/1 ü", 6, NOW - 5 * DAY, who="joy", ce_id="ce-2"),
            answer("j/1 ü", 9, NOW - 5 * DAY, who="joy", ce_id="ce-1"),
            *[answer(f"s{n}", n, NOW - DAY, who=f"s{n}", metric="csat", scale="1-5") for n in (1, 3, 4, 5)],
            answer("t1", 6, NOW - DAY, who="t", metric="csat", scale="1-7"),
        ],
    )
    await until(lambda: counted(scorer, 7), "the answers are not counted")


async def counted(scorer: Scorer, n: int) -> bool:
    done = (await scorer.score(window="30d"))["n"] == n
    return done and (await scorer.score(metric="csat", window="30d"))["n"] == 4


async def until(check: Callable[[], Awaitable[object]], what: str, seconds: float = 20) -> None:
    for _ in range(int(seconds / 0.1)):
        if await check():
            return
        await asyncio.sleep(0.1)
    raise AssertionError(what)


def groups(score: dict[str, Any]) -> tuple[int, int, int]:
    return score["promoters"], score["passives"], score["detractors"]


class TestScores:
    async def test_the_whole_store(self, scorer: Scorer) -> None:
        found = await scorer.score(window="30d")
        as_of = datetime.fromisoformat(found.pop("as_of"))
        assert abs(datetime.now(UTC) - as_of) < timedelta(seconds=20)
        assert found == {
            "store": STORE,
            "metric": "nps",
            "scale": "0-10",
            "policy": "latest",
            "segment": "",
            "touchpoint": "",
            "window": "30d",
            "n": 7,
            "promoters": 4,
            "passives": 2,
            "detractors": 1,
            "score": 42.9,
            "margin": 49.6,
            "ci95": [-19.9, 79.3],
            "confidence": "normal",
            "band": "good",
            "mean": 7.429,
            "hidden": None,
        }

    async def test_every_answer_instead_of_each_persons_last(self, scorer: Scorer) -> None:
        assert groups(await scorer.score(window="30d", policy="all")) == (4, 2, 2)
        assert groups(await scorer.score(window="7d", policy="all")) == (4, 2, 1)

    @pytest.mark.parametrize(
        ("asked", "found"),
        [
            ({"segment": "country:NL"}, (2, 1, 0)),
            ({"segment": "country:DE", "touchpoint": "delivery"}, (1, 1, 1)),
            ({"touchpoint": "support"}, (2, 1, 0)),
            ({"segment": r"plan:a\,b:c"}, (2, 1, 0)),
            ({"segment": "tier:unknown"}, (3, 2, 1)),
        ],
    )
    async def test_cuts(self, scorer: Scorer, asked: dict[str, str], found: tuple[int, ...]) -> None:
        assert groups(await scorer.score(**asked)) == found

    async def test_below_the_least_number_nothing_is_said(self, scorer: Scorer) -> None:
        found = await scorer.score(segment="tier:Gold")
        hidden = {"n", "promoters", "passives", "detractors", "score", "margin", "ci95", "band", "mean"}
        assert {name for name, value in found.items() if value is None} == hidden
        assert (found["confidence"], found["hidden"]) == ("suppressed", "fewer than 3 answers")

    async def test_a_first_answer_is_seen(self, scorer: Scorer) -> None:
        store, why = f"{STORE}-first", "fewer than 5 answers"
        staff = [answer(f"w{n}", 9, NOW - HOUR, who=f"w{n}", metric="enps") for n in range(2)]
        secret = answer("x1", 9, NOW - HOUR, who="x", identity="confidential")
        await scorer.produce(store, [answer("v1", 9, NOW - HOUR, who="v"), secret, *staff])
        await until(lambda: self.says(scorer, {"metric": "enps"}, None, None, why), "eNPS is shown")
        await until(lambda: self.says(scorer, {}, None, None, why), "a confidential answer is shown")
        await scorer.produce(store, [retract("x1")])
        await until(lambda: self.says(scorer, {}, 1, 100.0, None), "the first answer is not shown")
        await scorer.produce(store, [retract("v1")])
        await until(lambda: self.says(scorer, {}, 0, None, None), "nothing is hidden")

    async def says(
        self, scorer: Scorer, asked: dict[str, str], n: int | None, score: float | None, why: str | None
    ) -> bool:
        found = (await scorer.get("/v1/scores", token="first", **asked)).json()
        return (found["n"], found["score"], found["hidden"]) == (n, score, why)

    async def test_few_answers_are_of_low_confidence(self, scorer: Scorer) -> None:
        assert (await scorer.score(segment="country:NL"))["confidence"] == "low"

    async def test_none_at_all_is_not_hidden_and_not_zero(self, scorer: Scorer) -> None:
        for token, asked in (
            ("quiet", {}),
            ("reader", {"segment": "plan:never"}),
            ("reader", {"metric": "ces"}),
        ):
            found = (await scorer.get("/v1/scores", token=token, **asked)).json()
            assert (found["n"], *groups(found)) == (0, 0, 0, 0)
            assert (found["score"], found["mean"], found["ci95"]) == (None, None, None)
            assert (found["confidence"], found["hidden"]) == ("low", None)

    async def test_another_metric_and_scale(self, scorer: Scorer) -> None:
        found = await scorer.score(metric="csat")
        assert (groups(found), found["scale"], found["score"], found["band"]) == (
            (2, 1, 1),
            "1-5",
            50.0,
            None,
        )
        other = await scorer.score(metric="csat", scale="1-7")
        assert (other["n"], other["confidence"]) == (None, "suppressed")

    async def test_as_of_a_moment_to_the_second(self, scorer: Scorer) -> None:
        moment = NOW - 2 * DAY
        zone = "+05:30"
        local = (moment + timedelta(hours=5, minutes=30)).replace(tzinfo=None).isoformat()
        at_it = await scorer.score(as_of=f"{local}{zone}", policy="all", window="7d")
        before = await scorer.score(
            as_of=(moment - timedelta(seconds=1)).isoformat(), policy="all", window="7d"
        )
        assert (at_it["n"], before["n"]) == (6, 5)
        assert datetime.fromisoformat(at_it["as_of"]) == moment
        assert at_it["as_of"].endswith("Z")

    async def test_a_plus_that_nobody_escaped(self, scorer: Scorer) -> None:
        moment = (NOW - 2 * DAY).astimezone(UTC).replace(tzinfo=None).isoformat()
        response = await scorer.http.get(
            f"/v1/scores?policy=all&window=7d&as_of={moment}+00:00",
            headers={"authorization": f"Bearer {scorer.tokens['reader']}"},
        )
        assert response.json()["n"] == 6

    async def test_latest_in_the_past_is_what_it_was(self, scorer: Scorer) -> None:
        past = (NOW - 6 * HOUR).isoformat()
        found = await scorer.score(as_of=past, window="30d")
        assert (groups(found), found["policy"]) == ((3, 2, 2), "latest")

    async def test_a_moment_hardly_ahead_is_now(self, scorer: Scorer) -> None:
        ahead = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
        found = await scorer.score(as_of=ahead)
        assert datetime.fromisoformat(found["as_of"]) <= datetime.now(UTC)

    async def test_its_own_store_may_be_named(self, scorer: Scorer) -> None:
        assert (await scorer.score(store=STORE))["n"] == 7


class TestProblems:
    @pytest.mark.parametrize(
        ("asked", "pointer"),
        [
            ({"window": "31d"}, "/query/window"),
            ({"metric": "mps"}, "/query/metric"),
            ({"metric": "nps", "scale": "1-5"}, "/query/scale"),
            ({"policy": "newest"}, "/query/policy"),
            ({"segmnt": "country:NL"}, "/query/segmnt"),
            ({"as_of": "yesterday"}, "/query/as_of"),
            ({"as_of": "2026-W48-1T10:00:00Z"}, "/query/as_of"),
            ({"as_of": "20261130T100000Z"}, "/query/as_of"),
            ({"as_of": "2026-01-01T00:00:00"}, "/query/as_of"),
            ({"as_of": "0001-01-01T00:00:00+14:00"}, "/query/as_of"),
            ({"as_of": "9999-12-31T23:59:59-14:00"}, "/query/as_of"),
            ({"as_of": "1999-12-31T23:59:59Z"}, "/query/as_of"),
            ({"segment": "plan:a\0b"}, "/query/segment"),
            ({"touchpoint": "\0"}, "/query/touchpoint"),
            ({"segment": "x" * 401}, "/query/segment"),
            ({"segmnt": "tier:Gold"}, "/query/segmnt"),
        ],
    )
    async def test_what_does_not_fit_is_pointed_at(
        self, scorer: Scorer, asked: dict[str, str], pointer: str
    ) -> None:
        response = await scorer.get("/v1/scores", **asked)
        assert (response.status_code, response.headers["content-type"]) == (422, "application/problem+json")
        assert [error["pointer"] for error in response.json()["errors"]] == [pointer]
        assert len(response.content) < 4096

    @pytest.mark.parametrize(
        ("asked", "detail"),
        [
            ({"metric": "nps", "scale": "1-7"}, "must be a scale of nps: 0-10"),
            ({"metric": "csat", "scale": "0-10"}, "must be a scale of csat: 1-5, 1-7"),
            ({"metric": "mps", "scale": "1-7"}, "must be one of nps, csat, ces, enps"),
        ],
    )
    async def test_of_a_scale_name_those_of_the_metric(
        self, scorer: Scorer, asked: dict[str, str], detail: str
    ) -> None:
        (error,) = (await scorer.get("/v1/scores", **asked)).json()["errors"]
        assert error["detail"] == detail

    @pytest.mark.parametrize(
        "asked",
        [
            {"segment": "country:XX"},
            {"segment": "colour:red"},
            {"segment": "tier:gold"},
            {"segment": "tier:Tin"},
            {"segment": "country:NL,plan:pro"},
            {"touchpoint": "checkout"},
            {"segment": "tier:Gold", "touchpoint": "support"},
        ],
    )
    async def test_what_is_not_declared_is_told_what_there_is(
        self, scorer: Scorer, asked: dict[str, str]
    ) -> None:
        response = await scorer.get("/v1/scores", **asked)
        assert response.status_code == 422
        assert response.json()["declared"] == [
            "touchpoint:delivery|support",
            "tier:Bronze|Gold|Platinum|Silver",
            "country:DE|NL",
            "plan:…",
            "country:DE|NL + touchpoint:delivery|support",
        ]

    @pytest.mark.parametrize(
        ("token", "path", "status"),
        [
            ("", "/v1/scores", 401),
            ("sec_nonsense", "/v1/scores", 401),
            ("writer", "/v1/scores", 403),
            ("public", "/v1/scores", 403),
            ("writer", "/v1/answers/a1", 403),
            ("reader", "/v1/scores?store=other", 404),
            ("gone", "/v1/scores", 404),
            ("reader", "/v1/answers/nobody", 404),
            ("quiet", "/v1/answers/a1", 404),
            ("reader", "/v1/answers/%00", 422),
            ("reader", "/v1/nothing", 404),
        ],
    )
    async def test_doors(self, scorer: Scorer, token: str, path: str, status: int) -> None:
        response = await scorer.http.get(
            path, headers={"authorization": f"Bearer {scorer.tokens.get(token, token)}"} if token else {}
        )
        assert (response.status_code, response.headers["content-type"]) == (
            status,
            "application/problem+json",
        )

    async def test_latest_in_the_past_is_capped(self, scorer: Scorer) -> None:
        await scorer.produce(
            f"{STORE}-quiet", [answer(f"q{n}", 9, NOW - DAY, metric="enps") for n in range(31)]
        )
        asked = {"token": "quiet", "metric": "enps", "policy": "latest"}

        async def all_in() -> bool:
            return bool((await scorer.get("/v1/scores", **asked)).json()["n"] == 31)

        await until(all_in, "the answers are not counted")
        response = await scorer.get("/v1/scores", as_of=(NOW - HOUR).isoformat(), **asked)
        assert response.status_code == 422
        assert "30" in response.json()["detail"]


class TestAnswers:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("a1", {"status": "counted", "score": 9, "latest": True, "comment": "Fast", "amended": []}),
            ("a2", {"status": "counted", "score": 3, "latest": False}),
            ("e1", {"status": "counted", "score": 9, "comment": "Solved", "amended": ["comment", "score"]}),
            ("g1", {"status": "retracted", "latest": False}),
            ("h1", {"status": "test", "latest": False}),
            ("i1", {"status": "awaiting_original", "metric": None, "score": None, "answered_at": None}),
            ("j/1 ü", {"status": "counted", "score": 9, "conflicts": 1}),
            ("t1", {"status": "counted", "metric": "csat", "scale": "1-7", "conflicts": 0}),
        ],
    )
    async def test_the_record(self, scorer: Scorer, name: str, expected: dict[str, Any]) -> None:
        response = await scorer.get(f"/v1/answers/{name}")
        assert response.status_code == 200
        found = response.json()
        assert found["response_id"] == name
        assert {field: found[field] for field in expected} == expected

    async def test_are_found_with_blanks_around_the_id_as_they_are_stored_without(
        self, scorer: Scorer
    ) -> None:
        for name in ("a1%20", "%20a1"):
            assert (await scorer.get(f"/v1/answers/{name}")).json()["response_id"] == "a1"


class TestDocumentation:
    async def test_every_shape_has_an_example_that_fits(self, scorer: Scorer) -> None:
        document = (await scorer.http.get("/openapi/scorer.json")).json()
        for name in ("ScoreOut", "AnswerOut"):
            shape = document["components"]["schemas"][name]
            # FastAPI leaves out what is null: the example is of a score that is shown.
            assert set(shape["examples"][0]) | {"hidden"} == set(shape["properties"]) | {"hidden"}
        operation = document["paths"]["/v1/scores"]["get"]
        assert {"401", "403", "404", "422"} <= set(operation["responses"])
        assert {p["name"] for p in operation["parameters"]} >= {
            "metric",
            "window",
            "segment",
            "policy",
            "as_of",
        }


class TestPublished:
    store = f"{STORE}-published"

    def mine(self, bodies: list[dict[str, Any]], **wanted: Any) -> list[dict[str, Any]]:
        return [
            body
            for body in bodies
            if body["store"] == self.store
            and all(body.get(name, "") == value for name, value in wanted.items())
        ]

    async def test_changes_by_answers_and_by_time(self, scorer: Scorer) -> None:
        """Four answers, one of which leaves the 7 days within seconds; then a burst; then silence."""
        leaves = datetime.now(UTC) - 7 * DAY + timedelta(seconds=8)
        whole = {"segment": "", "touchpoint": "", "window": "7d"}
        async with scorer.listening() as ear:
            first = [answer(f"p{n}", 9, leaves + n * HOUR) for n in range(4)]
            await scorer.produce(self.store, first)
            bodies = await ear.until(
                lambda heard: [b for b in self.mine(heard, **whole) if b["figure"].get("n") == 4]
            )
            bodies = await ear.until(
                lambda heard: [b for b in self.mine(heard, **whole) if b["figure"].get("n") == 3]
            )
            left = self.mine(bodies, **whole)[-1]
            assert (left["figure"]["n"], left["previous"]["n"]) == (3, 4)
            as_of = datetime.fromisoformat(left["as_of"])
            assert leaves + 7 * DAY <= as_of < leaves + 7 * DAY + timedelta(seconds=15)
            assert self.mine(bodies, segment="", touchpoint="", window="30d")[-1]["figure"]["n"] == 4

            for n in range(12):
                await scorer.produce(self.store, [answer(f"burst{n}", n % 11, datetime.now(UTC))])
                await asyncio.sleep(0.2)
            bodies = await ear.until(
                lambda heard: [b for b in self.mine(heard, **whole) if b["figure"].get("n") == 15]
            )
            await asyncio.sleep(2)  # what the burst did to the other keys
            quiet = len(self.mine(await ear.poll()))
            await scorer.produce(self.store, first)  # again: nothing to say
            await asyncio.sleep(2.5)
            bodies = await ear.poll()
            assert len(self.mine(bodies)) == quiet

            by_key: dict[bytes, list[tuple[float, dict[str, Any]]]] = {}
            for heard_at, key, body in ear.heard:
                if body["store"] == self.store:
                    by_key.setdefault(key, []).append((heard_at, body))
            assert len(by_key) == len(
                {(b["segment"], b["touchpoint"], b["window"]) for b in self.mine(bodies)}
            )
            for events in by_key.values():
                seqs = [body["seq"] for _, body in events]
                assert seqs == sorted(set(seqs))
                for (earlier, before), (later, after) in pairwise(events):
                    assert later - earlier > 0.8
                    assert before["figure"] != after["figure"]
                    assert after["previous"] == before["figure"]
                for _, body in events:
                    if body["figure"]["confidence"] == "suppressed":
                        assert set(body["figure"]) == {"confidence", "hidden"}
                    else:
                        assert body["figure"]["n"] >= 3
            confidence = Counter(body["figure"]["confidence"] for body in self.mine(bodies))
            assert confidence["low"] >= 1
