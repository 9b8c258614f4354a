"""Which event goes to which function of which feature: the table in `handlers`."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence

from services.scorer.counting.counter import AnswerCounter
from services.scorer.counting.erasing import LEDGER, AnswerEraser
from services.scorer.counting.handlers import AnswerHandlers
from shared.db import Session
from shared.events import Event, Received
from shared.events.customers import CustomerChanged
from shared.events.erasures import CustomerErased
from shared.events.responses import ResponseAmended, ResponseRetracted, ResponseSubmitted
from shared.events.topics import CUSTOMERS, ERASURES, RESPONSES
from shared.kafka import Handler, OutcomeCounts

TOPICS = (RESPONSES, CUSTOMERS, ERASURES)
"""What the scorer consumes: the topics of the events in the table."""


def handlers(counter: AnswerCounter) -> Mapping[type[Event], Handler]:
    """One handler for every event, so that a batch of several kinds is applied as one.

    It hands each kind to its feature in the order of the table: erasures come first, so that they take their
    lock before any row is locked.
    """
    answers = AnswerHandlers(counter, AnswerEraser(counter))
    erase, count, move = answers.erase, answers.count_answers, answers.move_tiers
    table: dict[type[Event], Callable[[Session, Sequence[Received]], Awaitable[OutcomeCounts]]] = {
        CustomerErased: erase,
        ResponseSubmitted: count,
        ResponseAmended: count,
        ResponseRetracted: count,
        CustomerChanged: move,
    }

    async def apply(session: Session, batch: Sequence[Received]) -> OutcomeCounts:
        kinds = {type(received.event) for received in batch}
        outcomes: Counter[tuple[str, str]] = Counter()
        if CustomerErased not in kinds:
            await LEDGER.share(session)
        for handler in (erase, count, move):
            mine = {kind for kind in kinds if table[kind] is handler}
            if mine:
                part = [received for received in batch if type(received.event) in mine]
                outcomes.update(await handler(session, part))
        return outcomes

    return dict.fromkeys(table, apply)
