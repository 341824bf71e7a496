"""The fused model: four encoders, five slots, one vector per event, all heads on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from encoders import TEXT_ENCODERS
from encoders.behavior import STATE, BehaviorEncoder
from encoders.image import ImageEncoder
from encoders.linear import Linear, quick
from encoders.protocol import VECTOR, Encoded, quantise, quantised
from encoders.scratch import Scratch, space
from encoders.text import TextEncoder
from encoders.voice import VoiceEncoder
from fusion.blending import add_and_norm, gated_sum
from fusion.features import NUMERICS
from fusion.heads import HEADS
from fusion.heads.protocol import FUSED, Fused, Head, Setup
from fusion.inputs import MEMORIES, Inputs, Remembered, Tracks
from fusion.recall import keep, recall

MODALITIES = ("behavior", "text", "voice", "image")
SLOTS = ("state", "readout", "text", "voice", "image")
SLOT_MODALITY = (0, 0, 1, 2, 3)
EPSILON = 1e-5
"""Of layer normalisation."""


@dataclass(frozen=True)
class ModelConfig:
    """What a checkpoint says about its model besides the weights."""

    name: str = "fused"
    version: str = "0"
    actions: tuple[str, ...] = ()
    segments: tuple[str, ...] = tuple(f"segment {number}" for number in range(8))
    history: int = 32
    churn_horizon_s: int = 7 * 86_400
    fusion: str = "gated"  # in FUSIONS
    text: str = "static"  # in TEXT_ENCODERS
    metrics: dict[str, float] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @staticmethod
    def of(document: Mapping[str, Any]) -> ModelConfig:
        """From JSON values; raises TypeError on unknown keys."""
        lists = {key: tuple(value) for key, value in document.items() if isinstance(value, list)}
        return ModelConfig(**{**document, **lists})


class Output(NamedTuple):
    """What the device answers for n events of u users."""

    raw: dict[str, Tensor]  # per head
    views: Views  # what was mixed
    state: Tensor  # (u, 128) int8 after each user's last event
    memory: dict[str, tuple[Tensor, Tensor]]  # per memory (u, 64) int8 and (u,) scale; 0 = none
    fused: Fused


class Slots(NamedTuple):
    """Five views of a user at n positions."""

    values: list[Tensor]  # each (n, its size), anything where absent
    present: Tensor  # (n, 5) bool
    meta: Tensor  # (n, 5, 2): log age, confidence


class Seen(NamedTuple):
    """What fusion and heads read of n positions; nothing in it depends on how a batch is made up."""

    slots: Slots
    opinion: Encoded
    items: Tensor  # (n, 64)
    rhythm: Tensor  # (n, 9)


class Answers(NamedTuple):
    """What fusion and heads make of it."""

    raw: dict[str, Tensor]  # per head
    views: Views
    fused: Fused


class Views(NamedTuple):
    """The slots ready to be mixed. Hiding some changes `present` alone."""

    vectors: Tensor  # (n, 5, 128)
    logits: Tensor  # (n, 5) of the gates
    present: Tensor  # (n, 5) bool
    meta: Tensor  # (n, 5, 2)

    def at(self, rows: Tensor | None) -> Views:
        """Views (m,) with the given presence (m, 5) of the events `rows` (m,); None: of each event."""
        return self if rows is None else Views(self.vectors[rows], self.logits[rows], self.present, self.meta[rows])


class Fusion(nn.Module):
    """A gated sum over the present slots and an MLP; an absent slot adds its learned token instead."""

    scratch: Scratch | None = None
    """Where the views' vectors lie while nothing is learned, until the next ones."""

    def __init__(self) -> None:
        super().__init__()
        sizes = [STATE, VECTOR, VECTOR, VECTOR, VECTOR]
        self.project = nn.ModuleList(Linear(size, FUSED) for size in sizes)
        self.gate = nn.ModuleList(Linear(size + 2, 1) for size in sizes)
        self.absent = nn.Parameter(torch.randn(len(SLOTS), FUSED) * 0.02)
        self.mix = Linear(FUSED + 3 * len(SLOTS), FUSED)
        self.out = Linear(FUSED, FUSED)

    def forward(self, slots: Slots) -> tuple[Tensor, Tensor]:
        """(n, 128) and the gates (n, 5), which sum to 1 over the present slots."""
        return self.blend(self.views(slots))

    def views(self, slots: Slots) -> Views:
        """Each slot in the common space, with the logit of its gate."""
        asks = cast(list[Linear], list(self.gate))
        said = [F.linear(v, gate.weight[:, : v.shape[1]]) for gate, v in zip(asks, slots.values, strict=True)]
        about = torch.cat([gate.weight[:, -2:] for gate in asks])  # (5, 2)
        logits = torch.cat(said, -1) + (slots.meta * about).sum(-1) + torch.cat([gate.bias for gate in asks])
        if not quick(logits):
            vectors = torch.stack([p(v) for p, v in zip(self.project, slots.values, strict=True)], 1)
            return Views(vectors, logits, slots.present, slots.meta)
        slotwise = space(self.scratch, "vectors", len(SLOTS), len(logits), FUSED)
        for p, v, there in zip(self.project, slots.values, slotwise, strict=True):
            if (made := p(v, out=there)) is not there:
                there.copy_(made)
        return Views(slotwise.transpose(0, 1), logits, slots.present, slots.meta)

    def blend(self, views: Views, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What `forward` gives, of the present views alone. `rows` (m,): see `Views.at`."""
        if not quick(views.logits):
            mixed, gates = self.mixed(views.at(rows))
            vector = self.out(self.mix(mixed, then="gelu"))
            return F.layer_norm(vector + mixed[:, :FUSED], (FUSED,), eps=EPSILON), gates
        mixed, gates = self.quickly_mixed(views, rows)
        vector = self.out.product(self.mix(mixed, then="gelu"))
        add_and_norm(vector.numpy(), mixed.numpy(), self.out.bias.detach().numpy(), EPSILON)
        return vector, gates

    def mixed(self, views: Views) -> tuple[Tensor, Tensor]:
        """(n, 128 + 15): the gated sum, presence, meta; and the gates (n, 5)."""
        present, meta = views.present, views.meta * views.present[..., None]
        gates = views.logits.masked_fill(~present, -1e9).softmax(-1) * present  # (n, 5)
        mixed = torch.bmm(gates[:, None] * len(SLOTS), views.vectors).squeeze(1)
        mixed = mixed + (~present).float() @ self.absent
        return torch.cat([mixed, present.float(), meta.flatten(1)], -1), gates

    def quickly_mixed(self, views: Views, rows: Tensor | None) -> tuple[Tensor, Tensor]:
        """The same in one pass over memory."""
        rows = torch.arange(len(views.present)) if rows is None else rows
        mixed = self.absent.new_empty(len(rows), FUSED + 3 * len(SLOTS))
        gates = mixed.new_empty(len(rows), len(SLOTS))
        vectors = views.vectors.transpose(0, 1)
        known = (vectors, views.logits, views.meta, rows, views.present, self.absent, mixed, gates)
        gated_sum(*(part.detach().numpy() for part in known))
        return mixed, gates


class Concat(Fusion):
    """All slots side by side and an MLP: the plain way, which the gates must beat. Absent slots are zeros."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.project = nn.ModuleList(Linear(size, FUSED) for size in (STATE, VECTOR, VECTOR, VECTOR, VECTOR))
        self.mix = Linear((FUSED + 3) * len(SLOTS), FUSED)
        self.out = Linear(FUSED, FUSED)

    def views(self, slots: Slots) -> Views:
        """Each slot through a layer of its own; there are no gates."""
        vectors = torch.stack([p(v, then="relu") for p, v in zip(self.project, slots.values, strict=True)], 1)
        return Views(vectors, torch.zeros_like(slots.meta[..., 0]), slots.present, slots.meta)

    def blend(self, views: Views, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(n, 128), and even gates."""
        views = views.at(rows)
        seen = views.present[..., None]
        beside = [(views.vectors * seen).flatten(1), views.present.float(), (views.meta * seen).flatten(1)]
        gates = views.present / views.present.sum(-1, keepdim=True).clamp(min=1)
        return F.layer_norm(self.out(self.mix(torch.cat(beside, -1), then="gelu")), (FUSED,)), gates


FUSIONS: dict[str, type[Fusion]] = {"gated": Fusion, "concat": Concat}


class FusedModel(nn.Module):
    """Encoders, fusion and heads. `forward` takes a whole batch, k events of a user as k positions."""

    text: Any  # one of TEXT_ENCODERS; voice shares it where it is static

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.text = TEXT_ENCODERS[config.text]()
        self.voice = VoiceEncoder(self.text if isinstance(self.text, TextEncoder) else TextEncoder())
        self.image = ImageEncoder()
        self.behavior = BehaviorEncoder(len(config.actions) + 1, len(NUMERICS))
        self.fusion = FUSIONS[config.fusion]()
        setup = Setup(config.actions, config.segments, self.behavior.items, config.churn_horizon_s)
        self.heads = nn.ModuleDict({name: head(setup) for name, head in HEADS.items()})

    def head(self, name: str) -> Head:
        """One head, typed."""
        return cast(Head, self.heads[name])

    def forward(
        self,
        inputs: Inputs,
        fresh: Mapping[str, Tensor] | None = None,
        drop: Tensor | None = None,
        answers: Callable[[Seen], Answers] | None = None,
    ) -> Output:
        """Answer for every event.

        `fresh`: frozen encoders' vectors, if known; `drop` (n, 4): modalities to hide; `answers`: in the place of the
        method of that name.
        """
        fresh = self.encode(inputs) if fresh is None else fresh
        behavior = self.behavior(inputs.steps)
        held = {name: recalled(inputs.memories[name], fresh[name]) for name in MEMORIES}
        slots = self.slots(inputs, behavior, held, drop)
        items = behavior.vector[:, STATE + VECTOR :] * slots.present[:, :1]
        rhythm = inputs.rhythm * slots.present[:, :1]
        made = (self.answers if answers is None else answers)(Seen(slots, held["opinion"], items, rhythm))
        last = inputs.memories["text"].last.clamp(min=0)
        state = torch.round(behavior.vector.detach()[last, :STATE] * 127).to(torch.int8)
        memory = {name: kept(inputs.memories[name], held[name]) for name in MEMORIES}
        return Output(made.raw, made.views, state, memory, made.fused)

    def answers(self, seen: Seen) -> Answers:
        """Fusion and heads, each position by itself."""
        views = self.fusion.views(seen.slots)
        vector, _ = self.fusion.blend(views)
        mask = mask_of(seen.slots.present[:, 1:])
        fused = Fused(vector, seen.opinion.vector, seen.opinion.present, seen.items, seen.rhythm, mask)
        return Answers({name: head(fused) for name, head in self.heads.items()}, views, fused)

    def encode(self, inputs: Inputs | Tracks) -> dict[str, Tensor]:
        """Fresh vectors of this batch per memory."""
        text, voice, image = self.text(inputs.text), self.voice(inputs.voice), self.image(inputs.image)
        said = torch.cat([text.vector, voice.vector])
        return {"text": text.vector, "voice": voice.vector, "image": image.vector, "opinion": said}

    def slots(self, inputs: Inputs, behavior: Encoded, held: Mapping[str, Encoded], drop: Tensor | None) -> Slots:
        """The five slots with what is known of each."""
        state, readout = behavior.vector[:, :STATE], behavior.vector[:, STATE : STATE + VECTOR]
        acted = inputs.acts > 0
        words = [held[name] for name in ("text", "voice", "image")]
        present = torch.stack([acted, acted, *(w.present for w in words)], -1)  # (n, 5)
        if drop is not None:
            present = present & ~drop[:, list(SLOT_MODALITY)]
        ages = [inputs.gap_s, inputs.gap_s, *(inputs.memories[name].age_s for name in ("text", "voice", "image"))]
        sure = [torch.log1p(inputs.acts) / 5, behavior.confidence, *(w.confidence for w in words)]
        meta = torch.stack([torch.log1p(torch.stack(ages, -1) / 60) / 5, torch.stack(sure, -1)], -1)
        return Slots([state, readout, *(w.vector for w in words)], present, meta * present[..., None])


def mask_of(present: Tensor) -> Tensor:
    """(n,) which modalities (n, 4) are present as one number: bit i for the i-th."""
    return (present.long() << torch.arange(len(MODALITIES), device=present.device)).sum(-1)


def recalled(memory: Remembered, fresh: Tensor) -> Encoded:
    """The vector that each position remembers, as it is or will be carried."""
    present = memory.pick >= 0
    if quick(fresh):
        vector = torch.empty(len(present), VECTOR)
        known = (memory.pick, memory.carried, fresh, memory.fresh, vector)
        recall(*(part.detach().numpy() for part in known))
        return Encoded(vector, present, memory.confidence)
    new = quantised(fresh[memory.fresh])
    table = torch.cat([memory.carried, new]) if len(memory.carried) + len(new) else fresh.new_zeros(1, VECTOR)
    vector = torch.where(present[:, None], table[memory.pick.clamp(min=0)], 0.0)  # 0 times NaN is no 0
    return Encoded(vector, present, memory.confidence)


def kept(memory: Remembered, held: Encoded) -> tuple[Tensor, Tensor]:
    """The memory after each user's last event, int8 and scale."""
    if quick(held.vector):
        users = len(memory.last)
        whole, scale = torch.empty(users, VECTOR, dtype=torch.int8), torch.empty(users)
        keep(*(part.detach().numpy() for part in (held.vector, memory.last, whole, scale)))
        return whole, scale
    return quantise(held.vector.detach()[memory.last.clamp(min=0)])
