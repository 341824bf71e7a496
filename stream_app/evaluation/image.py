"""Products: photo and title to kind of thing, where half of the titles are missing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xxhash
from numpy.typing import NDArray
from rich.progress import Progress
from torch import Tensor

from encoders.image import ImageEncoder, decoded
from fusion.evaluation import choice_report
from fusion.model import Concat, Fusion
from fusion.products import ProductPlan, ask_products, learn_photos, learn_products, learn_titles
from stream_app.errors import DependencyError, SettingsError
from stream_app.evaluation.resampling import mean_interval
from stream_app.evaluation.row import Row, Run

TABLE, PHOTOS = "products.parquet", "images"
QUESTION = "subCategory"
ATTRIBUTES = ("masterCategory", "baseColour", "season")
COLUMNS = ("id", "productDisplayName", QUESTION, *ATTRIBUTES)
FOLDS = 5
WAYS = ("fused", "photo", "title", "concatenation", "photo after transfer", "tfidf_lr", "colours_lr", "majority")

Scores = NDArray[np.float32]


@dataclass(frozen=True)
class Products:
    """n products with a photo. Labels are numbers of names, in alphabetical order."""

    pixels: Tensor  # (n, 3, 40, 40) uint8
    title: NDArray[np.object_]  # None where hidden
    group: NDArray[np.object_]  # the title, hidden or not
    without_photo: int  # products left out
    labels: list[NDArray[np.int64]]  # of QUESTION, then of ATTRIBUTES
    names: list[NDArray[Any]]

    def __len__(self) -> int:
        return len(self.title)


def image(run: Run) -> Iterator[Row]:
    """Five folds by title, so that no two products of one name are parted; three seeds draw folds and weights anew.

    Titles are hidden from half the products, in training too, by a hash of the id. Intervals are over products drawn
    anew (products of one title together) of the mean over the seeds; gains are paired by product. Transfer learns
    category, colour and season of the training photos first, two thirds as long; only the first seed measures it.
    Where there is no title, the title alone answers with the shares of the kinds in training.
    """
    torch.set_num_threads(1)  # the batches are too small to share
    name = run.only or "fashion_products"
    if (run.data / name / TABLE).is_file():
        yield from judged(run, name, catalogue(run.data / name, most=500 if run.quick else None))


def judged(run: Run, name: str, products: Products) -> Iterator[Row]:
    """All rows of one folder."""
    plan = ProductPlan(photo_epochs=4, title_epochs=6, fusion_epochs=3) if run.quick else ProductPlan()
    seeds = range(1 if run.quick else run.seeds)
    scores = {way: np.zeros((len(seeds), len(products), len(products.names[0])), np.float32) for way in WAYS}
    folds = range(2 if run.quick else FOLDS)
    with Progress(console=run.console, transient=True) as progress:
        task = progress.add_task("image, folds", total=len(seeds) * len(folds))
        for seed in seeds:
            fold = folds_of(products.group, len(folds), seed)
            for number in folds:
                for way, answer in answers(products, fold != number, plan=replace(plan, seed=seed)):
                    scores[way][seed, fold == number] = answer
                progress.advance(task)
    label = products.labels[0]
    right = {way: (answer.argmax(-1) == label).mean(0) for way, answer in scores.items()}
    right["photo after transfer"] = scores["photo after transfer"][0].argmax(-1) == label
    yield from accuracies(name, products, right)
    reports = {
        way: [choice_report(label, each) for each in scores[way][: 1 if "transfer" in way else None]] for way in WAYS
    }
    for measure in ("f1_macro", "log_loss", "ece"):
        mean = {way: float(np.mean([report[measure] for report in each])) for way, each in reports.items()}
        shown = {
            way: value for way, value in mean.items() if way != "fused" and (measure == "f1_macro" or way != "majority")
        }
        yield Row("image", name, measure, mean["fused"], None, shown)
    yield Row("image", name, "photos encoded per second, one thread", encoded_per_s(products.pixels))
    readable = len(products) / (len(products) + products.without_photo)
    yield Row("image", name, "share of products with a readable photo", readable)
    if run.pictures is not None:
        draw_confusion(run.pictures / f"image-{name}-confusion.png", label, scores["fused"], products.names[0].tolist())


def accuracies(name: str, products: Products, right: Mapping[str, NDArray[Any]]) -> Iterator[Row]:
    """Shares of right answers: of all products, with and without a title, and the gains."""
    titled = np.array([title is not None for title in products.title])
    parts = {"accuracy": np.ones(len(titled), bool), "accuracy, with title": titled, "accuracy, title hidden": ~titled}
    for metric, chosen in parts.items():
        beside = {way: float(each[chosen].mean()) for way, each in right.items() if way != "fused"}
        fused = right["fused"][chosen]
        yield Row("image", name, metric, float(fused.mean()), mean_interval(fused, products.group[chosen]), beside)
    for way in ("photo", "title"):
        interval = mean_interval(right[way], products.group)
        yield Row("image", name, f"accuracy, {way} alone", float(right[way].mean()), interval)
    better = max(("photo", "title"), key=lambda way: float(right[way].mean()))
    for metric, one, other in (
        ("gain over the better one", "fused", better),
        ("gain over concatenation", "fused", "concatenation"),
        ("gain of the photo by transfer", "photo after transfer", "photo"),
    ):
        gain = right[one].astype(np.float64) - right[other]
        interval = mean_interval(gain, products.group)
        yield Row("image", name, metric, float(gain.mean()), interval, {other: float(right[other].mean())})


def answers(products: Products, learn: NDArray[np.bool_], *, plan: ProductPlan) -> Iterator[tuple[str, Scores]]:
    """Every way's probabilities for the products that are not learned from."""
    mine, rest = np.flatnonzero(learn), np.flatnonzero(~learn)
    pixels, asked = products.pixels[mine], products.pixels[rest]
    titles, asked_titles = products.title[mine].tolist(), products.title[rest].tolist()
    labels = [torch.from_numpy(label[mine]) for label in products.labels]
    sizes = [len(names) for names in products.names]
    named = np.flatnonzero([title is not None for title in titles])
    known = [titles[i] for i in named]
    photo = learn_photos(pixels, labels[:1], sizes[:1], plan=plan)
    title = learn_titles(known, labels[0][torch.from_numpy(named)], sizes[0], plan=plan)
    kinds = labels[0].numpy()
    share = (np.bincount(kinds, minlength=sizes[0]) / len(kinds)).astype(np.float32)
    silent = np.array([words is None for words in asked_titles])[:, None]
    with torch.no_grad():
        yield "photo", photo(asked)[0].softmax(-1).numpy()
        yield "title", np.where(silent, share, title(title.text.prepare(asked_titles)).softmax(-1).numpy())
    for way, fusion in (("fused", Fusion()), ("concatenation", Concat())):
        both = learn_products(photo, title, pixels, titles, labels[0], fusion=fusion, plan=plan)
        yield way, ask_products(both, photo, title, asked, asked_titles)
    if plan.seed == 0:
        after = learn_photos(pixels, labels, sizes, plan=replace(plan, transfer_epochs=-(-2 * plan.photo_epochs // 3)))
        with torch.no_grad():
            yield "photo after transfer", after(asked)[0].softmax(-1).numpy()
    yield "majority", np.tile(share, (len(rest), 1))
    yield "tfidf_lr", by_words(known, kinds[named], asked_titles, share)
    yield "colours_lr", by_colours(pixels, kinds, asked, sizes[0])


def by_words(
    titles: Sequence[str], kinds: NDArray[np.int64], asked: Sequence[str | None], share: NDArray[np.float32]
) -> Scores:
    """Logistic regression on the titles' TF-IDF; the shares in training where there is no title."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=30, max_iter=500)
    )
    model.fit(titles, kinds)
    scores = np.tile(share, (len(asked), 1))
    named = [i for i, title in enumerate(asked) if title is not None]
    if named:
        scores[named] = 0
        scores[np.ix_(named, model.classes_)] = model.predict_proba([asked[i] for i in named])
    return scores


def by_colours(pixels: Tensor, kinds: NDArray[np.int64], asked: Tensor, answers_: int) -> Scores:
    """Logistic regression on histograms of 64 colours in each quarter of the photo."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=10, max_iter=500).fit(histograms(pixels), kinds)
    scores = np.zeros((len(asked), answers_), np.float32)
    scores[:, model.classes_] = model.predict_proba(histograms(asked))
    return scores


def histograms(pixels: Tensor) -> NDArray[np.float32]:
    """(n, 4 * 64) roots of shares."""
    level = (pixels.numpy() >> 6).astype(np.int64)  # 4 levels of each colour
    colour = level[:, 0] * 16 + level[:, 1] * 4 + level[:, 2]  # (n, h, w)
    n, height, width = colour.shape
    quarter = (np.arange(height)[:, None] * 2 // height) * 2 + np.arange(width) * 2 // width
    place = (np.arange(n)[:, None, None] * 4 + quarter) * 64 + colour
    counts = np.bincount(place.ravel(), minlength=n * 256).reshape(n, 256)
    roots: NDArray[np.float32] = np.sqrt(counts / (height * width)).astype(np.float32)
    return roots


def encoded_per_s(pixels: Tensor, *, rounds: int = 5) -> float:
    """Photos that the untrained encoder takes in a second, decoded ones, in batches of 64: the best of some rounds."""
    encoder = ImageEncoder().eval()
    batch = pixels[:64]
    best = float("inf")
    with torch.no_grad():
        for _ in range(rounds + 1):
            started_s = time.perf_counter()
            encoder.look(batch)
            best = min(best, time.perf_counter() - started_s)
    return len(batch) / best


def folds_of(group: NDArray[np.object_], count: int, seed: int) -> NDArray[np.int64]:
    """The fold of each product, by a hash of its title."""
    return np.array([xxhash.xxh3_64_intdigest(f"{seed}:{title}".encode()) % count for title in group])


def catalogue(folder: Path, *, most: int | None) -> Products:
    """The products whose photo can be read."""
    tried = read_table(folder / TABLE, COLUMNS)[:most]
    seen = [(row, pixels) for row in tried if (pixels := photo_of(folder / PHOTOS / f"{row['id']}.jpg")) is not None]
    if not seen:
        raise DependencyError(f"{folder / PHOTOS}: no readable photo ID.jpg of any product")
    kept = [row for row, _ in seen]
    hidden = [xxhash.xxh3_64_intdigest(str(row["id"]).encode()) & 1 for row in kept]
    group = [str(row["productDisplayName"]) for row in kept]
    title = np.array([None if hide else words for hide, words in zip(hidden, group, strict=True)], object)
    coded = [np.unique([str(row[name]) for row in kept], return_inverse=True) for name in (QUESTION, *ATTRIBUTES)]
    stacked = torch.from_numpy(np.stack([pixels for _, pixels in seen]))
    return Products(
        stacked,
        title,
        np.array(group, object),
        len(tried) - len(seen),
        [c for _, c in coded],
        [names for names, _ in coded],
    )


def photo_of(path: Path) -> NDArray[np.uint8] | None:
    """Pixels as the encoder sees them."""
    return decoded(path.read_bytes()) if path.is_file() else None


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of a Parquet file, these columns of it."""
    try:
        import pyarrow.parquet as parquet

        there = set(parquet.read_schema(path).names)
        if missing := [name for name in columns if name not in there]:
            raise SettingsError(f"{path}: no column {missing[0]}")
        rows: list[dict[str, Any]] = parquet.read_table(path, columns=list(columns)).to_pylist()
    except ImportError as error:
        raise DependencyError("Parquet needs pyarrow: pip install 'stream-app[data]'") from error
    except (OSError, ValueError) as error:
        raise DependencyError(f"{path}: cannot be read: {error}") from error
    return rows


def draw_confusion(path: Path, label: NDArray[np.int64], scores: Scores, names: Sequence[str]) -> None:
    """Shares of the answers given (columns) to each true one (rows), of the 20 commonest kinds."""
    from matplotlib.figure import Figure

    kinds = np.argsort(-np.bincount(label, minlength=len(names)))[:20]
    matrix = np.zeros((len(names), len(names)))
    for each in scores:
        np.add.at(matrix, (label, each.argmax(-1)), 1)
    shown = (matrix / matrix.sum(1, keepdims=True).clip(min=1))[np.ix_(kinds, kinds)]
    words = [str(names[kind]) for kind in kinds]
    figure = Figure(figsize=(8, 7), layout="constrained")
    axes = figure.subplots()
    picture = axes.imshow(shown, vmin=0, vmax=1, cmap="Blues")
    axes.set(yticks=range(len(words)), yticklabels=words, xlabel="answered", ylabel="true")
    axes.set_xticks(range(len(words)), words, rotation=90)
    figure.colorbar(picture)
    figure.savefig(path, dpi=120)
