"""What a training learns from, chooses by, and is measured on: from data sets and the simulator, or recorded topics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fusion.material import Example, Material, Texts
from fusion.recommender import ItemActivity, ItemIndex, strength_codes
from fusion.report import Browsing, Unseen
from stream_app.errors import DependencyError
from stream_app.events import ACTIONS
from stream_app.events.hashing import hash64
from stream_app.producers.sources.rees46 import rees46
from stream_app.training.examples import examples_of
from stream_app.training.logs import Log, cd_purchases, real, simulated
from stream_app.training.photos import no_photos, photos_of
from stream_app.training.texts import corpora, said_in, share_of_users, split, texts_of

SHOPS = ((320, 6.0, 1.0), (280, 35.0, 0.3), (320, 70.0, 0.1))
"""(users, days, activity) of the invented shops."""
CUSTOMERS = 12_000
"""Of the CD shop."""
FEW_TEXTS, FEW_SHOPS, FEW_CUSTOMERS, FEW_PHOTOS = 300, ((24, 3.0, 1.0), (12, 30.0, 0.3)), 400, 8
"""The same for a quick look; every eighth photo."""
TESTED, CHOSEN_BY = 3, 4
"""Of ten shares of a recorded stream's users the first three test, the fourth is chosen by, the rest is learned."""


class Gathered(NamedTuple):
    """What a training needs to know of its data."""

    material: Material
    unseen: Unseen
    logs: list[Log]  # what the sequences to learn from were made of


def data_sets(data_dir: Path, *, seed: int, quick: bool = False) -> Gathered:
    """The simulator and the permissively licensed sets."""
    shops, customers = (FEW_SHOPS, FEW_CUSTOMERS) if quick else (SHOPS, CUSTOMERS)
    reviewers = simulated(users=25 if quick else 250, days=20, activity=1.0, seed=1000 * seed + 41)
    sources = corpora(data_dir, reviewers)
    texts = {name: split(texts_of(rows, most=FEW_TEXTS if quick else None)) for name, rows in sources.items()}
    photos, photos_valid, photos_test = photos_of(data_dir, every=FEW_PHOTOS if quick else 1)
    learned = [simulated(users=u, days=d, activity=a, seed=1000 * seed + 11 + i) for i, (u, d, a) in enumerate(shops)]
    chosen, test = (
        [simulated(users=u // 4, days=d, activity=a, seed=1000 * seed + start + i) for i, (u, d, a) in enumerate(shops)]
        for start in (21, 31)
    )
    people = {"rees46": real(rees46(data_dir, seed=0)), "cdnow": real(cd_purchases(data_dir, customers=customers))}
    parts = {name: shared(log) for name, log in people.items()}
    material = Material(
        texts=Texts.concat([part[0] for part in texts.values()]),
        texts_valid=Texts.concat([part[1] for part in texts.values()]),
        photos=photos,
        photos_valid=photos_valid,
        sequences=[*every(learned), *(e for part in parts.values() for e in part[0])],
        sequences_valid=[*every(chosen), *(e for part in parts.values() for e in part[1])],
    )
    sequences = {"simulated": every(test), **{name: part[2] for name, part in parts.items()}}
    unseen = Unseen(held_out(texts), (photos, photos_test), sequences, browsing(test[0]))
    return Gathered(material, unseen, [*learned, *people.values()])


def recorded_stream(log: Log) -> Gathered:
    """A stream alone, split by users; what its texts mean is known where they are rated."""
    texts = split(texts_of(said_in(log)))
    learned, chosen, test = shared(log)
    if not (learned and chosen and test):
        raise DependencyError("too few users to learn from some and to test on others")
    material = Material(texts[0], texts[1], no_photos(), no_photos(), learned, chosen)
    rated = {"recorded reviews": texts[2]} if (texts[2].sentiment >= 0).any() else {}
    return Gathered(material, Unseen(rated, (no_photos(), no_photos()), {"recorded": test}, None), [log])


def shared(log: Log) -> tuple[list[Example], list[Example], list[Example]]:
    """To learn from, to choose by, to test: by user."""
    share = share_of_users(log)
    chosen = (share >= CHOSEN_BY, share == CHOSEN_BY - 1, share < TESTED)
    learned, valid, test = (examples_of(log, chosen=part) for part in chosen)
    return learned, valid, test


def every(logs: Iterable[Log]) -> list[Example]:
    """The examples of several logs."""
    return [example for log in logs for example in examples_of(log)]


def held_out(texts: Mapping[str, Sequence[Texts]]) -> dict[str, Texts]:
    """The test part of each corpus that has one."""
    return {name: parts[2] for name, parts in texts.items() if (parts[2].sentiment >= 0).any()}


def browsing(log: Log) -> Browsing:
    """The first two thirds of a log as an item index, the rest as cases."""
    since_ms = int(np.quantile(log.events.event_time_ms, 0.67))
    early = log.events.take(log.events.event_time_ms < since_ms)
    index = ItemIndex()
    session = np.fromiter((hash64(user.decode()) for user in early.user), np.uint64, len(early))
    strength = strength_codes(ACTIONS)[early.action]
    index.append(
        1,
        ItemActivity.of(
            early.product,
            early.item,
            session=session,
            event_time_ms=early.event_time_ms,
            strength=strength,
            category=early.category,
        ),
    )
    return Browsing(index, examples_of(log), since_ms)
