"""Parts of several tasks add up, and nothing small comes out."""

from __future__ import annotations

from stream_app.insights.part import Cell, Part, merge
from stream_app.outputs.engagement import Window

NOON = Window("tumbling", "2024-05-01T12:00:00.000Z", "2024-05-01T13:00:00.000Z", True)
ONE = Window("tumbling", "2024-05-01T13:00:00.000Z", "2024-05-01T14:00:00.000Z", True)


def part(partition: int, *cells: Cell, metric: str = "trending_items", window: Window = NOON) -> Part:
    return Part(metric, window, partition, 5, 1.0, 1, list(cells))


def test_parts_of_one_window_add_up_and_the_largest_comes_first() -> None:
    parts = [part(0, Cell("a", 9, 20), Cell("b", 6, 6)), part(1, Cell("b", 5, 7)), part(1, window=ONE)]
    newest, merged = merge(parts)
    assert (newest.window, newest.cells) == (ONE, [])
    assert merged.cells == [Cell("b", 11, 13), Cell("a", 9, 20)]
    assert (merged.partition, merged.withheld) == (None, 2)


def test_means_are_weighted_by_opinions() -> None:
    mood = [part(n, Cell("shoes", 5, n + 1, float(n)), metric="category_sentiment") for n in (0, 1)]
    assert merge(mood)[0].cells == [Cell("shoes", 10, 3, 0.6667)]


def test_a_funnel_keeps_its_order() -> None:
    funnel = [
        part(0, Cell("seen", 5, 5), metric="funnel"),
        part(1, Cell("seen", 5, 5), Cell("looked", 9, 9), metric="funnel"),
    ]
    assert [cell.key for cell in merge(funnel)[0].cells] == ["seen", "looked"]


def test_the_order_of_parts_changes_nothing_and_the_longest_list_is_cut() -> None:
    parts = [part(n, *(Cell(f"p{n + k}", 5 + k, 9) for k in range(4))) for n in range(3)]
    assert merge(parts) == merge(parts[::-1])
    cut = merge(parts, top=2)[0]
    assert (len(cut.cells), cut.withheld) == (2, 3 + 4)
