"""Events in: `events` has a function for each, `applying` runs a batch, `folding` updates customers,
`erasing` forgets them."""

from services.segmenter.handlers.applying import Clock, bound, utc_now
from services.segmenter.handlers.erasing import LEDGER
from services.segmenter.handlers.events import HANDLERS, NotApplicable
from services.segmenter.handlers.folding import override, refold

__all__ = ["HANDLERS", "LEDGER", "Clock", "NotApplicable", "bound", "override", "refold", "utc_now"]
