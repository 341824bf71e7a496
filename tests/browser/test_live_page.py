"""The live page in a real Chromium: events appear, nothing fails, it fits every screen."""

import asyncio
import base64
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from pydantic import SecretStr
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from stream_app.insights.part import Cell, Part
from stream_app.metrics import Metrics
from stream_app.outputs.engagement import Window
from stream_app.producers.catalogue import Catalogue
from stream_app.producers.pictures import picture
from stream_app.records import OutputRecord
from stream_app.settings import Web
from stream_app.web import Live, Status, WebServer
from stream_app.web.thread import WebThread

pytestmark = pytest.mark.browser

CATALOGUE = Catalogue(size=60, seed=1)
SOLD: dict[str, dict[str, Any]] = {
    f"p{n}": {"title": product.title(), "price": product.price, "currency": "USD", "photo": f"/v1/photos/p{n}"}
    for n, product in enumerate(CATALOGUE.products)
    if n != 3  # one that the catalogue does not name
}
PHOTOS = {
    f"p{n}": base64.b64decode(picture(product.category, product.colour))
    for n, product in enumerate(CATALOGUE.products[:24])
}


def aggregates() -> list[Part]:
    """What a busy hour gives."""
    hour = Window("tumbling", "2024-05-01T12:00:00.000Z", "2024-05-01T13:00:00.000Z", False)
    cells = {
        "funnel": [Cell("seen", 800, 800), Cell("looked", 620, 620), Cell("carted", 140, 140), Cell("bought", 52, 52)],
        "trending_items": [Cell(f"p{n}", 90 - n, 100) for n in range(8)],
        "trending_queries": [Cell("lamp", 40, 50), Cell("跑步鞋", 30, 31)],
        "category_sentiment": [Cell("shoes", 9, 9, 0.41), Cell("lamps", 7, 8, -0.62)],
        "segments": [Cell("loyal", 300, 300), Cell("window shoppers", 120, 120)],
    }
    return [Part(metric, hour, None, 5, 1.0, 0, rows) for metric, rows in cells.items()]


class Desk:
    """Knows every shopper."""

    async def user(self, user: str) -> Mapping[str, Any] | None:
        steps = [
            {"action": action, "product": "p1", "event_time_ms": 10**12 + at}
            for at, action in enumerate(["view", "search"])
        ]
        window = {
            "type": "session",
            "engagement_score": 27.5,
            "funnel_step": "looked",
            "next_best_action": "make_offer",
        }
        made = prediction(random.Random(2), user).value or b""
        shares = orjson.loads(made)["modalities"]
        why = {"signals": {"hot_lead": "About to buy.\n\nExample: a sofa."}, "modalities": shares}
        found = {"events": 2, "first_seen_ms": 0, "last_seen_ms": 1, "history": steps, "windows": [window]}
        return {**found, "why": why, "predictions": [made]}

    async def recommendations(self, user: str) -> Mapping[str, Any] | None:
        return None

    def insights(self, metric: str | None = None, windows: int = 1, top: int = 20) -> list[Part]:
        return aggregates()

    def items(self, products: Sequence[str]) -> list[dict[str, Any]]:
        return [{"product_id": product, **SOLD.get(product, {})} for product in products]

    async def photo(self, product: str) -> bytes | None:
        return PHOTOS.get(product)

    def owner(self, user: str) -> str | None:
        return None


class Shop:
    """The parts a worker would hold, served on a free port."""

    def __init__(self, settings: Web) -> None:
        self.metrics = Metrics(signals=("hot_lead", "cart_abandoned"))
        self.status = Status(self.metrics)
        self.live = Live(self.metrics, self.status)
        self.live.insights = aggregates
        self.server = WebServer(settings, self.metrics, self.status, self.live, answers=Desk())
        self._web = WebThread(self.server)
        asyncio.run(self._web.start())

    def stop(self) -> None:
        asyncio.run(self._web.stop())


