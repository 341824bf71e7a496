"""The published session kNN against the same told in plain Python, case by case."""

import math
from collections import defaultdict

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion.published_knn import PUBLISHED, Neighbors, Rule, fading, from_first, from_last, same
from tests.fusion.test_sessions import sessions_of

ITEMS = 9
lists = st.lists(st.lists(st.integers(0, ITEMS), min_size=1, max_size=6), min_size=1, max_size=12)
rules = st.builds(
    Rule,
    neighbors=st.integers(1, 4),
    sample=st.integers(1, 6),
    own=st.sampled_from([same, from_first, fading(1.3)]),
    latest=st.sampled_from([same, from_last]),
    apart=st.sampled_from([np.inf, 0.9]),
    cosine=st.booleans(),
    rarity=st.sampled_from([0.0, 2.0]),
)


def scores(known: list[list[int]], prefix: list[int], rule: Rule) -> dict[int, float]:
    """Of every item that similar sessions hold."""
    length = np.array(float(len(prefix)))
    last = {item: place for place, item in enumerate(prefix) if item}
    weight = {item: float(rule.own(np.array(place + 1.0), length)) for item, place in last.items()}
    near = [number for number, row in enumerate(known) if last.keys() & set(row)][-rule.sample :]
    similar = {}
    for number in near:
        shared = sum(weight[item] for item in last.keys() & set(known[number]))
        whole = (
            math.sqrt(sum(one**2 for one in weight.values()) * len(set(known[number]))) if rule.cosine else len(last)
        )
        similar[number] = shared / whole
    total: dict[int, float] = defaultdict(float)
    visits = np.bincount([item for row in known for item in row], minlength=ITEMS + 1)
    for number in sorted(near, key=lambda number: (-similar[number], -number))[: rule.neighbors]:
        places = {item: place for place, item in enumerate(known[number]) if item}
        newest = max((last[item], item) for item in last.keys() & places.keys())[1]
        counts = float(rule.latest(np.array(last[newest] + 1.0), length))
        for item, place in places.items():
            fade = math.exp(-abs(place - places[newest]) / rule.apart)
            rare = 1 + rule.rarity * math.log(len(known) / visits[item])
            total[item] += similar[number] * counts * fade * rare
    return total


@settings(max_examples=200, deadline=None)
@given(lists, lists, rules)
def test_it_answers_as_the_papers_say(known: list[list[int]], asked: list[list[int]], rule: Rule) -> None:
    found = Neighbors(sessions_of(known), ITEMS).best(sessions_of(asked), ITEMS, rule)
    for prefix, row in zip(asked, found.tolist(), strict=True):
        expected = scores(known, prefix, rule)
        answered = [item for item in row if item]
        assert sorted(answered) == sorted(item for item, score in expected.items() if score)
        said = [expected[item] for item in answered]
        np.testing.assert_allclose(said, sorted(said, reverse=True), rtol=1e-9)


def test_similarities_that_tie_are_settled_for_the_newer_session() -> None:
    known = [[1, 2], [1, 3], [1, 4]]
    found = Neighbors(sessions_of(known), ITEMS).best(sessions_of([[1]]), 9, Rule(neighbors=2))
    assert found[0].tolist() == [1, 4, 3, 0, 0, 0, 0, 0, 0]


def test_every_kind_has_rules_of_its_own() -> None:
    assert {name: len(set(map(repr, found))) for name, found in PUBLISHED.items()} == {
        name: len(found) for name, found in PUBLISHED.items()
    }
