from hypothesis import given
from hypothesis import strategies as st

from stream_app.transport.assignor import share

members = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3), st.sets(st.integers(0, 30)), min_size=1, max_size=8
)


@given(members, st.integers(1, 30))
def test_every_number_has_one_owner_and_counts_differ_by_one_at_most(owned: dict[str, set[int]], count: int) -> None:
    shares = share(range(count), owned)

    assert sorted(number for held in shares.values() for number in held) == list(range(count))
    sizes = [len(held) for held in shares.values()]
    assert max(sizes) - min(sizes) <= 1


@given(st.integers(1, 8), st.integers(1, 30))
def test_nothing_moves_while_nobody_comes_or_goes(workers: int, count: int) -> None:
    before = share(range(count), {f"w{i}": [] for i in range(workers)})

    assert share(range(count), before) == before


def test_a_joining_worker_takes_only_its_share() -> None:
    before = share(range(6), {"a": [], "b": []})
    after = share(range(6), {**before, "c": []})

    for member in "ab":
        assert set(after[member]) <= set(before[member])
    assert len(after["c"]) == 2
