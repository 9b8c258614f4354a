"""Which event goes to which feature."""

from services.notifier.cases.handlers import CaseHandlers
from services.notifier.watch.handlers import ScoreSamples
from shared.events import Event
from shared.events.customers import CustomerChanged
from shared.events.erasures import CustomerErased
from shared.events.responses import ResponseAmended, ResponseRetracted, ResponseSubmitted
from shared.events.scores import ScoreChanged
from shared.kafka import Handler


def handlers_by_event(cases: CaseHandlers, scores: ScoreSamples) -> dict[type[Event], Handler]:
    """The handler of each event that the notifier takes.

    All events about cases have the same one, so that a batch of them locks its rows once and in one order.
    """
    apply_to_cases = cases.apply
    return {
        ResponseSubmitted: apply_to_cases,
        ResponseAmended: apply_to_cases,
        ResponseRetracted: apply_to_cases,
        CustomerChanged: apply_to_cases,
        CustomerErased: apply_to_cases,
        ScoreChanged: scores.apply,
    }
