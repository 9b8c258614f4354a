"""Answers of people who asked to be forgotten: they count as before, and are nobody's."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from services.scorer.counting.counter import Counting
from services.scorer.counting.domain.answer import Answer, Body, anonymous
from services.scorer.counting.store import answers as store
from services.scorer.counting.store import erasing, respondents
from services.scorer.counting.store.answers import Connection, Key
from shared.db import Session, driver
from shared.db.erasures import Erasures
from shared.events import Received
from shared.events.responses import ResponseSubmitted
from shared.feedback.identity import length_prefixed, surrogate


class Forgetting:
    """`counting` knows which segments a store has declared, and moves what counts elsewhere afterwards."""

    def __init__(self, counting: Counting) -> None:
        self._counting = counting
        self.ledger = Erasures("scorer")

    async def erase(self, session: Session, erased: Mapping[Key, datetime], *, shard: int) -> set[Key]:
        """Give everything of these people that was received until then to random surrogates.

        The lock around erasing is held. What came later stays theirs: it is from somebody new. Returns for
        whom it was news.
        """
        news = await self.ledger.enter(session, erased)
        db = await driver(session)
        spells, _ = await respondents.lock_respondents(db, erased)
        answers = await erasing.answers_until(db, erased)
        surrogates = {key: surrogate() for key in sorted({_respondent(answer) for answer in answers})}
        for answer in answers:
            assert answer.body is not None  # noqa: S101 - it has a respondent
            answer.forget(self._nobodys(answer.body, answer.store, surrogates[_respondent(answer)]))
        await self._counting.recount(
            db,
            answers,
            spells={(key[0], one): spells[key] for key, one in surrogates.items()},
            former_respondents=set(surrogates),
            shard=shard,
        )
        await erasing.hand_over(db, surrogates, erased)
        said = [(answer.store, answer.response_id) for answer in answers]
        await self._erase_rivals(db, erased, said)
        keys = [length_prefixed(*key).encode() for key in said]
        await self.ledger.blank_letters(session, erased, keys)
        return news

    async def _erase_rivals(
        self, db: Connection, erased: Mapping[Key, datetime], answers: Sequence[Key]
    ) -> None:
        rivals = await erasing.rivals_until(db, erased, answers)
        nobody = {key: surrogate() for key in sorted({(r.store, r.respondent) for r in rivals})}
        rewritten = []
        for rival in rivals:
            one = nobody[rival.store, rival.respondent]
            body = orjson.dumps(self._anonymous(rival.store, orjson.loads(rival.body), one)).decode()
            rewritten.append(rival._replace(body=body, respondent=one))
        await erasing.rewrite_rivals(db, rewritten)

    async def late(
        self,
        session: Session,
        batch: Sequence[Received],
        known: Mapping[Key, Answer],
        customers: Collection[Key],
    ) -> Sequence[Received]:
        """The batch, whose customers these are, with answers of the erased as nobody's.

        An answer that is known goes on under its surrogate; those that are not have one for each person.
        """
        erased = await self.ledger.of(session, customers)
        if not erased:
            return batch
        fresh: dict[Key, str] = {}
        told = []
        for received in batch:
            event = received.event
            if isinstance(event, ResponseSubmitted) and event.customer:
                key = (event.store, event.customer.ref)
                if key in erased and event.received_at <= erased[key]:
                    before = known.get((event.store, event.response_id))
                    one = before.body.respondent if before and before.body and before.erased else None
                    one = one or fresh.setdefault(key, surrogate())
                    raw = orjson.dumps(self._anonymous(event.store, orjson.loads(received.raw), one))
                    event = ResponseSubmitted.model_validate_json(raw)
                    received = received._replace(event=event, raw=raw)  # noqa: PLW2901
            told.append(received)
        return told

    def _nobodys(self, body: Body, store_name: str, one: str) -> Body:
        raw = orjson.dumps(self._anonymous(store_name, orjson.loads(body.raw), one))
        return store.body_of(ResponseSubmitted.model_validate_json(raw), body.ce_id, raw)

    def _anonymous(self, store_name: str, said: Mapping[str, Any], one: str) -> dict[str, Any]:
        rules = self._counting.stores.get(store_name)
        return anonymous(said, one, rules.config.segments if rules else ())


def _respondent(answer: Answer) -> Key:
    return (answer.store, (answer.body.respondent if answer.body else None) or "")
