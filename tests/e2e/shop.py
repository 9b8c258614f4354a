"""A shop that uses the product: one key, the four services, and what a shop does with them."""

from itertools import count
from typing import Any, Self
from uuid import uuid4

import httpx


class Shop:
    """`market`: the segment value in which everything that this shop sends is counted."""

    def __init__(self, urls: dict[str, str], key: str, *, market: str = "") -> None:
        self.market = market or f"m-{uuid4().hex[:8]}"
        self.urls = urls
        self._people = count(1)
        self.http = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {key}"}, timeout=15, trust_env=False, verify=False
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    def somebody(self) -> dict[str, Any]:
        """A customer whom nobody else is."""
        return {"id": f"{self.market}-{next(self._people)}"}

    # -- collector

    async def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return await self.http.post(self.urls["collector"] + path, json=body, headers=headers)

    async def answer(self, score: int, **fields: Any) -> dict[str, Any]:
        """An accepted answer: what the 202 said."""
        said = await self.post("/v1/responses", self.body(score, **fields))
        assert said.status_code == 202, said.text
        return said.json()

    def body(self, score: int, **fields: Any) -> dict[str, Any]:
        """An answer in this shop's market, of somebody unless it says of whom."""
        segments = {"market": self.market} | fields.pop("segments", {})
        return {"score": score, "customer": self.somebody(), "segments": segments} | fields

    async def amend(self, response_id: str, **changes: Any) -> httpx.Response:
        """With the shop's own key; `token` uses an amend token instead."""
        token = changes.pop("token", None)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = f"{self.urls['collector']}/v1/responses/{response_id}"
        return await self.http.patch(url, json=changes, headers=headers)

    async def retract(self, response_id: str) -> httpx.Response:
        return await self.http.delete(f"{self.urls['collector']}/v1/responses/{response_id}")

    async def order(self, kind: str, **fields: Any) -> None:
        said = await self.post("/v1/orders", {"type": kind, **fields})
        assert said.status_code == 202, said.text

    # -- scorer

    async def score(self, segment: str | None = None, **query: str) -> dict[str, Any]:
        """The score of the shop's market, or of the segment that is named."""
        wanted = {"segment": f"market:{self.market}" if segment is None else segment, "policy": "all"}
        said = await self.http.get(self.urls["scorer"] + "/v1/scores", params=wanted | query)
        assert said.status_code == 200, said.text
        return said.json()

    async def counts(self, segment: str | None = None, **query: str) -> tuple[int, int, int]:
        """(promoters, passives, detractors)."""
        found = await self.score(segment, **query)
        if found["n"] == 0:
            return (0, 0, 0)
        return (found["promoters"], found["passives"], found["detractors"])

    async def record(self, response_id: str) -> dict[str, Any]:
        """What became of an answer."""
        said = await self.http.get(f"{self.urls['scorer']}/v1/answers/{response_id}")
        assert said.status_code == 200, said.text
        return said.json()

    # -- segmenter

    async def customer(self, customer_id: str) -> dict[str, Any]:
        said = await self.http.get(f"{self.urls['segmenter']}/v1/customers/{customer_id}")
        assert said.status_code == 200, said.text
        return said.json()

    # -- notifier

    async def cases_of(self, customer: dict[str, Any]) -> list[dict[str, Any]]:
        """Every case of a customer, with all about it."""
        found = []
        page = f"{self.urls['notifier']}/v1/cases?limit=200"
        while page:
            said = await self.http.get(page)
            assert said.status_code == 200, said.text
            found += [c["id"] for c in said.json()["cases"] if c["customer"]["id"] == customer["id"]]
            page = str(httpx.URL(page).join(said.links["next"]["url"])) if "next" in said.links else ""
        return [(await self.case(case_id)).json() for case_id in found]

    async def case_of(self, customer: dict[str, Any]) -> dict[str, Any]:
        """The one case of a customer."""
        found = await self.cases_of(customer)
        assert len(found) == 1, f"{len(found)} cases"
        return found[0]

    async def case(self, case_id: str) -> httpx.Response:
        return await self.http.get(f"{self.urls['notifier']}/v1/cases/{case_id}")

    async def work(self, case_id: str, action: str, **body: Any) -> httpx.Response:
        return await self.http.post(f"{self.urls['notifier']}/v1/cases/{case_id}/{action}", json=body)
