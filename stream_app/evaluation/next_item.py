"""Next item: P@20 and MRR@20 over all items, on sessions that came after all of training.

A folder holds `train_sessions` (`items`, in time order) and perhaps `test_prefixes` (`prefix`, `target`); without
them the last 5 % of the sessions are the test and train nothing. The mixture is fitted on the newest 8 % of what is
left, before the encoders learn from those too. Beside ours stand session kNN as published, tuned on the newest 5 %,
and our own streaming memory alone, which ours contains.

Takes about 20 minutes of one core for each seed of `yoochoose1_64`, and of `diginetica`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fusion import knn_tuning
from fusion.published_knn import PUBLISHED as PUBLISHED_KNN
from fusion.published_knn import Neighbors, Rule
from fusion.session_counts import item_knn, popular, popularity, session_popular
from fusion.session_encoder import EncoderSettings
from fusion.session_knn import KnnSettings
from fusion.session_recommender import (
    RecommenderSettings,
    SessionNeighbors,
    SessionRecommender,
)
from fusion.session_training import TrainingSettings
from fusion.sessions import Cases, Rows, Sessions, cases
from stream_app.errors import SettingsError
from stream_app.evaluation.resampling import mean_interval
from stream_app.evaluation.row import Row, Run
from stream_app.producers.tables import parquet_rows

SETS = ("yoochoose1_64", "diginetica")
PUBLISHED: Mapping[str, Mapping[str, Mapping[str, float]]] = {
    "yoochoose1_64": {
        "P@20": {"published_sr_gnn": 0.7057},
        "MRR@20": {"published_sr_gnn": 0.3094, "published_best_mrr": 0.326},
    }
}
K = 20
TAIL, TUNING_CASES = 0.05, 4_000
"""What each session kNN beside ours is tuned on: so many cases of the newest share of the training."""
METRICS = ("P@20", "MRR@20")
Gains = dict[str, NDArray[np.float64]]
"""Of each metric, what every case counts for."""
LEVELS = 127
"""Of a state carried in int8."""
QUICK = RecommenderSettings(
    encoder=EncoderSettings(size=32), training=TrainingSettings(warmup=20), epochs=2, candidates=30, tail=0.2
)


@dataclass(frozen=True)
class Data:
    """One set, as rows of the items of training."""

    name: str
    train: Sessions
    test: Cases
    session: Rows  # (n,) of each test case, for the interval
    items: int


def next_item(run: Run) -> Iterator[Row]:
    """All sets; intervals are over seeds (Student's t), or with one seed over test sessions drawn anew (bootstrap)."""
    for name in SETS if run.only is None else (run.only,):
        if (run.data / name / "train_sessions.parquet").exists():
            yield from figures(run, read(run, name))


def read(run: Run, name: str) -> Data:
    """One folder; a catalogue of the items of training, everything else is unknown."""
    file = f"{name}/train_sessions.parquet"
    lists = [np.asarray(items) for items in column(parquet_rows(run.data, file), "items", file) if len(items)]
    file = f"{name}/test_prefixes.parquet"
    if (run.data / file).exists():
        rows = parquet_rows(run.data, file)
        prefixes, targets = column(rows, "prefix", file), column(rows, "target", file)
    else:
        cut = len(lists) - len(lists) // 20
        lists, held = lists[:cut], lists[cut:]
        prefixes = [items[:k] for items in held for k in range(1, len(items))]
        targets = [items[k] for items in held for k in range(1, len(items))]
    if run.quick:
        lists, prefixes, targets = lists[-4000:], prefixes[:1500], targets[:1500]
    if len(lists) < 20 or not len(prefixes):
        raise SettingsError(f"{name}: too few sessions: {len(lists)} to learn from, {len(prefixes)} test cases")
    catalogue = np.unique(np.concatenate(lists))
    prefix = sessions_of(prefixes, catalogue)
    length = prefix.length
    apart = np.ones(len(length), bool)  # whether a case begins a session: prefixes of one grow or shrink by an item
    apart[1:] = np.abs(np.diff(length)) != 1
    known = Cases(prefix, rows_of(np.asarray(targets), catalogue))
    return Data(name, sessions_of(lists, catalogue), known, np.cumsum(apart), len(catalogue))


def column(rows: list[dict[str, Any]], name: str, file: str) -> list[Any]:
    """One column, or what is missing."""
    if rows and name not in rows[0]:
        raise SettingsError(f"{file} has no column {name}")
    return [row[name] for row in rows]


def sessions_of(lists: list[Any], catalogue: NDArray[Any]) -> Sessions:
    """Lists of item ids as sessions of rows."""
    start = np.concatenate([[0], np.cumsum([len(items) for items in lists])])
    return Sessions(rows_of(np.concatenate([np.asarray(items) for items in lists]), catalogue), start)


def rows_of(ids: NDArray[Any], catalogue: NDArray[Any]) -> Rows:
    """Row of each id, from 1; 0 where the catalogue has it not."""
    place = np.searchsorted(catalogue, ids).clip(0, len(catalogue) - 1)
    rows: Rows = np.where(catalogue[place] == ids, place + 1, 0)
    return rows


def figures(run: Run, data: Data) -> Iterator[Row]:
    """Every measure over all cases, then where the target was already seen in the session, and where it was not."""
    baselines = counted(data)
    answers: list[Rows] = []
    encoded: dict[str, list[Rows]] = {"encoder_alone": [], "encoder_in_int8": []}
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn(), console=run.console
    ) as bar:
        task = bar.add_task(f"{data.name}: {len(data.train):,} sessions", total=run.seeds)
        for seed in range(run.seeds):
            model = SessionRecommender(
                data.train,
                data.items,
                seed=seed,
                settings=QUICK if run.quick else None,
                advance=lambda share: bar.advance(task, share),
            )
            answers.append(model.best(data.test.prefix, K))
            encoded["encoder_alone"].append(model.encoded(data.test.prefix, K))
            encoded["encoder_in_int8"].append(model.encoded(data.test.prefix, K, levels=LEVELS))
    won = {name: [gains(top, data.test.target)] for name, top in baselines.items()}
    won |= {name: [gains(top, data.test.target) for top in tops] for name, tops in encoded.items()}
    ours = [gains(top, data.test.target) for top in answers]
    if run.pictures is not None:
        draw(data, {"ours": ours, **won}, run.pictures / f"next-item-{data.name}.png")
    repeated = data.test.repeated()
    for part, chosen in {"": repeated | True, ", repeated target": repeated, ", novel target": ~repeated}.items():
        for metric in METRICS if chosen.any() else ():
            beside = {name: mean_of(seeds, metric, chosen) for name, seeds in won.items() if name != "encoder_in_int8"}
            if not part:
                beside |= PUBLISHED.get(data.name, {}).get(metric, {})
            yield row(data, metric + part, [won[metric][chosen] for won in ours], data.session[chosen], beside)
    for metric in METRICS:
        full, narrow = ([one[metric] for one in won[name]] for name in ("encoder_alone", "encoder_in_int8"))
        beside = {"fp32": float(np.mean(full))}
        yield row(data, f"{metric}, encoder alone, carried state int8", narrow, data.session, beside)
        lost = [one - other for one, other in zip(narrow, full, strict=True)]
        yield row(data, f"{metric}, carried state int8 against fp32", lost, data.session, {"no_difference": 0.0})


