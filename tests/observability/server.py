"""What the tests ask a Prometheus server."""

import math
import time
from typing import Any

import httpx

JOBS = {f"closeloop-{name}" for name in ("collector", "scorer", "segmenter", "notifier")}
WINDOW_SECONDS = 20


class Prometheus:
    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples as of now; an expression that is wrong fails the test with its reason."""
        return await self._ask("query", {"query": expression})

    async def has_values(self, expression: str, *, instant: bool = False) -> bool:
        """Whether a panel with this expression shows at least one number."""
        if instant:
            samples = [one["value"] for one in await self.query(expression)]
        else:
            now = time.time()
            span = {"start": now - WINDOW_SECONDS, "end": now, "step": 1}
            found = await self._ask("query_range", {"query": expression} | span)
            samples = [value for one in found for value in one["values"]]
        return any(math.isfinite(float(value)) for _, value in samples)

    async def values_of(self, label: str, selector: str) -> list[str]:
        """What Grafana's `label_values(selector, label)` gives."""
        found = await self._ask(f"label/{label}/values", {"match[]": selector})
        return [str(value) for value in found]

    async def sees_all(self) -> bool:
        up = await self.query('up{job=~"closeloop-.+"} == 1')
        return {one["metric"]["job"] for one in up} == JOBS

    async def firing(self) -> set[tuple[str, str]]:
        """(alert, job) of what fires now."""
        found = await self.query('ALERTS{alertstate="firing"}')
        return {(one["metric"]["alertname"], one["metric"].get("job", "")) for one in found}

    async def _ask(self, what: str, parameters: dict[str, Any]) -> list[Any]:
        said = (await self._http.get(f"/api/v1/{what}", params=parameters)).json()
        assert said["status"] == "success", f"{parameters}: {said.get('error')}"
        data = said["data"]
        return data["result"] if isinstance(data, dict) else data
