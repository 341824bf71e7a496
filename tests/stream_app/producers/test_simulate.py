"""The simulator keeps the contract, is the same for a seed, and its shoppers behave as shoppers do."""

import base64
import io
from collections import Counter, defaultdict
from itertools import islice, pairwise
from statistics import mean, pstdev
from typing import Any

import orjson
import pytest
from PIL import Image

from stream_app.events import EVENT_TYPES, decode
from stream_app.producers.catalogue import Catalogue
from stream_app.producers.photos import photo
from stream_app.producers.publish import Encoded, encode
from stream_app.producers.simulate import GroundTruth, simulate
from stream_app.records import Record

START_MS = 1_750_000_000_000
Item = tuple[str, dict[str, Any]]


@pytest.fixture(scope="module")
def truth() -> GroundTruth:
    return GroundTruth()


@pytest.fixture(scope="module")
def stream(truth: GroundTruth) -> list[Item]:
    return list(simulate(users=400, seed=3, start_ms=START_MS, events=30_000, bots=0.05, truth=truth))


@pytest.fixture(scope="module")
def encoded(stream: list[Item]) -> list[Encoded]:
    return [encode(event_type, record) for event_type, record in stream]


def actions(stream: list[Item]) -> Counter[str]:
    return Counter(record["action"] for event_type, record in stream if event_type == "clicks")


def user(record: dict[str, Any]) -> str:
    who: str = record.get("user_id") or record["anonymous_id"]
    return who


def test_a_seed_names_a_stream() -> None:
    def first(seed: int) -> list[Item]:
        return list(simulate(users=50, seed=seed, start_ms=START_MS, events=2_000))

    assert first(1) == first(1)
    assert first(1) != first(2)


def test_two_runs_from_different_starts_share_no_event_id() -> None:
    runs = [list(simulate(users=20, seed=1, start_ms=start, events=500)) for start in (START_MS, START_MS + 86_400_000)]
    assert {r["event_id"] for _, r in runs[0]}.isdisjoint(r["event_id"] for _, r in runs[1])


def test_every_record_keeps_the_contract(encoded: list[Encoded]) -> None:
    by_type: dict[str, list[Record]] = defaultdict(list)
    for offset, (topic, key, value, time_ms) in enumerate(encoded):
        by_type[topic].append(Record(topic, 0, offset, time_ms, key, value))
    assert by_type.keys() == EVENT_TYPES.keys()
    for event_type, records in by_type.items():
        decoded = decode(records, event_type=event_type, source_input=0)
        assert [r.error.message for r in decoded.rejected] == []
        assert decoded.events.user.tolist() == [r.key for r in records]
        assert decoded.events.event_time_ms.tolist() == [r.timestamp for r in records]


def test_every_record_says_that_it_is_simulated_and_never_of_whom(stream: list[Item], truth: GroundTruth) -> None:
    for _, record in stream:
        assert record["source"] == "simulator"
        assert record["properties"] == {"simulated": True}
        assert "bot" not in record["session_id"]
    assert set(truth.personas.values()) >= {"bot", "browser", "loyal", "researcher"}


def test_without_a_limit_the_stream_goes_on() -> None:
    endless = simulate(users=3, seed=1, start_ms=START_MS, images=False)
    assert len(list(islice(endless, 5_000))) == 5_000


def test_disorder_is_bounded(encoded: list[Encoded]) -> None:
    first_seen, latest, delays = set(), 0, []
    for _, _, value, time_ms in encoded:
        if value not in first_seen:
            first_seen.add(value)
            delays.append(latest - time_ms)
            latest = max(latest, time_ms)
    assert 0 < max(delays) <= 5_000


def test_an_ordered_stream_without_duplicates_can_be_had() -> None:
    calm = [
        encode(*item) for item in simulate(users=50, seed=1, start_ms=START_MS, events=3_000, disorder=0, duplicates=0)
    ]
    assert [e.time_ms for e in calm] == sorted(e.time_ms for e in calm)
    assert len({e.value for e in calm}) == 3_000


def test_a_duplicate_is_the_same_record_again(stream: list[Item]) -> None:
    seen: dict[str, dict[str, Any]] = {}
    repeats = 0
    for _, record in stream:
        repeats += record["event_id"] in seen
        assert seen.setdefault(record["event_id"], record) == record
    assert 0.002 < repeats / len(stream) < 0.01


def test_fewer_go_on_at_every_step_of_the_funnel(stream: list[Item]) -> None:
    count = actions(stream)
    assert count["view"] > 3 * count["add_to_cart"] > 3 * count["purchase"] > 0
    assert count["impression"] > count["click"] > 0
    assert count["remove_from_cart"] > 0 < count["wishlist"]


