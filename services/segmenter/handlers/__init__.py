"""Events in: `events` has a function for each, `applying` runs a batch, `folding` updates customers."""

from services.segmenter.handlers.applying import Clock, bound
from services.segmenter.handlers.events import HANDLERS, NotApplicable
from services.segmenter.handlers.folding import override, refold

__all__ = ["HANDLERS", "Clock", "NotApplicable", "bound", "override", "refold"]
