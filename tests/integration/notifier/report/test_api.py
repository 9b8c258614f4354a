"""The report and the customers to tell, over HTTP by key."""

import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from services.notifier.report import api
from shared.access import Scope, keys
from tests.integration.notifier.application import bare_application
from tests.integration.notifier.desk import Desk
from tests.integration.notifier.past_cases import AMSTERDAM, PastCases

PEPPER = b"p" * 32


class Reader:
    """A client of the store's own key."""

    def __init__(self, client: httpx.AsyncClient, desk: Desk) -> None:
        self._client = client
        self._desk = desk
        self._token = ""

    async def key(self, *scopes: Scope) -> None:
        async with self._desk.database.transaction() as session:
            self._token = await keys.create(
                session, store=self._desk.store, kind="secret", scopes=scopes, pepper=PEPPER
            )

    async def get(self, path: str, headers: dict[str, str] | None = None, **query: Any) -> httpx.Response:
        return await self._client.get(path, params=query or None, headers=self._headers(headers))

    async def post(self, path: str, **query: Any) -> httpx.Response:
        return await self._client.post(path, params=query or None, headers=self._headers(None))

    def _headers(self, more: dict[str, str] | None) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"} | (more or {})


@pytest.fixture
async def reader(desk: Desk) -> AsyncIterator[Reader]:
    app = bare_application(desk.database, PEPPER)
    app.include_router(api.routes(desk.database, {desk.store: AMSTERDAM}, desk.policies))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://notifier") as client:
        reader = Reader(client, desk)
        await reader.key(Scope.CASES_READ, Scope.CASES_WRITE)
        yield reader


@pytest.fixture
def past(desk: Desk) -> PastCases:
    return PastCases(desk, now=datetime.now(UTC))


class TestTheReport:
    async def test_has_counts_beside_each_share(self, reader: Reader, past: PastCases) -> None:
        await past.case(opened=past.ago(days=3), contacted_after=2, closed=past.ago(days=2))
        await past.case(opened=past.ago(days=3), contacted_after=6)
        report = (await reader.get("/v1/cases/report")).json()

        assert (report["opened"], report["closed"], report["now"]["open"]) == (2, 1, 1)
        assert report["contacted_in_time"] == {"count": 1, "of": 2, "percent": 50.0, "ci95": [9.5, 90.5]}
        assert report["first_contact"] == {"p50": 14400.0, "p90": 20160.0}
        assert report["reopened_of_closed"]["verdict"] == "too_few"
        assert report["causes"][0]["cause"] == "Carrier delay"
        assert report["recovered"]["proved"] == {"count": 0, "of": 0, "percent": None, "ci95": None}
        assert report["owners"][0]["enough"] is False
        assert report["zone"] == "Europe/Amsterdam"

    async def test_of_a_month_follows_the_stores_calendar(self, reader: Reader) -> None:
        report = (await reader.get("/v1/cases/report", period="month:2026-10")).json()
        assert (report["from"], report["to"]) == ("2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z")

    async def test_between_two_moments(self, reader: Reader) -> None:
        query = {"from": "2026-10-01T00:00:00+02:00", "to": "2026-10-02T00:00:00+02:00"}
        report = (await reader.get("/v1/cases/report", **query)).json()
        assert report["compared_with"] == "2026-09-29T22:00:00Z"

    @pytest.mark.parametrize(
        ("query", "pointer"),
        [
            ({"period": "31d"}, "/query/period"),
            ({"period": "month:2026-13"}, "/query/period"),
            ({"from": "2026-10-01"}, "/query/from"),
            ({"from": "yesterday"}, "/query/from"),
            ({"from": "2026-W40-1T10:00:00Z"}, "/query/from"),
            ({"to": "2026-10-01T00:00:00Z"}, "/query/from"),
            ({"from": "2026-10-02T00:00:00Z", "to": "2026-10-01T00:00:00Z"}, "/query/to"),
            ({"from": "0001-01-01T00:00:00+14:00", "to": "2026-10-01T00:00:00Z"}, "/query/from"),
            ({"period": "7d", "from": "2026-10-01T00:00:00Z"}, "/query/period"),
            ({"priority": "odd"}, "/query/priority"),
            ({"perod": "7d"}, "/query/perod"),
            ({"team": "a\0"}, "/query/team"),
            ({"team": "cares"}, "/query/team"),
            ({"period": "month:9999-12"}, "/query/period"),
            ({"period": "month:0000-01"}, "/query/period"),
        ],
    )
    async def test_of_nonsense_is_422_with_its_place(
        self, reader: Reader, query: dict[str, str], pointer: str
    ) -> None:
        refused = await reader.get("/v1/cases/report", **query)
        assert refused.status_code == 422
        assert pointer in [error["pointer"] for error in refused.json()["errors"]]

    @pytest.mark.parametrize(
        ("path", "accept"), [("/v1/cases/report", "text/csv"), ("/v1/cases/report.csv", "*/*")]
    )
    async def test_as_csv(self, reader: Reader, past: PastCases, path: str, accept: str) -> None:
        await past.case(opened=past.ago(days=3), closed=past.ago(days=2), cause="=cmd|' /C calc'!A0")
        reply = await reader.get(path, {"Accept": accept})

        assert reply.headers["content-type"].startswith("text/csv")
        assert "attachment" in reply.headers["content-disposition"]
        rows = list(csv.DictReader(io.StringIO(reply.text)))
        assert {row["name"] for row in rows if row["section"] == "causes"} == {"'=cmd|' /C calc'!A0"}

    async def test_needs_the_scope(self, reader: Reader) -> None:
        await reader.key(Scope.SCORES_READ)
        assert (await reader.get("/v1/cases/report")).status_code == 403
        assert (await reader.get("/v1/cases/report.csv")).status_code == 403

    async def test_of_another_store_does_not_exist(self, reader: Reader) -> None:
        assert (await reader.get("/v1/cases/report", store="other")).status_code == 404


