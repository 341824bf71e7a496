"""How a model is made, top to bottom: words, voices, photos, then everything together; then calibrated."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from torch import Tensor, nn

from encoders.protocol import VECTOR, quantised
from encoders.text import Bags
from encoders.voice import Utterances
from fusion.clustering import in_order, k_means, names
from fusion.features import NUMERICS
from fusion.heads.protocol import FUSED, RHYTHM, Fused, Labels
from fusion.inputs import Inputs, Preparation
from fusion.material import Example, Material, Photos, Texts, salted
from fusion.model import MODALITIES, FusedModel, ModelConfig, Output

WEIGHTS = {"purchase": 1.0, "churn": 1.0, "next_action": 1.0, "recommendations": 0.3, "anomaly": 0.5}
HIDDEN = 0.15
"""Share of the events from which each modality is hidden while training."""


TEMPERATURES = torch.logspace(-0.6, 0.6, 61)


@dataclass(frozen=True)
class Plan:
    """How long and how fast to learn."""

    text_epochs: int = 5
    text_rate: float = 2e-3
    voice_epochs: int = 2
    image_epochs: int = 30
    epochs: int = 10
    patience: int = 2
    rate: float = 2e-3
    segments: int = 8
    seed: int = 0


@dataclass
class Journal:
    """Progress for people, and the curves as CSV."""

    path: Path | None = None
    console: Console = field(default_factory=lambda: Console(stderr=True))
    rows: list[tuple[str, int, str, float, float]] = field(default_factory=list)
    started_s: float = field(default_factory=time.perf_counter)

    def note(self, stage: str, epoch: int, **losses: float) -> None:
        """One epoch's figures."""
        elapsed_s = round(time.perf_counter() - self.started_s, 1)
        self.rows += [(stage, epoch, name, round(value, 5), elapsed_s) for name, value in losses.items()]
        self.console.print(
            f"[bold]{stage}[/] {epoch}: "
            + "  ".join(f"{k} {v:.4f}" for k, v in losses.items())
            + f"  ({elapsed_s:.0f} s)"
        )
        if self.path is not None:
            with self.path.open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(("stage", "epoch", "figure", "value", "elapsed_s"))
                writer.writerows(self.rows)

    def steps(self, stage: str, batches: Sequence[Any] | NDArray[Any]) -> Iterator[Any]:
        """The batches, with a progress bar."""
        with Progress(console=self.console, transient=True) as progress:
            yield from progress.track(batches, description=stage)


def train(material: Material, config: ModelConfig, *, plan: Plan, journal: Journal) -> FusedModel:
    """A model that has learned all that the material holds; the same seed gives the same model."""
    torch.manual_seed(plan.seed)
    rng = np.random.default_rng(plan.seed)
    model = FusedModel(replace(config, segments=tuple(f"segment {n}" for n in range(plan.segments))))
    learn_words(model, material.texts, material.texts_valid, plan=plan, rng=rng, journal=journal)
    learn_voices(model, material.texts, plan=plan, rng=rng, journal=journal)
    learn_photos(model, material.photos, material.photos_valid, plan=plan, rng=rng, journal=journal)
    freeze(model.text, model.voice, model.image, model.heads["sentiment"])
    learn_sequences(model, material.sequences, material.sequences_valid, plan=plan, rng=rng, journal=journal)
    calibrate(model, material.sequences_valid, material.texts_valid)
    return describe(model, material.sequences, plan=plan)


