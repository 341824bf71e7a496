"""What models learn from, as columns: texts, photos and event sequences with what they turned out to mean."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.behavior import item_rows
from fusion.features import FeatureBatch
from fusion.heads.protocol import Labels

NEGATIVE, NEUTRAL, POSITIVE = range(3)


@dataclass(frozen=True)
class Texts:
    """n texts; -1 where a label is missing. Topics are the numbers of any grouping by meaning."""

    text: NDArray[np.object_]
    sentiment: NDArray[np.int64]
    topic: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.text)

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> Texts:
        """Some of them."""
        return Texts(self.text[index], self.sentiment[index], self.topic[index])

    @staticmethod
    def concat(parts: list[Texts]) -> Texts:
        """All of them; topics of different parts stay apart."""
        shift = np.cumsum([0, *(int(part.topic.max(initial=-1)) + 1 for part in parts)])
        topics = [np.where(p.topic < 0, -1, p.topic + s) for p, s in zip(parts, shift, strict=False)]
        return Texts(
            np.concatenate([p.text for p in parts]),
            np.concatenate([p.sentiment for p in parts]),
            np.concatenate(topics),
        )


@dataclass(frozen=True)
class Photos:
    """n encoded photos and what kind of thing each shows."""

    data: NDArray[np.object_]
    kind: NDArray[np.int64]


class Outcomes(NamedTuple):
    """What n events turned out to mean; missing is NaN, -1 or item 0."""

    purchase: NDArray[np.float32]  # buys in the rest of the session
    churn: NDArray[np.float32]  # stays away longer than the horizon
    away_s: NDArray[np.float32]  # until the next visit; below 0: not back for so long when the log ended
    next_action: NDArray[np.int64]  # of the session
    next_item: NDArray[np.uint64]  # hash
    sentiment: NDArray[np.int64]  # of what was last said
    anomaly: NDArray[np.float32]  # made by a bot

    def take(self, index: NDArray[np.int64]) -> Outcomes:
        """Some of them."""
        return Outcomes(*(column[index] for column in self))  # type: ignore[arg-type]  # all are arrays

    def unless(self, unknown: NDArray[np.bool_]) -> Outcomes:
        """The same, missing where `unknown` (n,)."""

        def but(column: NDArray[Any], missing: float) -> NDArray[Any]:
            return np.where(unknown, column.dtype.type(missing), column)

        return Outcomes(
            but(self.purchase, np.nan),
            but(self.churn, np.nan),
            but(self.away_s, np.nan),
            but(self.next_action, -1),
            but(self.next_item, 0),
            but(self.sentiment, -1),
            but(self.anomaly, np.nan),
        )

    def labels(self) -> Labels:
        """As tensors."""
        return Labels(
            torch.from_numpy(self.purchase),
            torch.from_numpy(self.away_s),
            torch.from_numpy(self.next_action),
            torch.from_numpy(item_rows(self.next_item)),
            torch.from_numpy(self.sentiment),
            torch.from_numpy(self.anomaly),
        )


class Example(NamedTuple):
    """A batch of users with all that they did, and its outcomes."""

    features: FeatureBatch
    outcomes: Outcomes


@dataclass(frozen=True)
class Material:
    """Everything for one run: to learn from, and to choose by; the tests never saw either."""

    texts: Texts
    texts_valid: Texts
    photos: Photos
    photos_valid: Photos
    sequences: list[Example]
    sequences_valid: list[Example]


def salted(example: Example, salt: int) -> Example:
    """The same shop with other ids: so a model can learn what people do, but not which product is which."""

    def mix(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
        x = (hashes ^ np.uint64(salt)) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
        return np.where(hashes == 0, hashes, x ^ (x >> np.uint64(32)) | np.uint64(1 << 63))

    f = example.features
    features = replace(
        f, item=mix(f.item), category=mix(f.category), brand=mix(f.brand), history_item=mix(f.history_item)
    )
    return Example(features, example.outcomes._replace(next_item=mix(example.outcomes.next_item)))
