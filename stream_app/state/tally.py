"""One batch of events into the windows, by column. Knows no users beyond their row numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_app.events import ACTIONS
from stream_app.state.runs import Ints, ends, groups, starts
from stream_app.state.settings import StateSettings
from stream_app.state.window_table import SUM_WORDS, WindowTable, word
from stream_app.state.windows import MONEY, SESSION, SUMS, TUMBLING

PURCHASE, SEARCH = ACTIONS.index("purchase"), ACTIONS.index("search")
COLUMN = {name: len(ACTIONS) + at for at, name in enumerate(SUMS)}
PRICE_LIMIT = float(1 << 53)  # in 1/MONEY
AMOUNT_LIMIT = 1 << 60


@dataclass(frozen=True)
class Tally:
    """What n events add to their windows. Users are consecutive, each user's events in applied order."""

    row: Ints  # (n,) 0..u-1
    time: Ints  # (n,)
    action: NDArray[np.uint8]
    item: NDArray[np.uint64]
    platform: NDArray[np.uint8]
    dwell_ms: Ints
    total_results: NDArray[np.int32]
    price: NDArray[np.float64]
    quantity: NDArray[np.int32]
    currency: NDArray[np.uint32]
    reformulated: NDArray[np.bool_]
    raging: NDArray[np.bool_]
    answered: NDArray[np.bool_]

    def sums(self) -> Ints:
        """(n, len(ACTIONS) + len(SUMS)) what each event adds."""
        table = np.zeros((len(self.row), len(ACTIONS) + len(SUMS)), np.int64)
        table[np.arange(len(self.row)), self.action] = 1
        table[:, COLUMN["dwell_ms"]] = self.dwell_ms
        search = self.action == SEARCH
        table[:, COLUMN["known_searches"]] = search & (self.total_results >= 0)
        table[:, COLUMN["zero_results"]] = search & (self.total_results == 0)
        table[:, COLUMN["reformulations"]] = self.reformulated
        table[:, COLUMN["rage_clicks"]] = self.raging
        table[:, COLUMN["answered_searches"]] = self.answered
        return table


def tally(table: WindowTable, owners: Ints, batch: Tally, settings: StateSettings) -> Ints:
    """Count the events in; returns the session and the tumbling window of each, (n, 2)."""
    order = np.lexsort((batch.time, batch.row)) if _disordered(batch) else np.arange(len(batch.row))
    runs = _runs(batch.row[order], batch.time[order], settings)
    totals = np.concatenate([np.zeros((1, len(ACTIONS) + len(SUMS)), np.int64), np.cumsum(batch.sums()[order], axis=0)])
    bits = np.left_shift(1, batch.platform[order].astype(np.int64))
    platforms = np.concatenate(
        [
            np.bitwise_or.reduceat(bits, runs.first[: runs.sessions]),
            np.bitwise_or.reduceat(bits, runs.first[runs.sessions :]),
        ]
    )
    windows, sorted_runs, opening = _place(table, owners, runs, settings)
    touched = windows[sorted_runs[opening]]  # distinct
    added = totals[runs.end[sorted_runs]] - totals[runs.first[sorted_runs]]
    table.words[touched, SUM_WORDS] += np.add.reduceat(added, opening, axis=0)
    table.words[touched, word("platforms")] |= np.bitwise_or.reduceat(platforms[sorted_runs], opening)
    _extend(
        table,
        touched,
        np.minimum.reduceat(runs.low[sorted_runs], opening),
        np.maximum.reduceat(runs.high[sorted_runs], opening),
        settings,
    )
    lengths = runs.end - runs.first
    of_event = np.empty((len(order), 2), np.int64)
    of_event[order, 0] = np.repeat(windows[: runs.sessions], lengths[: runs.sessions])
    of_event[order, 1] = np.repeat(windows[runs.sessions :], lengths[runs.sessions :])
    _note_products(table, of_event, batch)
    _note_revenue(table, of_event, batch)
    return of_event


@dataclass(frozen=True)
class _Runs:
    """Events of one user in time order that share a window, whatever is there already: sessions, then tumbling."""

    first: Ints
    end: Ints
    row: Ints
    kind: Ints
    start: Ints  # of the window, or of the part of a session
    low: Ints  # earliest and latest event
    high: Ints
    sessions: int


def _disordered(batch: Tally) -> bool:
    return bool(((batch.time[1:] < batch.time[:-1]) & (batch.row[1:] == batch.row[:-1])).any())


