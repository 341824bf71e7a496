"""Every registered signal: a story that fires it, one that does not, and windows that never disturb each other."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stream_app.signals
from stream_app.errors import SettingsError
from stream_app.events import ACTIONS
from stream_app.settings import Signals
from stream_app.signals import SIGNALS, SignalSettings, check, derive
from stream_app.signals.next_best_action import ACTION_OF, next_best_action
from stream_app.state.users import SIGNAL_SLOTS
from stream_app.state.windows import KINDS, SENTIMENT, WINDOW, WindowBatch, blank_window

FOLDER = Path(stream_app.signals.__file__).parent
NOT_SIGNALS = {"__init__", "settings", "signal", "engagement_score", "funnel", "next_best_action"}
T0 = 1_700_000_000_000
Story = dict[str, Any]


def window(story: Story) -> WindowBatch:
    """One window from what happened in it: counts by action, sums, scores, `products`, `kind`, `final`, `span_ms`."""
    rows = np.array([blank_window()], WINDOW)
    row = rows[0]
    for name, value in story.items():
        if name in ACTIONS:
            row["counts"][ACTIONS.index(name)] = value
        elif name in WINDOW["scores"].names:
            row["scores"][name] = value
        elif name == "sentiments":
            row["sentiment_count"], row["sentiment_sum"] = len(value), round(sum(value) * SENTIMENT)
        elif name == "products":
            row["product_count"] = value
        elif name == "kind":
            row["kind"] = KINDS.index(value)
        elif name in WINDOW.names:
            row[name] = value
    row["first_ms"], row["last_ms"] = T0, T0 + story.get("span_ms", 600_000)
    return WindowBatch(rows, [b"u"], story.get("final", False), np.zeros(1, np.int64))


FIRES: dict[str, Story] = {
    "hot_lead": {"view": 4, "products": 3, "purchase_score": 0.7},
    "cart_abandoned": {"add_to_cart": 2, "remove_from_cart": 1, "final": True, "kind": "session"},
    "churn_risk": {"view": 1, "churn": 0.9},
    "negative_sentiment": {"review": 1, "voice": 1, "sentiments": (-0.8, 0.0)},
    "contradiction": {"review": 1, "contradictions": 1},
    "falling_sentiment": {"review": 2, "sentiments": (0.7, -0.2), "sentiment_falls": 1},
    "complaint": {"review": 1, "complaint_quality": 1},
    "dead_ends": {"search": 3, "answered_searches": 1, "final": True, "kind": "session"},
    "slow_journey": {"view": 8, "products": 2, "span_ms": 1_200_000},
    "drop_off": {"view": 4, "wishlist": 1, "final": True, "kind": "session"},
    "search_friction": {"search": 2, "known_searches": 2, "zero_results": 1, "reformulations": 1},
    "rage_clicks": {"click": 4, "rage_clicks": 1},
    "bot_suspected": {"view": 100, "span_ms": 20_000},
}
QUIET: dict[str, list[Story]] = {
    "hot_lead": [
        {"view": 4, "products": 3, "purchase_score": 0.7, "purchase": 1},
        {"view": 4, "products": 3},
        {"view": 1, "products": 1, "purchase_score": 0.9},
    ],
    "cart_abandoned": [
        {"add_to_cart": 2, "final": False, "kind": "session"},
        {"add_to_cart": 2, "final": True, "kind": "tumbling"},
        {"add_to_cart": 2, "purchase": 1, "final": True, "kind": "session"},
        {"add_to_cart": 1, "remove_from_cart": 1, "final": True, "kind": "session"},
    ],
    "churn_risk": [{"view": 1, "churn": 0.5}, {"view": 1}],
    "negative_sentiment": [{"review": 1, "sentiments": (0.4,)}, {"view": 3}],
    "contradiction": [{"review": 1}],
    "falling_sentiment": [{"review": 2, "sentiments": (0.7, 0.6)}],
    "complaint": [{"review": 1, "sentiments": (-0.9,)}],
    "dead_ends": [
        {"search": 3, "answered_searches": 1, "kind": "session"},
        {"search": 3, "answered_searches": 1, "final": True, "kind": "tumbling"},
        {"search": 3, "answered_searches": 2, "final": True, "kind": "session"},
    ],
    "slow_journey": [
        {"view": 8, "span_ms": 600_000},
        {"view": 7, "span_ms": 1_800_000},
        {"view": 9, "add_to_cart": 1, "span_ms": 1_800_000},
    ],
    "drop_off": [
        {"view": 4, "kind": "session"},
        {"view": 4, "purchase": 1, "final": True, "kind": "session"},
        {"view": 3, "final": True, "kind": "session"},
        {"impression": 9, "final": True, "kind": "session"},
    ],
    "search_friction": [
        {"search": 2, "known_searches": 2, "zero_results": 2, "add_to_cart": 1},
        {"search": 5, "known_searches": 5},
    ],
    "rage_clicks": [{"click": 9}],
    "bot_suspected": [{"view": 100, "span_ms": 600_000}, {"view": 59, "span_ms": 100}, {"view": 1, "anomaly": 0.2}],
}


def told(story: Story) -> WindowBatch:
    """`purchase` counts purchases; `purchase_score` is the model's."""
    batch = window({name: value for name, value in story.items() if name != "purchase_score"})
    batch.rows["scores"]["purchase"] = story.get("purchase_score", np.nan)
    return batch


