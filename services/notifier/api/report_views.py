"""The report and the customers to tell, as clients see them."""

from typing import Any

from services.notifier.api.report_shapes import (
    BarOut,
    CauseOut,
    ChannelOut,
    CustomerToTellOut,
    OpenOut,
    OwnerOut,
    RecoveredOut,
    ReopenedOut,
    ReportOut,
    ShareOut,
    SpanOut,
)
from services.notifier.domain.states import Outcome
from services.notifier.report import Cause, Owner, Report
from services.notifier.report.domain import FIRST_CONTACT_HOURS, Share
from services.notifier.store.told import ToTell
from services.notifier.store.workload import Channel
from shared.feedback.nps import round1


def share_out(share: Share) -> ShareOut:
    percent, ci95 = share.percent, share.ci95
    return ShareOut(
        count=share.count,
        of=share.of,
        percent=None if percent is None else round1(percent),
        ci95=None if ci95 is None else (round1(ci95.lo), round1(ci95.hi)),
    )


def report_out(report: Report) -> ReportOut:
    asked, contacts, ended = report.asked, report.contacts, report.ended
    return ReportOut(
        store=asked.store,
        period=asked.period.name or None,
        start=asked.period.start,
        end=asked.period.end,
        compared_with=asked.period.before,
        zone=report.zone,
        team=asked.team,
        priority=asked.priority,
        opened=contacts.opened,
        closed=ended.closed,
        reopened=report.reopenings,
        dismissed=ended.dismissed,
        now=OpenOut(open=report.now.open, unassigned=report.now.unassigned, ages=report.now.ages),
        first_contact=SpanOut(p50=contacts.median, p90=contacts.nine_of_ten),
        first_contact_bars=[
            BarOut(upto_hours=hours, cases=cases)
            for hours, cases in zip((*FIRST_CONTACT_HOURS, None), contacts.bars, strict=True)
        ],
        close=SpanOut(p50=ended.median, p90=ended.nine_of_ten),
        in_working_hours=contacts.business,
        contacted_in_time=share_out(report.contacted_in_time),
        resolved_in_time=share_out(report.resolved_in_time),
        reopened_of_closed=ReopenedOut(
            now=share_out(report.reopened),
            before=share_out(report.reopened_before),
            verdict=report.reopened_verdict,
        ),
        recovered=RecoveredOut(noted=share_out(report.noted), proved=share_out(report.proved)),
        outcomes={Outcome(name): count for name, count in report.outcomes.items()},
        owners=[_owner_out(owner) for owner in report.owners],
        causes=[_cause_out(cause) for cause in report.causes],
        channels=[_channel_out(channel) for channel in report.channels],
    )


def _owner_out(owner: Owner) -> OwnerOut:
    return OwnerOut(
        owner=owner.load.owner,
        open=owner.load.open,
        closed=owner.load.closed,
        enough=owner.enough,
        in_time=share_out(owner.in_time) if owner.enough else None,
        first_contact_p50=owner.load.median if owner.enough else None,
    )


def _cause_out(cause: Cause) -> CauseOut:
    fields: dict[str, Any] = {name: getattr(cause, name) for name in CauseOut.model_fields}
    return CauseOut(**fields)


def _channel_out(channel: Channel) -> ChannelOut:
    return ChannelOut(
        channel=channel.channel,
        sent=channel.made,
        delivered=channel.delivered,
        in_digest=channel.digested,
        waiting=channel.waiting,
        retrying=channel.retrying,
        dead=channel.dead,
        p50=channel.median,
        p99=channel.slowest,
    )


def to_tell_out(case: ToTell, person: Any) -> CustomerToTellOut:
    """`person`: as the answer names them, or None when the answer is not there."""
    return CustomerToTellOut(
        case_id=case.case_id,
        number=case.number,
        customer_ref=case.customer_ref,
        customer_id=person.id if person else None,
        email=person.email if person else None,
        name=person.name if person else None,
        closed_at=case.closed_at,
        outcome=case.outcome,
        owner=case.owner,
    )