def _runs(row: Ints, time: Ints, settings: StateSettings) -> _Runs:
    boundary = time - time % settings.tumbling_ms
    breaks = np.cumsum(np.append(False, np.diff(time) >= settings.session_gap_ms))
    sessions, tumbling = starts(row, breaks), starts(row, boundary)
    first = np.concatenate([sessions, tumbling])
    end = np.concatenate([ends(sessions, len(row)), ends(tumbling, len(row))])
    kind = np.repeat([SESSION, TUMBLING], [len(sessions), len(tumbling)])
    low = time[first]
    start = np.where(kind == SESSION, low, boundary[first])
    return _Runs(first, end, row[first], kind, start, low, time[end - 1], len(sessions))


def _place(table: WindowTable, owners: Ints, runs: _Runs, settings: StateSettings) -> tuple[Ints, Ints, Ints]:
    """Find, make or merge the window of each run.

    Returns the window of each run, the runs ordered by window, and where in that order a window begins.
    """
    at, held = table.walk(owners)
    held_kind = table.rows["kind"][held].astype(np.int64)
    held_start = table.rows["start_ms"][held]
    kind = np.concatenate([held_kind, runs.kind])
    start = np.concatenate([held_start, runs.start])
    high = np.concatenate([table.rows["last_ms"][held], runs.high])
    session = kind == SESSION
    order, group = groups(
        np.concatenate([at, runs.row]) * 2 + kind,
        start,
        np.where(session, high, start),
        np.where(session, settings.session_gap_ms, 1),
    )
    is_run = order >= len(held)
    target = np.full(int(group[-1]) + 1, -1, np.int64)
    old = np.flatnonzero(~is_run)[::-1]
    target[group[old]] = held[order[old]]  # the earliest of several
    sorted_runs = order[is_run] - len(held)
    run_group = group[is_run]
    opening = starts(run_group)
    new = opening[target[run_group[opening]] < 0]
    made = table.allocate(len(new))
    target[run_group[new]] = made
    makers = sorted_runs[new]
    table.rows["kind"][made] = runs.kind[makers]
    table.words[made, word("start_ms")] = runs.start[makers]
    group_of_held = np.empty(len(held), np.int64)
    group_of_held[order[old]] = group[old]
    kept = target[group_of_held] == held
    for other in np.flatnonzero(~kept).tolist():  # rare: an event bridged two sessions
        table.absorb(int(target[group_of_held[other]]), int(held[other]))
    if len(made) or not kept.all():
        owner = np.concatenate([at[kept], runs.row[makers]])
        by_owner = np.argsort(owner, kind="stable")
        table.chain(owners, owner[by_owner], np.concatenate([held[kept], made])[by_owner])
        table.release(held[~kept])
    windows = np.empty(len(runs.row), np.int64)
    windows[sorted_runs] = target[run_group]
    return windows, sorted_runs, opening


def _extend(table: WindowTable, windows: Ints, low: Ints, high: Ints, settings: StateSettings) -> None:
    words, session = table.words, table.rows["kind"][windows] == SESSION
    low = np.minimum(low, words[windows, word("first_ms")])
    high = np.maximum(high, words[windows, word("last_ms")])
    start = np.where(session, low, words[windows, word("start_ms")])
    end = np.where(session, high + settings.session_gap_ms, start + settings.tumbling_ms)
    words[windows, word("start_ms") : word("last_ms") + 1] = np.stack([start, end, low, high], axis=1)
    table.rows["dirty"][windows] = 1
    table.schedule(windows)


def _note_products(table: WindowTable, of_event: Ints, batch: Tally) -> None:
    at = np.flatnonzero(batch.item)
    table.add_products(of_event[at].T.ravel(), np.tile(batch.item[at], 2))


def _note_revenue(table: WindowTable, of_event: Ints, batch: Tally) -> None:
    at = np.flatnonzero((batch.action == PURCHASE) & np.isfinite(batch.price))
    if not len(at):
        return
    price = np.clip(np.rint(batch.price[at] * MONEY), -PRICE_LIMIT, PRICE_LIMIT)
    quantity = batch.quantity[at].astype(np.int64)
    huge = np.abs(price * quantity) > AMOUNT_LIMIT  # absurd, but it must not wrap around
    amount = np.where(
        huge, np.sign(price * quantity).astype(np.int64) * AMOUNT_LIMIT, price.astype(np.int64) * quantity
    )
    table.add_revenue(of_event[at].T.ravel(), np.tile(batch.currency[at], 2), np.tile(amount, 2))
