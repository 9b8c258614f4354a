"""The tables of the schema `notifier`, beside those that every service has."""

from services.notifier.tables.answers import answers, customers
from services.notifier.tables.cases import cases
from services.notifier.tables.casework import (
    case_answers,
    case_steps,
    case_watchers,
    history,
    plans,
    turns,
)
from services.notifier.tables.deliveries import channel_pauses, deliveries, notices
from services.notifier.tables.schema import SCHEMA, metadata
from services.notifier.tables.views import saved_views
from services.notifier.tables.watching import intake_hours, score_falls, score_samples, silences, tallies

__all__ = [
    "SCHEMA",
    "answers",
    "case_answers",
    "case_steps",
    "case_watchers",
    "cases",
    "channel_pauses",
    "customers",
    "deliveries",
    "history",
    "intake_hours",
    "metadata",
    "notices",
    "plans",
    "saved_views",
    "score_falls",
    "score_samples",
    "silences",
    "tallies",
    "turns",
]
