"""Catalogues of the sources: every record is one that the worker reads, and names the products of the events."""

from itertools import islice
from pathlib import Path

from stream_app.catalogue.item import read
from stream_app.catalogue.photo import thumbnail
from stream_app.producers.items import items
from stream_app.producers.publish import Encoded
from stream_app.producers.replay import replay
from stream_app.producers.simulate import simulate
from stream_app.records import Record


def titles(encoded: list[Encoded]) -> dict[str, str | None]:
    """Title by product id; each has a photo."""
    found = {}
    for one in encoded:
        product, item = read(Record(one.topic, 0, 0, 0, one.key, one.value))
        assert item is not None
        assert item.image is not None
        found[product] = item.title
    return found


def test_the_invented_shop_has_a_title_and_a_picture_for_all_that_is_clicked() -> None:
    named = titles(list(items("simulator", None, seed=4)))
    clicked = {r["product_id"] for kind, r in simulate(users=20, seed=4, start_ms=0, events=300) if kind == "clicks"}
    assert clicked <= named.keys()
    assert all(named.values())


def test_a_picture_is_a_photo() -> None:
    for one in islice(items("simulator", None, seed=4), 48):
        item = read(Record(one.topic, 0, 0, 0, one.key, one.value))[1]
        assert item is not None
        assert item.image is not None
        assert thumbnail(item.image.data or b"") is not None


def test_the_composite_is_dressed_in_fashion(data_dir: Path) -> None:
    some = list(islice(items("composite", data_dir, seed=0), 200))
    clicked = [r["product_id"] for kind, r in replay("composite", data_dir, limit=50) if kind == "clicks"]
    assert {(one.key or b"").decode() for one in some} & set(clicked)
    assert all(one.value for one in some)


def test_other_sources_have_no_catalogue() -> None:
    assert list(items("slurp", None, seed=0)) == []
