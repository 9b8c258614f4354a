"""The customers API, over real rows."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import httpx
import pytest
from pydantic import SecretStr

from services.segmenter.app import build
from services.segmenter.settings import SegmenterSettings
from services.segmenter.tiers.settings import loyalty_rules
from shared.access import Keyring, Scope, keys
from shared.config import load
from shared.config.secrets import Secrets
from shared.db import Database
from shared.events.responses import Customer
from shared.feedback.identity import customer_ref
from shared.ops.settings import PlatformSettings
from shared.service.serving import Loops
from tests.integration.segmenter.builders import Shop, answer, opened, order, refund

SECRET = "a root secret that is long enough for the tests"


@dataclass
class Desk:
    """Somebody with a key, at the API."""

    client: httpx.AsyncClient
    shop: Shop
    token: str
    secret: bytes

    def ref(self, customer_id: str) -> str:
        return customer_ref(self.secret, self.shop.store, customer_id=customer_id) or ""

    async def get(self, path: str, *, token: str | None = None, **params: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.token if token is None else token}"}
        return await self.client.get(path, params=params, headers=headers)

    async def post(self, path: str, body: Any, *, token: str | None = None) -> httpx.Response:
        headers = {"authorization": f"Bearer {token or self.token}"}
        return await self.client.post(path, json=body, headers=headers)


PEPPER = Secrets(SECRET).pepper


async def make_key(database: Database, store: str, *scopes: Scope, kind: Any = "secret") -> str:
    async with database.transaction() as session:
        return await keys.create(session, store=store, kind=kind, scopes=scopes, pepper=PEPPER)


@pytest.fixture
async def desk(database: Database, database_url: str, tmp_path: Path) -> AsyncIterator[Desk]:
    store = f"s{uuid4().hex[:12]}"
    path = tmp_path / "closeloop.yaml"
    path.write_text(f"stores:\n  {store}: {{name: A, timezone: Europe/Amsterdam}}\n  {store}b: {{name: B}}\n")
    platform = PlatformSettings(
        database_url=SecretStr(database_url),
        kafka_bootstrap_servers="127.0.0.1:1",
        closeloop_config=path,
        closeloop_secret=SecretStr(SECRET),
    )
    secrets = platform.secrets
    app = build(platform, SegmenterSettings(), Loops(), "api")
    app.state.keyring = Keyring(database, secrets.pepper)
    now = datetime.now(UTC)
    shop = Shop(database, store, programme=loyalty_rules(load(path))[store].programme, now=now)
    token = await make_key(database, store, Scope.ADMIN)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://segmenter") as client:
        yield Desk(client, shop, token, secrets.customers)


def days_ago(days: int) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).date().isoformat()


@pytest.fixture
async def asha(desk: Desk) -> str:
    """A Silver customer who is not happy."""
    ref = desk.ref("c/1")
    person = Customer(ref=ref, id="c/1", email="Asha@Example.com", name="Asha")
    await desk.shop.send(
        order("o-1", 600, days_ago(30), customer=person),
        order("o-2", 50, days_ago(20), customer=person),
        refund("o-2", 20, days_ago(19)),
        answer("r-1", ref=ref, score=9, when=days_ago(10), customer=person),
        answer("r-2", ref=ref, score=3, when=days_ago(5), customer=person),
        answer("r-3", ref=ref, score=0, when=days_ago(4), customer=person, verified=False),
        opened("case-1", days_ago(5), ref=ref),
    )
    return ref


class TestCustomer:
    async def test_is_found_by_the_stores_own_id_with_the_reason_of_the_tier(
        self, desk: Desk, asha: str
    ) -> None:
        answer = await desk.get("/v1/customers/c/1")
        assert answer.status_code == 200
        body = answer.json()
        assert (body["customer_id"], body["ref"], body["name"]) == ("c/1", asha, "Asha")
        assert (body["tier"], body["points"]) == ("Silver", 670)
        assert body["next_tier"] == {"name": "Gold", "points_needed": 830}
        assert body["reason"]["rule"] == "upgrade"
        assert "Silver" in body["reason"]["text"]
        assert body["tags"] == ["detractor", "fell", "repeat_buyer"]
        assert [step["to_tier"] for step in body["history"]] == ["Silver"]
        assert body["expires"] > body["as_of"]
        assert body["orders"]["count"] == 2
        assert (body["orders"]["spent"], body["orders"]["refunded"]) == ("630", "20")
        answers = [(one["response_id"], one["group"], one["gives_points"]) for one in body["last_answers"]]
        assert answers == [
            ("r-2", "detractor", True),
            ("r-1", "promoter", True),
        ]

    async def test_is_found_by_the_ref_and_by_the_e_mail_address(self, desk: Desk, asha: str) -> None:
        assert (await desk.get(f"/v1/customers/{asha}")).json()["customer_id"] == "c/1"
        assert (await desk.get("/v1/customers/%20c%2F1%20")).json()["ref"] == asha
        found = (await desk.get("/v1/customers", email=" asha@EXAMPLE.com ")).json()["customers"]
        assert [one["ref"] for one in found] == [asha]

    async def test_unknown_is_404(self, desk: Desk) -> None:
        answer = await desk.get("/v1/customers/nobody")
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
        assert "nobody" not in answer.text

    async def test_claimed_by_a_browser_only_is_404(self, desk: Desk) -> None:
        ref = desk.ref("c-9")
        await desk.shop.send(answer(ref=ref, verified=False))
        assert (await desk.get("/v1/customers/c-9")).status_code == 404

    async def test_shows_guests_with_the_same_address(self, desk: Desk, asha: str) -> None:
        guest = customer_ref(desk.secret, desk.shop.store, email="twin@example.com") or ""
        for ref, name in ((guest, None), (asha, "c/1")):
            sent = order(f"o-{ref}", 1, days_ago(0), ref=ref)
            person = Customer(ref=ref, id=name, email="twin@example.com")
            await desk.shop.send(
                sent.__class__(sent.event.model_copy(update={"customer": person}), sent.ce_id)
            )
        body = (await desk.get("/v1/customers/c/1")).json()
        assert body["same_email"] == [{"ref": guest, "customer_id": None, "tier": "Bronze"}]

    async def test_of_another_store_is_404(self, desk: Desk, asha: str, database: Database) -> None:
        other = await make_key(database, f"{desk.shop.store}b", Scope.CUSTOMERS_READ)
        assert (await desk.get("/v1/customers/c/1", token=other)).status_code == 404
        assert (await desk.get(f"/v1/customers/{asha}", token=other)).status_code == 404
        assert (await desk.get("/v1/customers", token=other)).json() == {"customers": []}
        assert (await desk.get("/v1/tiers", token=other)).json()["members"] == 0
        assert (await desk.get("/v1/customers", token=other, store=desk.shop.store)).status_code == 404


class TestKeys:
    async def test_without_the_scope_are_403_and_none_is_401(self, desk: Desk, database: Database) -> None:
        wrong = await make_key(database, desk.shop.store, Scope.SCORES_READ)
        public = await make_key(database, desk.shop.store, kind="public")
        for path in ("/v1/customers", "/v1/customers/c-1", "/v1/tiers"):
            assert (await desk.get(path, token=wrong)).status_code == 403
            assert (await desk.get(path, token=public)).status_code == 403
            assert (await desk.get(path, token="sec_unknown")).status_code == 401

    async def test_that_only_read_cannot_override(self, desk: Desk, asha: str, database: Database) -> None:
        reader = await make_key(database, desk.shop.store, Scope.CUSTOMERS_READ)
        body = {"tier": "Gold", "until": "2099-01-01T00:00:00Z", "reason": "because"}
        assert (await desk.post("/v1/customers/c/1/override", body, token=reader)).status_code == 403


class TestList:
    async def test_goes_page_by_page_through_all(self, desk: Desk) -> None:
        people = [f"{index:032x}" for index in range(7)]
        await desk.shop.send(*(order(f"o-{ref}", 600, days_ago(3), ref=ref) for ref in people))
        seen: list[str] = []
        link: str | None = "/v1/customers?tier=Silver&limit=3"
        while link:
            answer = await desk.get(link)
            assert answer.status_code == 200
            seen += [one["ref"] for one in answer.json()["customers"]]
            link = answer.links["next"]["url"] if "next" in answer.links else None
        assert seen == people

    async def test_filters_by_tag_and_tier(self, desk: Desk, asha: str) -> None:
        for params, expected in (
            ({"tag": "detractor"}, [asha]),
            ({"tag": "promoter"}, []),
            ({"tier": "Silver"}, [asha]),
            ({"tier": "Gold"}, []),
        ):
            answer = await desk.get("/v1/customers", **params)
            assert [one["ref"] for one in answer.json()["customers"]] == expected

    @pytest.mark.parametrize(
        ("params", "pointer"),
        [
            ({"tier": "Golden"}, "/query/tier"),
            ({"tag": "detracter"}, "/query/tag"),
            ({"tagg": "detractor"}, "/query/tagg"),
            ({"cursor": "nonsense"}, "/query/cursor"),
            ({"cursor": "€"}, "/query/cursor"),
            ({"limit": 0}, "/query/limit"),
            ({"email": "a\0b"}, "/query/email"),
            ({"tag": "a\0b"}, "/query/tag"),
        ],
    )
    async def test_refuses_what_makes_no_sense(
        self, desk: Desk, params: dict[str, Any], pointer: str
    ) -> None:
        answer = await desk.get("/v1/customers", **params)
        assert answer.status_code == 422
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


class TestTiers:
    async def test_count_their_members(self, desk: Desk, asha: str) -> None:
        await desk.shop.send(order("o-9", 5, days_ago(1), ref="f" * 32))
        body = (await desk.get("/v1/tiers")).json()
        assert body["members"] == 2
        assert [(tier["name"], tier["members"], tier["share"]) for tier in body["tiers"]] == [
            ("Bronze", 1, 0.5),
            ("Silver", 1, 0.5),
            ("Gold", 0, 0.0),
            ("Platinum", 0, 0.0),
        ]


class TestOverride:
    async def test_sets_the_tier_until_it_ends_and_says_who_and_why(self, desk: Desk, asha: str) -> None:
        before = (await desk.shop.customer(asha))["seq"]
        body = {"tier": "Platinum", "until": "2099-01-01T00:00:00+01:00", "reason": "A long friendship"}
        answer = await desk.post("/v1/customers/c/1/override", body)
        assert answer.status_code == 200
        found = (await desk.get("/v1/customers/c/1")).json()
        assert (found["tier"], found["reason"]["rule"]) == ("Platinum", "override")
        assert found["override_until"] == "2098-12-31T23:00:00Z"
        row = await desk.shop.customer(asha)
        assert row["tier"] == "Platinum"
        assert row["seq"] > before
        (fact,) = await desk.shop.query(
            "SELECT body FROM segmenter.facts WHERE store = :store AND kind = 'override'"
        )
        assert fact["body"]["reason"] == "A long friendship"
        assert fact["body"]["by"]

    async def test_stands_in_the_history_with_its_true_end(self, desk: Desk, asha: str) -> None:
        body = {"tier": "Gold", "until": "2098-12-31t23:14:59z", "reason": "For a while"}
        assert (await desk.post("/v1/customers/c/1/override", body)).status_code == 200
        *_, upgrade, override = (await desk.get("/v1/customers/c/1")).json()["history"]
        assert override["until"] == "2098-12-31T23:14:59Z"
        assert override["text"] == "Gold was set by hand, until 2099-01-01 00:14:59."
        local = datetime.fromisoformat(upgrade["until"]).astimezone(ZoneInfo("Europe/Amsterdam"))
        assert (upgrade["rule"], local.time()) == ("upgrade", time())

    async def test_with_a_time_that_has_passed_takes_it_back(self, desk: Desk, asha: str) -> None:
        for until in ("2099-01-01T00:00:00Z", "2020-01-01T00:00:00Z"):
            body = {"tier": "Gold", "until": until, "reason": "a mistake"}
            answer = await desk.post("/v1/customers/c/1/override", body)
        assert (answer.json()["tier"], answer.json()["reason"]["rule"]) == ("Silver", "override_end")

    @pytest.mark.parametrize(
        ("change", "pointer"),
        [
            ({"tier": "Golden"}, "/tier"),
            ({"until": "2099-01-01T00:00:00"}, "/until"),
            ({"until": "2099-W01-1T00:00:00Z"}, "/until"),
            ({"until": "4070908800"}, "/until"),
            ({"until": "9999-12-31T23:59:59-14:00"}, "/until"),
            ({"reason": ""}, "/reason"),
            ({"because": "x"}, "/because"),
            ({"tier": "a\0"}, "/tier"),
        ],
    )
    async def test_refuses_what_does_not_fit(
        self, desk: Desk, asha: str, change: dict[str, str], pointer: str
    ) -> None:
        body = {"tier": "Gold", "until": "2099-01-01T00:00:00Z", "reason": "because", **change}
        answer = await desk.post("/v1/customers/c/1/override", body)
        assert answer.status_code == 422
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]

    async def test_of_an_unknown_customer_is_404(self, desk: Desk) -> None:
        body = {"tier": "Gold", "until": "2099-01-01T00:00:00Z", "reason": "because"}
        assert (await desk.post("/v1/customers/nobody/override", body)).status_code == 404


async def test_the_description_is_complete_with_examples(desk: Desk) -> None:
    found = (await desk.client.get("/openapi/segmenter.json")).json()
    paths = found["paths"]
    assert {"/v1/customers", "/v1/customers/{customer_id}", "/v1/tiers"} <= set(paths)
    override = paths["/v1/customers/{customer_id}/override"]["post"]
    assert override["requestBody"]["content"]["application/json"]["example"]["tier"] == "Gold"
