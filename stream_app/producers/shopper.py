"""One invented shopper, human or bot: sessions as contract records. Knows no other shopper and no arrival order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from math import exp
from random import Random
from typing import Any

from stream_app.producers import texts
from stream_app.producers.catalogue import CATEGORIES, LANGUAGES, Catalogue, Product
from stream_app.producers.personas import PERSONAS, STEPS, Persona, next_steps
from stream_app.producers.photos import VARIANTS, photo

HOUR_MS = 3_600_000
MAX_STEPS = 60
SOURCE = "simulator"

Emitted = tuple[int, str, dict[str, Any]]  # event time in ms, event type, record

_CURRENCY = {"en": ("USD", 1.0), "zh": ("CNY", 7.0), "es": ("EUR", 0.9), "de": ("EUR", 0.9)}
_PLATFORMS = {
    "en": ("web", "ios", "android", "store", "call_center"),
    "zh": ("mini_program", "android", "ios", "web"),
    "es": ("android", "web", "ios"),
    "de": ("web", "ios", "android"),
}


@dataclass(frozen=True)
class World:
    """What all shoppers share."""

    catalogue: Catalogue
    prefix: str  # of ids, so that two runs never share one
    images: bool
    voice_error_rate: float
    activity: float  # multiplies how often people come


class Shopper:
    """A person with tastes, a cart and a mood; `session` acts, `rest_ms` says when they return."""

    bot = False

    def __init__(self, world: World, number: int, seed: int) -> None:
        self.rng = rng = Random(f"{seed} shopper {number}")
        self.world = world
        self.persona: Persona = rng.choices(PERSONAS, [p.share for p in PERSONAS])[0]
        self.language = rng.choices(LANGUAGES, (0.55, 0.25, 0.1, 0.1))[0]
        self.user_id = f"u{rng.getrandbits(44):011x}"
        self.id_field = "anonymous_id" if rng.random() < 0.05 else "user_id"
        self.currency, self.rate = _CURRENCY[self.language]
        known = _PLATFORMS[self.language]
        self.platforms = rng.sample(known, rng.choices((1, 2, 3), (0.5, 0.35, 0.15))[0])
        self.home = [rng.randrange(len(CATEGORIES)) for _ in range(3)]
        self.brands = {world.catalogue.popular(rng, c).brand for c in self.home}
        self.mood = 0.7  # 0 gone for good … 1 delighted
        self.cart: list[Product] = []
        self.owned: list[Product] = []  # bought, not yet reviewed
        self._count = 0
        self._sessions = 0

    def rest_ms(self) -> int:
        """Time to the next session: longer for the disappointed."""
        if self.rng.random() < 0.25:
            hours = self.rng.uniform(0.7, 3)
        else:
            hours = 0.7 + self.rng.expovariate(self.persona.sessions_per_day / 24)
        return int(hours * HOUR_MS * exp(4 * max(0.6 - self.mood, 0)) / self.world.activity)

    def begin(self, at_ms: int, *, intent: bool) -> Iterator[Emitted]:
        """One session from `at_ms` on, in event-time order."""
        self._begin_session()
        rng, weights = self.rng, next_steps(self.persona, intent)
        self.at_ms, self.speed = at_ms, 1.5 if intent else 1.0
        self.product = self._pick()
        self.query_id: str | None = None
        self.position: int | None = None
        acts = {
            "view": self._view, "browse": self._browse, "search": self._search, "cart": self._cart,
            "wish": self._wish, "remove": self._remove, "buy": self._buy, "voice": self._voice,
        }  # fmt: skip
        for product in self.owned[-2:]:
            if rng.random() < self.persona.reviews:
                self.owned.remove(product)
                yield self._review(product)
        step = "start"
        for _ in range(MAX_STEPS):
            step = rng.choices(STEPS, cum_weights=weights[step])[0]
            if step == "exit":
                break
            if step in ("remove", "buy") and not self.cart:
                step = "view"
            yield from acts[step]()
        if rng.random() < 0.3:
            self.cart.clear()
        self.mood += (0.7 - self.mood) * 0.1

    def _begin_session(self) -> None:
        self._sessions += 1
        self.session_id = f"{self.world.prefix}{self.user_id[1:]}-{self._sessions:x}"
        self.platform = self.rng.choice(self.platforms)

    def _record(self, **fields: Any) -> dict[str, Any]:
        self._count += 1
        return {
            "event_id": f"{self.world.prefix}{self.user_id[1:]}.{self._count:x}",
            "event_time": self.at_ms,
            self.id_field: self.user_id,
            "source": SOURCE,
            "session_id": self.session_id,
            "platform": self.platform,
            **fields,
            "properties": {"simulated": True},
        }

    def _wait(self, median_s: float) -> int:
        """Lets a human-like time pass; returns it in ms."""
        wait_ms = int(self.rng.lognormvariate(0, 0.7) * median_s * 1000) + 80
        self.at_ms += wait_ms
        return wait_ms

    def _click(self, action: str, product: Product, **fields: Any) -> Emitted:
        record = self._record(
            action=action,
            product_id=product.product_id,
            category=CATEGORIES[product.category].words[0],
            brand=product.brand,
            price=round(product.price * self.rate, 2),
            currency=self.currency,
            **fields,
        )
        return self.at_ms, "clicks", record

    def _say(self, event_type: str, **fields: Any) -> Emitted:
        """A text event: its time is written as RFC 3339, a click's in milliseconds."""
        record = self._record(**fields)
        moment = datetime.fromtimestamp(self.at_ms / 1000, UTC)
        record["event_time"] = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        record["language"] = self.language
        return self.at_ms, event_type, record

    def _pick(self) -> Product:
        """What draws the eye next: a companion of the last product, a home category, what is popular."""
        rng, shop = self.rng, self.world.catalogue
        luck = rng.random()
        if luck < 0.5 and hasattr(self, "product"):
            return shop.companion(rng, self.product)
        category = rng.choice(self.home) if luck < 0.85 else None
        picks = [shop.popular(rng, category) for _ in range(3)]
        if rng.random() < self.persona.loyal:
            picks = [p for p in picks if p.brand in self.brands] or picks
        return min(picks, key=lambda p: p.price) if rng.random() < self.persona.cheap else picks[0]

    def _browse(self) -> Iterator[Emitted]:
        self._wait(4)
        shown = [self._pick() for _ in range(self.rng.randrange(2, 6))]
        for position, product in enumerate(shown, 1):
            self.at_ms += 40
            yield self._click("impression", product, position=position)
        self.position = 1 + min(int(self.rng.expovariate(0.8)), len(shown) - 1)
        self.product, self.query_id = shown[self.position - 1], None

    def _view(self) -> Iterator[Emitted]:
        self._wait(3)
        found: dict[str, Any] = {}
        if self.position is None:
            self.product = self._pick()
        else:
            found = {"position": self.position}
            if self.query_id:
                found["query_id"] = self.query_id
            yield self._click("click", self.product, **found)
            self.at_ms += 150
        if self.rng.random() < 0.004:  # rage: the page does not answer
            for _ in range(self.rng.randrange(3, 7)):
                self.at_ms += self.rng.randrange(90, 300)
                yield self._click("click", self.product, **found)
        dwell_ms = self._wait(12 * self.speed)  # the view is sent on leaving the page
        self.position = None
        yield self._click("view", self.product, dwell_ms=dwell_ms, **found)

    def _cart(self) -> Iterator[Emitted]:
        self._wait(2)
        self.cart.append(self.product)
        yield self._click("add_to_cart", self.product, quantity=self.rng.choices((1, 2, 3), (85, 11, 4))[0])

    def _wish(self) -> Iterator[Emitted]:
        self._wait(2)
        yield self._click("wishlist", self.product)

    def _remove(self) -> Iterator[Emitted]:
        self._wait(3)
        yield self._click("remove_from_cart", self.cart.pop(self.rng.randrange(len(self.cart))))

    def _buy(self) -> Iterator[Emitted]:
        self._wait(25)
        for product in self.cart:
            self.at_ms += 5
            yield self._click("purchase", product, quantity=1)
            self.mood += (product.quality - 0.55) * 0.3
        self.mood = min(max(self.mood, 0.0), 1.0)
        self.owned = (self.owned + self.cart)[-5:]
        self.cart.clear()

    def _search(self) -> Iterator[Emitted]:
        """One query, or several: a misspelt one finds nothing, too many results ask for a narrower one."""
        rng, wanted = self.rng, self._pick()
        text = texts.query(rng, wanted, self.language)
        self._wait(6)
        if rng.random() < 0.1:
            yield self._query(texts.misspelt(rng, text), [])
            self._wait(5)
        results = [wanted, *(self.world.catalogue.popular(rng, wanted.category) for _ in range(rng.randrange(2, 8)))]
        rng.shuffle(results)
        if rng.random() < 0.15:
            yield self._query(text, results)
            self._wait(8)
            text = texts.narrower(text, self.language)
            results.sort(key=lambda p: p.price)
        photographed = wanted if rng.random() < self.persona.pictures else None
        yield self._query(text, results, photographed)
        self.product, self.position = wanted, results.index(wanted) + 1

    def _query(self, text: str, results: list[Product], photographed: Product | None = None) -> Emitted:
        rng = self.rng
        self.query_id = f"q{rng.getrandbits(48):012x}"
        event = self._say(
            "searches",
            query=text,
            query_id=self.query_id,
            total_results=len(results) and len(results) + rng.randrange(200),
            results=[{"product_id": p.product_id, "position": i} for i, p in enumerate(results, 1)],
            page=1,
        )
        if photographed is not None and self.world.images:
            event[2]["image"] = self._photo(photographed)
        return event

    def _voice(self) -> Iterator[Emitted]:
        """Something said aloud: a partial transcript, then the final one; what is said fits what they do."""
        rng = self.rng
        self._wait(5)
        product, act = self.product, "find"
        if self.owned and rng.random() < 0.5:
            product = self.owned[-1]
            act = "praise" if self.mood > 0.68 else "complain"
        elif self.cart and rng.random() < 0.6:
            product, act = self.cart[-1], "buy"
        heard = texts.recognise(
            rng, texts.utterance(rng, product, self.language, act), self.language, self.world.voice_error_rate
        )
        call = {"call_id": f"c-{self.session_id}", "segment_id": str(self._count), "participant_role": "customer"}
        channel = "call" if self.platform == "call_center" else rng.choice(("voice_search", "voice_chat"))
        for words in (heard[: len(heard) // 2], heard):
            if words:
                self.at_ms += words[-1]["end_ms"]
                yield self._transcript(words, len(words) == len(heard), channel=channel, **call)
        if act == "find":
            self.position = 1

    def _transcript(self, words: list[dict[str, Any]], final: bool, **call: str) -> Emitted:
        return self._say(
            "voice-transcripts",
            transcript=texts.transcript(words, self.language),
            is_final=final,
            begin_offset_ms=0,
            end_offset_ms=words[-1]["end_ms"],
            confidence=round(sum(w["confidence"] for w in words) / len(words), 3),
            words=words,
            **call,
        )

    def _review(self, product: Product) -> Emitted:
        rng = self.rng
        self._wait(30)
        if rng.random() < 0.1:
            return self._say(
                "reviews",
                product_id=product.product_id,
                kind="question",
                review_body=texts.question(product, self.language),
            )
        rating = min(max(round(1 + 4 * product.quality + rng.gauss(0, 0.8)), 1), 5)
        said = 6 - rating if rng.random() < 0.04 else rating  # one in twenty-five contradicts the stars
        event = self._say(
            "reviews",
            product_id=product.product_id,
            review_body=texts.review(rng, product, self.language, said),
            rating=str(rating) if rng.random() < 0.1 else rating,
            verified_purchase=True,
        )
        if self.world.images and rng.random() < 0.1 + self.persona.pictures:
            event[2]["images"] = [self._photo(product)]
        self.mood = min(max(self.mood + 0.12 * (rating - 3), 0.0), 1.0)
        return event

    def _photo(self, product: Product) -> dict[str, str]:
        return {"data": photo(product.category, product.colour, self.rng.randrange(VARIANTS))}


class Bot(Shopper):
    """A scraper: walks the catalogue at a steady pace, never buys."""

    bot = True

    def begin(self, at_ms: int, *, intent: bool) -> Iterator[Emitted]:
        self._begin_session()
        rng, products = self.rng, self.world.catalogue.products
        del intent  # a bot has none
        self.at_ms = at_ms
        at, gap_ms = rng.randrange(len(products)), rng.choice((500, 1000, 2000))
        for product in (products[(at + i) % len(products)] for i in range(rng.randrange(40, 120))):
            self.at_ms += gap_ms + rng.randrange(-15, 16)
            yield self._click("view", product, dwell_ms=gap_ms)
