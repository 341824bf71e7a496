"""Counting baselines against counting by hand."""

import numpy as np

from fusion.session_counts import Transitions, item_knn, popularity, session_popular
from fusion.sessions import Sessions

SESSIONS = Sessions(np.array([1, 2, 3, 1, 2, 4, 1, 2]), np.array([0, 3, 6, 8]))


def test_transitions_count_pairs_by_their_distance() -> None:
    near = Transitions.of(SESSIONS, 4, span=2, nearness=0.5)
    assert near.between(np.array([1, 1, 1, 2, 3, 0]), np.array([2, 3, 4, 4, 1, 1])).tolist() == [3, 0.5, 0.5, 1, 0, 0]


def test_what_a_session_saw_most_comes_first_then_the_popular() -> None:
    prefix = Sessions(np.array([4, 3, 4, 0, 0]), np.array([0, 3, 5]))
    assert session_popular(prefix, popularity(SESSIONS, 4), 3).tolist() == [[4, 3, 1], [1, 2, 3]]


def test_item_knn_names_what_shares_sessions_and_nothing_for_the_unknown() -> None:
    top = item_knn(SESSIONS, 4, np.array([1, 4, 0]), 3)
    assert top[0, 0] == 2
    assert set(top[1].tolist()) == {1, 2, 0}
    assert top[2].tolist() == [0, 0, 0]