def mean_of(seeds: list[Gains], metric: str, chosen: NDArray[np.bool_]) -> float:
    """Over seeds and the chosen cases."""
    return float(np.mean([won[metric][chosen].mean() for won in seeds]))


def draw(data: Data, won: Mapping[str, list[Gains]], path: Path) -> None:
    """Both measures by how much of the session is known."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    known = data.test.prefix.length.clip(1, 15)
    lengths = np.unique(known)
    for axes, metric in zip(figure.subplots(1, 2), METRICS, strict=True):
        for name, seeds in won.items():
            axes.plot(lengths, [mean_of(seeds, metric, known == length) for length in lengths], label=name, marker=".")
        axes.set(title=f"{data.name}: {metric}", xlabel="items seen (15: or more)", ylim=(0, 1))
        axes.legend(fontsize="small")
    figure.savefig(path)


def counted(data: Data) -> dict[str, Rows]:
    """What needs no training of a model: (n, 20) of each baseline."""
    prefix = data.test.prefix
    count = popularity(data.train, data.items)
    others = Neighbors(data.train, data.items)
    memory = replace(KnnSettings(), max_items=1 << 17, sessions=1 << len(data.train).bit_length(), half_life_ms=1 << 50)
    return {
        "popularity": np.tile(popular(count, K), (len(prefix), 1)),
        "s_pop": session_popular(prefix, count, K),
        "item_knn": item_knn(data.train, data.items, prefix.newest(1)[:, 0], K),
        **{name: others.best(prefix, K, rule) for name, rule in chosen(data).items()},
        "own_memory": SessionNeighbors(data.train, memory).best(prefix, K)[0],
        "own_memory_tuned": SessionNeighbors(data.train, tuned_memory(data.train, memory)).best(prefix, K)[0],
    }


def chosen(data: Data) -> dict[str, Rule]:
    """Of each published session kNN the rule that answers best about cases of the newest sessions."""
    head, tail = head_and_tail(data.train)
    known = Neighbors(head, data.items)

    def quality(rule: Rule) -> float:
        return float(sum(won.mean() for won in gains(known.best(tail.prefix, K, rule), tail.target).values()))

    return {name: max(rules, key=quality) for name, rules in PUBLISHED_KNN.items()}


def head_and_tail(train: Sessions) -> tuple[Sessions, Cases]:
    """What a baseline learns from while it is tuned, and the cases that it is tuned on."""
    cut = int(len(train) * (1 - TAIL))
    tail = cases(train.between(cut, len(train)))
    return train.between(0, cut), tail.some(np.sort(np.random.default_rng(0).permutation(len(tail))[:TUNING_CASES]))


def tuned_memory(train: Sessions, memory: KnnSettings) -> KnnSettings:
    """The settings that answer best about some cases of the newest sessions, those learned last."""
    known, tail = head_and_tail(train)
    head = SessionNeighbors(known, memory).index
    recent = tail.prefix.newest(memory.recent)[:, ::-1].astype(np.uint64)
    return knn_tuning.tuned([knn_tuning.Cases(head, recent, tail.target.astype(np.uint64))], memory)


def gains(top: Rows, target: Rows) -> Gains:
    """What each case counts for: whether the target is among the 20, and one over its rank there."""
    hit = (top == target[:, None]) & (target > 0)[:, None]
    found = hit.any(1)
    return {"P@20": found.astype(float), "MRR@20": np.where(found, 1 / (hit.argmax(1) + 1), 0.0)}


def row(data: Data, metric: str, values: list[NDArray[Any]], session: Rows, beside: Mapping[str, float]) -> Row:
    """The mean over seeds of values (n,) of cases, with its interval."""
    means = [float(value.mean()) for value in values]
    ours = float(np.mean(means))
    if len(means) == 1:
        interval = mean_interval(values[0], session, times=500)
    else:
        from scipy.stats import t  # type: ignore[import-untyped]

        half = float(t.ppf(0.975, len(means) - 1)) * stdev(means) / len(means) ** 0.5
        interval = (ours - half, ours + half)
    return Row("next-item", data.name, metric, ours, interval, dict(beside))
