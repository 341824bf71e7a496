"""How texts are spelt: TF-IDF of n-grams, the title's beside the whole text's, and logistic regressions over it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Fields = Sequence[NDArray[np.object_]]
"""The same n texts in one or more parts, cleaned: an n-gram of a title does not count as one of the text."""


class Grams:
    """Fields to sparse rows."""

    def __init__(self, *, analyzer: str, grams: tuple[int, int]) -> None:
        self.options = {"analyzer": analyzer, "ngram_range": grams}
        self.forms: list[Any] = []

    def fit(self, fields: Fields) -> Grams:
        """Learn which n-grams there are; of those in a single text nothing is kept."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        self.forms = [
            TfidfVectorizer(**self.options, sublinear_tf=True, min_df=2, dtype=np.float32).fit(field)
            for field in fields
        ]
        return self

    def transform(self, fields: Fields) -> Any:
        """(n, d) sparse, every field in columns of its own."""
        from scipy.sparse import hstack  # type: ignore[import-untyped]

        return hstack([form.transform(field) for form, field in zip(self.forms, fields, strict=True)], format="csr")


class Linear:
    """A logistic regression for each yes or no."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.models: list[Any] = []

    def fit(self, x: Any, targets: NDArray[np.int64]) -> Linear:
        """Rows (n, d), targets 0 or 1 (n, k)."""
        from sklearn.linear_model import LogisticRegression

        self.models = [
            LogisticRegression(C=4, solver="liblinear", dual=True, random_state=self.seed).fit(x, target)
            for target in targets.T
        ]
        return self

    def decision_function(self, x: Any) -> NDArray[np.float64]:
        """(n, k) logits of yes."""
        return np.stack([model.decision_function(x) for model in self.models], 1)
