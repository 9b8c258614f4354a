"""Which events of a batch matter, what of them is news, and whose cases they may touch."""

from collections import Counter
from collections.abc import Container, Iterable, Mapping

from services.notifier.cases.domain.answers import opens
from services.notifier.cases.store.answers import AnswerKey, Known
from services.notifier.cases.store.customers import Ref
from shared.events import Received
from shared.events.responses import Identity, ResponseAmended, ResponseRetracted, ResponseSubmitted
from shared.events.topics import RESPONSES
from shared.feedback import Group, group_of, low

News = Mapping[AnswerKey, Mapping[str, Received]]
"""Events by their ids, by their answer."""


def relevant(
    told: Iterable[Received], stores: Container[str], outcomes: Counter[tuple[str, str]]
) -> dict[AnswerKey, dict[str, Received]]:
    """Events by answer, without originals that can never open a case; those are not even stored."""
    news: dict[AnswerKey, dict[str, Received]] = {}
    for received in told:
        event = received.event
        if event.store not in stores or (isinstance(event, ResponseSubmitted) and not _may_open(event)):
            outcomes[received.topic, "skipped"] += 1
        elif isinstance(event, ResponseSubmitted | ResponseAmended | ResponseRetracted):
            of_answer = news.setdefault((event.store, event.response_id), {})
            outcomes[received.topic, "duplicate"] += received.envelope.id in of_answer
            of_answer[received.envelope.id] = received
    return news


def unseen(
    news: News,
    before: Mapping[AnswerKey, Known],
    outcomes: Counter[tuple[str, str]],
) -> dict[AnswerKey, dict[str, Received]]:
    """What of the news is news."""
    fresh: dict[AnswerKey, dict[str, Received]] = {}
    for key, told in news.items():
        seen = before[key].events if key in before else frozenset[str]()
        missing = {i: received for i, received in told.items() if i not in seen}
        outcomes[RESPONSES.name, "duplicate"] += len(told) - len(missing)
        outcomes[RESPONSES.name, "ok"] += len(missing)
        if missing:
            fresh[key] = missing
    return fresh


def people(news: News, before: Mapping[AnswerKey, Known], beyond: Mapping[str, Container[Group]]) -> set[Ref]:
    """The customers whose cases these events may touch: those of low answers and of amended ones.

    `beyond`: by store, the better answers that a rule may take.
    """
    people: set[Ref] = set()
    for key, told in news.items():
        bodies = [r.event for r in told.values() if isinstance(r.event, ResponseSubmitted)]
        plain = key not in before and len(told) == 1
        for body in bodies:
            group = group_of(body.metric, body.scale, body.score)
            if body.customer and (not plain or group is Group.DETRACTOR or group in beyond[key[0]]):
                people.add((key[0], body.customer.ref))
        if key in before and (ref := before[key].customer_ref):
            people.add((key[0], ref))
    return people


def customers(news: News) -> set[Ref]:
    """Everybody who answered."""
    return {
        (key[0], received.event.customer.ref)
        for key, told in news.items()
        for received in told.values()
        if isinstance(received.event, ResponseSubmitted) and received.event.customer
    }


def _may_open(event: ResponseSubmitted) -> bool:
    """Raises FeedbackError for a metric, scale or score that there is not: such an event is poison."""
    low(event.metric, event.scale, event.score)
    return opens(
        test=event.test,
        historical=event.historical,
        identified=event.identity is Identity.IDENTIFIED and event.customer is not None,
        answered_at=event.answered_at,
        received_at=event.received_at,
    )