def learn_words(
    model: FusedModel, texts: Texts, valid: Texts, *, plan: Plan, rng: np.random.Generator, journal: Journal
) -> None:
    """The text encoder and the sentiment head: how texts feel, and which texts are about the same."""
    topics = nn.Linear(VECTOR, int(texts.topic.max()) + 1)
    sentiment = model.head("sentiment")
    dense = [*model.text.out.parameters(), *model.heads["sentiment"].parameters(), *topics.parameters()]
    table = torch.optim.SparseAdam([model.text.table.weight], lr=plan.text_rate)
    rest = torch.optim.Adam(dense, lr=plan.text_rate / 2)
    weight = class_weights(texts.sentiment)
    best = Best(model.text, model.heads["sentiment"])
    model.text.sparse = True
    for epoch in range(1, plan.text_epochs + 1):
        total = 0.0
        for group in (table.param_groups[0], rest.param_groups[0]):
            group["lr"] *= 0.6 if epoch > 1 else 1.0
        batches = shuffled(len(texts), 256, rng)
        for chosen in journal.steps("words", batches):
            bags = without_some(model.text.prepare(texts.text[chosen].tolist()), 0.3)
            vector = model.text(bags).vector
            raw = sentiment(spoken(vector))
            feeling, topic = torch.from_numpy(texts.sentiment[chosen]), torch.from_numpy(texts.topic[chosen])
            loss = cross_entropy(raw[:, :3], feeling, weight) + 0.3 * cross_entropy(topics(vector), topic)
            step(loss, table, rest)
            total += loss.item() / len(batches)
        scores = feelings(model, valid.text)
        known = valid.sentiment >= 0
        valid_loss = cross_entropy(torch.log(scores[known]), torch.from_numpy(valid.sentiment[known])).item()
        right = (scores[known].argmax(1).numpy() == valid.sentiment[known]).mean()
        journal.note("words", epoch, train_loss=total, valid_loss=valid_loss, valid_accuracy=float(right))
        if best.worse(valid_loss, patience=plan.patience):
            break
    best.restore()
    model.text.sparse = False


def learn_voices(model: FusedModel, texts: Texts, *, plan: Plan, rng: np.random.Generator, journal: Journal) -> None:
    """How far to trust words heard with little confidence: stay near what was said, whatever was misheard."""
    chosen_texts = texts.take(np.flatnonzero([len(text) < 120 for text in texts.text]))
    own = [model.voice.gamma, *model.voice.manner.parameters()]
    optimiser = torch.optim.Adam(own, lr=5e-3)
    vocabulary = [w for text in chosen_texts.text[:2000] for w in text.split()]
    for epoch in range(1, plan.voice_epochs + 1):
        total = 0.0
        batches = shuffled(min(len(chosen_texts), 12_000), 256, rng)
        for chosen in journal.steps("voice", batches):
            said = chosen_texts.text[chosen].tolist()
            heard = model.voice(model.voice.prepare(misheard(said, vocabulary, rng))).vector
            with torch.no_grad():
                clean = model.text(model.text.prepare(said)).vector
            loss = (heard - clean).square().mean()
            step(loss, optimiser)
            total += loss.item() / len(batches)
        journal.note("voice", epoch, train_loss=total, gamma=float(model.voice.gamma.detach()))


def learn_photos(
    model: FusedModel, photos: Photos, valid: Photos, *, plan: Plan, rng: np.random.Generator, journal: Journal
) -> None:
    """The image encoder: which kind of thing a photo shows."""
    if not len(photos.data):
        return
    kinds = nn.Linear(VECTOR, int(photos.kind.max()) + 1)
    optimiser = torch.optim.AdamW([*model.image.parameters(), *kinds.parameters()], lr=3e-3, weight_decay=0.02)
    pixels, pixels_valid = (model.image.prepare(p.data.tolist()).pixels for p in (photos, valid))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, 6e-3, total_steps=plan.image_epochs * len(shuffled(len(pixels), 64, rng))
    )
    for epoch in range(1, plan.image_epochs + 1):
        model.image.train()
        total = 0.0
        batches = shuffled(len(pixels), 64, rng)
        for chosen in journal.steps("photos", batches):
            logits = kinds(model.image.look(disturbed(pixels[torch.from_numpy(chosen)])) * 10)
            loss = F.cross_entropy(logits, torch.from_numpy(photos.kind[chosen]), label_smoothing=0.05)
            step(loss, optimiser)
            schedule.step()
            total += loss.item() / len(batches)
        model.image.eval()
        if epoch % 5 == 0 or epoch == plan.image_epochs:
            with torch.no_grad():
                right = kinds(model.image.look(pixels_valid) * 10).argmax(1).numpy() == valid.kind
            journal.note("photos", epoch, train_loss=total, valid_accuracy=float(right.mean()))


