"""Where alerts go. An outlet is a channel that is ready: it builds a message and makes one attempt."""

from services.notifier.channels.attempt import Attempt
from services.notifier.channels.checking import mail_mistakes, template_mistakes
from services.notifier.channels.message import CaseMessage, Item, Message, NoticeMessage, Shop, absolute
from services.notifier.channels.outlets import Outlet, Outlets

__all__ = [
    "Attempt",
    "CaseMessage",
    "Item",
    "Message",
    "NoticeMessage",
    "Outlet",
    "Outlets",
    "Shop",
    "absolute",
    "mail_mistakes",
    "template_mistakes",
]