class TestYouSaidWeDid:
    async def test_lists_the_customers_of_a_cause_and_marks_them(
        self, reader: Reader, desk: Desk, past: PastCases
    ) -> None:
        await desk.apply(desk.submitted(2, response_id="r-1", customer="c-1"))
        await desk.rows("UPDATE notifier.cases SET status = 'dismissed' WHERE store = :store RETURNING 1")
        for _ in range(3):
            await past.case(
                opened=past.ago(days=3), closed=past.ago(days=2), cause="Lost / damaged, in transit"
            )
        path = "/v1/cases/causes/Lost%20%2F%20damaged,%20in%20transit"
        first = await reader.get(f"{path}/customers", limit=2)
        listed = first.json()
        assert [c["customer_ref"] for c in listed["customers"]] == ["c-1", "c-2"]
        assert [c["email"] for c in listed["customers"]] == ["c-1@example.com", None]
        following = first.headers["link"].partition(">")[0].removeprefix("<")
        assert [c["customer_ref"] for c in (await reader.get(following)).json()["customers"]] == ["c-3"]

        await past.case(opened=past.ago(days=1), closed=datetime.now(UTC), cause="Lost / damaged, in transit")
        marked = await reader.post(f"{path}/told", **{"from": listed["from"], "to": listed["to"]})
        assert marked.json() == {"cause": "Lost / damaged, in transit", "told": 3}
        left = (await reader.get(f"{path}/customers")).json()["customers"]
        assert [c["customer_ref"] for c in left] == ["c-4"], "closed after the list was read"

    async def test_reading_is_not_telling(self, reader: Reader) -> None:
        await reader.key(Scope.CASES_READ)
        assert (await reader.post("/v1/cases/causes/x/told")).status_code == 403
        assert (await reader.get("/v1/cases/causes/x/customers")).json()["customers"] == []
