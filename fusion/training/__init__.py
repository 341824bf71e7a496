"""How a model is made: words, voices, photos, then everything together; then described and calibrated."""

from fusion.training.course import learn_encoders, train
from fusion.training.encoding import encoded, preparation
from fusion.training.journal import Journal
from fusion.training.plan import QUICK, Plan
from fusion.training.saved import Saved
from fusion.training.words import feelings

__all__ = [
    "QUICK",
    "Journal",
    "Plan",
    "Saved",
    "encoded",
    "feelings",
    "learn_encoders",
    "preparation",
    "train",
]