def learn_sequences(
    model: FusedModel,
    examples: Sequence[Example],
    valid: Sequence[Example],
    *,
    plan: Plan,
    rng: np.random.Generator,
    journal: Journal,
) -> None:
    """Behaviour, fusion and the remaining heads, all tasks at once; early stopping on unseen users."""
    prepare = preparation(model)
    ready, ready_valid = [[encoded(model, prepare, e) for e in part] for part in (examples, valid)]
    learned = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(learned, lr=plan.rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, plan.rate * 2, total_steps=plan.epochs * len(examples), pct_start=0.2
    )
    best = Best(model)
    for epoch in range(1, plan.epochs + 1):
        total = 0.0
        model.heads.train()
        for number in journal.steps("sequences", rng.permutation(len(examples))):
            example = salted(examples[number], int(rng.integers(1, 2**63)))
            inputs, fresh = ready[number]
            inputs = replace(inputs, steps=model.behavior.prepare(prepare.acts(example.features)))
            output = model(
                inputs, fresh, torch.from_numpy(rng.random((len(example.features), len(MODALITIES))) < HIDDEN)
            )
            losses = head_losses(model, output, example)
            step(weighted(losses), optimiser, clip=learned)
            schedule.step()
            total += weighted(losses).item() / len(examples)
        model.heads.eval()
        with torch.no_grad():
            figures = [head_losses(model, model(*r), e) for e, r in zip(valid, ready_valid, strict=True)]
        mean = {name: torch.stack([each[name] for each in figures]).mean() for name in WEIGHTS}
        valid_loss = weighted(mean).item()
        journal.note(
            "sequences", epoch, train_loss=total, valid_loss=valid_loss, **{k: v.item() for k, v in mean.items()}
        )
        if best.worse(valid_loss, patience=plan.patience):
            break
    best.restore()


def calibrate(model: FusedModel, examples: Sequence[Example], texts: Texts) -> None:
    """One temperature per head: the one with the least loss on what was not learned from."""
    with torch.no_grad():
        prepare = preparation(model)
        outputs = [model(*encoded(model, prepare, example)) for example in examples]
        labels = Labels(*(torch.cat(parts) for parts in zip(*(e.outcomes.labels() for e in examples), strict=True)))
        for name in ("purchase", "churn", "next_action", "anomaly"):
            raw = torch.cat([output.raw[name] for output in outputs])
            coolest(model, name, [model.head(name).loss(raw / t, labels) for t in TEMPERATURES])
        raw = model.head("sentiment")(spoken(text_vectors(model, texts.text)))
        label = torch.from_numpy(texts.sentiment)
        coolest(model, "sentiment", [cross_entropy(raw[:, :3] / t, label) for t in TEMPERATURES])


