"""What shoppers write and say: reviews, questions, queries and utterances in four languages, and a noisy recogniser."""

from __future__ import annotations

from random import Random
from typing import Any

from stream_app.producers.catalogue import CATEGORIES, COLOURS, LANGUAGES, Product

_GOOD = {
    "en": (
        "I love this {x}",
        "Excellent {x}, exactly as described",
        "The {x} looks great and feels solid",
        "Really happy with the {x}",
        "Best {x} I have owned in years",
        "My daughter adores her new {x}",
        "Not a single thing to complain about with this {x}",
    ),
    "zh": (
        "这款{x}非常好，很喜欢",
        "{x}质量不错，物超所值",
        "收到{x}了，比想象中还要好看",
        "{x}用起来很舒服，推荐购买",
        "物流很快，{x}包装也很好",
        "给妈妈买的{x}，她特别满意",
    ),
    "es": (
        "Me encanta este producto, el {x} es perfecto",
        "Muy contento con la compra: {x} de gran calidad",
        "{x} excelente, llegó rápido",
    ),
    "de": (
        "Ich bin begeistert, {x} in bester Qualität",
        "Sehr zufrieden mit dem Kauf, {x} wie beschrieben",
        "{x} top verarbeitet, gerne wieder",
    ),
}
_BAD = {
    "en": (
        "The {x} broke after two days",
        "Terrible {x}, a waste of money",
        "Very disappointed with this {x}",
        "This {x} is cheap and badly made",
        "I would not buy this {x} again",
        "The {x} arrived damaged and nobody answers",
        "I wanted to love this {x} but it is useless",
    ),
    "zh": (
        "这个{x}质量太差了，很失望",
        "{x}用了两天就坏了，不推荐",
        "{x}和描述完全不符，要求退货",
        "客服态度很差，{x}也有问题",
        "{x}有异味，后悔买了",
        "做工粗糙，这{x}不值这个价",
    ),
    "es": (
        "Muy decepcionado, el {x} se rompió enseguida",
        "{x} de mala calidad, no lo recomiendo",
        "Una pérdida de dinero, {x} defectuoso",
    ),
    "de": (
        "Leider enttäuscht, {x} nach zwei Tagen kaputt",
        "{x} schlecht verarbeitet, nicht zu empfehlen",
        "Rausgeworfenes Geld, {x} unbrauchbar",
    ),
}
_MIXED = {
    "en": (
        "The {x} is okay, nothing special",
        "Nice colour but the {x} runs small",
        "The {x} is fine for the price, delivery was slow",
    ),
    "zh": ("{x}一般般，没有想象中好", "{x}颜色好看，但是尺寸偏小", "{x}还可以，就是物流慢"),
    "es": ("El {x} está bien, sin más", "Buen color pero {x} algo pequeño"),
    "de": ("{x} ist in Ordnung, nichts Besonderes", "Schöne Farbe, aber {x} fällt klein aus"),
}
_GOOD_END = {
    "en": ("Would buy again.", "Five stars.", "Fast delivery too.", "Highly recommended!", ""),
    "zh": ("会回购。", "好评！", "值得推荐。", ""),
    "es": ("Lo recomiendo.", "Repetiré.", ""),
    "de": ("Klare Empfehlung.", "Schnelle Lieferung.", ""),
}
_BAD_END = {
    "en": ("I want a refund.", "Stay away.", "Returning it tomorrow.", "Never again.", ""),
    "zh": ("差评！", "再也不买了。", "已申请退款。", ""),
    "es": ("Lo voy a devolver.", "Nunca más.", ""),
    "de": ("Geht zurück.", "Nie wieder.", ""),
}
_QUESTIONS = {
    "en": "Does the {x} come in other colours?",
    "zh": "这款{x}有其他颜色吗？",
    "es": "¿El {x} viene en otros colores?",
    "de": "Gibt es {x} auch in anderen Farben?",
}
_SEARCH_STYLES = ("{c} {x}", "{x}", "{b} {x}", "{x} {c}")
_VAGUE = {
    "en": ("gift ideas", "sale", "new arrivals"),
    "zh": ("礼物", "打折", "新品"),
    "es": ("regalos", "ofertas"),
    "de": ("Geschenke", "Angebote"),
}
_NARROWER = {"en": "cheap {q}", "zh": "便宜 {q}", "es": "{q} barato", "de": "{q} günstig"}

