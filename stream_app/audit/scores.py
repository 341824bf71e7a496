"""How far predictions that were made again are from those that were published, where one model made both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

TOLERANCE = 0.02
"""Of any probability or share: bf16 sums depend on what else is in a batch."""


@dataclass
class Scores:
    """Add pairs; ask for the document."""

    compared: int = 0
    other_model: int = 0
    other_tier: int = 0  # published with something left out under overload
    beyond_tolerance: int = 0
    largest_difference: float = 0.0
    other_labels: int = 0
    other_recommendations: int = 0

    def add(self, published: bytes, again: bytes) -> None:
        """Two records of one prediction."""
        one, other = orjson.loads(published), orjson.loads(again)
        if one["model"]["digest"] != other["model"]["digest"]:
            self.other_model += 1
            return
        if one["tier"] != other["tier"]:
            self.other_tier += 1
            return
        self.compared += 1
        ours, theirs = one["outputs"], other["outputs"]
        difference = max(
            (abs(a - b) for a, b in zip(_numbers(ours), _numbers(theirs), strict=True)),
            default=0.0,
        )
        self.largest_difference = max(self.largest_difference, difference)
        self.beyond_tolerance += difference > TOLERANCE
        self.other_labels += _labels(ours) != _labels(theirs)
        self.other_recommendations += _products(ours) != _products(theirs)

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "compared": self.compared,
            "other_model": self.other_model,
            "other_tier": self.other_tier,
            "tolerance": TOLERANCE,
            "beyond_tolerance": self.beyond_tolerance,
            "largest_difference": round(self.largest_difference, 4),
            "other_labels": self.other_labels,
            "other_recommendations": self.other_recommendations,
        }


def _numbers(outputs: dict[str, Any]) -> list[float]:
    """Probabilities of every head, by name; a sentiment that is absent counts as 0."""
    scores = [outputs[name]["score"] for name in ("purchase", "churn", "anomaly")]
    actions = outputs["next_action"]["scores"]
    return [
        *scores,
        (outputs.get("sentiment") or {"score": 0.0})["score"],
        *(actions[name] for name in sorted(actions)),
    ]


def _labels(outputs: dict[str, Any]) -> list[Any]:
    return [(outputs.get(name) or {}).get("label") for name in ("next_action", "sentiment", "segment")]


def _products(outputs: dict[str, Any]) -> list[str]:
    return [one["product_id"] for one in outputs["recommendations"]]
