"""HTTP in and out: rolling scores, and the record of one answer."""

from services.scorer.api.routes import routes

__all__ = ["routes"]
