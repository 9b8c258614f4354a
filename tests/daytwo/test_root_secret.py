"""Another secret, as docs/runbook.md tells of it: what stops working, what goes on, and the way back."""

import re

import httpx
import pytest

from tests.e2e.eventually import eventually
from tests.e2e.product import Product
from tests.e2e.shop import Shop

NEW = "another root secret, thirty-two characters at least"
_CSRF = re.compile(r'name="csrf" value="([^"]+)"')


@pytest.fixture
def product(kept_product: Product) -> Product:
    return kept_product


class Person:
    """The demo user in a browser that keeps its cookies."""

    def __init__(self, product: Product) -> None:
        self._product = product
        self._cookies = httpx.Cookies()

    async def is_in(self) -> bool:
        """Whether the inbox opens without a sign-in."""
        return (await self._ask("GET", "/inbox")).status_code == 200

    async def sign_in(self) -> bool:
        page = await self._ask("GET", "/login")
        token = _CSRF.search(page.text)
        assert token, page.text
        fields = {"email": self._product.demo["user"], "password": self._product.demo["password"]}
        done = await self._ask("POST", "/login", {"csrf": token[1], **fields})
        return done.status_code == 303

    async def _ask(self, method: str, path: str, fields: dict[str, str] | None = None) -> httpx.Response:
        own = self._product.urls["notifier"]
        async with httpx.AsyncClient(
            base_url=own, cookies=self._cookies, timeout=15, trust_env=False, verify=False
        ) as client:
            headers = {"accept": "text/html", "origin": own}
            said = await client.request(method, path, data=fields, headers=headers)
            self._cookies = client.cookies
        return said


async def works(product: Product, key: str) -> bool:
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(headers=headers, timeout=15, trust_env=False, verify=False) as client:
        return (await client.get(f"{product.urls['scorer']}/v1/scores")).status_code == 200


async def restart(product: Product, **secrets: str) -> None:
    """All services at once with these secrets; none: those of before."""
    assert await product.stop() == 0
    for name in ("CLOSELOOP_SECRET", "CLOSELOOP_SIGNING_SECRET"):
        product.environment.pop(name, None)
    product.environment.update(secrets)
    await product.start()


async def test_another_root_secret_and_the_way_back(product: Product) -> None:
    key = product.demo["secret_key"]
    person = Person(product)
    assert await person.sign_in() and await person.is_in()
    async with Shop(product.urls, key) as shop:
        ann = shop.somebody()
        said = await shop.answer(1, customer=ann)
        await product.caught_up()
        first = await shop.case_of(ann)

    await restart(product, CLOSELOOP_SECRET=NEW)
    made = await product.command("keys", "create", "--store", "demo", "--scope", "admin", "--json")
    new_key = made.json["key"]
    await eventually(lambda: works(product, new_key))
    assert not await works(product, key), "the hash of a key is made with the root secret"
    assert not await person.is_in()
    assert await person.sign_in(), "passwords are no matter of the root secret"
    async with Shop(product.urls, new_key, market=shop.market) as shop:
        refused = await shop.amend(said["response_id"], score=2, revision=2, token=said["amend_token"])
        assert refused.status_code in (401, 403), refused.text
        assert await shop.counts() == (0, 0, 1)
        assert (await product.command("verify")).code == 0
        await _is_somebody_new(product, shop, ann)
        assert (await shop.case(first["id"])).status_code == 200, "her old case is worked as before"

    await restart(product)
    assert await works(product, key)
    assert not await works(product, new_key)
    async with Shop(product.urls, key, market=shop.market) as shop:
        amended = await shop.amend(said["response_id"], score=2, revision=2, token=said["amend_token"])
        assert amended.status_code == 202, amended.text
        known = await shop.customer(ann["id"])
        assert [answer["response_id"] for answer in known["last_answers"]] == [said["response_id"]]
    await product.caught_up()
    assert (await product.command("verify")).code == 0


async def test_another_signing_secret_voids_what_was_signed_and_nothing_else(product: Product) -> None:
    key = product.demo["secret_key"]
    person = Person(product)
    assert await person.sign_in() and await person.is_in()
    async with Shop(product.urls, key) as shop:
        ann = shop.somebody()
        said = await shop.answer(1, customer=ann)
        await product.caught_up()

        await restart(product, CLOSELOOP_SIGNING_SECRET=NEW)
        assert product.demo["secret_key"] == key
        assert not await person.is_in()
        assert await person.sign_in() and await person.is_in()
        refused = await shop.amend(said["response_id"], score=2, revision=2, token=said["amend_token"])
        assert refused.status_code in (401, 403), refused.text
        again = await shop.answer(2, customer=ann)
        amended = await shop.amend(again["response_id"], score=3, revision=2, token=again["amend_token"])
        assert amended.status_code == 202, amended.text
        await product.caught_up()
        known = await shop.customer(ann["id"])
        assert len(known["last_answers"]) == 2
        assert len((await shop.case_of(ann))["all_answers"]) == 2, "her open case has the new answer too"
    assert (await product.command("verify")).code == 0


async def _is_somebody_new(product: Product, shop: Shop, ann: dict[str, str]) -> None:
    """Neither known, nor joined with her open case, nor found by an erasure."""
    unknown = await shop.http.get(f"{product.urls['segmenter']}/v1/customers/{ann['id']}")
    assert unknown.status_code == 404
    await shop.answer(1, customer=ann)
    await product.caught_up()
    assert len(await shop.cases_of(ann)) == 2
    erased = await product.command(
        "erase", "--store", "demo", "--customer-id", ann["id"], "--wait", "--timeout", "10", "--json"
    )
    assert erased.code == 1
    left = {(found["schema"], found["table"]) for found in erased.json["left"]}
    assert ("scorer", "answers") in left
