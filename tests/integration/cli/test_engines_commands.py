"""`closeloop migrate` and `closeloop topics` against the real engines, and what they say without any."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import asyncpg
import pytest

from shared.db.migrations import PACKAGES
from shared.events.topics import CASES, ORDERS, TOPICS, Topic
from shared.kafka import topics

NOBODY = "postgresql://nobody@127.0.0.1:1/none"
Run = Callable[..., Any]


@pytest.fixture
def empty_database(stack: Any) -> Iterator[str]:
    """A database without a schema, on the same server."""
    url: str = stack.postgres.url

    async def execute(statement: str) -> None:
        connection = await asyncpg.connect(url)
        await connection.execute(statement)
        await connection.close()

    asyncio.run(execute("CREATE DATABASE untouched"))
    yield url.rpartition("/")[0] + "/untouched"
    asyncio.run(execute("DROP DATABASE untouched WITH (FORCE)"))


class TestMigrate:
    def test_brings_every_schema_to_head_twice(self, closeloop: Run, empty_database: str) -> None:
        first = closeloop("migrate", "--json", DATABASE_URL=empty_database)
        second = closeloop("migrate", "--json", DATABASE_URL=empty_database)

        assert first.code == 0
        assert list(first.json) == [package.rpartition(".")[2] for package in PACKAGES]
        assert second.json == first.json

    def test_waiting_changes_nothing_and_says_what_is_missing(
        self, closeloop: Run, empty_database: str
    ) -> None:
        waited = closeloop("migrate", "--wait", "--timeout", "0", DATABASE_URL=empty_database)

        assert waited.code == 1
        assert "schema access is at nothing" in waited.err
        assert closeloop("keys", "list", DATABASE_URL=empty_database).code == 1

    def test_waiting_ends_at_head(self, closeloop: Run, database_url: str) -> None:
        done = closeloop("migrate", "--wait", "--timeout", "5", "--json", DATABASE_URL=database_url)
        assert done.json == {"at_head": True}

    def test_waiting_outlasts_a_database_that_is_away(self, closeloop: Run) -> None:
        done = closeloop("migrate", "--wait", "--timeout", "0", DATABASE_URL=NOBODY)

        assert done.code == 1
        assert "does not answer" in done.err

    def test_other_commands_say_that_it_is_needed(self, closeloop: Run, empty_database: str) -> None:
        done = closeloop("keys", "list", DATABASE_URL=empty_database)

        assert done.code == 1
        assert "closeloop migrate" in done.err


class TestTopics:
    def test_are_all_there(self, closeloop: Run, bootstrap: str) -> None:
        done = closeloop("topics", "--json", KAFKA_BOOTSTRAP_SERVERS=bootstrap)

        assert done.code == 0
        assert [one["name"] for one in done.json] == [topic.name for topic in TOPICS]
        assert all(one["partitions"] == 2 and one["differs"] == [] for one in done.json)

    def test_names_what_is_missing_and_creates_it(
        self, closeloop: Run, bootstrap: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(topics, "TOPICS", (*TOPICS, Topic("test.of-the-command.v1")))
        before = closeloop("topics", KAFKA_BOOTSTRAP_SERVERS=bootstrap)
        created = closeloop("topics", "--create", "--partitions", "3", KAFKA_BOOTSTRAP_SERVERS=bootstrap)
        after = closeloop("topics", "--json", KAFKA_BOOTSTRAP_SERVERS=bootstrap)

        assert before.code == 1
        assert "Missing: test.of-the-command.v1" in before.err
        assert created.code == 0
        assert after.json[-1] == {"name": "test.of-the-command.v1", "partitions": 3, "differs": []}

    def test_names_a_setting_that_differs(
        self, closeloop: Run, bootstrap: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wanted = tuple(
            Topic(topic.name, 22 if topic.kept_days == 21 else topic.kept_days) for topic in TOPICS
        )
        monkeypatch.setattr(topics, "TOPICS", wanted)
        done = closeloop("topics", KAFKA_BOOTSTRAP_SERVERS=bootstrap)

        assert done.code == 1
        assert f"retention.ms={21 * 86_400_000}" in done.out
        assert "feedback.responses.v1" in done.err
        assert "loyalty.customers.v1" not in done.err

    def test_more_copies_than_brokers_is_one_sentence(
        self, closeloop: Run, bootstrap: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(topics, "TOPICS", (*TOPICS, Topic("test.of-three-copies.v1")))
        done = closeloop("topics", "--create", "--replication", "3", KAFKA_BOOTSTRAP_SERVERS=bootstrap)

        assert done.code == 1
        assert "Kafka does not create the topic test.of-three-copies.v1" in done.err


class TestAdopting:
    @pytest.fixture
    def another_log(self, database_url: str) -> Iterator[str]:
        """The name of a topic that the notifier and the collector know with another id than Kafka's."""
        topic = CASES.name

        async def execute(*statements: str) -> None:
            connection = await asyncpg.connect(database_url)
            for statement in statements:
                await connection.execute(statement, topic)
            await connection.close()

        forget = (
            "DELETE FROM collector.written_logs WHERE topic = $1",
            "DELETE FROM scorer.progress WHERE topic = $1",
        )
        asyncio.run(
            execute(
                *forget,
                "INSERT INTO collector.written_logs (topic, topic_id) VALUES ($1, gen_random_uuid())",
                """INSERT INTO scorer.progress (consumer, topic, partition, next_offset, topic_id)
                   VALUES ('closeloop-scorer', $1, 0, 5, gen_random_uuid())""",
            )
        )
        yield topic
        asyncio.run(execute(*forget))

    @pytest.fixture
    def adopt(self, closeloop: Run, database_url: str, bootstrap: str) -> Run:
        def run(*arguments: str) -> Any:
            environment = {"DATABASE_URL": database_url, "KAFKA_BOOTSTRAP_SERVERS": bootstrap}
            return closeloop("topics", "adopt", *arguments, "--dry-run", **environment)

        return run

    def test_of_a_named_topic_says_nothing_of_the_others_but_that_they_differ(
        self, adopt: Run, another_log: str
    ) -> None:
        done = adopt(ORDERS.name)
        assert done.code == 0
        assert f"Nothing to adopt of {ORDERS.name}: every service knows" in done.out
        assert f"Not named, and they differ too: {another_log}." in done.out
        assert adopt(ORDERS.name, "--json").json["others"] == [another_log]

    def test_calls_an_empty_partition_so(self, adopt: Run, another_log: str) -> None:
        done = adopt(another_log)
        assert "empty" in done.out
        assert "0 to 0" not in done.out
        assert "Nothing to adopt" not in done.out
        assert "is not as the product makes it" not in done.out

    def test_says_when_the_new_topic_has_other_settings(
        self, adopt: Run, another_log: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wanted = tuple(Topic(topic.name, 22 if topic.name == another_log else 21) for topic in TOPICS)
        monkeypatch.setattr(topics, "TOPICS", wanted)
        done = adopt()
        assert f"{another_log} is not as the product makes it: retention.ms={21 * 86_400_000}" in done.out
        assert "`closeloop topics` shows it" in done.out


class TestWithoutEngines:
    def test_a_broker_that_is_away(self, closeloop: Run) -> None:
        done = closeloop("topics", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")

        assert done.code == 1
        assert "No Kafka answers at 127.0.0.1:1" in done.err
        assert "KAFKA_BOOTSTRAP_SERVERS" in done.err

    def test_a_database_that_is_away(self, closeloop: Run) -> None:
        done = closeloop("keys", "list", DATABASE_URL=NOBODY)

        assert done.code == 1
        assert "PostgreSQL does not answer" in done.err
        assert "DATABASE_URL" in done.err

    def test_a_wrong_password(self, closeloop: Run, database_url: str) -> None:
        user, _, place = database_url.rpartition("@")
        done = closeloop("keys", "list", DATABASE_URL=f"{user}x@{place}")

        assert done.code == 1
        assert "refuses the login" in done.err

    def test_nothing_runs_and_nothing_is_named(self, closeloop: Run) -> None:
        done = closeloop("keys", "list")

        assert done.code == 1
        assert "not running" in done.err
        assert "DATABASE_URL" in done.err
