"""Few or many products of a window: what went in comes out, wherever it lies."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.state.products import Products
from stream_app.state.settings import StateSettings
from stream_app.state.window_table import WindowTable
from stream_app.state.windows import SKETCH

VISITS = st.lists(st.tuples(st.integers(0, 4), st.integers(1, 150)), max_size=400)


@settings(max_examples=60, deadline=None)
@given(VISITS, st.integers(1, 50))
def test_a_window_holds_its_products_or_the_smallest(visits: list[tuple[int, int]], size: int) -> None:
    table = WindowTable(StateSettings(), capacity=5)
    windows = table.allocate(5)
    seen: dict[int, set[int]] = {int(window): set() for window in windows}
    for turn in range(2):  # the second time in rows that were used before
        for first in range(0, len(visits), size):
            part = visits[first : first + size]
            table.add_products(
                np.array([at for at, _ in part], np.int64), np.array([item for _, item in part], np.uint64)
            )
            for at, item in part:
                seen[at].add(item)
        for window, items in seen.items():
            count = int(table.rows["product_count"][window])
            assert count == min(len(items), SKETCH + 1)
            assert sorted(table.products.of(window, count).tolist()) == sorted(items)[:SKETCH]
        counts = np.minimum(table.rows["product_count"][windows], SKETCH)
        flat = table.products.flat(windows, counts)
        copy = Products(5)
        copy.load(windows, counts, flat)
        assert copy.flat(windows, counts).tolist() == flat.tolist()
        assert len(flat) == counts.sum()
        if not turn:
            table.release(windows)
            assert sorted(table.allocate(5).tolist()) == windows.tolist()
            seen = {window: set() for window in seen}
