"""The item index: same log, same answers; recent and strong actions count for more; memory stays bounded."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion.recommender import STRENGTHS, ItemActivity, ItemIndex, KnnSettings, strength_codes

T0 = 1_700_000_000_000
VIEW, PURCHASE = list(STRENGTHS).index("view"), list(STRENGTHS).index("purchase")
SMALL = KnnSettings(max_items=32, sessions=16, length=4, ring=4, sample=4, neighbors=4, breadth=4, span=3)
Event = tuple[int, int, int, int]  # product number, session, seconds after T0, strength


def hash_of(number: int) -> int:
    return number * 0x9E3779B97F4A7C15 % 2**64


def activity(events: list[Event]) -> ItemActivity:
    product = np.array([f"p{e[0]}" for e in events], np.object_)
    return ItemActivity.of(
        product,
        np.array([hash_of(e[0]) for e in events], np.uint64),
        session=np.array([hash_of(e[1]) for e in events], np.uint64),
        event_time_ms=np.array([T0 + 1000 * e[2] for e in events], np.int64),
        strength=np.array([e[3] for e in events], np.uint8),
        category=np.array([hash_of(1000 + e[0] % 2) for e in events], np.uint64),
    )


def learn(events: list[Event], cuts: tuple[int, ...] = (), chosen: KnnSettings = SMALL) -> ItemIndex:
    index = ItemIndex(chosen)
    edges = [0, *sorted(cuts), len(events)]
    for offset, (a, b) in enumerate(pairwise(edges)):
        index.append(offset, activity(events[a:b]))
    return index


def ask(index: ItemIndex, *recent: int, k: int = 3) -> list[str]:
    rows, _ = index.recommend(np.array([[hash_of(r) if r else 0 for r in recent]], np.uint64), k)
    return [index.products[row] for row in rows[0] if row >= 0]


def visits(*baskets: tuple[int, ...], strength: int = VIEW, gap_s: int = 10, start_s: int = 0) -> list[Event]:
    return [
        (product, 100 + number, start_s + gap_s * step, strength)
        for number, basket in enumerate(baskets)
        for step, product in enumerate(basket)
    ]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 60), st.integers(1, 12), st.integers(0, 10**8), st.integers(1, len(STRENGTHS) - 1)),
        min_size=1,
        max_size=300,
    ),
    st.lists(st.integers(0, 300), max_size=12),
)
def test_the_answer_does_not_depend_on_how_events_were_grouped(events: list[Event], cuts: list[int]) -> None:
    whole = learn(events)
    parts = learn(events, tuple(min(cut, len(events)) for cut in cuts))
    recent = np.array([[hash_of(a), hash_of(b)] for a in range(8) for b in range(8)], np.uint64)
    for left, right in zip(whole.recommend(recent, 5), parts.recommend(recent, 5), strict=True):
        np.testing.assert_array_equal(left, right)
    assert whole.products.tolist() == parts.products.tolist()
    assert len(whole) <= SMALL.max_items


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 4), st.integers(0, 5000), st.just(VIEW)), max_size=80),
)
def test_popularity_and_co_visits_equal_a_plain_recount(events: list[Event]) -> None:
    chosen = KnnSettings(max_items=32, neighbors=9, breadth=9, sessions=16, span=3)
    index = learn(events, chosen=chosen)
    popularity: dict[str, float] = {}
    pairs: dict[tuple[str, str], float] = {}
    session: dict[int, list[int]] = {}
    last: dict[int, int] = {}
    for item, key, after_s, _ in events:
        gain = 2 ** ((after_s - events[0][2]) * 1000 / chosen.half_life_ms)
        popularity[f"p{item}"] = popularity.get(f"p{item}", 0) + gain
        if abs(last.get(key, after_s) - after_s) * 1000 > chosen.window_ms:
            session[key] = []
        last[key] = after_s
        others = [other for other in session.get(key, []) if other != item]
        session[key] = [*others, item]
        for step, other in enumerate(reversed(others[-3:])):
            weight = gain * chosen.nearness**step
            a, b = f"p{other}", f"p{item}"
            pairs[a, b] = pairs.get((a, b), 0) + weight
            pairs[b, a] = pairs.get((b, a), 0) + weight * chosen.backward
    memory = index.knn._memory
    assert dict(zip(index.products, memory.popularity, strict=False)) == pytest.approx(popularity)
    found = {
        (index.products[row], index.products[other]): float(weight)
        for row in range(len(index))
        for other, weight in zip(memory.neighbor[row].tolist(), memory.weight[row].tolist(), strict=True)
        if other >= 0
    }
    assert found == pytest.approx(pairs, rel=1e-4)
    for row in range(len(index)):
        assert memory.total[row] == pytest.approx(memory.weight[row].sum(), rel=1e-4)
        assert (np.diff(memory.weight[row]) <= 0).all()
    order = sorted(popularity.values(), reverse=True)
    assert [popularity[index.products[row]] for row in memory.popular[: len(index)]] == pytest.approx(order)


def test_items_seen_together_are_recommended_for_each_other() -> None:
    index = learn(visits(*[(1, 2)] * 5, *[(3, 4)] * 9))
    assert ask(index, 1, k=1 + 1)[:2] in (["p2", "p1"], ["p1", "p2"])
    assert "p4" in ask(index, 3, k=2)


def test_a_stronger_action_outweighs_a_view() -> None:
    bought = [(1, 50, 0, VIEW), (2, 50, 1, PURCHASE)]
    viewed = [(1, 51, 2, VIEW), (3, 51, 3, VIEW)]
    index = learn(bought + viewed + visits((9,)) * 8, chosen=KnnSettings(repeat_weight=0))
    answer = ask(index, 1, k=2)
    assert answer[0] == "p2"


def test_old_co_visits_fade_against_new_ones() -> None:
    month_s = 30 * 86_400
    index = learn(
        visits(*[(1, 2)] * 2) + [(p, 70, 2 * month_s + s, VIEW) for s, p in enumerate((1, 3))] + visits((9,)) * 4,
        chosen=KnnSettings(repeat_weight=0, session_weight=0),
    )
    assert ask(index, 1, k=2)[0] == "p3"


def test_an_unknown_user_gets_the_most_popular_items() -> None:
    index = learn(visits((5,), (5,), (5,), (6,), (6,), (7,)))
    assert ask(index, 0, 0) == ["p5", "p6", "p7"]
    assert ask(index, 999) == ["p5", "p6", "p7"]


def test_recent_items_are_left_out_when_the_repeat_weight_is_zero() -> None:
    never = learn(visits(*[(1, 2)] * 5), chosen=KnnSettings(repeat_weight=0))
    assert ask(never, 1, 2) == []
    assert ask(never, 0, 1) == ["p2"]
    likely = learn(visits(*[(1, 2)] * 5), chosen=KnnSettings(repeat_weight=5))
    assert ask(likely, 2, 1)[0] == "p1"


def test_a_row_lists_each_item_once_best_first() -> None:
    rng = np.random.default_rng(3)
    index = learn([(int(p), int(s), i, VIEW) for i, (p, s) in enumerate(rng.integers(1, 30, (400, 2)))])
    rows, scores = index.recommend(rng.choice(index.hashes, (64, 6)), 10)
    assert (np.diff(scores, axis=1) <= 0).all()
    assert (scores[rows >= 0] > 0).all()
    assert (scores[rows < 0] == 0).all()
    assert all(len(set(row[row >= 0])) == (row >= 0).sum() for row in rows)


def test_alone_equals_in_a_batch_and_padding_changes_nothing() -> None:
    rng = np.random.default_rng(4)
    index = learn([(int(p), int(s), i, VIEW) for i, (p, s) in enumerate(rng.integers(1, 30, (400, 2)))])
    recent = rng.choice(index.hashes, (32, 4))
    rows, scores = index.recommend(recent, 10)
    for number in range(32):
        padded = np.concatenate([np.zeros(3, np.uint64), recent[number]])[None]
        alone_rows, alone_scores = index.recommend(padded, 10)
        np.testing.assert_array_equal(alone_rows[0], rows[number])
        np.testing.assert_array_equal(alone_scores[0], scores[number])


def test_an_empty_index_recommends_nothing() -> None:
    index = ItemIndex(SMALL)
    rows, scores = index.recommend(np.ones((2, 3), np.uint64), 4)
    assert rows.tolist() == [[-1] * 4] * 2
    assert not scores.any()
    assert (len(index), index.position) == (0, 0)
    assert index.recommend(np.ones((0, 3), np.uint64), 4)[0].shape == (0, 4)


def test_the_least_popular_items_make_way() -> None:
    favourites = visits((1, 2)) * 20
    crowd = [(100 + i, 1000 + i, i, VIEW) for i in range(200)]
    index = learn(favourites + crowd)
    assert len(index) <= SMALL.max_items
    assert {"p1", "p2"} <= set(index.products)
    assert "p2" in ask(index, 1, k=2)
    np.testing.assert_array_equal(index.rows(index.hashes), np.arange(len(index)))


def test_years_of_weights_stay_finite() -> None:
    day_s = 86_400
    index = learn([(1 + i % 3, i % 5, i * 7 * day_s, VIEW) for i in range(600)])
    rows, scores = index.recommend(np.array([[hash_of(1)]], np.uint64), 3)
    assert np.isfinite(scores).all()
    assert (rows[0] >= 0).all()
    assert index.knn._memory.popularity.max() < 1e9


def test_an_early_event_that_is_far_too_old_harms_nothing() -> None:
    ancient = [(9, 9, -(10**9), VIEW)]
    index = learn(ancient + visits(*[(1, 2)] * 5))
    assert "p2" in ask(index, 1, k=2)


def test_the_position_is_the_offset_after_the_last_record_and_only_grows() -> None:
    index = ItemIndex(SMALL)
    index.append(7, activity(visits((1, 2))))
    assert index.position == 8
    with pytest.raises(ValueError, match="backwards"):
        index.append(7, activity(visits((1, 2))))


def test_where_little_is_known_the_category_comes_before_the_rest() -> None:
    index = learn(visits((3,), (3,), (3,), (5,), (5,), (2,), (2,), (2,), (2,), (7,)))  # even and odd are two categories
    assert ask(index, 7) == ["p7", "p3", "p5"]
    unknown = np.array([[hash_of(99)]], np.uint64)
    odd, even = (np.array([hash_of(1000 + rest)], np.uint64) for rest in (1, 0))
    assert index.products[index.recommend(unknown, 3, category=odd)[0][0]].tolist() == ["p3", "p5", "p7"]
    assert index.products[index.recommend(unknown, 2, category=even)[0][0]].tolist() == ["p2", "p3"]
    stranger = np.array([77], np.uint64)
    assert index.products[index.recommend(unknown, 2, category=stranger)[0][0]].tolist() == ["p2", "p3"]


def test_a_record_survives_encoding_and_actions_without_meaning_are_left_out() -> None:
    code = strength_codes(["impression", "view", "purchase", "search"])
    assert code.tolist() == [0, VIEW, PURCHASE, 0]
    record = activity([(1, 5, 0, 0), (2, 5, 1, VIEW), (3, 6, 2, PURCHASE), (2, 6, 3, VIEW)])
    again = ItemActivity.decode(record.encode())
    assert len(again) == 3
    assert sorted(again.products) == ["p2", "p3"]
    for name in ("hashes", "item", "session", "event_time_ms", "strength", "category"):
        np.testing.assert_array_equal(getattr(again, name), getattr(record, name))


def test_a_record_of_the_first_version_has_no_categories() -> None:
    record = activity(visits((1, 2)))
    old = msgspec.msgpack.decode(record.encode())
    again = ItemActivity.decode(msgspec.msgpack.encode([1, *old[1:7]]))
    assert again.products == record.products
    assert not again.category.any()
    with pytest.raises(ValueError, match="version 9"):
        ItemActivity.decode(msgspec.msgpack.encode([9, *old[1:]]))


@pytest.mark.parametrize(
    "change",
    [{"strength": np.full(2, 200, np.uint8)}, {"item": np.full(2, 9, np.uint32)}, {"products": ["a"]}],
)
def test_a_record_that_does_not_fit_itself_is_refused(change: dict[str, object]) -> None:
    record = activity(visits((1, 2)))
    broken = ItemActivity(**{**record.__dict__, **change})
    with pytest.raises(ValueError, match="do not fit"):
        ItemActivity.decode(broken.encode())
