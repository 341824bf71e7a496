"""Speech as a recogniser might mishear it, with its confidences: words that sound alike, lost, doubled, split."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import xxhash
from numpy.typing import NDArray

from encoders.text import clean
from encoders.voice import Utterances

WORST = 0.6
"""Word error rates are drawn from 0 to this, low ones more often."""
ALIKE = 12
"""How many words of similar sound stand for a misheard one."""
KINDS = (0.6, 0.8, 0.9)
"""Where of the errors substitution ends, then deletion, then insertion; the rest split a word or join two."""
_MOST = 6000
_BUCKETS = 512
_SPOKEN = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]|[^\s\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+")
_SPELLINGS = (
    (r"^kn|^gn", "n"), (r"^wr", "r"), (r"ph", "f"), (r"igh", "i"), (r"tch|ch|sh|tio|j|ge|dg", "S"),
    (r"ck|q|c(?![eiy])", "k"), (r"c", "s"), (r"th", "t"), (r"x", "ks"), (r"wh", "w"), (r"gh", ""), (r"(.)\1", r"\1"),
    (r"(?<=[aeiou][^aeiou])e$", ""),
)  # fmt: skip
_CLASSES = str.maketrans("bdgvzmy", "ptkfsni")
_VOWELS = re.compile(r"[aeiou]+")


class Recogniser:
    """Mishears words for others of the given texts: those of similar sound first, and the commoner the likelier."""

    def __init__(self, texts: Iterable[str]) -> None:
        counted = Counter(word for text in texts for word in spoken_words(text)).most_common(_MOST)
        self.words = [word for word, _ in counted]
        share = np.array([count for _, count in counted], np.float64)
        self.share = share / max(share.sum(), 1)
        self.upto = np.cumsum(self.share)
        self.place = {word: number for number, word in enumerate(self.words)}
        sound = np.stack([sound_vector(word) for word in self.words]) if counted else np.zeros((0, _BUCKETS))
        self.sound = sound.astype(np.float32)
        self.alike: dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]] = {}

    def __call__(self, texts: Sequence[str], rng: np.random.Generator, *, rate: float | None = None) -> Utterances:
        """Each text at a word error rate of its own, or at `rate`; at least one word stays of each text."""
        heard = [
            self.hear(spoken_words(text), WORST * rng.random() ** 2 if rate is None else rate, rng) for text in texts
        ]
        sure = [each for _, each in heard]
        whole = np.array([each.mean() if len(each) else np.nan for each in sure], np.float32)
        return Utterances([" ".join(words) for words, _ in heard], whole, sure)

    def hear(
        self, words: Sequence[str], rate: float, rng: np.random.Generator
    ) -> tuple[list[str], NDArray[np.float32]]:
        """Words as heard, and how sure the recogniser is of each."""
        heard: list[str] = []
        wrong: list[bool] = []
        for word, chance, kind in zip(words, rng.random(len(words)), rng.random(len(words)), strict=True):
            if chance >= rate:
                new, bad = [word], False
            elif kind < KINDS[0]:
                new, bad = [self.mistaken(word, rng)], True
            elif kind < KINDS[1]:
                new, bad = [], True
            elif kind < KINDS[2] and self.words:
                new, bad = [word, self.any_word(rng)], True
            elif heard and rng.random() < 0.5:
                wrong.pop()
                new, bad = [heard.pop() + word], True
            else:
                cut = int(rng.integers(1, max(len(word), 2)))
                new, bad = [part for part in (word[:cut], word[cut:]) if part], True
            heard += new
            wrong += [bad] * len(new)
        if words and not heard:
            heard, wrong = [words[int(rng.integers(len(words)))]], [False]
        doubted = np.array(wrong, bool)
        sure = np.where(doubted, rng.beta(4, 4, len(heard)), rng.beta(14, 1.5, len(heard)))
        return heard, sure.astype(np.float32)

    def mistaken(self, word: str, rng: np.random.Generator) -> str:
        """Another word, mostly one that sounds like it."""
        if not self.words:
            return word
        if rng.random() < 0.25:
            return self.any_word(rng)
        places, upto = self.sounding_like(word)
        chosen = int(places[min(int(np.searchsorted(upto, rng.random())), len(places) - 1)])
        return self.words[chosen]

    def any_word(self, rng: np.random.Generator) -> str:
        """A word of the vocabulary, as often as it occurs."""
        return self.words[min(int(np.searchsorted(self.upto, rng.random())), len(self.words) - 1)]

    def sounding_like(self, word: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The places of the words nearest by sound, never itself, and the shares up to each."""
        if word not in self.alike:
            near = self.sound @ sound_vector(word)
            if word in self.place:
                near[self.place[word]] = -1
            places = np.argsort(-near, kind="stable")[:ALIKE]
            weight = np.exp(6 * near[places].astype(np.float64)) * np.sqrt(self.share[places])
            self.alike[word] = places, np.cumsum(weight / weight.sum())
        return self.alike[word]


def spoken_words(text: str) -> list[str]:
    """What a recogniser has a confidence for: words, or each ideograph."""
    return _SPOKEN.findall(clean(text))


def sound(word: str) -> str:
    """A word's sound in a few classes (English spelling, after Philips' Metaphone 1990, voiced = unvoiced)."""
    for spelling, said in _SPELLINGS:
        word = re.sub(spelling, said, word)
    return _VOWELS.sub("a", word.translate(_CLASSES))


def sound_vector(word: str) -> NDArray[np.float32]:
    """(512,) of length 1: the 1- to 3-grams of a word's sound, hashed."""
    said = f"<{sound(word)}>"
    grams = [said[i : i + n] for n in (1, 2, 3) for i in range(len(said) - n + 1)]
    places = [xxhash.xxh3_64_intdigest(gram.encode("utf-8", "surrogatepass")) % _BUCKETS for gram in grams]
    vector = np.bincount(places, minlength=_BUCKETS).astype(np.float32)
    return vector / np.float32(max(float(np.linalg.norm(vector)), 1e-12))
