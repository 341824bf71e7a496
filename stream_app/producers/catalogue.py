"""The invented shop: products with category, brand, price, colour, quality and what is bought together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from random import Random
from typing import Any, NamedTuple

LANGUAGES = ("en", "zh", "es", "de")
"""The index of a language is the index of its word in every tuple of words here."""

DEPARTMENT_SIZE = 4


class Category(NamedTuple):
    """`words` in the order of LANGUAGES; `price` is the median in USD."""

    words: tuple[str, str, str, str]
    price: float


CATEGORIES: tuple[Category, ...] = (
    Category(("dress", "连衣裙", "vestido", "Kleid"), 45),
    Category(("jeans", "牛仔裤", "vaqueros", "Jeans"), 50),
    Category(("sweater", "毛衣", "jersey", "Pullover"), 40),
    Category(("jacket", "夹克", "chaqueta", "Jacke"), 85),
    Category(("sneakers", "运动鞋", "zapatillas", "Turnschuhe"), 70),
    Category(("boots", "靴子", "botas", "Stiefel"), 95),
    Category(("backpack", "背包", "mochila", "Rucksack"), 55),
    Category(("watch", "手表", "reloj", "Uhr"), 120),
    Category(("phone", "手机", "teléfono", "Handy"), 480),
    Category(("headphones", "耳机", "auriculares", "Kopfhörer"), 90),
    Category(("charger", "充电器", "cargador", "Ladegerät"), 22),
    Category(("tablet", "平板电脑", "tableta", "Tablet"), 290),
    Category(("sofa", "沙发", "sofá", "Sofa"), 650),
    Category(("lamp", "台灯", "lámpara", "Lampe"), 38),
    Category(("rug", "地毯", "alfombra", "Teppich"), 110),
    Category(("bookshelf", "书架", "estantería", "Bücherregal"), 130),
    Category(("kettle", "水壶", "hervidor", "Wasserkocher"), 35),
    Category(("blender", "搅拌机", "batidora", "Mixer"), 60),
    Category(("knife set", "刀具套装", "juego de cuchillos", "Messerset"), 75),
    Category(("frying pan", "平底锅", "sartén", "Bratpfanne"), 42),
    Category(("lipstick", "口红", "pintalabios", "Lippenstift"), 16),
    Category(("shampoo", "洗发水", "champú", "Shampoo"), 11),
    Category(("face cream", "面霜", "crema facial", "Gesichtscreme"), 28),
    Category(("perfume", "香水", "perfume", "Parfüm"), 65),
)

COLOURS: tuple[tuple[tuple[str, str, str, str], tuple[int, int, int]], ...] = (
    (("black", "黑色", "negro", "schwarz"), (25, 25, 28)),
    (("white", "白色", "blanco", "weiß"), (240, 240, 236)),
    (("red", "红色", "rojo", "rot"), (200, 35, 40)),
    (("blue", "蓝色", "azul", "blau"), (40, 80, 190)),
    (("green", "绿色", "verde", "grün"), (50, 140, 70)),
    (("yellow", "黄色", "amarillo", "gelb"), (235, 200, 50)),
    (("pink", "粉色", "rosa", "rosa"), (235, 140, 170)),
    (("brown", "棕色", "marrón", "braun"), (120, 80, 50)),
)

_SYLLABLES = ("ar", "bel", "cor", "dan", "el", "fin", "gal", "hu", "ir", "jun", "kor", "lu", "mir", "nor", "or", "pel")


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """One thing for sale. `quality` in 0..1 is hidden from the records and shows only in ratings."""

    product_id: str
    category: int
    brand: str
    price: float  # USD
    colour: int
    quality: float

    def title(self, language: int = 0) -> str:
        return f"{self.brand} {COLOURS[self.colour][0][language]} {CATEGORIES[self.category].words[language]}"


class Catalogue:
    """All products; popularity is Zipf, companions are what people buy together."""

    def __init__(self, *, size: int = 3000, seed: int = 0) -> None:
        rng = Random(f"catalogue {seed}")
        brands = [_brand(rng) for _ in range(120)]
        self.products = [_product(rng, index, brands) for index in range(size)]
        self.by_category: list[list[Product]] = [[] for _ in CATEGORIES]
        for product in self.products:
            self.by_category[product.category].append(product)
        self._weights = [_zipf(len(products)) for products in self.by_category]
        self._all_weights = _zipf(size)
        self._ranked = rng.sample(self.products, size)
        self.companions = {p.product_id: self._companions(rng, p) for p in self.products}

    def popular(self, rng: Random, category: int | None = None) -> Product:
        """A product drawn by popularity, of one category or of all."""
        if category is None:
            return rng.choices(self._ranked, cum_weights=self._all_weights)[0]
        return rng.choices(self.by_category[category], cum_weights=self._weights[category])[0]

    def companion(self, rng: Random, product: Product) -> Product:
        """A product often seen and bought with this one."""
        return rng.choice(self.companions[product.product_id])

    def items(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """(product id, record) for the optional items topic, each with a picture."""
        from stream_app.producers.pictures import picture  # which needs the colours of here

        for p in self.products:
            category = CATEGORIES[p.category].words[0]
            yield (
                p.product_id,
                {
                    "title": p.title(),
                    "description": f"{p.title()} in our {category} range",
                    "category": category,
                    "brand": p.brand,
                    "price": p.price,
                    "currency": "USD",
                    "image": {"data": picture(p.category, p.colour)},
                },
            )

    def _companions(self, rng: Random, product: Product) -> list[Product]:
        department = product.category // DEPARTMENT_SIZE * DEPARTMENT_SIZE
        partner = department + (product.category + 1) % DEPARTMENT_SIZE
        return [self.popular(rng, c) for c in (product.category, product.category, partner, partner)]


def _brand(rng: Random) -> str:
    return "".join(rng.sample(_SYLLABLES, 3)).capitalize()


def _product(rng: Random, index: int, brands: list[str]) -> Product:
    category = index % len(CATEGORIES)
    department = category // DEPARTMENT_SIZE
    price = CATEGORIES[category].price * rng.lognormvariate(0, 0.5)
    return Product(
        product_id=f"p{index + 10_000}",
        category=category,
        brand=brands[department * 20 + min(int(rng.expovariate(0.2)), 19)],
        price=round(max(price, 1.0)) - 0.01,
        colour=rng.randrange(len(COLOURS)),
        quality=rng.betavariate(2.2, 1.1),
    )


def _zipf(count: int) -> list[float]:
    return list(accumulate(1 / (rank + 8) ** 0.9 for rank in range(count)))
