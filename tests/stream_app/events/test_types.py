"""What each event type writes into which column."""

import numpy as np
import pytest

from stream_app.events import ACTIONS, EVENT_TYPES, PLATFORMS, EventBatch
from stream_app.events.click import Click
from stream_app.events.hashing import hash64
from stream_app.events.properties import properties
from tests.stream_app.events.samples import JPEG, PNG, REQUIRED, T0, WEBP, base64_of, decoded, event, raw


def action(batch: EventBatch) -> str:
    return ACTIONS[int(batch.action[0])]


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_the_envelope_fills_its_columns(event_type: str) -> None:
    batch = event(event_type)
    assert list(EVENT_TYPES)[batch.topic[0]] == event_type
    assert batch.event_time_ms[0] == T0 + 345
    assert batch.identity[0] == hash64("web-shop\0e-1")
    assert (batch.user[0], batch.event_id[0], batch.source[0]) == (b"user-1", "e-1", "web-shop")
    assert batch.session_id[0] == "s-1"
    assert PLATFORMS[batch.platform[0]] == "ios"
    assert not batch.partial[0]


def test_without_a_source_the_identity_is_that_of_the_bare_event_id() -> None:
    batch = event("clicks", source=None)
    assert batch.identity[0] == hash64("\0e-1")
    assert batch.source[0] is None


@pytest.mark.parametrize("platform", [None, "", "other", "fridge", "WEB"])
def test_a_platform_that_is_not_known_is_other(platform: str | None) -> None:
    assert PLATFORMS[event("clicks", platform=platform).platform[0]] == "other"


@pytest.mark.parametrize("name", Click.actions)
def test_each_click_action_has_its_code(name: str) -> None:
    assert action(event("clicks", action=name)) == name


def test_a_click_fills_its_columns() -> None:
    batch = event("clicks")
    assert (batch.product[0], batch.item[0]) == ("sku-1", hash64("sku-1"))
    assert (batch.category[0], batch.brand[0]) == (hash64("shoes"), hash64("acme"))
    assert batch.price[0] == 59.9
    assert batch.currency[0] == int.from_bytes(b"EUR\0", "little")
    assert (batch.quantity[0], batch.position[0], batch.dwell_ms[0]) == (2, 3, 1234)
    assert batch.image[0] == PNG
    assert batch.text[0] is None


def test_a_search_fills_its_columns() -> None:
    batch = event("searches")
    assert action(batch) == "search"
    assert batch.text[0] == "Red   SHOES"
    assert batch.query_hash[0] == hash64("red shoes") == event("searches", query="rED\tshoes ").query_hash[0]
    assert batch.total_results[0] == 0
    assert batch.image[0].dtype == np.float32
    assert batch.image[0].tolist() == [0.5, -1, 2000]
    assert batch.item[0] == 0


def test_a_blank_query_says_nothing() -> None:
    batch = event("searches", query="  ")
    assert (batch.text[0], batch.query_hash[0]) == (None, 0)


@pytest.mark.parametrize(
    ("title", "body", "text"),
    [
        ("Good", "Fits.", "Good\nFits."),
        ("Good", None, "Good"),
        (None, "Fits.", "Fits."),
        (" ", " Fits. ", "Fits."),
        (None, None, None),
        ("", "", None),
    ],
)
def test_a_review_says_title_and_body(title: str | None, body: str | None, text: str | None) -> None:
    assert event("reviews", title=title, review_body=body).text[0] == text


def test_a_review_fills_its_columns() -> None:
    batch = event("reviews")
    assert action(batch) == "review"
    assert (batch.product[0], batch.item[0]) == ("sku-1", hash64("sku-1"))
    assert batch.rating[0] == np.float32(4.5)
    assert batch.language[0] == "en"
    assert batch.image[0] == JPEG  # the first is only an address


@pytest.mark.parametrize(("rating", "stars"), [(1, 1), (5.0, 5), ("3", 3), ("5.0", 5), ("1.25", 1.25)])
def test_a_rating_may_be_a_number_or_a_numeric_string(rating: float | str, stars: float) -> None:
    assert event("reviews", rating=rating).rating[0] == stars


def test_a_transcript_fills_its_columns() -> None:
    batch = event("voice-transcripts")
    assert action(batch) == "voice"
    assert batch.text[0] == "where is my parcel"
    assert batch.confidence[0] == 0.5
    assert batch.word_confidence[0].dtype == np.float32
    assert batch.word_confidence[0].tolist() == [0.25, 0.5]  # a word without one has the transcript's
    assert batch.language[0] == "en"
    unsure = event("voice-transcripts", confidence=None, words=[{"word": "hm"}])
    assert unsure.word_confidence[0].tolist() == [1]
    assert np.isnan(unsure.confidence[0])


def test_a_transcript_that_is_not_final_is_partial() -> None:
    assert event("voice-transcripts", is_final=False).partial[0]


@pytest.mark.parametrize("role", ["agent", "system"])
def test_what_others_say_is_not_the_customers_text(role: str) -> None:
    batch = event("voice-transcripts", participant_role=role)
    assert (batch.text[0], batch.word_confidence[0]) == (None, None)
    assert np.isnan(batch.confidence[0])


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_what_is_absent_has_the_documented_value(event_type: str) -> None:
    batch = decoded(
        event_type, raw({k: v for k, v in REQUIRED[event_type].items() if k != "rating"} | {"review_body": ""})
    )
    assert isinstance(batch, EventBatch)
    for name in ("category", "brand", "currency", "position", "dwell_ms"):
        assert getattr(batch, name)[0] == 0
    assert (batch.quantity[0], batch.total_results[0]) == (1, -1)
    assert all(np.isnan(column[0]) for column in (batch.price, batch.rating, batch.confidence))
    assert [column[0] for column in (batch.image, batch.word_confidence, batch.language, batch.session_id)] == [
        None
    ] * 4


@pytest.mark.parametrize("data", [PNG, JPEG, WEBP])
def test_pictures_of_the_three_kinds_are_kept_as_bytes(data: bytes) -> None:
    assert event("clicks", image={"data": base64_of(data), "url": None}).image[0] == data


def test_an_address_is_accepted_and_never_an_image() -> None:
    assert event("clicks", image={"url": "https://example.org/1.jpg"}).image[0] is None


def test_properties_hold_what_the_type_does_not_know() -> None:
    value = raw(REQUIRED["clicks"] | {"colour": "red", "properties": {"campaign": "spring"}})
    assert properties(Click, value) == {"colour": "red", "campaign": "spring"}
    assert properties(Click, raw(REQUIRED["clicks"])) == {}
    assert properties(Click, raw(REQUIRED["clicks"] | {"properties": [1]})) == {"properties": [1]}
    huge = raw(REQUIRED["clicks"])[:-1] + b', "n": ' + b"9" * 5000 + b', "x": 1e999}'
    assert isinstance(decoded("clicks", huge), EventBatch)
    assert properties(Click, huge) == {"n": float("inf"), "x": float("inf")}
