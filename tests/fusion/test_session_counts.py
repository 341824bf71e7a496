"""Counting baselines against counting by hand."""

import numpy as np

from fusion.session_counts import Habits, Successions, Transitions, item_knn, popularity, session_popular
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


def test_what_follows_two_items_in_a_row() -> None:
    rows = Successions.of(SESSIONS, 4)
    first, second = np.array([[1], [2], [4], [0]]), np.array([[2], [1], [1], [1]])
    count, of = rows.after(first, second, np.array([[3, 4, 1]] * 4))
    assert count.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert of.ravel().tolist() == [2, 0, 0, 0]
    empty = Successions.of(Sessions(np.array([1, 2]), np.array([0, 2])), 4)
    assert not empty.after(first, second, first)[0].any()


def test_habits_are_shares_of_sessions_and_visits() -> None:
    habits = Habits.of(Sessions(np.array([1, 2, 1, 1, 3]), np.array([0, 3, 3, 5])), 3)
    np.testing.assert_allclose(np.exp(habits.again[1:]), [1.1 / 4, 0.1 / 3, 0.1 / 3], rtol=1e-6)
    np.testing.assert_allclose(np.exp(habits.ends[1:]), [1.2 / 5, 0.2 / 3, 1.2 / 3], rtol=1e-6)
    np.testing.assert_allclose(np.exp(habits.begins[1:]), [2.2 / 5, 0.2 / 3, 0.2 / 3], rtol=1e-6)