def describe(model: FusedModel, examples: Sequence[Example], *, plan: Plan) -> FusedModel:
    """Segments and what is usual: from where each training user ended up. Gives the finished model."""
    prepare = preparation(model)
    vectors, traits, everywhere = [], [], []
    with torch.no_grad():
        for example in examples:
            inputs, fresh = encoded(model, prepare, example)
            last = inputs.memories["text"].last
            vector = model(inputs, fresh).fused.vector
            vectors.append(vector[last[last >= 0]])
            everywhere.append(vector[torch.from_numpy(example.outcomes.anomaly != 1)][::5])
            traits.append(traits_of(example, model.config.actions))
    points = torch.cat(vectors)
    centres = in_order(k_means(points, plan.segments, seed=plan.seed), points)
    nearest = torch.cdist(points, centres).argmin(1).numpy()
    labels = names(np.concatenate(traits), nearest, (*model.config.actions, "events", "price", "speed"), plan.segments)
    described = FusedModel(replace(model.config, segments=tuple(labels)))
    described.load_state_dict(model.state_dict())
    described.heads["segment"].get_buffer("centres").copy_(centres)
    anomaly = described.heads["anomaly"]
    people = torch.cat(everywhere)
    mean, spread = people.mean(0), people.std(0).clamp(min=0.05)
    far = ((people - mean) / spread).square().mean(-1).sqrt()
    for name, value in (("mean", mean), ("spread", spread), ("usual", torch.stack([far.mean(), far.std()]))):
        anomaly.get_buffer(name).copy_(value)
    return described.eval()


class Best:
    """Remembers the weights with the least validation loss."""

    def __init__(self, *modules: nn.Module) -> None:
        self.modules = modules
        self.loss, self.age = float("inf"), 0
        self.states: list[dict[str, Tensor]] = []

    def worse(self, loss: float, *, patience: int) -> bool:
        """Take note of an epoch; True once `patience` epochs in a row were no better."""
        self.age += 1
        if loss < self.loss:
            self.loss, self.age = loss, 0
            self.states = [{k: v.clone() for k, v in module.state_dict().items()} for module in self.modules]
        return self.age >= patience

    def restore(self) -> None:
        """Back to the best weights."""
        for module, state in zip(self.modules, self.states, strict=True):
            module.load_state_dict(state)


def preparation(model: FusedModel) -> Preparation:
    """The scorer's own way from features to inputs, for the model's own vocabulary."""
    actions = model.config.actions
    return Preparation(model.text, model.voice, model.image, model.behavior, known=actions, actions=actions)


def encoded(model: FusedModel, prepare: Preparation, example: Example) -> tuple[Inputs, dict[str, Tensor]]:
    """The inputs of an example and its frozen text, voice and image vectors."""
    inputs, _ = prepare(example.features)
    with torch.no_grad():
        return inputs, model.encode(inputs)


def head_losses(model: FusedModel, output: Output, example: Example) -> dict[str, Tensor]:
    """The loss of every head that learns from sequences."""
    labels = example.outcomes.labels()
    return {name: model.head(name).loss(output.raw[name], labels) for name in WEIGHTS}


def weighted(losses: Mapping[str, Tensor]) -> Tensor:
    """One loss of all."""
    return torch.stack([WEIGHTS[name] * loss for name, loss in losses.items()]).sum()


def step(loss: Tensor, *optimisers: torch.optim.Optimizer, clip: Sequence[nn.Parameter] = ()) -> None:
    """One step down the gradient."""
    for optimiser in optimisers:
        optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    if clip:
        nn.utils.clip_grad_norm_(clip, 1.0)
    for optimiser in optimisers:
        optimiser.step()


def freeze(*modules: nn.Module) -> None:
    """They learn no more."""
    for module in modules:
        module.requires_grad_(False).eval()


def coolest(model: FusedModel, name: str, losses: Sequence[Tensor]) -> None:
    """Set a head's temperature to the one with the least loss."""
    best = TEMPERATURES[int(torch.stack(list(losses)).argmin())]
    model.heads[name].get_buffer("temperature").copy_(best)


