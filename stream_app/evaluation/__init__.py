"""`stream-app evaluate`: the suites, one file each. Whatever they train is thrown away."""

from stream_app.evaluation.calibration import calibration
from stream_app.evaluation.cost import cost
from stream_app.evaluation.fusion import fusion
from stream_app.evaluation.image import image
from stream_app.evaluation.next_item import next_item
from stream_app.evaluation.purchase import purchase
from stream_app.evaluation.row import Row, Run, Suite
from stream_app.evaluation.voice import voice

__all__ = ["SUITES", "Row", "Run", "Suite"]

SUITES: dict[str, Suite] = {
    "next-item": next_item,
    "voice": voice,
    "image": image,
    "fusion": fusion,
    "purchase": purchase,
    "calibration": calibration,
    "cost": cost,
}
"""By name; a suite is one file here and its entry."""
