"""Who may come in: pages with a public key, servers with a secret one, nobody with a revoked one."""

import asyncio
import time

import httpx

from tests.e2e.product import Product
from tests.e2e.shop import Shop

HOME = "https://shop.example"


class TestAPublicKey:
    async def test_submits_from_the_origins_of_its_store(self, product: Product, shop: Shop) -> None:
        async with Shop(product.urls, product.demo["public_key"], market=shop.market) as page:
            said = await page.post("/v1/responses", page.body(10), Origin=HOME)
            assert said.status_code == 202
            assert said.headers["access-control-allow-origin"] == HOME
            await product.caught_up()
            assert await shop.counts() == (1, 0, 0)
            assert (await shop.record(said.json()["response_id"]))["status"] == "counted"

    async def test_submits_from_nowhere_else(self, product: Product, shop: Shop) -> None:
        async with Shop(product.urls, product.demo["public_key"], market=shop.market) as page:
            for headers in (
                {},
                {"Origin": "https://evil.example"},
                {"Origin": "null"},
                {"Origin": HOME + ":8443"},
            ):
                said = await page.post("/v1/responses", page.body(10), **headers)
                assert said.status_code == 403
                assert "access-control-allow-origin" not in said.headers

    async def test_reads_nothing(self, product: Product) -> None:
        paths = {"scorer": "/v1/scores", "segmenter": "/v1/customers/c-1", "notifier": "/v1/cases"}
        async with Shop(product.urls, product.demo["public_key"]) as page:
            for service, path in paths.items():
                said = await page.http.get(product.urls[service] + path, headers={"Origin": HOME})
                assert said.status_code == 403, service


class TestASecretKey:
    async def test_does_what_its_scopes_say_until_it_is_revoked(self, product: Product) -> None:
        made = await product.command(
            "keys",
            "create",
            "--store",
            "demo",
            "--json",
            "--scope",
            "responses:write",
            "--scope",
            "scores:read",
        )
        key = made.json
        async with Shop(product.urls, key["key"]) as shop:
            await shop.answer(10)
            assert (await shop.score())["policy"] == "all"
            assert (await shop.work("any", "assign", owner="kim")).status_code == 403

            listed = (await product.command("keys", "list", "--json")).json
            assert [k["state"] for k in listed if k["key_id"] == key["key_id"]] == ["active"]
            assert key["key"] not in str(listed)

            assert (await product.command("keys", "revoke", key["key_id"])).code == 0
            revoked = time.monotonic()
            reads, writes = product.urls["scorer"] + "/v1/scores", shop.body(10)
            while (await shop.post("/v1/responses", writes)).status_code != 401:
                assert time.monotonic() - revoked < 5, "the collector still takes it"
                await asyncio.sleep(0.1)
            while (await shop.http.get(reads)).status_code != 401:
                assert time.monotonic() - revoked < 5, "the scorer still takes it"
                await asyncio.sleep(0.1)

    async def test_reaches_no_other_store(self, shop: Shop) -> None:
        said = await shop.http.get(f"{shop.urls['scorer']}/v1/scores?store=outlet")
        assert said.status_code == 404

    async def test_is_needed(self, product: Product) -> None:
        async with httpx.AsyncClient(trust_env=False, verify=False) as nobody:
            for service, path in {"scorer": "/v1/scores", "notifier": "/v1/cases"}.items():
                assert (await nobody.get(product.urls[service] + path)).status_code == 401
            posted = await nobody.post(product.urls["collector"] + "/v1/responses", json={"score": 1})
            assert posted.status_code == 401
