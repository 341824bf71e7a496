"""The state of one task: its users, their windows, its clock and what it has seen. The one mutable thing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar
from uuid import uuid4

import numpy as np
import orjson
from numpy.typing import NDArray

from fusion.features import NO_ACTION, FeatureBatch
from stream_app.errors import SettingsError, StateError
from stream_app.events import ACTIONS, EventBatch
from stream_app.state import admission, layout
from stream_app.state.admission import Admission
from stream_app.state.clock import Clock
from stream_app.state.features import digests, features
from stream_app.state.identities import Identities
from stream_app.state.opinions import opinions
from stream_app.state.records import gathered, scatter
from stream_app.state.runs import Ints, ends, running_maximum, starts
from stream_app.state.sequences import answered, raging, reformulated
from stream_app.state.settings import StateSettings
from stream_app.state.tally import Tally, tally
from stream_app.state.user_rows import UserRows
from stream_app.state.users import SIGNAL_SLOTS, WHEN_SHIFT, UserTable, row_dtype
from stream_app.state.window_table import WindowTable, word
from stream_app.state.windows import COMPLAINTS, EVER, KINDS, SCORES, SENTIMENT, WindowBatch

Changes = list[tuple[bytes, bytes | None]]
Slice = tuple[list[bytes], layout.Columns]
"""Ids of some users and what is known of them."""
OWN = b"\0"  # first byte of keys that are not user ids
TASK = OWN + b"task"
IDENTITIES = OWN + b"ids"
ESCAPED = OWN + b"user"  # before a user id that begins with OWN
FORMAT = 1
MOST_FINALS = 4_096
"""Of one look at the idle clock: a million users who fall silent together need not fit into one transaction."""
P = ParamSpec("P")
T = TypeVar("T")


def alone(
    method: Callable[Concatenate[TaskState, P], T],
) -> Callable[Concatenate[TaskState, P], T]:
    """A method that changes users or windows, or reads them on another thread: one at a time."""

    @wraps(method)
    def locked(state: TaskState, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with state.lock:
            return method(state, *args, **kwargs)

    return locked


class TaskState:
    """Use it in this order: admit; per segment close, update, features, carry; then close, open_windows, changes.

    One thread uses it; `known` and `in` are for any.
    """

    def __init__(self, settings: StateSettings, *, carried: np.dtype[Any], history: int, inputs: int = 4) -> None:
        self.lock = threading.RLock()
        self._settings = settings
        self._inputs = inputs
        self._sweep_ms = max(settings.tumbling_ms, settings.user_ttl_ms // 30)
        self._users = UserTable(row_dtype(carried, history))
        self._windows = WindowTable(settings)
        self._clock = Clock(settings, inputs)
        self._identities = Identities()
        self._swept_ms = -EVER
        self._touched: list[Ints] = []  # window rows since open_windows
        self._changed: list[Ints] = []  # user rows since changes
        self._gone: set[bytes] = set()  # users freed since changes
        self._recorded = b""
        self.positions = np.zeros(inputs, np.int64)
        """(inputs,) next offset of each to apply; in the changelog too, since a broker may lose a group's offsets."""
        self.log_id = uuid4().hex
        """Names the changelog in its own records: a topic made anew is another log."""

    def __len__(self) -> int:
        return len(self._users)

    @alone
    def __contains__(self, user: bytes) -> bool:
        return self._users.find(user) is not None

    @alone
    def strangers(self, users: Collection[bytes]) -> list[bytes]:
        """Those of distinct users that are not here."""
        return [user for user in users if self._users.find(user) is None]

    @property
    def touched(self) -> bool:
        """Whether windows have changed since the last open_windows."""
        return bool(self._touched)

    @property
    def carried(self) -> NDArray[np.void]:
        """(rows,) the scorer's part of every user by row, freed ones blank; a view, valid until the next update."""
        held: NDArray[np.void] = self._users.rows["carried"][: len(self._users.ids)]
        return held

    def session_start_ms(self, rows: UserRows) -> Ints:
        """(n,) start of the session that each event of an update is in, in the order of the FeatureBatch."""
        started: Ints = self._windows.rows["start_ms"][rows.windows[:, 0]]
        return started

    @property
    def watermark_ms(self) -> int | None:
        """None before every live input has brought something."""
        return None if self._clock.watermark_ms == -EVER else self._clock.watermark_ms

    def admit(self, events: EventBatch, now_ms: int) -> Admission:
        """Judge events; the accepted ones must then be applied, segment after segment."""
        return admission.admit(
            events,
            now_ms,
            clock=self._clock,
            identities=self._identities,
            settings=self._settings,
            sweep_ms=self._sweep_ms,
            published=self._published,
        )

    @alone
    def update(self, events: EventBatch) -> UserRows:
        """Apply accepted events to their users and windows."""
        found = self._users.rows_of(events.user.tolist())
        row_of_user, local = np.unique(found, return_inverse=True)
        order = np.argsort(local.astype(np.uint16 if len(row_of_user) < 1 << 16 else np.int64), kind="stable")
        row = local[order]
        table = self._users.rows
        base, history = gathered(table["base"], row_of_user), table["history"][row_of_user]
        time, action, item = events.event_time_ms[order], events.action[order], events.item[order]
        first = starts(row) if len(row) else row
        rows = UserRows(
            order=order,
            row=row,
            row_of_user=row_of_user,
            users=[self._users.ids[one] for one in row_of_user.tolist()],
            windows=np.zeros((len(row), 2), np.int64),
            gap_ms=np.zeros(len(row), np.int64),
            history=history,
            digest=base["digest"].copy(),
        )
        if not len(row):
            return rows
        rows.gap_ms[:] = _gaps(row, first, time, base)
        reformulations = reformulated(row, first, action, time, events.query_hash[order], base)
        rages = raging(row, action, time, item, base)
        answers = answered(row, action, base)
        rows.windows[:] = tally(
            self._windows,
            row_of_user,
            Tally(
                row=row,
                time=time,
                action=action,
                item=item,
                platform=events.platform[order],
                dwell_ms=events.dwell_ms[order],
                total_results=events.total_results[order],
                price=events.price[order],
                quantity=events.quantity[order],
                currency=events.currency[order],
                reformulated=reformulations,
                raging=rages,
                answered=answers,
            ),
            self._settings,
        )
        scatter(table["base"], row_of_user, base)
        table["history"][row_of_user] = _appended(history, first, time, action, item)
        self._touched.append(rows.windows.ravel())
        self._changed.append(row_of_user)
        return rows

    def features(self, events: EventBatch, rows: UserRows) -> tuple[FeatureBatch, list[bytes]]:
        """The model's input for the events just applied, and the digest of it after each."""
        chain = digests(events, rows)
        if chain:
            last = ends(starts(rows.row), len(rows)) - 1
            joined = np.frombuffer(b"".join([chain[one] for one in last.tolist()]), np.uint8)
            self._users.rows["base"]["digest"][rows.row_of_user] = joined.reshape(len(last), -1)
        return features(events, rows, gathered(self._users.rows["carried"], rows.row_of_user)), chain

    @alone
    def carry(
        self,
        rows: UserRows,
        carried: NDArray[np.void],
        *,
        events: EventBatch,
        purchase: NDArray[np.float32],
        churn: NDArray[np.float32],
        anomaly: NDArray[np.float32],
        segment: NDArray[np.integer[Any]],
        sentiment: NDArray[np.float32],
    ) -> None:
        """Write predictions back: `carried` (u,), the others (n,) as in the FeatureBatch; NaN: no sentiment.

        `events` are those given to update, in the order of the FeatureBatch.
        """
        if not len(rows):
            return
        scores = np.empty(len(rows), SCORES)
        scores["purchase"], scores["churn"], scores["anomaly"], scores["segment"] = purchase, churn, anomaly, segment
        users, windows = self._users.rows, self._windows
        last = ends(starts(rows.row), len(rows)) - 1
        scatter(users["carried"], rows.row_of_user, carried)
        scatter(users["base"]["scores"], rows.row_of_user, scores[last])
        for kind in range(len(KINDS)):
            scatter(windows.rows["scores"], rows.windows[:, kind], scores)
        self._note_opinions(rows, events, sentiment)

    def open_windows(self) -> WindowBatch:
        """Windows touched since the last call that owe a final record, as updates (revision 0)."""
        touched = np.unique(np.concatenate(self._touched)) if self._touched else np.zeros(0, np.int64)
        self._touched.clear()
        rows = self._windows.rows
        touched = touched[(rows["owner"][touched] >= 0) & (rows["dirty"][touched] > 0)]
        return self._batch(touched, is_final=False)

    @alone
    def close(self, watermark_ms: int | None = None) -> WindowBatch:
        """Final records due by that watermark (a segment's, else the clock's); what nothing can reach is freed."""
        watermark_ms = self._clock.watermark_ms if watermark_ms is None else watermark_ms
        finals = self._finals(watermark_ms)
        self._windows.expire(watermark_ms)
        self._identities.forget(watermark_ms)
        day = watermark_ms // self._sweep_ms * self._sweep_ms
        if day > self._swept_ms:
            self._swept_ms = day
            self._sweep(day - self._settings.user_ttl_ms)
        return finals

    @alone
    def tick(self, now_ms: int) -> WindowBatch:
        """Look at the clock without events: inputs may go idle, and final records fall due by the idle clock.

        Of these at most MOST_FINALS; when as many or more come back, call again.
        """
        self._clock.look(now_ms)
        due, idle = self.close(), self._finals(self._clock.idle_clock_ms(now_ms), MOST_FINALS)
        if not len(due) or not len(idle):
            return due if len(due) else idle
        shifted = {at + len(due): finals for at, finals in idle.supersedes.items()}
        return WindowBatch(
            np.concatenate([due.rows, idle.rows]),
            due.users + idle.users,
            True,
            np.concatenate([due.revision, idle.revision]),
            {**due.supersedes, **shifted},
        )

    @alone
    def due_signals(self, windows: WindowBatch, index: Ints, slot: Ints, cooldown_ms: int) -> NDArray[np.bool_]:
        """(m,) which signals of these windows (by position, by place) are news: not told about that user for so long.

        What is due counts as told. Times are event times, so that a replay tells the same.
        """
        owner = windows.rows["owner"][index].astype(np.int64)
        at_s = np.clip(windows.rows["last_ms"][index] // 1000, 1, (1 << 32) - 1)
        told_s = self._users.rows["base"]["signalled_s"][owner, slot].astype(np.int64)
        due = (told_s == 0) | (at_s - told_s >= -(-cooldown_ms // 1000))
        due &= at_s > told_s
        first = np.zeros(len(due), np.bool_)
        candidates = np.flatnonzero(due)
        first[candidates[np.unique(owner[due] * SIGNAL_SLOTS + slot[due], return_index=True)[1]]] = True
        self._users.rows["base"]["signalled_s"][owner[first], slot[first]] = at_s[first]
        if first.any():
            self._changed.append(np.unique(owner[first]))
        return first

    @alone
    def changes(self) -> Changes:
        """What to write to the changelog since the last call; None deletes."""
        changes: Changes = [
            (IDENTITIES + sequence.to_bytes(8, "big"), packed) for sequence, packed in self._identities.changes()
        ]
        changes += [(_key(user), None) for user in self._gone if self._users.find(user) is None]
        self._gone.clear()
        if self._changed:
            rows = np.unique(np.concatenate(self._changed))
            rows = rows[self._users.rows["base"]["events"][rows] > 0]
            self._changed.clear()
            ids = self._users.ids
            keys = [_key(ids[row]) for row in rows.tolist()]
            changes += zip(keys, layout.pack(self._users, self._windows, rows), strict=True)
        clock = self._clock.record()
        record = orjson.dumps(
            {
                "log": self.log_id,
                "settings": self.fixed(),
                "swept_ms": self._swept_ms,
                "positions": self.positions.tolist(),
                "clock": clock,
            }
        )
        if record != self._recorded:
            self._recorded = record
            changes.append((TASK, record))
        return changes

    @property
    def row_count(self) -> int:
        """Rows of users, freed ones too: what `columns` goes over."""
        return len(self._users.ids)

    @property
    def row(self) -> np.dtype[Any]:
        """A user's row."""
        dtype: np.dtype[Any] = self._users.rows.dtype
        return dtype

    @property
    def layout(self) -> tuple[int, int]:
        """Versions of what `columns` gives."""
        return layout.versions(self._users.rows.dtype)

    def columns(self, first: int, end: int) -> Slice:
        """Copies of the users in these rows, for a checkpoint; between two steps of a batch, too."""
        rows = first + np.flatnonzero(self._users.rows["base"]["events"][first:end] > 0)
        ids = self._users.ids
        return [ids[row] for row in rows.tolist()], layout.columns(self._users, self._windows, rows)

    def own(self) -> dict[bytes, bytes]:
        """What the changelog holds beside users."""
        chunks = {IDENTITIES + at.to_bytes(8, "big"): packed for at, packed in self._identities.chunks()}
        return chunks | ({TASK: self._recorded} if self._recorded else {})

    @alone
    def restore(
        self,
        pairs: Iterable[tuple[bytes, bytes | None]],
        *,
        now_ms: int | None = None,
        own: Mapping[bytes, bytes] | None = None,
        slices: Iterable[Slice] = (),
    ) -> None:
        """Take over the changelog, in log order, into a fresh state. `now_ms` gives every input time to catch up.

        `own` and `slices` are a checkpoint's; `pairs` are then what was written since it was begun, and win.
        """
        if len(self):
            raise StateError("restore needs a fresh state")
        last = {**(own or {}), **dict(pairs)}
        kept = {key: value for key, value in last.items() if value is not None}
        chunks = [
            (int.from_bytes(key[len(IDENTITIES) :], "big"), kept.pop(key))
            for key in list(kept)
            if key.startswith(IDENTITIES)
        ]
        self._identities.restore(chunks)
        if (record := kept.pop(TASK, None)) is not None:
            read = orjson.loads(record)
            if read["settings"] != self.fixed():
                was = ", ".join(f"{name} {value}" for name, value in read["settings"].items())
                raise SettingsError(f"the state was written with {was}: keep these, or use another topics.prefix")
            self._swept_ms = read["swept_ms"]
            self._clock.restore(read["clock"], now_ms=now_ms)
            self.log_id = read.get("log", self.log_id)
            self.positions[:] = read.get("positions", 0)
            self._recorded = record
        newer = {key.removeprefix(ESCAPED) for key in last}
        for users, columns in slices:
            older = np.array([user not in newer for user in users], np.bool_)
            watermark_ms = self._clock.watermark_ms
            layout.load(self._users, self._windows, users, columns, watermark_ms=watermark_ms, kept=older)
        ids = [key.removeprefix(ESCAPED) for key in kept]
        layout.unpack(self._users, self._windows, ids, list(kept.values()), watermark_ms=self._clock.watermark_ms)

    def known(self, user: str) -> tuple[dict[str, Any], WindowBatch] | None:
        """What is known about a user, for people, and their windows as updates, of one moment; None for a stranger."""
        if (copied := self._copied(user)) is None:
            return None
        row, windows = copied
        return _told(user, row, windows), windows

    def user(self, user: str) -> dict[str, Any] | None:
        """The first part of `known`."""
        found = self.known(user)
        return None if found is None else found[0]

    @alone
    def _copied(self, user: str) -> tuple[np.void, WindowBatch] | None:
        row = self._users.find(user.encode())
        if row is None:
            return None
        _, held = self._windows.walk(np.array([row]))
        return self._users.rows[[row]][0], self._batch(held, is_final=False)

    def memory_bytes(self) -> int:
        """Arrays, indexes and identities, about."""
        return self._users.memory_bytes() + self._windows.memory_bytes() + self._identities.memory_bytes()

    def _note_opinions(self, rows: UserRows, events: EventBatch, sentiment: NDArray[np.float32]) -> None:
        base = gathered(self._users.rows["base"], rows.row_of_user)
        found = opinions(rows.row, events, sentiment, base)
        scatter(self._users.rows["base"], rows.row_of_user, base)
        if not len(found.at):
            return
        units = np.rint(sentiment[found.at].astype(np.float64) * SENTIMENT).astype(np.int64)
        added = [
            ("sentiment_sum", units),
            ("sentiment_count", np.ones(len(units), np.int64)),
            ("contradictions", found.contradicted),
            ("sentiment_falls", found.fell),
            *zip(COMPLAINTS, found.complaints.T, strict=True),
        ]
        for windows in rows.windows[found.at].T:
            for name, column in added:
                if column.any():
                    np.add.at(self._windows.words[:, word(name)], windows, column)

    def fixed(self) -> dict[str, int]:
        """What a log was begun with and must go on with."""
        settings = self._settings
        return {
            "format": FORMAT,
            "inputs": self._inputs,
            "session_gap_ms": settings.session_gap_ms,
            "tumbling_ms": settings.tumbling_ms,
        }

    def _finals(self, clock_ms: int, most: int | None = None) -> WindowBatch:
        due = self._windows.due(clock_ms, most)
        if not len(due):
            return self._batch(due, is_final=True)
        supersedes = self._windows.emit(due)
        self._changed.append(self._windows.rows["owner"][due].astype(np.int64))
        return self._batch(due, is_final=True, supersedes=supersedes)

    def _batch(self, windows: Ints, *, is_final: bool, supersedes: dict[int, Any] | None = None) -> WindowBatch:
        rows = gathered(self._windows.rows, windows)
        revision = rows["revision"].astype(np.int64) if is_final else np.zeros(len(rows), np.int64)
        users = [self._users.ids[owner] for owner in rows["owner"].tolist()]
        return WindowBatch(rows, users, is_final, revision, supersedes or {})

    def _published(self, users: list[bytes], times: Ints, watermark_ms: Ints) -> NDArray[np.bool_]:
        """Which events (user, time) lie in a session whose end the watermark before them has passed."""
        rows = np.array([-1 if (row := self._users.find(user)) is None else row for user in users], np.int64)
        known = np.flatnonzero(rows >= 0)
        at, windows = self._windows.walk(rows[known])
        event, end_ms = known[at], self._windows.rows["end_ms"][windows]
        found = np.zeros(len(rows), np.bool_)
        found[event[(times[event] < end_ms) & (end_ms <= watermark_ms[event])]] = True
        return found

    def _sweep(self, time_ms: int) -> None:
        gone = self._users.unseen_since(time_ms)
        if len(gone):
            self._gone.update(self._users.free(gone))


def _gaps(row: Ints, first: Ints, time: Ints, base: NDArray[np.void]) -> Ints:
    """(n,) since the user's latest event; updates the counters of `base`."""
    known = base["events"] > 0
    reach = running_maximum(time, row)
    latest = np.roll(reach, 1)
    latest[first] = -EVER
    np.maximum(latest, np.where(known, base["last_seen_ms"], -EVER)[row], out=latest)
    gaps = np.where(latest == -EVER, -1, np.maximum(time - latest, 0))
    end = ends(first, len(row))
    base["first_seen_ms"] = np.where(known, base["first_seen_ms"], time[first])
    base["last_seen_ms"] = np.where(known, np.maximum(base["last_seen_ms"], reach[end - 1]), reach[end - 1])
    base["events"] += end - first
    return gaps


def _appended(history: Ints, first: Ints, time: Ints, action: NDArray[np.uint8], item: NDArray[np.uint64]) -> Ints:
    """(u, L, 2): each user's history with its new events at the end."""
    users, length, _ = history.shape
    new = np.stack([item.view(np.int64), time << WHEN_SHIFT | action], axis=1)
    flat = np.concatenate([history.reshape(-1, 2), new])
    count = ends(first, len(time)) - first
    slot = np.arange(length) + count[:, None]  # (u, L) in old + new
    old = np.arange(users)[:, None] * length
    appended: Ints = flat[np.where(slot < length, slot + old, slot + (users * length - length + first[:, None]))]
    return appended


def log_of(record: bytes) -> str | None:
    """Which log a record under TASK is of; None in those of former versions."""
    found: str | None = orjson.loads(record).get("log")
    return found


def _key(user: bytes) -> bytes:
    return ESCAPED + user if user.startswith(OWN) else user


def _told(user: str, row: np.void, windows: WindowBatch) -> dict[str, Any]:
    base, history = row["base"], row["history"]
    known = history[(history[:, 1] & NO_ACTION) != NO_ACTION]
    return {
        "user_id": user,
        "events": int(base["events"]),
        "first_seen_ms": int(base["first_seen_ms"]),
        "last_seen_ms": int(base["last_seen_ms"]),
        "prediction": _shown({name: base["scores"][name].item() for name in SCORES.names or ()}),
        "sentiment": _shown({"score": base["sentiment"].item()})["score"],
        "history": [
            {
                "item": f"{int(item) & (1 << 64) - 1:016x}" if item else None,
                "action": ACTIONS[when & NO_ACTION],
                "event_time_ms": when >> WHEN_SHIFT,
            }
            for item, when in known.tolist()
        ],
        "windows": [
            {
                "type": KINDS[int(window["kind"])],
                "start_ms": int(window["start_ms"]),
                "end_ms": int(window["end_ms"]),
                "revision": int(window["revision"]),
                "counts": {name: n for name, n in zip(ACTIONS, window["counts"].tolist(), strict=True) if n},
                "unique_products": products,
                "revenue": windows.revenue(at),
                "platforms": windows.platforms(at),
            }
            for at, (window, products) in enumerate(zip(windows.rows, windows.unique_products().tolist(), strict=True))
        ],
    }


def _shown(scores: dict[str, Any]) -> dict[str, Any]:
    return {name: None if score != score or score == -1 else score for name, score in scores.items()}
