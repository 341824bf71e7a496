"""Encoding keys a record by its user; pacing keeps order and is never early."""

from itertools import pairwise

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.errors import SettingsError
from stream_app.producers.publish import LINGER_S, Encoded, Speed, encode, event_time_ms, paced


class Clock:
    """Advances by being slept on."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, wait_s: float) -> None:
        self.now_s += wait_s


async def played(times_ms: list[int], speed: str, *, chunk: int = 500) -> list[tuple[float, list[int]]]:
    """(seconds since the start, event times) per chunk."""
    clock = Clock()
    stream = [Encoded("clicks", b"u", b"{}", t) for t in times_ms]
    chunks = paced(stream, Speed.parse(speed), clock=clock, sleep=clock.sleep, chunk=chunk)
    return [(clock.now_s - 100, [e.time_ms for e in ready]) async for ready in chunks]


def test_the_key_is_the_user_else_the_anonymous_id() -> None:
    record = {"event_id": "e", "event_time": 5, "anonymous_id": "a"}
    assert encode("clicks", record) == Encoded("clicks", b"a", orjson.dumps(record), 5)
    assert encode("clicks", record | {"user_id": "ü"}).key == "ü".encode()


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (1_500, 1_500),
        ("1500", 1_500),
        ("1970-01-01T00:00:01.5Z", 1_500),
        ("1970-01-01T01:00:01.500+01:00", 1_500),
        ("2025-06-15T15:07:30.083Z", 1_750_000_050_083),
    ],
)
def test_times_are_read_in_every_form(written: int | str, expected: int) -> None:
    assert event_time_ms(written) == expected


@pytest.mark.parametrize("text", ["", "fast", "0x", "0/s", "-1x", "x", "10"])
def test_a_speed_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="speed"):
        Speed.parse(text)


async def test_real_gaps_are_kept_and_sped_up() -> None:
    assert await played([0, 1_000, 1_000, 4_000], "1x") == [(0, [0]), (1, [1_000, 1_000]), (4, [4_000])]
    assert await played([0, 1_000, 4_000], "10x") == [
        (0, [0]),
        (pytest.approx(0.1), [1_000]),
        (pytest.approx(0.4), [4_000]),
    ]


async def test_a_uniform_pace_ignores_event_time() -> None:
    assert await played([0, 9_000, 9_000], "2/s") == [(0, [0]), (0.5, [9_000]), (1.0, [9_000])]


async def test_what_is_due_soon_after_goes_together() -> None:
    sent = await played(list(range(100)), "1000/s")
    assert len(sent) <= 0.1 / LINGER_S + 2
    assert all(after - before > LINGER_S * 0.999 for (before, _), (after, _) in pairwise(sent))


async def test_max_waits_for_nothing_and_cuts_chunks() -> None:
    assert await played([0, 9_000, 5], "max", chunk=2) == [(0, [0, 9_000]), (0, [5])]


async def test_a_record_out_of_order_is_sent_at_once() -> None:
    assert await played([0, 2_000, 500, 3_000], "1x") == [(0, [0]), (2, [2_000, 500]), (3, [3_000])]


@given(st.lists(st.integers(0, 100_000), max_size=40), st.sampled_from(["1x", "7x", "30/s", "max"]), st.integers(1, 9))
async def test_pacing_changes_no_record_and_is_never_early(times: list[int], speed: str, chunk: int) -> None:
    chunks = await played(times, speed, chunk=chunk)
    assert [t for _, ready in chunks for t in ready] == times
    assert all(0 < len(ready) <= chunk for _, ready in chunks)
    if speed.endswith("x") and speed != "max":
        for at_s, ready in chunks:
            assert all(at_s * 1000 * float(speed[:-1]) >= t - times[0] - 1e-6 for t in ready)
