"""What kind of thing a product is, from its photo, its title or both through the gated fusion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from encoders.behavior import STATE
from encoders.image import ImageEncoder
from encoders.protocol import VECTOR
from encoders.text import Bags, TextEncoder
from fusion.disturbance import disturbed
from fusion.heads.protocol import FUSED
from fusion.model import SLOTS, Fusion, Slots

TEXT, IMAGE = SLOTS.index("text"), SLOTS.index("image")
SHARPNESS = 10.0
"""Image vectors have length 1: what logits are made of is longer."""


@dataclass(frozen=True)
class ProductPlan:
    """How long and how fast to learn."""

    photo_epochs: int = 15
    transfer_epochs: int = 0
    photo_rate: float = 6e-3
    title_epochs: int = 25
    fusion_epochs: int = 8
    looks: int = 4  # disturbed views of each photo from which the fusion learns
    hidden: float = 0.15  # share of the products of which the fusion sees one modality only
    seed: int = 0


class PhotoModel(nn.Module):
    """The image encoder with a linear head per attribute; the first is the question."""

    def __init__(self, answers: Sequence[int]) -> None:
        super().__init__()
        self.image = ImageEncoder()
        self.heads = nn.ModuleList(nn.Linear(VECTOR, count) for count in answers)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Logits (n, answers) per attribute of pixels (n, 3, 40, 40)."""
        vector = self.image.look(pixels) * SHARPNESS
        return [head(vector) for head in self.heads]


class TitleModel(nn.Module):
    """The text encoder with a linear head."""

    def __init__(self, answers: int) -> None:
        super().__init__()
        self.text = TextEncoder()
        self.head = nn.Linear(VECTOR, answers)

    def forward(self, titles: Bags) -> Tensor:
        """Logits (n, answers)."""
        raw: Tensor = self.head(self.text(titles).vector)
        return raw


class ProductModel(nn.Module):
    """The fusion of the fused model with a linear head; behaviour and voice are absent."""

    def __init__(self, fusion: Fusion, answers: int) -> None:
        super().__init__()
        self.fusion = fusion
        self.head = nn.Linear(FUSED, answers)

    def forward(self, title: Tensor, photo: Tensor, present: Tensor) -> Tensor:
        """Logits (n, answers) of title and photo vectors (n, 64) and which are there (n, 2)."""
        n = len(title)
        there = torch.zeros(n, len(SLOTS), dtype=torch.bool)
        there[:, TEXT], there[:, IMAGE] = present.T
        values = [torch.zeros(n, STATE), *(torch.zeros(n, VECTOR) for _ in range(len(SLOTS) - 1))]
        values[TEXT], values[IMAGE] = title * present[:, :1], photo * present[:, 1:]
        meta = torch.stack([torch.zeros(n, len(SLOTS)), there.float()], -1)  # just seen, sure of it
        raw: Tensor = self.head(self.fusion(Slots(values, there, meta))[0])
        return raw


def learn_photos(pixels: Tensor, labels: Sequence[Tensor], answers: Sequence[int], *, plan: ProductPlan) -> PhotoModel:
    """From photos (n, 3, 40, 40) uint8 and labels (n,) per attribute; with transfer, first from all but the first."""
    torch.manual_seed(plan.seed)
    model = PhotoModel(answers)
    for epochs, chosen in ((plan.transfer_epochs, range(1, len(labels))), (plan.photo_epochs, range(1))):
        if not epochs:
            continue
        batches = -(-len(pixels) // 64)
        optimiser = torch.optim.AdamW(model.parameters(), lr=plan.photo_rate, weight_decay=0.02)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.photo_rate, total_steps=epochs * batches)
        model.train()
        for _ in range(epochs):
            for batch in torch.randperm(len(pixels)).chunk(batches):
                raw = model(disturbed(pixels[batch]))
                losses = [F.cross_entropy(raw[k], labels[k][batch], label_smoothing=0.05) for k in chosen]
                descend(torch.stack(losses).mean(), optimiser)
                schedule.step()
    return model.eval()


def learn_titles(titles: Sequence[str], label: Tensor, answers: int, *, plan: ProductPlan) -> TitleModel:
    """From titles (n,) and labels (n,)."""
    torch.manual_seed(plan.seed)
    model = TitleModel(answers)
    text = model.text
    text.sparse = True
    dense = [*text.out.parameters(), *model.head.parameters()]
    optimisers = torch.optim.SparseAdam([text.table.weight], lr=1e-2), torch.optim.Adam(dense, lr=4e-3)
    words = np.array(titles, object)
    for _ in range(plan.title_epochs):
        for batch in torch.randperm(len(words)).chunk(-(-len(words) // 32)):
            raw = model(some(text.prepare(words[batch.numpy()].tolist())))
            descend(F.cross_entropy(raw, label[batch], label_smoothing=0.05), *optimisers)
    text.sparse = False
    return model.eval()


def learn_products(
    photo: PhotoModel,
    title: TitleModel,
    pixels: Tensor,
    titles: Sequence[str | None],
    label: Tensor,
    *,
    fusion: Fusion,
    plan: ProductPlan,
) -> ProductModel:
    """The fusion over the two finished encoders, from disturbed photos and titles with words missing."""
    torch.manual_seed(plan.seed + 1)
    model = ProductModel(fusion, title.head.out_features)
    with torch.no_grad():
        looks = torch.stack([photo.image.look(disturbed(pixels)) for _ in range(plan.looks)])  # (l, n, 64)
        bags = title.text.prepare(titles)
        said = torch.stack([title.text(some(bags)).vector for _ in range(plan.looks)])
    named = torch.tensor([words is not None for words in titles])
    batches = -(-len(pixels) // 128)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    steps = plan.fusion_epochs * plan.looks * batches
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
    for _ in range(plan.fusion_epochs):
        for look, words in zip(looks, said, strict=True):
            for batch in torch.randperm(len(pixels)).chunk(batches):
                chance = torch.rand(len(batch))
                seen = (chance >= plan.hidden / 2) | ~named[batch]
                read = (chance < 1 - plan.hidden / 2) & named[batch]
                raw = model(words[batch], look[batch] * SHARPNESS, torch.stack([read, seen], -1))
                descend(F.cross_entropy(raw, label[batch], label_smoothing=0.05), optimiser)
                schedule.step()
    return model.eval()


def ask_products(
    model: ProductModel, photo: PhotoModel, title: TitleModel, pixels: Tensor, titles: Sequence[str | None]
) -> NDArray[np.float32]:
    """Probabilities (n, answers)."""
    with torch.no_grad():
        said = title.text(title.text.prepare(titles))
        present = torch.stack([said.present, torch.ones(len(pixels), dtype=torch.bool)], -1)
        raw: NDArray[np.float32] = model(said.vector, photo.image.look(pixels) * SHARPNESS, present).softmax(-1).numpy()
    return raw


def descend(loss: Tensor, *optimisers: torch.optim.Optimizer) -> None:
    """One step down the gradient."""
    for optimiser in optimisers:
        optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    for optimiser in optimisers:
        optimiser.step()


def some(titles: Bags) -> Bags:
    """Without three tenths of the tokens."""
    return titles._replace(trust=titles.trust * (torch.rand(len(titles.trust)) >= 0.3))