def cross_entropy(logits: Tensor, label: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean over the known labels (not -1); 0 where there are none."""
    known = label >= 0
    if not bool(known.any()):
        return logits.sum() * 0
    return F.cross_entropy(logits[known], label[known], weight)


def class_weights(label: NDArray[np.int64]) -> Tensor:
    """Rare feelings count more, by the root of how rare they are."""
    share = np.bincount(label[label >= 0], minlength=3) / max((label >= 0).sum(), 1)
    return torch.from_numpy((share.clip(1e-3) * 3) ** -0.5).float()


def spoken(vector: Tensor) -> Fused:
    """Text vectors as if each had just been said; nothing else is known."""
    present = torch.ones(len(vector), dtype=torch.bool)
    mask = torch.zeros(len(vector), dtype=torch.int64)
    nothing = (torch.zeros_like(vector), vector.new_zeros(len(vector), RHYTHM), mask)
    return Fused(vector.new_zeros(len(vector), FUSED), vector, present, *nothing)


def text_vectors(model: FusedModel, texts: NDArray[np.object_]) -> Tensor:
    """(n, 64), as they are carried."""
    parts = [texts[i : i + 512].tolist() for i in range(0, len(texts), 512)]
    with torch.no_grad():
        return quantised(torch.cat([model.text(model.text.prepare(part)).vector for part in parts]))


def feelings(model: FusedModel, texts: NDArray[np.object_]) -> Tensor:
    """(n, 3) calibrated probabilities of negative, neutral, positive."""
    with torch.no_grad():
        head = model.head("sentiment")
        return head.columns(head(spoken(text_vectors(model, texts))))["scores"]


def shuffled(count: int, size: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Every number below `count` once, in batches."""
    order = rng.permutation(count)
    return [order[i : i + size] for i in range(0, count, size)]


def without_some(bags: Bags, share: float) -> Bags:
    """Some tokens trusted not at all, so that no single one decides."""
    return bags._replace(trust=bags.trust * (torch.rand(len(bags.trust)) >= share))


def disturbed(pixels: Tensor) -> Tensor:
    """Photos mirrored, moved and relit by chance: (n, 3, h, w) uint8 to 0..1 float."""
    x = pixels.float() / 255
    x = torch.where(torch.rand(len(x), 1, 1, 1) < 0.5, x.flip(-1), x)
    shift = torch.randint(-4, 5, (2,)).tolist()
    light = 1 + 0.2 * torch.randn(len(x), 3, 1, 1)
    return (x.roll(shift, (-2, -1)) * light).clamp(0, 1)


def misheard(texts: Sequence[str], vocabulary: Sequence[str], rng: np.random.Generator) -> Utterances:
    """Texts as a recogniser with a word error rate of 0 to 40 % might hear them, with its confidences."""
    heard: list[str | None] = []
    sure: list[NDArray[np.float32] | None] = []
    for text in texts:
        words = text.split()
        wrong = rng.random(len(words)) < rng.random() * 0.4
        heard.append(
            " ".join(
                vocabulary[int(rng.integers(len(vocabulary)))] if w else word
                for word, w in zip(words, wrong, strict=True)
            )
        )
        sure.append(np.where(wrong, rng.beta(4, 4, len(words)), rng.beta(14, 1.5, len(words))).astype(np.float32))
    whole = np.array([each.mean() if each is not None and len(each) else 0.8 for each in sure], np.float32)
    return Utterances(heard, whole, sure)


def traits_of(example: Example, actions: Sequence[str]) -> NDArray[np.float64]:
    """What each user with events did (users, actions + 3): shares of the actions, log count, price, speed."""
    features = example.features
    users = len(features.carried)
    count = np.bincount(features.row, minlength=users)
    shares = (
        np.stack([np.bincount(features.row, features.action == code, users) for code in range(len(actions))], 1)
        / count.clip(1)[:, None]
    )
    price = features.numerics[:, NUMERICS.index("log_price")]
    priced = np.bincount(features.row, ~np.isnan(price), users).clip(1)
    speed = -np.bincount(features.row, np.log1p(features.gap_s.clip(0)), users) / count.clip(1)
    more = np.stack([np.log(count.clip(1)), np.bincount(features.row, np.nan_to_num(price), users) / priced, speed], 1)
    everything: NDArray[np.float64] = np.concatenate([shares, more], 1)[count > 0]
    return everything
