"""Times in all legal forms, against datetime; everything else is INVALID."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.events.instants import INVALID, milliseconds

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(
    st.lists(
        st.datetimes(
            datetime(1, 1, 2),
            datetime(9999, 12, 30),
            timezones=st.integers(-1439, 1439).map(lambda m: timezone(timedelta(minutes=m))),
        ),
        max_size=20,
    ),
    st.sampled_from(["auto", "seconds", "milliseconds", "microseconds"]),
)
def test_rfc_3339_is_read_as_datetime_reads_it(times: list[datetime], precision: str) -> None:
    texts = [time.isoformat(timespec=precision) for time in times]
    expected = [(datetime.fromisoformat(text) - EPOCH) // timedelta(milliseconds=1) for text in texts]
    # datetime rounds times before the epoch down, fractions are cut off: the same for a whole date and time
    assert milliseconds(texts).tolist() == expected
    lower = [text.lower().replace("+00:00", "z") for text in texts]
    assert milliseconds(lower).tolist() == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-05T10:11:12Z", 1_767_607_872_000),
        ("2026-01-05t10:11:12z", 1_767_607_872_000),
        ("2026-01-05T10:11:12.3Z", 1_767_607_872_300),
        ("2026-01-05T10:11:12.34Z", 1_767_607_872_340),
        ("2026-01-05T10:11:12.3456789Z", 1_767_607_872_345),
        ("2026-01-05T10:11:12.999999999+00:00", 1_767_607_872_999),
        ("2026-01-05T15:41:12+05:30", 1_767_607_872_000),
        ("2026-01-05T02:11:12.000-08:00", 1_767_607_872_000),
        ("2026-01-05T10:11:12-00:00", 1_767_607_872_000),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000),  # a leap second
        ("2024-02-29T00:00:00Z", 1_709_164_800_000),
        ("1767607872000", 1_767_607_872_000),
        ("0", 0),
        ("000000000000000", 0),
        ("999999999999999", 999_999_999_999_999),
    ],
)
def test_legal_forms(text: str, expected: int) -> None:
    assert milliseconds([text]).tolist() == [expected]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "-1",
        "1.5",
        "1e12",
        "１２３",
        "9" * 16,
        "9" * 19,
        "9" * 20,
        "9" * 30,
        "2026-01-05",
        "2026-01-05T10:11Z",
        "2026-01-05T10:11:12",
        "2026-01-05T10:11:12.345",
        "2026-01-05T10:11:12.345678",
        "2026-01-05 10:11:12Z",
        "2026-01-05T10:11:12 Z",
        "2026-01-05T10:11:12.Z",
        "2026-01-05T10:11:12.+00:00",
        "2026-01-05T10:11:12,5Z",
        "2026-01-05T10:11:12.5xZ",
        "2026-01-05T10:11:12+0530",
        "2026-01-05T10:11:12+05",
        "2026-01-05T10:11:12+24:00",
        "2026-01-05T10:11:12+05:60",
        "2026-01-05T10:11:12~05:30",
        "2026-01-05T24:00:00Z",
        "2026-01-05T10:60:00Z",
        "2026-01-05T10:11:61Z",
        "2026-00-05T10:11:12Z",
        "2026-13-05T10:11:12Z",
        "2026-01-00T10:11:12Z",
        "2026-01-32T10:11:12Z",
        "2023-02-29T10:11:12Z",
        "2026/01/05T10:11:12Z",
        "+026-01-05T10:11:12Z",
        "２026-01-05T10:11:12Z",
    ],
)
def test_all_else_is_invalid(text: str) -> None:
    assert milliseconds([text]).tolist() == [INVALID]


@given(st.lists(st.one_of(st.text(max_size=45), st.integers(0, 2**62), st.text("0123456789-+:.TZtz", max_size=45))))
def test_a_column_is_read_as_its_values_alone(values: list[str | int]) -> None:
    assert milliseconds(values).tolist() == [milliseconds([value])[0] for value in values]
