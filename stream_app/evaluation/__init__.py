"""Suites: what is measured on labelled data, each figure beside its baselines."""

from importlib import import_module
from typing import cast

from stream_app.evaluation.row import Row, Run, Suite

__all__ = ["INVENTED", "SUITES", "Row", "Run", "Suite", "suite"]

SUITES = ("next-item", "sentiment", "intent", "voice", "image", "fusion", "purchase", "calibration", "cost")
"""Each is a module of this package with a function of the same name."""
INVENTED = ("cost",)
"""Suites that need no data folder."""


def suite(name: str) -> Suite:
    """Imported when it is asked for: `--help` and the worker need no scikit-learn."""
    name = name.replace("-", "_")
    return cast(Suite, getattr(import_module(f"stream_app.evaluation.{name}"), name))
