"""SIMMC dialogs: shopping in turns, where words, items looked at and what the shop did belong to one session."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson

from fusion.dialogs import Dialogs
from stream_app.errors import SettingsError
from stream_app.events.hashing import hash64
from stream_app.producers.tables import existing, json_lines

SPOKEN, SILENT = "fashion_dev.jsonl.gz", "fashion_train_actions.json"
CART = "AddToCart"
FACTS = 6
"""So many of the facts most asked for are kinds of their own."""


class Turn(NamedTuple):
    """One turn of either file. Its action and its answer come after its words."""

    action: str
    facts: tuple[str, ...]
    item: str  # shown once the action was done
    said: str | None = None
    answered: str | None = None


@dataclass(frozen=True)
class Simmc:
    """Both files. What annotators wrote about the words (beliefs, visible objects) is left out."""

    spoken: Dialogs
    silent: Dialogs  # no words
    actions: tuple[str, ...]
    kinds: tuple[str, ...]  # actions, and the facts most asked for


def simmc(folder: Path) -> Simmc:
    """Dialogs with words and dialogs without. Raises DependencyError or SettingsError naming the file and field."""
    spoken = [_turns(row["turns"], folder / SPOKEN) for row in _checked(folder / SPOKEN, ("turns",))]
    silent = [_actions(row, folder / SILENT) for row in _checked(folder / SILENT, ("actions", "focus_images"))]
    actions = tuple(sorted({turn.action for dialog in (*spoken, *silent) for turn in dialog}))
    if CART not in actions:
        raise SettingsError(f"{folder / SPOKEN}: no turn has the action {CART}")
    asked = Counter(turn.facts[0] for dialog in silent for turn in dialog if turn.facts)
    kinds = (*actions, *(name for name, _ in asked.most_common(FACTS)))
    return Simmc(columns(spoken, actions, kinds), columns(silent, actions, kinds), actions, kinds)


def columns(dialogs: Sequence[Sequence[Turn]], actions: Sequence[str], kinds: Sequence[str]) -> Dialogs:
    """Turns as columns, each with what the turn after it brings."""
    turns = [turn for dialog in dialogs for turn in dialog]
    sizes = np.array([len(dialog) for dialog in dialogs], np.int64)
    dialog = np.repeat(np.arange(len(dialogs)), sizes)
    code = np.array([actions.index(turn.action) for turn in turns], np.int64)
    goes_on = np.append(dialog[1:] == dialog[:-1], False)
    after = np.append(code[1:], -1)
    return Dialogs(
        dialog=dialog,
        turn=np.arange(len(turns)) - np.repeat(np.cumsum(sizes) - sizes, sizes),
        kind=np.array([kinds.index(_kind(turn, kinds)) + 1 for turn in turns], np.int64),
        item=np.array([hash64(turn.item) for turn in turns], np.uint64),
        asked=np.array([hash64(",".join(sorted(t.facts))) if t.facts else 0 for t in turns], np.uint64),
        facts=np.array([len(turn.facts) for turn in turns], np.float32),
        said=np.array([turn.said for turn in turns], np.object_),
        answered=np.array([turn.answered for turn in turns], np.object_),
        next_action=np.where(goes_on, after, -1),
        cart=(goes_on & (after == actions.index(CART))).astype(np.float32),
    )


def _kind(turn: Turn, kinds: Sequence[str]) -> str:
    """The fact that was asked for first, where it is a kind of its own, else the action."""
    return turn.facts[0] if turn.facts and turn.facts[0] in kinds else turn.action


def _turns(turns: Sequence[Any], path: Path) -> list[Turn]:
    """One dialog with words."""
    try:
        return [
            _turn(turn["action"], turn["action_args"], turn["focus_item"])._replace(
                said=turn["user"], answered=turn["system"]
            )
            for turn in turns
        ]
    except (KeyError, TypeError) as error:
        raise SettingsError(f"{path}: a turn lacks {error}") from None


def _actions(row: Any, path: Path) -> list[Turn]:
    """One dialog without."""
    try:
        pairs = zip(row["actions"], row["focus_images"], strict=True)
        return [_turn(each["action"], each["action_supervision"], item) for each, item in pairs]
    except (KeyError, TypeError, ValueError) as error:
        raise SettingsError(f"{path}: an action lacks {error}") from None


def _turn(action: str, details: Any, item: object) -> Turn:
    details = details or {}
    return Turn(action, tuple(details.get("attributes") or ()), str(details.get("focus") or item))


def _checked(path: Path, names: Sequence[str]) -> list[Any]:
    """The rows of a file, each with these fields."""
    try:
        rows = list(json_lines(path)) if path.name.endswith(".jsonl.gz") else orjson.loads(existing(path).read_bytes())
    except (orjson.JSONDecodeError, EOFError, OSError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from None
    for row in rows:
        if missing := [name for name in names if name not in row]:
            raise SettingsError(f"{path}: a dialog lacks {missing[0]!r}")
    return list(rows)
