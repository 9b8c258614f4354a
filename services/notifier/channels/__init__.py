"""Where alerts go. Each kind of channel turns a message into one HTTP request; `sending` sends it."""

from services.notifier.channels import slack, webhook
from services.notifier.channels.message import Message
from services.notifier.channels.request import Build, Request
from services.notifier.channels.sending import Attempt, Sender
from services.notifier.channels.target import Forbidden, check_target
from services.notifier.settings import Kind

BUILDERS: dict[Kind, Build] = {Kind.WEBHOOK: webhook.build, Kind.SLACK: slack.build}
"""A new kind of channel is a function here."""

__all__ = ["BUILDERS", "Attempt", "Build", "Forbidden", "Message", "Request", "Sender", "check_target"]