def test_sessions_begun_in_order_to_buy_buy_more(stream: list[Item], truth: GroundTruth) -> None:
    bought = {r["session_id"] for _, r in stream if r.get("action") == "purchase"}
    rate = {
        wish: mean(session in bought for session, wished in truth.intentions.items() if wished is wish)
        for wish in (True, False)
    }
    assert rate[True] > 0.15 > 0.05 > rate[False]


def test_bots_look_at_a_steady_pace_and_never_buy(stream: list[Item], truth: GroundTruth) -> None:
    assert truth.bots
    bot_times: dict[str, set[int]] = defaultdict(set)
    for _, record in stream:
        if user(record) in truth.bots:
            assert record["action"] == "view"
            bot_times[record["session_id"]].add(record["event_time"])
    for times in bot_times.values():
        ordered = sorted(times)
        gaps = [b - a for a, b in pairwise(ordered)]
        assert len(gaps) < 20 or pstdev(gaps[1:-1]) < 0.5 * mean(gaps)


def test_some_users_come_from_several_platforms(stream: list[Item]) -> None:
    platforms: dict[str, set[str]] = defaultdict(set)
    for _, record in stream:
        platforms[user(record)].add(record["platform"])
    assert 0.1 < mean(len(p) > 1 for p in platforms.values()) < 0.8
    assert any("anonymous_id" in record for _, record in stream)


def test_texts_agree_with_the_stars_but_for_a_few(stream: list[Item]) -> None:
    reviews = [r for t, r in stream if t == "reviews" and r.get("language") == "en" and "rating" in r]
    low = [r for r in reviews if int(r["rating"]) == 1]
    bad = ("broke", "Terrible", "disappointed", "cheap and badly", "not buy", "damaged", "useless")
    assert len(low) >= 5
    assert mean(any(word in r["review_body"] for word in bad) for r in low) > 0.75
    assert {"en", "zh", "es", "de"} == {r["language"] for t, r in stream if t == "reviews"}


def test_some_searches_find_nothing_and_are_asked_again(stream: list[Item]) -> None:
    searches = [r for t, r in stream if t == "searches"]
    assert 0.03 < mean(r["total_results"] == 0 for r in searches) < 0.15
    assert all(len(r["results"]) <= r["total_results"] for r in searches)


def test_a_final_transcript_follows_its_partial(stream: list[Item]) -> None:
    heard: dict[tuple[str, str], list[bool]] = defaultdict(list)
    confidences: list[float] = []
    calm = simulate(users=200, seed=5, start_ms=START_MS, events=20_000, disorder=0, duplicates=0, images=False)
    for event_type, r in calm:
        if event_type == "voice-transcripts":
            heard[r["call_id"], r["segment_id"]].append(r["is_final"])
            confidences += [word["confidence"] for word in r["words"]]
    assert set(map(tuple, heard.values())) <= {(False, True), (True,), (False,)}
    assert [False, True] in heard.values()
    assert min(confidences) < 0.5 < 0.9 < max(confidences)


def test_more_recogniser_errors_lower_the_confidence() -> None:
    def confidence(rate: float) -> float:
        calls = simulate(users=100, seed=5, start_ms=START_MS, events=8_000, images=False, voice_error_rate=rate)
        return mean(float(r["confidence"]) for t, r in calls if t == "voice-transcripts")

    assert confidence(0.0) > confidence(0.3) > confidence(0.6)


def test_photos_are_small_jpegs_that_show_category_and_colour(stream: list[Item]) -> None:
    pictures = [r["image"] for _, r in stream if "image" in r] + [r["images"][0] for _, r in stream if "images" in r]
    assert len(pictures) > 100
    for picture in pictures:
        data = base64.b64decode(picture["data"])
        assert len(data) <= 4096
        assert Image.open(io.BytesIO(data)).format == "JPEG"
    assert photo(3, 2, 0) == photo(3, 2, 0)
    assert len({photo(category, colour, 0) for category in range(24) for colour in range(8)}) == 24 * 8


def test_without_images_no_record_has_one() -> None:
    bare = simulate(users=100, seed=3, start_ms=START_MS, events=5_000, images=False)
    assert not any("image" in r or "images" in r for _, r in bare)


def test_popularity_is_skewed_and_companions_meet() -> None:
    shop = Catalogue(size=600, seed=1)
    assert shop.companions.keys() == {p.product_id for p in shop.products}
    items = dict(shop.items())
    assert len(items) == 600
    assert orjson.loads(orjson.dumps(items)) == items
    views = Counter(
        r["product_id"]
        for _, r in simulate(users=300, seed=1, start_ms=START_MS, events=20_000, bots=0, products=600, images=False)
        if r.get("action") == "view"
    )
    top = sum(n for _, n in views.most_common(60))
    assert top > 0.2 * views.total()
