"""Applies dead letters again, by the handlers of the service that could not."""

from collections.abc import Callable, Mapping
from importlib import import_module

from cli import CommandError
from shared.config import Config, ConfigError
from shared.config.secrets import Secrets
from shared.db import Database, Inbox, is_race, is_transient
from shared.db.dead_letters import DeadLetters
from shared.events import Event, NotAnEvent
from shared.kafka import Applier, Handler

_RACES = 3

BuildHandlers = Callable[[Config, Secrets], Mapping[type[Event], Handler]]


class Failure(Exception):
    """A letter still cannot be applied. `str()` says why, without a word of the record."""


class Replayer:
    """Replays letters of one service through its own handlers, never through the topic."""

    def __init__(self, database: Database, service: str, config: Config, secrets: Secrets) -> None:
        build: BuildHandlers = import_module(f"services.{service}.operations").replay_handlers
        try:
            handlers = build(config, secrets)
        except ConfigError as error:
            raise CommandError(
                f"{error.path}, {error.mistakes[0]}", remedy="`closeloop config check` prints every mistake."
            ) from None
        self._database = database
        self._service = service
        self._letters = DeadLetters(service)
        self._handlers = handlers

    async def replay(self, letter_id: int) -> str:
        """The handler's outcome, or `settled before`; state change and effect commit together.

        Raises Failure, after which nothing has changed. A lost race gets the few tries of a consumer.
        """
        for left in reversed(range(_RACES)):
            try:
                return await self._replay(letter_id)
            except Exception as error:
                if not is_race(error):
                    raise
                if not left:
                    raise Failure(f"the handler failed again: {type(error).__name__}") from error
        raise AssertionError("the last try returns or raises")

    async def _replay(self, letter_id: int) -> str:
        async with self._database.transaction() as session:
            letter = await self._letters.find(session, letter_id)
            if letter is None or letter.state != "dead":
                return "settled before"
            inbox = Inbox(self._service, letter.consumer)
            applier = Applier(self._database, inbox, self._handlers)
            try:
                outcome = await applier.replay(session, letter)
            except NotAnEvent as error:
                raise Failure(f"is still not an event: {error.reason}") from error
            except Exception as error:
                if is_transient(error):
                    raise
                raise Failure(f"the handler failed again: {type(error).__name__}") from error
            await self._letters.settle(session, letter_id, "replayed")
            return outcome
