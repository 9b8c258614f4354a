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
    "metadata",
    "notices",
    "plans",
    "turns",
]
