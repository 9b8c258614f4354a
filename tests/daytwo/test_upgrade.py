"""A release with new migrations goes out while the one before it works: nobody notices, nothing is lost."""

import asyncio
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from deploy.local.home import PROJECT
from deploy.local.stack import LocalStack
from tests.daytwo.releases import SERVICES, Release, unpack_previous
from tests.e2e.conftest import CONFIG, SIGNING_SECRET
from tests.e2e.eventually import eventually

READY_SECONDS = 90
REMEDY = r"schema {} is at \d+, this code needs \d+: run `closeloop migrate`"
APPLIED_SECONDS = 90


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[LocalStack]:
    with LocalStack(tmp_path / "engines", fsync=False) as stack:
        yield stack


@pytest.fixture
def releases(tmp_path: Path, stack: LocalStack) -> Iterator[tuple[Release, Release]]:
    """(the one before, this one)"""
    tree = unpack_previous(tmp_path / "previous")
    if tree is None:
        pytest.skip("not on this machine: without history there is no release before this one")
    environment = os.environ | {
        "DATABASE_URL": stack.postgres.url,
        "KAFKA_BOOTSTRAP_SERVERS": stack.kafka.bootstrap,
        "CLOSELOOP_CONFIG": str(CONFIG),
        "CLOSELOOP_SECRET": "the root secret of the upgrade, long enough",
        "CLOSELOOP_ALERTS_URL": "",
        "CLOSELOOP_ALERTS_SECRET": SIGNING_SECRET,
        "CLOSELOOP_SLACK_URL": "",
    }
    old = Release("old", tree, tmp_path, environment)
    new = Release("new", PROJECT, tmp_path, environment)
    yield old, new
    old.kill()
    new.kill()


class Storefront:
    """Posts until it is told 202, as the client of a shop does; `accepted` counts."""

    def __init__(self, key: str) -> None:
        self.accepted = 0
        self._headers = {"Authorization": f"Bearer {key}"}

    async def posts(self, to: Release, answers: int = 25) -> None:
        async with httpx.AsyncClient(
            headers=self._headers, timeout=15, trust_env=False, verify=False
        ) as client:
            for number in range(answers):
                name = uuid4().hex
                body = {"response_id": name, "score": number % 11, "customer": {"id": f"c-{name}"}}
                url = f"{to.urls['collector']}/v1/responses"
                while (said := await client.post(url, json=body)).status_code == 503:
                    await asyncio.sleep(float(said.headers["retry-after"]))
                assert said.status_code == 202, said.text
                self.accepted += 1

    async def counted(self, at: Release) -> int:
        async with httpx.AsyncClient(
            headers=self._headers, timeout=15, trust_env=False, verify=False
        ) as client:
            said = await client.get(f"{at.urls['scorer']}/v1/scores", params={"policy": "all"})
        assert said.status_code == 200, said.text
        return int(said.json()["n"])


async def test_old_and_new_run_side_by_side(releases: tuple[Release, Release]) -> None:
    old, new = releases
    for arguments in (("topics", "--create"), ("migrate",)):
        code, said = await old.command(*arguments)
        assert code == 0, said
    _, key = await old.command("keys", "create", "--store", "demo", "--scope", "admin")
    shop = Storefront(key.split()[0])

    old.start()
    await eventually(old.ready, within_seconds=READY_SECONDS)
    await shop.posts(to=old)

    # The Job of the new release is late: what starts before it says so and ends; the old ones go on.
    changed = new.needs_more_than(old)
    assert changed
    for service in changed:
        new.start(service)
        assert await asyncio.to_thread(new.processes[service].wait, READY_SECONDS), f"{service} goes on"
        assert new.processes[service].exit_code
        (told,) = new.told(service, "schema.behind")
        assert re.fullmatch(REMEDY.format(service), told["reason"])

    for arguments in (("topics", "--create"), ("migrate",)):
        code, said = await new.command(*arguments)
        assert code == 0, said
    await shop.posts(to=old)

    # Restarted by chance after the migration: the old code accepts a schema that is ahead of it.
    for service in changed:
        old.stop(service)
        old.start(service)
    await eventually(lambda: old.ready(*changed), within_seconds=READY_SECONDS)

    new.start()
    await eventually(new.ready, within_seconds=READY_SECONDS)
    await asyncio.gather(shop.posts(to=old), shop.posts(to=new))

    for service in SERVICES:
        await asyncio.to_thread(old.stop, service)
        await shop.posts(to=new, answers=5)

    async def all_counted() -> bool:
        return await shop.counted(at=new) == shop.accepted

    await eventually(all_counted, within_seconds=APPLIED_SECONDS)

    async def balanced() -> bool:
        code, said = await new.command("verify", "--json")
        return code == 0 and json.loads(said)["scorer"]["accepted"] == shop.accepted

    await eventually(balanced, within_seconds=APPLIED_SECONDS)
    code, said = await new.command("dead", "list", "--json")
    assert (code, json.loads(said)) == (0, []), "a record of one release was poison to the other"