@pytest.fixture
def shop(chromium: Chrome) -> Iterator[Shop]:
    shop = Shop(Web(port=0))
    yield shop
    chromium.get("about:blank")  # nobody watches when it closes
    shop.stop()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where screenshots go: the folder PICTURES_DIR, or one that is thrown away."""
    folder = Path(os.environ.get("PICTURES_DIR", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def prediction(dice: random.Random, user: str) -> OutputRecord:
    parts = {"behavior": dice.uniform(0.3, 0.7)}
    parts |= {name: dice.uniform(0.05, 0.4) for name in ("text", "voice", "image") if dice.random() < 0.5}
    body = {
        "user_id": user,
        "outputs": {
            "purchase": {"score": dice.betavariate(1.2, 3)},
            "churn": {"score": dice.random()},
            "next_action": {"label": dice.choice(["view", "add_to_cart", "purchase", "search"])},
            "sentiment": {"label": dice.choice(["positive", "neutral", "negative"])},
            "recommendations": [
                {"product_id": f"p{dice.randrange(24)}", "score": 0.1, "rank": at} for at in range(1, 6)
            ],
            "segment": {"id": 3, "label": dice.choice(["bargain hunters", "loyal", "window shoppers"])},
        },
        "cold_start": False,
        "modalities": {name: share / sum(parts.values()) for name, share in parts.items()},
    }
    return OutputRecord("behavior.predictions", b"", orjson.dumps(body))


def engagement(user: str, signal: str) -> OutputRecord:
    body = {"user_id": user, "window": {"type": "session", "start": 0}, "signals": [signal]}
    return OutputRecord("behavior.engagement", b"", orjson.dumps(body))


def batch(shop: Shop, dice: random.Random, scale: int = 100) -> None:
    """One committed batch of all four types."""
    types = zip(("clicks", "searches", "reviews", "voice-transcripts"), (60, 22, 9, 5), strict=True)
    consumed = {topic: int(dice.uniform(0.7, 1.3) * share * scale / 100) for topic, share in types}
    late, bad = consumed["clicks"] // 40, consumed["reviews"] // 20
    predicted = sum(consumed.values()) - late - bad
    verdicts = {(topic, "predicted"): n for topic, n in consumed.items()}
    verdicts[("clicks", "predicted")] -= late
    verdicts[("reviews", "predicted")] -= bad
    verdicts |= {("clicks", "late"): late, ("reviews", "dead_lettered"): bad}
    shop.metrics.observe_batch(
        consumed=consumed,
        verdicts=verdicts,
        arrival_ms=1_700_000_000_000 - np.array([int(dice.expovariate(1 / 18)) for _ in range(predicted)]),
        committed_ms=1_700_000_000_008,
    )
    if shop.live.watched:
        outputs = [prediction(dice, f"user-{dice.randrange(500)}") for _ in range(4)]
        if dice.random() < 0.4:
            signals = ["hot_lead", "cart_abandoned", "churn_risk", "negative_sentiment", "bot_suspected"]
            outputs.append(engagement(f"user-{dice.randrange(500)}", dice.choice(signals)))
        shop.live.feed(outputs)


def console(chromium: Chrome) -> list[dict[str, Any]]:
    """What the page said since the last call."""
    return list(chromium.get_log("browser"))  # type: ignore[no-untyped-call]


def open_page(chromium: Chrome, shop: Shop) -> None:
    console(chromium)  # what earlier pages said
    chromium.get(shop.server.url)


def until(chromium: Chrome, condition: Callable[[], Any]) -> None:
    WebDriverWait(chromium, 60, poll_frequency=0.05).until(lambda _: condition())


def text(chromium: Chrome, selector: str) -> str:
    return str(chromium.execute_script(f"return document.querySelector('{selector}').textContent"))


def painted(chromium: Chrome, selector: str) -> int:
    """Photos that are drawn."""
    script = "return [...document.querySelectorAll(arguments[0])].filter((i) => i.naturalWidth > 0).length"
    return int(chromium.execute_script(script, f"{selector} img"))


def no_console_error(chromium: Chrome) -> None:
    assert [entry for entry in console(chromium) if entry["level"] in ("SEVERE", "WARNING")] == []


def scheme(chromium: Chrome, value: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": value}]
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def size(chromium: Chrome, width: int, height: int) -> None:
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def test_an_empty_shop_is_shown_without_an_error(chromium: Chrome, shop: Shop, pictures: Path) -> None:
    size(chromium, 1280, 860)
    open_page(chromium, shop)
    until(chromium, lambda: "waiting for the first assignment" in text(chromium, "#status"))
    assert text(chromium, "#events-rate") == "0"
    assert chromium.find_element(By.ID, "no-predictions").is_displayed()
    chromium.save_screenshot(str(pictures / "empty.png"))
    no_console_error(chromium)


def test_an_event_appears_on_the_open_page(chromium: Chrome, shop: Shop) -> None:
    shop.status.assign([])
    open_page(chromium, shop)
    until(chromium, lambda: text(chromium, "#status") == "Ready")
    until(chromium, lambda: shop.live.watched)
    shop.metrics.observe_batch(
        consumed={"searches": 1},
        verdicts={("searches", "predicted"): 1},
        arrival_ms=np.array([1_700_000_000_000]),
        committed_ms=1_700_000_000_020,
    )
    shop.live.feed([prediction(random.Random(1), "ann"), engagement("ann", "hot_lead")])
    until(chromium, lambda: text(chromium, "#signals").startswith("hot lead"))
    until(chromium, lambda: text(chromium, "#types tr:nth-child(2) td:last-child") == "1")
    assert "behavior" in text(chromium, "#predictions tbody")
    assert "ann" not in text(chromium, "main").replace("abandoned", "")
    no_console_error(chromium)


def test_lists_can_be_paused_by_keyboard(chromium: Chrome, shop: Shop) -> None:
    open_page(chromium, shop)
    until(chromium, lambda: shop.live.watched)
    shop.live.feed([engagement("ann", "hot_lead")])
    until(chromium, lambda: "hot lead" in text(chromium, "#signals"))
    chromium.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    assert chromium.switch_to.active_element.get_attribute("id") == "pause"
    chromium.switch_to.active_element.send_keys(Keys.SPACE)
    assert chromium.find_element(By.ID, "pause").get_attribute("aria-pressed") == "true"
    shop.live.feed([engagement("bob", "churn_risk")])
    shop.metrics.observe_batch(consumed={"clicks": 9}, verdicts={}, arrival_ms=np.zeros(0, np.int64), committed_ms=0)
    until(chromium, lambda: text(chromium, "#types tr:nth-child(1) td:last-child") == "9")
    assert "churn risk" not in text(chromium, "#signals")
    chromium.switch_to.active_element.send_keys(Keys.SPACE)
    until(chromium, lambda: "churn risk" in text(chromium, "#signals"))


def test_a_prediction_leads_to_the_journey_and_back_by_keyboard(chromium: Chrome, shop: Shop, pictures: Path) -> None:
    size(chromium, 1280, 1000)
    open_page(chromium, shop)
    until(chromium, lambda: shop.live.watched)
    shop.live.feed([prediction(random.Random(1), "ann")])
    until(chromium, lambda: chromium.find_elements(By.CSS_SELECTOR, "#predictions button"))
    opener = chromium.find_element(By.CSS_SELECTOR, "#predictions button")
    opener.send_keys(Keys.ENTER)
    until(chromium, lambda: "About to buy." in text(chromium, "#journey-body"))
    assert "search" in text(chromium, "#journey-body .steps li")  # newest first
    assert "behavior" in text(chromium, "#journey-body .words")
    assert "ann" not in text(chromium, "#journey-title")
    until(chromium, lambda: painted(chromium, "#journey-body") > 0)
    chromium.save_screenshot(str(pictures / "journey.png"))
    chromium.switch_to.active_element.send_keys(Keys.ESCAPE)
    until(chromium, lambda: not chromium.find_element(By.ID, "journey").is_displayed())
    no_console_error(chromium)


def test_aggregates_and_the_map_are_drawn(chromium: Chrome, shop: Shop) -> None:
    open_page(chromium, shop)
    until(chromium, lambda: shop.live.watched)
    shop.live.feed([prediction(random.Random(at), f"u{at}") for at in range(9)])
    until(chromium, lambda: len(chromium.find_elements(By.CSS_SELECTOR, "#map circle:not(.ring)")) == 9)
    until(chromium, lambda: painted(chromium, "#items") == 7)
    assert SOLD["p0"]["title"] in text(chromium, "#items")
    assert "p3" in text(chromium, "#items")  # by its id where the catalogue does not name it
    assert "$" in text(chromium, "#items .price")
    assert painted(chromium, "#predictions") > 0
    assert "filled the cart" in text(chromium, "#funnel")
    assert "跑步鞋" in text(chromium, "#queries")
    assert "-0.62" in text(chromium, "#mood")
    assert "window shoppers" in text(chromium, "#segments")
    no_console_error(chromium)


def test_a_page_that_lost_its_worker_says_so(chromium: Chrome) -> None:
    shop = Shop(Web(port=0))
    open_page(chromium, shop)
    until(chromium, lambda: shop.live.watched)
    shop.stop()
    until(chromium, lambda: "Disconnected" in text(chromium, "#status"))


def test_a_guarded_worker_is_watched_after_its_token_is_given(chromium: Chrome) -> None:
    shop = Shop(Web(port=0, token=SecretStr("secret")))
    open_page(chromium, shop)
    field = chromium.find_element(By.ID, "token")
    until(chromium, field.is_displayed)
    field.send_keys("secret", Keys.ENTER)
    until(chromium, lambda: shop.live.watched)
    until(chromium, lambda: not field.is_displayed())
    shop.stop()


@pytest.mark.parametrize(
    ("name", "colours", "width", "height"),
    [
        ("light", "light", 1280, 1700),
        ("dark", "dark", 1280, 1700),
        ("phone", "light", 390, 3600),
        ("tablet", "dark", 820, 2100),
    ],
)
def test_it_fits_and_works_under_load(
    chromium: Chrome, shop: Shop, pictures: Path, name: str, colours: str, width: int, height: int
) -> None:
    dice = random.Random(7)
    shop.status.assign([])
    shop.metrics.set_model(name="fused", version="1", digest="0" * 8)
    scheme(chromium, colours)
    size(chromium, width, height)
    open_page(chromium, shop)
    end_s = time.monotonic() + float(8 if name in ("light", "phone") else 4)
    while time.monotonic() < end_s:
        batch(shop, dice, scale=300)
        time.sleep(0.1)
    until(chromium, lambda: chromium.find_elements(By.CSS_SELECTOR, "#predictions tbody tr"))
    assert chromium.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    assert chromium.execute_script("return document.querySelectorAll('#chart path').length") == 4
    chromium.save_screenshot(str(pictures / f"{name}.png"))
    no_console_error(chromium)
