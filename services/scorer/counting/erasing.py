"""Erasing people from the answers: these count as before, and belong to random surrogates."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from services.scorer.counting.counter import AnswerCounter
from services.scorer.counting.domain.answer import Answer, Body, anonymous
from services.scorer.counting.store import erasing, respondents
from services.scorer.counting.store.answers import Connection, Key, body_of
from shared.db import Session, asyncpg_connection
from shared.db.erasures import Erasures
from shared.events import Received
from shared.events.responses import ResponseSubmitted
from shared.feedback.identity import length_prefixed, surrogate

LEDGER = Erasures("scorer")


class AnswerEraser:
    """Gives the answers of erased people to surrogates, and counts them there."""

    def __init__(self, counter: AnswerCounter) -> None:
        self._counter = counter

    async def erase(self, session: Session, erased: Mapping[Key, datetime], *, shard: int) -> set[Key]:
        """Give all answers of these people that were received until their erasure to random surrogates.

        The caller holds the lock around erasing. What came later stays theirs: it is from somebody new.
        Returns those whose erasure was not in the ledger before.
        """
        newly_erased = await LEDGER.enter(session, erased)
        db = await asyncpg_connection(session)
        spells, _ = await respondents.lock_respondents(db, erased)
        answers = await erasing.answers_until(db, erased)
        surrogates = {key: surrogate() for key in sorted({_respondent(answer) for answer in answers})}
        for answer in answers:
            assert answer.body is not None  # noqa: S101 - it has a respondent
            answer.forget(self._anonymous_body(answer.body, answer.store, surrogates[_respondent(answer)]))
        await self._counter.recount(
            db,
            answers,
            spells={(key[0], respondent): spells[key] for key, respondent in surrogates.items()},
            former_respondents=set(surrogates),
            shard=shard,
        )
        await erasing.hand_over_tiers(db, surrogates, erased)
        response_keys = [(answer.store, answer.response_id) for answer in answers]
        await self._erase_rivals(db, erased, response_keys)
        keys = [length_prefixed(*key).encode() for key in response_keys]
        await LEDGER.blank_letters(session, erased, keys)
        return newly_erased

    async def _erase_rivals(
        self, db: Connection, erased: Mapping[Key, datetime], answers: Sequence[Key]
    ) -> None:
        """The same for the bodies that lost to another under their id."""
        rivals = await erasing.rivals_until(db, erased, answers)
        surrogates = {key: surrogate() for key in sorted({(r.store, r.respondent) for r in rivals})}
        rewritten = []
        for rival in rivals:
            respondent = surrogates[rival.store, rival.respondent]
            body = orjson.dumps(self._anonymous(rival.store, orjson.loads(rival.body), respondent)).decode()
            rewritten.append(rival._replace(body=body, respondent=respondent))
        await erasing.rewrite_rivals(db, rewritten)

    async def anonymise_late(
        self,
        session: Session,
        batch: Sequence[Received],
        known: Mapping[Key, Answer],
        customers: Collection[Key],
    ) -> Sequence[Received]:
        """Give answers of erased people that arrive late to surrogates; returns the batch itself if there
        are none.

        `known`: the stored answers of the batch; `customers`: everybody whom it names. An answer that is
        stored keeps its surrogate; the new ones of one person get one surrogate together.
        """
        erased = await LEDGER.of(session, customers)
        if not erased:
            return batch
        new_surrogates: dict[Key, str] = {}
        allowed = []
        for received in batch:
            event = received.event
            if isinstance(event, ResponseSubmitted) and event.respondent:
                key = (event.store, event.respondent)
                if key in erased and event.received_at <= erased[key]:
                    before = known.get((event.store, event.response_id))
                    respondent = before.body.respondent if before and before.body and before.erased else None
                    respondent = respondent or new_surrogates.setdefault(key, surrogate())
                    raw = orjson.dumps(self._anonymous(event.store, orjson.loads(received.raw), respondent))
                    event = ResponseSubmitted.model_validate_json(raw)
                    received = received._replace(event=event, raw=raw)  # noqa: PLW2901 - as a surrogate's
            allowed.append(received)
        return allowed

    def _anonymous_body(self, body: Body, store_name: str, respondent: str) -> Body:
        raw = orjson.dumps(self._anonymous(store_name, orjson.loads(body.raw), respondent))
        return body_of(ResponseSubmitted.model_validate_json(raw), body.ce_id, raw)

    def _anonymous(self, store_name: str, answer: Mapping[str, Any], respondent: str) -> dict[str, Any]:
        rules = self._counter.stores.get(store_name)
        return anonymous(answer, respondent, rules.config.segments if rules else ())


def _respondent(answer: Answer) -> Key:
    return (answer.store, (answer.body.respondent if answer.body else None) or "")