def fired(batch: WindowBatch) -> list[list[str]]:
    return derive(batch)[1]


def test_every_signal_has_its_file_its_name_and_its_stories() -> None:
    files = {path.stem for path in FOLDER.glob("*.py")} - NOT_SIGNALS
    assert files == set(SIGNALS) == set(FIRES) == set(QUIET)
    assert [signal.__name__ for signal in SIGNALS.values()] == list(SIGNALS)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", SIGNALS)
def test_its_docstring_holds_an_example(name: str) -> None:
    tree = ast.parse((FOLDER / f"{name}.py").read_text())
    function = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
    assert "Example:" in (ast.get_docstring(function) or "")


@pytest.mark.parametrize("name", SIGNALS)
def test_its_story_fires_it(name: str) -> None:
    assert name in fired(told(FIRES[name]))[0]


@pytest.mark.parametrize("name", SIGNALS)
def test_other_stories_do_not(name: str) -> None:
    for story in QUIET[name]:
        assert name not in fired(told(story))[0], story


def test_a_quiet_window_says_nothing() -> None:
    score, signals = derive(told({}))
    assert signals == [[]]
    assert score.tolist() == [0.0]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(SIGNALS)), st.integers(0, 4), st.booleans()), min_size=1, max_size=12))
def test_each_window_decides_alone(chosen: list[tuple[str, int, bool]]) -> None:
    stories = [FIRES[name] if fire else QUIET[name][number % len(QUIET[name])] for name, number, fire in chosen]
    for final in (False, True):
        alone = [derive(told({**story, "final": final})) for story in stories]
        rows = np.concatenate([told({**story, "final": final}).rows for story in stories])
        score, signals = derive(WindowBatch(rows, [b"u"] * len(rows), final, np.zeros(len(rows), np.int64)))
        assert signals == [each[1][0] for each in alone]
        assert score.tolist() == [each[0][0] for each in alone]
        assert all(set(names) <= set(SIGNALS) for names in signals)


@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_that_is_off_never_fires(name: str) -> None:
    assert name not in derive(told(FIRES[name]), SignalSettings(off=(name,)))[1][0]


def test_off_must_name_signals_and_settings_hold_every_threshold() -> None:
    with pytest.raises(SettingsError, match="no_such"):
        check(SignalSettings(off=("no_such",)))
    assert SignalSettings(**Signals().model_dump()) == SignalSettings()


def test_every_signal_has_an_action_and_its_cool_down_has_room() -> None:
    assert set(ACTION_OF) == set(SIGNALS)
    assert len(SIGNALS) <= SIGNAL_SLOTS
    assert next_best_action(["cart_abandoned", "negative_sentiment"]) == "call_back"
    assert next_best_action(["hot_lead", "bot_suspected"]) is None
    assert next_best_action([]) is None


@pytest.mark.parametrize("name", SIGNALS)
def test_no_windows_no_signals(name: str) -> None:
    none = WindowBatch(np.zeros(0, WINDOW), [], False, np.zeros(0, np.int64))
    assert SIGNALS[name](none, SignalSettings()).shape == (0,)
    assert derive(none)[1] == []