_SPEECH = {
    "find": {
        "en": ("show me {c} {x}", "i am looking for a {c} {x}", "find me a {x} please"),
        "zh": ("帮我找{c}的{x}", "我想看{x}"),
        "es": ("busco un {x} {c}",),
        "de": ("ich suche {x} in {c}",),
    },
    "buy": {
        "en": ("add the {x} to my cart please", "i want to buy this {x} now", "yes order the {x}"),
        "zh": ("我要买这个{x}", "把{x}加到购物车"),
        "es": ("quiero comprar este {x}",),
        "de": ("ich möchte {x} kaufen",),
    },
    "praise": {
        "en": ("i really love the {x} thank you so much", "the {x} is great"),
        "zh": ("{x}很好谢谢",),
        "es": ("el {x} es perfecto gracias",),
        "de": ("{x} ist super danke",),
    },
    "complain": {
        "en": ("my {x} is broken and i want my money back", "this is terrible the {x} never arrived"),
        "zh": ("我的{x}坏了我要退款", "{x}还没到太慢了"),
        "es": ("mi {x} está roto quiero devolverlo",),
        "de": ("{x} ist kaputt ich will mein geld zurück",),
    },
}
SPEECH_ACTS = tuple(_SPEECH)
_MISHEARD = (
    "the",
    "uh",
    "a",
    "to",
    "for",
    "cart",
    "card",
    "caught",
    "dress",
    "address",
    "by",
    "buy",
    "bye",
    "shoes",
    "choose",
)
_MISHEARD_ZH = "的是不了在有我他这着"


def review(rng: Random, product: Product, language: str, rating: int) -> str:
    """A text of the tone that `rating` stands for."""
    x = CATEGORIES[product.category].words[LANGUAGES.index(language)]
    if rating == 3:
        return rng.choice(_MIXED[language]).format(x=x)
    start, end = (_GOOD, _GOOD_END) if rating > 3 else (_BAD, _BAD_END)
    stop = "。" if language == "zh" else ". "
    text = rng.choice(start[language]).format(x=x) + stop + rng.choice(end[language])
    if rating in (2, 4) and rng.random() < 0.4:
        text = f"{text.strip()} {rng.choice(_MIXED[language]).format(x=x)}"
    return text.strip()


def question(product: Product, language: str) -> str:
    return _QUESTIONS[language].format(x=CATEGORIES[product.category].words[LANGUAGES.index(language)])


def query(rng: Random, product: Product, language: str) -> str:
    """What someone types who wants something like `product`; one in twelve is vague."""
    if rng.random() < 0.08:
        return rng.choice(_VAGUE[language])
    lang = LANGUAGES.index(language)
    return rng.choice(_SEARCH_STYLES).format(
        x=CATEGORIES[product.category].words[lang], c=COLOURS[product.colour][0][lang], b=product.brand
    )


def misspelt(rng: Random, text: str) -> str:
    """The text with one neighbour pair of characters swapped: finds nothing."""
    at = rng.randrange(max(len(text) - 1, 1))
    return text[:at] + text[at + 1 : at + 2] + text[at] + text[at + 2 :] if len(text) > 1 else text + text


def narrower(text: str, language: str) -> str:
    return _NARROWER[language].format(q=text)


def utterance(rng: Random, product: Product, language: str, act: str) -> list[str]:
    """The words (Chinese: characters) of something said aloud; `act` is one of SPEECH_ACTS."""
    lang = LANGUAGES.index(language)
    text = rng.choice(_SPEECH[act][language]).format(
        x=CATEGORIES[product.category].words[lang].lower(), c=COLOURS[product.colour][0][lang]
    )
    return list(text) if language == "zh" else text.split()


def recognise(rng: Random, words: list[str], language: str, error_rate: float) -> list[dict[str, Any]]:
    """What a recogniser with this word error rate hears, with times and confidences; never empty."""
    heard: list[dict[str, Any]] = []
    at_ms = 0
    for word in words:
        wrong = rng.random() < error_rate
        if wrong and heard and rng.random() < 0.25:
            continue  # dropped; the first word never is
        if wrong:
            word = rng.choice(_MISHEARD_ZH if language == "zh" else _MISHEARD)
        confidence = rng.betavariate(4, 4) if wrong else rng.betavariate(14, 1.5)
        begin_ms, at_ms = at_ms, at_ms + 90 + 45 * len(word)
        heard.append({"word": word, "begin_ms": begin_ms, "end_ms": at_ms, "confidence": round(confidence, 3)})
    return heard


def transcript(heard: list[dict[str, Any]], language: str) -> str:
    return ("" if language == "zh" else " ").join(word["word"] for word in heard)
