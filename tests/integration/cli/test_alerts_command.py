"""`closeloop alerts test`: rules on trial, on answers that a notifier stored."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from services.notifier.cases.domain.policy import NO_POLICY
from services.notifier.cases.handlers import CaseHandlers
from shared.db import Database
from shared.events import Envelope, Received, new_id
from shared.events.responses import Customer, Identity, ResponseSubmitted

Run = Callable[..., Any]

FILE = """stores:
  {store}:
    name: Demo
    alerts:
      channels: {{phone: {{kind: slack, url: "https://example.com/x"}}}}
      rules:
        - {{name: furious, when: {{max_score: 2}}, priority: urgent, channels: [phone]}}
        - {{name: broken, when: {{words: [broken]}}}}
        - {{name: never, when: {{max_score: 6, tiers: [Gold]}}, channels: []}}
        - {{name: meh, when: {{groups: [passive]}}, priority: low}}
"""


def submitted(store: str, customer: str, score: int, comment: str) -> Received:
    now = datetime.now(UTC)
    event = ResponseSubmitted(
        store=store,
        response_id=new_id(),
        fingerprint="f",
        metric="nps",
        scale="0-10",
        score=score,
        comment=comment,
        received_at=now,
        answered_at=now,
        identity=Identity.IDENTIFIED,
        customer=Customer(ref=customer),
    )
    envelope = Envelope.of(event.type, source="test", event_id=new_id())
    return Received(event, envelope, event.topic.name, 0, 0, event.body())


ANSWERS = (
    ("a", 1, "awful"),
    ("a", 5, "it is broken"),
    ("b", 5, "Broken!"),
    ("c", 6, "hm"),
    ("d", 8, "fine"),
    ("e", 10, "great"),
)


async def store_answers(url: str, store: str) -> None:
    database = Database(url, pool_size=1)
    handlers = CaseHandlers({store: NO_POLICY}, "v")
    for customer, score, comment in ANSWERS:
        async with database.transaction() as session:
            await handlers.apply(session, [submitted(store, customer, score, comment)])
    await database.close()


async def versions(url: str, store: str) -> list[tuple[Any, ...]]:
    database = Database(url, pool_size=1)
    async with database.transaction() as session:
        rows = await session.execute(
            text("SELECT case_id, version, changed_at FROM notifier.cases WHERE store = :s ORDER BY 1"),
            {"s": store},
        )
        found = [tuple(row) for row in rows]
    await database.close()
    return found


@pytest.fixture
def tried(tmp_path: Path, database_url: str, capsys: pytest.CaptureFixture[str]) -> tuple[str, Path]:
    """A store with answers, and a file with other rules than those by which its cases opened."""
    store = f"s{uuid4().hex[:12]}"
    asyncio.run(store_answers(database_url, store))
    capsys.readouterr()  # what the handlers log here is not what the command prints
    path = tmp_path / "rules.yaml"
    path.write_text(FILE.format(store=store))
    return store, path


def test_says_what_each_rule_would_have_done_and_changes_nothing(
    closeloop: Run, tried: tuple[str, Path], database_url: str
) -> None:
    store, path = tried
    before = asyncio.run(versions(database_url, store))
    done = closeloop("alerts", "test", "--config", str(path), "--json", DATABASE_URL=database_url)

    assert done.code == 0, done.err
    assert (done.json["store"], done.json["answers"], done.json["without_rule"]) == (store, 6, 1)
    rows = {row["rule"]: row for row in done.json["rules"]}
    assert {name: (row["answers"], row["cases"]) for name, row in rows.items()} == {
        "furious": (1, 1),
        "broken": (2, 1),
        "never": (0, 0),
        "meh": (1, 1),
        "default": (1, 1),
    }
    assert done.json["cases"] == 4
    assert (rows["furious"]["priority"], rows["furious"]["channels"]) == ("urgent", ["phone"])
    assert rows["broken"]["share"] == pytest.approx(2 / 6, abs=1e-4)
    assert asyncio.run(versions(database_url, store)) == before


def test_prints_a_table(closeloop: Run, tried: tuple[str, Path], database_url: str) -> None:
    _, path = tried
    done = closeloop("alerts", "test", "--config", str(path), DATABASE_URL=database_url)
    assert done.code == 0, done.err
    assert "Nothing was changed" in done.out.replace("\n", " ")
    assert "furious" in done.out


def test_of_an_unknown_store_or_a_broken_file_says_what_to_do(
    closeloop: Run, tried: tuple[str, Path], tmp_path: Path
) -> None:
    _, path = tried
    unknown = closeloop("alerts", "test", "--config", str(path), "--store", "nowhere")
    assert unknown.code == 1
    assert "has no store 'nowhere'" in unknown.err
    path.write_text(path.read_text().replace("[phone]", "[fone]"))
    broken = closeloop("alerts", "test", "--config", str(path))
    assert broken.code == 1
    assert "line 7" in broken.err
