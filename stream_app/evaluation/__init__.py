"""`stream-app evaluate`: the suites, one file each. Whatever they train is thrown away."""

from stream_app.evaluation.row import Row, Run, Suite

__all__ = ["SUITES", "Row", "Run", "Suite"]

SUITES: dict[str, Suite] = {}
"""By name; a suite is one file here and its entry."""
