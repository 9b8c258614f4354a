"""The policy `latest`: each respondent once per metric, by the last answer."""

from collections.abc import Iterable

from services.scorer.domain.answer import Answer


def settle_latest(answers: Iterable[Answer]) -> None:
    """Mark the last answer of each respondent, metric and scale among these; the rest are superseded.

    `answers` must hold, for each respondent in it, the one that was latest before. An answer without a
    respondent is its own. Ties in time go to the higher response id, so the order of arrival never decides.
    """
    last: dict[tuple[str, str, str, str], Answer] = {}
    for answer in answers:
        body = answer.body
        if not answer.counts or body is None:
            answer.latest = False
        elif body.respondent is None:
            answer.latest = True
        else:
            answer.latest = False
            key = (answer.store, body.respondent, body.metric, body.scale)
            rival = last.get(key)
            if rival is None or _order(rival) < _order(answer):
                last[key] = answer
    for answer in last.values():
        answer.latest = True


def _order(answer: Answer) -> tuple[object, str]:
    assert answer.body is not None  # noqa: S101 - only answers with a body are compared
    return (answer.body.answered_at, answer.response_id)
