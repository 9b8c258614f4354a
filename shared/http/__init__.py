"""HTTP, the same in all four services: problems, bodies, limits, keys, probes."""

from shared.http.app import operations_routes, standard_app
from shared.http.auth import require
from shared.http.bodies import Moment, Text, json_body, read_json, request_body
from shared.http.problems import Problem

__all__ = [
    "Moment",
    "Problem",
    "Text",
    "json_body",
    "operations_routes",
    "read_json",
    "request_body",
    "require",
    "standard_app",
]
