"""The catalogue in memory: bounded, and what people look at stays."""

from stream_app.catalogue.item import Item
from stream_app.catalogue.shelf import Shelf
from stream_app.events.image import Image

PICTURED = Item(title="a", image=Image(data=b"\xff\xd8\xff"))


def test_the_newest_record_holds_and_a_tombstone_removes() -> None:
    shelf = Shelf(9, 9)
    shelf.put("p", Item(title="old", image=Image(url="https://shop.example/p")), (0, 1))
    shelf.put("p", PICTURED, (0, 2))
    listing = shelf.get("p")
    assert listing is not None
    assert (listing.title, listing.place, listing.pictured) == ("a", (0, 2), True)
    shelf.put("p", None, (0, 3))
    assert shelf.get("p") is None
    shelf.put("p", None, (0, 4))
    assert len(shelf) == 0


def test_an_address_is_no_photo_and_an_old_photo_is_not_the_new_ones() -> None:
    shelf = Shelf(9, 9)
    shelf.put("p", Item(image=Image(url="https://shop.example/p")), (0, 1))
    listing = shelf.get("p")
    assert listing is not None
    assert not listing.pictured
    shelf.keep("p", (0, 1), b"photo")
    assert shelf.photo("p", (0, 1)) == b"photo"
    assert shelf.photo("p", (0, 2)) is None


def test_it_is_bounded_and_what_is_looked_at_stays() -> None:
    shelf = Shelf(3, 2)
    for number in range(3):
        shelf.put(f"p{number}", PICTURED, (0, number))
    for number in range(2):
        shelf.keep(f"p{number}", (0, number), b"photo")
    shelf.touch(["p0", "nobody"])
    shelf.put("p3", PICTURED, (0, 3))
    shelf.keep("p3", (0, 3), b"photo")
    assert [number for number in range(4) if shelf.get(f"p{number}")] == [0, 2, 3]
    assert [number for number in range(4) if shelf.photo(f"p{number}", (0, number))] == [0, 3]
    assert len(shelf) == 3
