"""`python -m tests.fuzz`: byte strings, made from valid records and from nothing, for every decoder there is.

Each is accepted or refused in the decoder's own way; anything else is a crash, and is printed with its string. What is
accepted goes on into a user's state, what is refused into a dead letter. The same seed makes the same strings.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np
from PIL import Image
from pydantic import ValidationError

from encoders.image import decoded as pixels_of
from stream_app.audit.inputs import decoded
from stream_app.errors import EventError, SettingsError
from stream_app.events import EVENT_TYPES, EventBatch, Rejected
from stream_app.events.dead_letters import CODES, STAGES, dead_letter
from stream_app.models import change
from stream_app.outputs.topics import TopicNames
from stream_app.records import Record
from stream_app.settings import Settings, parse
from stream_app.state import StateSettings, TaskState
from stream_app.worker.routing import ORIGIN
from tests.stream_app.events.samples import FULL, REQUIRED, T0, Json

BATCH = 200
LARGE_EVERY = 2_000
LARGE_BYTES = 1_000_000
NAMES = TopicNames()
NOTHING = np.dtype([("nothing", "u8")])
CHANGE: Json = {"kind": "model", "digest": "a" * 64, "path": "b.safetensors", "before": {"digest": "c" * 64}}
CHANGE |= {"shadow": {"digest": "d" * 64, "share": 0.5}, "instead_of": 3, "reason": "better"}
TOML = b"""[broker]\nurl = "kafka:9092"\nsession_timeout_ms = 6000\n[state]\ngrace_ms = 60_000\n[topics]\npartitions = 4
[signals]\noff = ["rage_clicks"]\nholdout = 0.1\n[web]\nenabled = true\nhost = "127.0.0.1"\nport = 8080\n"""

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 1.5, -0.0, 2**31, -(2**31) - 1, 2**63, 2**64, 10**40, 10**400, 1e308, 5e-324,
    float("nan"), float("inf"), float("-inf"), "", " ", "\0", "guest", "\ud800", "x\udc00", "é" * 70, "😀", "x" * 129,
    "5", "1e3", "NaN", "9" * 19, "2026-01-05", "2026-01-05T10:11:12Z", "9999-12-31T23:59:59.999999999+23:59",
    "0001-01-01T00:00:00Z", [], {}, [None], [[]], {"data": "AAAA"}, {"data": "\ud800"}, {"embedding": [1e39]},
    {"embedding": []}, {"url": ""}, {"word": "a", "confidence": 2}, [{"product_id": "p", "position": 0}], {"": ""},
)  # fmt: skip
PIECES = (
    b"[" * 99, b"]" * 9, b"{", b"}", b'"', b"\\", b"\\u", b"\\ud800", b"\\u0000", b"NaN", b"Infinity", b"1e999", b"-",
    b"\x00", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"9" * 30, b",", b":", b"null", b"true", b"\n",
    b"\xef\xbb\xbf",
)  # fmt: skip


@dataclass
class Strings:
    """An endless, repeatable supply of bytes."""

    random: Random
    valid: Sequence[bytes]
    fields: Sequence[Json] = ()
    made: int = 0
    large: bytes = field(default_factory=lambda: b"x" * LARGE_BYTES)

    def __call__(self) -> bytes:
        """The next one."""
        self.made += 1
        if self.made % LARGE_EVERY == 0:
            return self._large()
        way = self.random.random()
        if way < 0.05:
            return self.random.choice(self.valid)
        if way < 0.1:
            return self.random.randbytes(self.random.randrange(60))
        if way < 0.6 and self.fields:
            return self._fields()
        return self._bytes()

    def _fields(self) -> bytes:
        """A valid record, some of whose fields have other values, or are gone."""
        random, record = self.random, dict(self.random.choice(self.fields))
        for _ in range(random.randint(1, 3)):
            name = random.choice([*record, "unknown"])
            if random.random() < 0.1:
                record.pop(name, None)
            else:
                record[name] = random.choice(VALUES)
        return json.dumps(record, ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")

    def _bytes(self) -> bytes:
        """A valid string with some bytes overwritten, put in, taken out, doubled, or another's tail."""
        random, value = self.random, bytearray(self.random.choice(self.valid))
        for _ in range(random.randint(1, 4)):
            at = random.randint(0, len(value))
            until = at + random.randint(0, 4)
            way = random.randrange(5)
            if way == 0:
                value[at:until] = random.randbytes(random.randint(0, 4))
            elif way == 1:
                value[at:until] = random.choice(PIECES)
            elif way == 2:
                value[at:at] = value[at : at + random.randint(0, 99)]
            elif way == 3:
                del value[at : at + random.randint(0, 99)]
            else:
                value[at:] = random.choice(self.valid)[at:]
        return bytes(value)

    def _large(self) -> bytes:
        """About a megabyte."""
        way, size = self.random.randrange(6), LARGE_BYTES
        if way < 3:
            return (b"[" * size, b'{"a":' * (size // 5), b'"' * size)[way]
        if way == 3:
            return self.random.randbytes(1_000) * (size // 1_000)
        value = self.random.choice(self.valid)
        return value[:-1] + b',"x":"' + self.large + b'"}' if way == 4 else value + self.large


Judge = Callable[[Sequence[bytes]], Counter[str]]
"""Counts what became of the strings, `accepted` or a code of refusal; raises where a decoder crashes."""


def events(topic: str, kinds: Sequence[str]) -> Judge:
    """Records of an input topic, or of the repartition topic, which carries every kind."""
    state = TaskState(StateSettings(), carried=NOTHING, history=4, inputs=1)

    def judge(values: Sequence[bytes]) -> Counter[str]:
        records = [
            Record(topic, 0, at, T0, b"user-1", value or None, [(ORIGIN, NAMES[kinds[at % len(kinds)]].encode())])
            for at, value in enumerate(values)
        ]
        accepted, rejected = decoded(topic, records, names=NAMES, at=0)
        offsets = sorted([*accepted.offset.tolist(), *(one.record.offset for one in rejected)])
        assert offsets == list(range(len(values))), "a record is gone"
        enter(state, accepted)
        return Counter(accepted=len(accepted)) + Counter(set_aside(one) for one in rejected)

    return judge


def enter(state: TaskState, accepted: EventBatch) -> None:
    """What follows the decoder: the user's state, windows and features."""
    admission = state.admit(accepted, T0 + 10**9)
    for segment in admission.segments:
        state.close(segment.watermark_ms)
        chosen = accepted.take(segment.index)
        state.features(chosen, state.update(chosen))
    state.open_windows()
    state.close()
    state.changes()


def set_aside(one: Rejected) -> str:
    """The code of a refusal that can be published."""
    error = one.error
    assert error.code in CODES, error.code
    assert error.stage in STAGES, error.stage
    for _, value in dead_letter(one.record, error, topic=NAMES.dead_letters).headers:
        value.decode()
    return error.code


def control(values: Sequence[bytes]) -> Counter[str]:
    """Model changes."""
    fates: Counter[str] = Counter()
    for value in values:
        try:
            change.decode(value)
            fates["accepted"] += 1
        except EventError as error:
            error.message.encode()
            fates[error.code] += 1
    return fates


def image(values: Sequence[bytes]) -> Counter[str]:
    """Pictures: pixels, or none."""
    return Counter("unreadable" if pixels_of(value) is None else "accepted" for value in values)


def settings(values: Sequence[bytes]) -> Counter[str]:
    """The settings file."""
    fates: Counter[str] = Counter()
    for value in values:
        try:
            Settings.model_validate(parse(value, "fuzz.toml"))
            fates["accepted"] += 1
        except (SettingsError, ValidationError):
            fates["refused"] += 1
    return fates


def pictures() -> list[bytes]:
    """Small valid ones of each kind."""
    shades = np.arange(24 * 24 * 3, dtype=np.uint32).astype(np.uint8).reshape(24, 24, 3)
    found = []
    for kind in ("JPEG", "PNG", "WEBP"):
        with io.BytesIO() as file:
            Image.fromarray(shades).save(file, kind)
            found.append(file.getvalue())
    return found


def raw(records: Sequence[Json]) -> list[bytes]:
    """As a producer sends them."""
    return [json.dumps(record).encode() for record in records]


def decoders(seed: int) -> dict[str, tuple[Judge, Strings]]:
    """Every decoder, with strings that look like its own."""
    found: dict[str, tuple[Judge, Strings]] = {}
    for kind in EVENT_TYPES:
        own = [FULL[kind], REQUIRED[kind]]
        found[kind] = events(NAMES[kind], [kind]), Strings(Random(f"{seed} {kind}"), raw(own), own)
    every = [*FULL.values(), *REQUIRED.values()]
    found["routed"] = events(NAMES.repartition, list(EVENT_TYPES)), Strings(Random(f"{seed} r"), raw(every), every)
    found["control"] = control, Strings(Random(f"{seed} control"), raw([CHANGE]), [CHANGE])
    found["image"] = image, Strings(Random(f"{seed} image"), pictures())
    found["settings"] = settings, Strings(Random(f"{seed} settings"), [TOML])
    return found


def fuzz(judge: Judge, strings: Strings, count: int) -> dict[str, Any]:
    """So many strings; after a crash the batch is judged string by string."""
    fates: Counter[str] = Counter()
    crashes: list[str] = []
    started_s = time.process_time()
    for first in range(0, count, BATCH):
        batch = [strings() for _ in range(min(BATCH, count - first))]
        try:
            fates += judge(batch)
        except Exception:
            for value in batch:
                try:
                    fates += judge([value])
                except Exception as error:
                    crashes.append(f"{error!r}: {value[:200]!r}")
    return {
        "strings": count,
        "accepted": fates.pop("accepted", 0),
        "refused": fates.total(),
        "crashes": len(crashes),
        "first_crashes": crashes[:3],
        "codes": dict(fates.most_common()),
        "cpu_s": round(time.process_time() - started_s, 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--strings", type=int, default=20_000, help="for each decoder")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--decoders", nargs="*", help="these only")
    parser.add_argument("--json", action="store_true", help="one object on one line")
    given = parser.parse_args()
    warnings.simplefilter("error")
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    found: dict[str, dict[str, Any]] = {}
    for name, (judge, strings) in decoders(given.seed).items():
        if given.decoders and name not in given.decoders:
            continue
        found[name] = fuzz(judge, strings, given.strings)
        if not given.json:
            print(name, json.dumps(found[name]), flush=True)
    if given.json:
        print(json.dumps(found))
    return int(any(one["crashes"] or one["accepted"] + one["refused"] != one["strings"] for one in found.values()))


if __name__ == "__main__":
    sys.exit(main())
