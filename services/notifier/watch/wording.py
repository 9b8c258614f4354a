"""The notices about a score that fell, and about answers that stopped or came back, in words."""

from datetime import datetime

from services.notifier.deliveries.notices import NewNotice, NoticeKind
from services.notifier.watch.domain import Compared, ScoreRule, SilenceRule, difference_of
from services.notifier.watch.store import Silence, parts_of
from shared.config.stores import Store
from shared.feedback.comparison import Difference
from shared.feedback.figures import Figure, summary
from shared.feedback.metrics import Metric
from shared.feedback.nps import Interval, round1
from shared.pages.wording import MISSING, full_moment, number, signed

_NAMES = {Metric.NPS: "NPS", Metric.ENPS: "eNPS", Metric.CSAT: "CSAT", Metric.CES: "CES"}


def fall_notice(notice_id: str, store: str, shop: Store, rule: ScoreRule, score: Compared) -> NewNotice:
    """One sentence first, then the numbers and how they were compared."""
    _, policy, segment, touchpoint, window = parts_of(score.key)
    where = ", ".join(part for part in (segment, touchpoint) if part) or "all customers"
    before, now = (summary(rule.metric, sample.counts) for sample in (score.before, score.now))
    gap = difference_of(score, rule.metric)
    if gap is None:
        raise ValueError("a score of no answers cannot have fallen")
    name = _NAMES[rule.metric]
    return NewNotice(
        notice_id,
        store,
        NoticeKind.SCORE_FELL,
        f"{name} of {where} fell by {_number(-gap.delta)} points",
        {
            "text": f"{name} of {where} over {window} is {_shown(now)}, and was {_shown(before)} one window "
            f"earlier. This is more than noise: {_p(gap)}.",
            "facts": {
                "Now": f"{_shown(now)}, 95% interval {_range(now.ci95)}, "
                f"as of {full_moment(score.now.as_of, shop.zone)}",
                "Before": f"{_shown(before)}, 95% interval {_range(before.ci95)}, "
                f"as of {full_moment(score.before.as_of, shop.zone)}",
                "Change": f"{signed(round1(gap.delta))}, 95% interval {_range(gap.ci95)}",
                "Rule": rule.name,
            },
            "metric": rule.metric.value,
            "segment": segment,
            "touchpoint": touchpoint,
            "window": window,
            "policy": policy,
            "n": score.now.counts.n,
            "n_before": score.before.counts.n,
        },
        f"/inbox/report?store={store}",
    )


def silence_notice(
    store: str, shop: Store, rule: SilenceRule, begun: Silence, *, usually: float
) -> NewNotice:
    at = f" at {begun.touchpoint}" if begun.touchpoint else ""
    return NewNotice(
        begun.notice_id,
        store,
        NoticeKind.SILENCE,
        f"No answers{at} for {rule.hours} hours",
        {
            "text": f"The last answer{at} came on {full_moment(begun.since, shop.zone)}. In the same "
            f"{rule.hours} hours of the four weeks before there were {_count(usually)}. Is the survey still "
            "sent, and do the shop's servers still reach us?",
            "facts": {"Last answer": full_moment(begun.since, shop.zone), "Rule": rule.name},
            "touchpoint": begun.touchpoint,
            "since": begun.since.isoformat(),
        },
        f"/inbox/report?store={store}",
    )


def answers_back_notice(store: str, shop: Store, silence: Silence, last: datetime) -> NewNotice:
    at = f" at {silence.touchpoint}" if silence.touchpoint else ""
    return NewNotice(
        f"{silence.notice_id}:back",
        store,
        NoticeKind.SILENCE,
        f"Answers{at} are back",
        {
            "text": f"Answers{at} come again: there were none from {full_moment(silence.since, shop.zone)}, "
            f"and the latest came on {full_moment(last, shop.zone)}.",
            "facts": {"Rule": silence.rule},
            "touchpoint": silence.touchpoint,
            "since": silence.since.isoformat(),
        },
        f"/inbox/report?store={store}",
    )


def _shown(figure: Figure) -> str:
    value = _number(figure.score or 0.0)
    return f"{value} (n = {figure.n:,})" if figure.n is not None else value


def _number(value: float) -> str:
    """One decimal, rounded half away from zero as scores are published; `number` rounds half to even."""
    return number(round1(value), 1)


def _range(interval: Interval | None) -> str:
    return MISSING if interval is None else f"{_number(interval.lo)} to {_number(interval.hi)}"


def _p(gap: Difference) -> str:
    if gap.p is None:
        return "p unknown"
    return "p < 0.001" if gap.p < 0.001 else f"p = {gap.p:.3f}"


def _count(usually: float) -> str:
    return f"about {round(usually)}"
