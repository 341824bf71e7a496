"""Every adapter yields contract records of real data, in event-time order, the same for a seed."""

import gzip
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_app.errors import DependencyError, SettingsError
from stream_app.events import EVENT_TYPES, decode
from stream_app.producers.publish import encode
from stream_app.producers.replay import replay
from stream_app.producers.sources import SOURCES
from stream_app.records import Record

ROWS = {
    "rees46": 17_435,
    "yoochoose_clicks": 70_278,
    "womens_reviews": 17_545,
    "chinese_reviews": 59_628,
    "slurp": 6_816,
    "wands_queries": 480,
    "taskmaster4": 13_915,
    "fashion_products": 1_993,
    "composite": 104_450,
}
HALF_AN_HOUR_MS = 1_800_000

SMALL = [
    ("clicks", {"event_id": "1", "event_time": 10, "user_id": "u", "action": "view", "product_id": "p"}),
    ("searches", {"event_id": "2", "event_time": "1970-01-01T00:00:00.020Z", "user_id": "u", "query": "q"}),
    ("clicks", {"event_id": "3", "event_time": "30", "user_id": "u", "action": "view", "product_id": "p"}),
]


def lines(values: list[Any]) -> bytes:
    return b"".join(orjson.dumps(value) + b"\n" for value in values)


def test_every_source_but_canonical_is_held_to_its_number_of_rows() -> None:
    assert {*ROWS, "canonical"} == SOURCES.keys()


@pytest.mark.parametrize("source", ROWS)
def test_a_source_keeps_the_contract_in_event_time_order(source: str, data_dir: Path) -> None:
    encoded = [encode(*item) for item in replay(source, data_dir)]
    assert len(encoded) == ROWS[source]
    times = [e.time_ms for e in encoded]
    assert times == sorted(times)
    by_type: dict[str, list[Record]] = defaultdict(list)
    for offset, (topic, key, value, time_ms) in enumerate(encoded):
        by_type[topic].append(Record(topic, 0, offset, time_ms, key, value))
    identities = 0
    for event_type, records in by_type.items():
        decoded = decode(records, event_type=event_type, source_input=0)
        assert [r.error.message for r in decoded.rejected] == []
        assert decoded.events.user.tolist() == [r.key for r in records]
        identities += len(set(decoded.events.identity.tolist()))
    assert identities == ROWS[source]


@pytest.mark.parametrize("source", ["slurp", "wands_queries", "composite"])
def test_a_seed_names_a_replay(source: str, data_dir: Path) -> None:
    def first(seed: int) -> list[Any]:
        return list(replay(source, data_dir, seed=seed, limit=400))

    assert first(1) == first(1)
    assert first(1) != first(2)


def test_the_composite_has_all_four_types_with_photos_inside_sessions(data_dir: Path) -> None:
    last: dict[str, int] = {}
    count: Counter[str] = Counter()
    photos = 0
    for event_type, record in replay("composite", data_dir):
        count[event_type] += 1
        photos += "image" in record or "images" in record
        who = record.get("user_id") or record["anonymous_id"]
        if record["source"] == "composite":
            assert record["event_time"] - last[who] < HALF_AN_HOUR_MS
        last[who] = record["event_time"]
    assert count.total() >= 60_000
    assert min(count[event_type] for event_type in EVENT_TYPES) > 4_000
    assert photos > 1_500


def test_rees46_keeps_its_purchases(data_dir: Path) -> None:
    assert sum(record["action"] == "purchase" for _, record in replay("rees46", data_dir)) == 214


def test_slurp_is_less_sure_where_it_heard_wrong(data_dir: Path) -> None:
    for _, record in replay("slurp", data_dir, limit=500):
        assert record["properties"]["confidence_from"] == "word error rate"
        sure = [word["confidence"] > 0.5 for word in record["words"]]
        assert len(sure) == len(record["transcript"].split())
        if record["confidence"] >= 0.99:
            assert all(sure)


def test_a_folder_of_topics_is_merged_in_event_time(tmp_path: Path) -> None:
    (tmp_path / "behavior.clicks.jsonl.gz").write_bytes(gzip.compress(lines([r for t, r in SMALL if t == "clicks"])))
    (tmp_path / "searches.jsonl").write_bytes(lines([r for t, r in SMALL if t == "searches"]))
    assert list(replay("canonical", tmp_path)) == SMALL


def test_a_file_of_lines_keeps_its_order(tmp_path: Path) -> None:
    path = tmp_path / "recorded.jsonl"
    path.write_bytes(lines([{"topic": f"behavior.{t}", "value": r} for t, r in reversed(SMALL)]) + b"\n")
    assert list(replay("canonical", path)) == SMALL[::-1]
    assert list(replay("canonical", path, limit=1)) == SMALL[2:]


@pytest.mark.parametrize("source", SOURCES)
def test_a_missing_folder_is_named_in_one_line(source: str, tmp_path: Path) -> None:
    with pytest.raises(DependencyError) as raised:
        list(replay(source, tmp_path / "nowhere"))
    assert "nowhere" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_empty_folder_is_named_too(tmp_path: Path) -> None:
    with pytest.raises(DependencyError, match=r"no \.jsonl"):
        list(replay("canonical", tmp_path))


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DependencyError, match=r"stream-app\[data\]"):
        list(replay("rees46", tmp_path))


def test_an_unknown_source_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="rees46"):
        replay("nothing", tmp_path)
