"""`/v1/scores` and `/v1/answers`: parse, ask the store, map."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query

from services.scorer.api.shapes import PROBLEMS, AnswerOut, Asked, ScoreOut
from services.scorer.counting import Counting, StoreRules
from services.scorer.domain import Answer
from services.scorer.figures import shown
from services.scorer.store import answers, scores
from services.scorer.store.scores import Tally
from services.scorer.store.series import Series
from shared.access import Key, Scope
from shared.db import Database, driver
from shared.feedback.metrics import Metric, UnknownScale, scale_for
from shared.feedback.windows import WINDOWS, UnknownWindow, Window, parse_window, split
from shared.http import Problem, Text, require

Reader = Annotated[Key, Depends(require(Scope.SCORES_READ))]

_SKEW = timedelta(minutes=5)
_FIRST = datetime(2000, 1, 1, tzinfo=UTC)


def routes(database: Database, counting: Counting, latest_scan_limit: int) -> APIRouter:
    """`/v1/scores` and `/v1/answers`."""
    router = APIRouter(prefix="/v1", responses=PROBLEMS)

    async def tally(rules: StoreRules, series: Series, policy: str, window: Window, *, past: bool) -> Tally:
        async with database.snapshot() as session:
            db = await driver(session)
            found = await counting.book.find(db, series)
            if found is None:
                return scores.NOTHING
            if not (past and policy == "latest"):
                part = split(window.upto, window.upto - window.after, rules.zone)
                return await scores.tally(db, series.store, found, part, latest=policy == "latest")
            return await scores.tally_latest_in_the_past(
                db,
                series.store,
                found,
                window,
                metric=(series.metric, series.scale),
                limit=latest_scan_limit,
            )

    @router.get("/scores", summary="One rolling score", tags=["scores"])
    async def read_score(key: Reader, asked: Annotated[Asked, Query()]) -> ScoreOut:
        """Counts, score and interval over (as_of − window, as_of], exact to the second on event time."""
        rules = _rules(counting, key)
        series = _series(rules, key.store, asked)
        now = datetime.now(UTC)
        moment = _moment(asked.as_of, now)
        window = Window.ending(moment, _length(asked.window))
        policy = asked.policy or rules.config.policy
        try:
            found = await tally(rules, series, policy, window, past=moment < now)
        except scores.TooManyAnswers:
            raise _wrong(
                "as_of",
                f"policy=latest in the past reads every answer, at most {latest_scan_limit}: "
                "take a shorter window, or policy=all",
            ) from None
        return ScoreOut(
            store=key.store,
            metric=series.metric,
            scale=series.scale,
            policy=policy,
            segment=series.segment,
            touchpoint=series.touchpoint,
            window=asked.window,
            as_of=moment,
            **shown(Metric(series.metric), found, rules.config).model_dump(),
        )

    @router.get("/answers/{response_id:path}", summary="The record of one answer", tags=["answers"])
    async def read_answer(
        key: Reader,
        response_id: Annotated[
            Text, Path(min_length=1, max_length=256, examples=["0193a1c2-7b1e-7c3e-9a51-2f8e7d6c5b4a"])
        ],
    ) -> AnswerOut:
        """Whether it counts, its present score, and how many rival bodies came under its id."""
        async with database.snapshot() as session:
            found = await answers.read_answers(await driver(session), [(key.store, response_id)])
        answer = found.get((key.store, response_id))
        if answer is None:
            raise Problem(404, "not-found", "There is no answer with this id.")
        return _record(answer)

    return router


def _record(answer: Answer) -> AnswerOut:
    body = answer.body
    amended_comment = answer.amended.get("comment")
    comment = amended_comment.value if amended_comment else answers.event_of(body).comment if body else None
    return AnswerOut(
        response_id=answer.response_id,
        status=_status(answer),
        metric=body.metric if body else None,
        scale=body.scale if body else None,
        score=answer.score,
        answered_at=body.answered_at if body else None,
        received_at=body.received_at if body else None,
        comment=comment,
        touchpoint=body.touchpoint if body else None,
        segments=dict(body.segments) if body else {},
        latest=answer.latest,
        amended=sorted(answer.amended),
        conflicts=len(answer.rivals),
    )


def _status(
    answer: Answer,
) -> Literal["counted", "test", "retracted", "awaiting_original", "store_unknown"]:
    if answer.retracted:
        return "retracted"
    if answer.body is None:
        return "awaiting_original"
    if answer.body.test:
        return "test"
    return "counted" if answer.counted else "store_unknown"


def _rules(counting: Counting, key: Key) -> StoreRules:
    rules = counting.stores.get(key.store)
    if rules is None:
        raise Problem(404, "not-found", "The configuration no longer has this key's store.")
    return rules


def _series(rules: StoreRules, store: str, asked: Asked) -> Series:
    try:
        scale = scale_for(asked.metric, asked.scale)
    except UnknownScale:
        raise _wrong(
            "scale" if asked.metric in tuple(Metric) else "metric",
            f"must be one of {', '.join(Metric)}, with a scale of that metric",
        ) from None
    cut = rules.cuts.declared(asked.segment, asked.touchpoint)
    if cut is None:
        raise Problem(
            422,
            "not-declared",
            "This combination has no score. Declare it in closeloop.yaml, then run closeloop rebuild.",
            errors=[{"pointer": "/query/segment", "detail": "is not declared"}],
            declared=rules.cuts.listing(),
        )
    return Series(store, scale.metric.value, scale.id, cut.segment, cut.touchpoint)


def _length(window: str) -> timedelta:
    try:
        return parse_window(window)
    except UnknownWindow:
        raise _wrong("window", f"must be one of {', '.join(WINDOWS)}") from None


def _moment(as_of: str | None, now: datetime) -> datetime:
    if as_of is None:
        return now
    try:
        # A plus sign that was not escaped arrives as a space.
        moment = datetime.fromisoformat(as_of.replace(" ", "+"))
        if moment.tzinfo is None:
            raise _wrong("as_of", "needs an offset, as +01:00 or Z")
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise _wrong("as_of", "must be a time as 2026-11-22T10:00:00+01:00") from None
    if moment < _FIRST:
        raise _wrong("as_of", "must not lie before the year 2000")
    if moment > now + _SKEW:
        raise _wrong("as_of", "must not lie in the future")
    return min(moment, now)


def _wrong(parameter: str, detail: str) -> Problem:
    return Problem(
        422,
        "invalid",
        f"{parameter} {detail}.",
        errors=[{"pointer": f"/query/{parameter}", "detail": detail}],
    )
