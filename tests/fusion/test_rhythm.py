"""How often and how lately somebody comes, against the words of its docstring."""

from __future__ import annotations

import numpy as np
import pytest

from fusion import rhythm as module
from fusion.rhythm import RHYTHM, rhythm

HOUR_S = 3600.0


@pytest.mark.parametrize("jit", [True, False], ids=["machine code", "python"])
def test_three_visits(jit: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not jit:
        monkeypatch.setattr(module, "fill", getattr(module.fill, "py_func", module.fill))
    age_s = np.array([[9, 9, 9, 5, 4.6, 1, 0], [0, 0, 0, 0, 0, 0, 0]], np.float32) * np.float32(HOUR_S)
    action = np.array([[0, 0, 3, 1, 1, 2, 1], [0, 0, 0, 0, 0, 0, 2]], np.int32)
    made = rhythm(np.array([HOUR_S, -1], np.float32), np.array([70, 1]), age_s, action)
    pauses = [4, 3.6, 1]  # .4 h end no visit
    expected = [
        np.log1p(70) / 5,
        np.log1p(60) / 10,
        np.log1p(9) / 8,
        5 / 32,
        np.log1p(9 / 4) / 8,
        0,
        len(pauses) / 8,
        np.log1p(np.mean(pauses)) / 6,
        np.log1p(pauses[-1]) / 6,
    ]
    np.testing.assert_allclose(made[0], expected, rtol=1e-5)
    np.testing.assert_allclose(made[1], [np.log1p(1) / 5, 0, 0, 1 / 32, 0, 1, 0, 0, 0], rtol=1e-6)


def test_nobody() -> None:
    nothing = np.zeros((0, 0), np.float32)
    none = nothing.ravel()
    assert rhythm(none, none.astype(np.int64), nothing, nothing.astype(np.int32)).shape == (0, RHYTHM)
