"""Predictions: one head per file."""

from collections.abc import Callable

from torch import nn

from fusion.heads.anomaly import Anomaly
from fusion.heads.churn import Churn
from fusion.heads.next_action import NextAction
from fusion.heads.protocol import Setup
from fusion.heads.purchase import Purchase
from fusion.heads.recommendations import Recommendations
from fusion.heads.segment import Segment
from fusion.heads.sentiment import Sentiment

HEADS: dict[str, Callable[[Setup], nn.Module]] = {
    "purchase": Purchase,
    "churn": Churn,
    "next_action": NextAction,
    "recommendations": Recommendations,
    "sentiment": Sentiment,
    "segment": Segment,
    "anomaly": Anomaly,
}
