"""A training between two epochs, on disk: so that a killed one goes on as if nothing had happened."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from fusion.errors import CheckpointError
from fusion.model import FusedModel
from fusion.training.descent import Best, Stage
from fusion.training.journal import Journal
from fusion.training.plan import Plan


class Saved:
    """Weights, optimisers, schedules and random numbers after the last whole epoch.

    `path` None: nothing is written. With `resume` the file is read, and stages that it has behind it are passed by.
    """

    def __init__(self, path: Path | None = None, *, resume: bool = False) -> None:
        self.path = path
        self._state: dict[str, Any] | None = None
        if resume:
            if path is None or not path.is_file():
                raise CheckpointError(f"nothing to resume: there is no {path}")
            self._state = read(path)

    def begin(self, model: FusedModel, rng: np.random.Generator, plan: Plan, journal: Journal) -> None:
        """Give the model its weights back; raises CheckpointError where another plan made them."""
        self._model, self._rng, self._journal = model, rng, journal
        self._about = repr(sorted({**asdict(plan), "device": ""}.items())) + repr(model.config)
        if self._state is not None:
            if self._state["about"] != self._about:
                raise CheckpointError("the training to resume had other options: repeat them, or start anew")
            model.load_state_dict(self._state["model"])
            journal.rows[:] = [tuple(row) for row in self._state["rows"]]

    def epochs(self, stage: Stage, best: Best) -> Iterator[int]:
        """The epochs of a stage that are still to come, its state restored; none of a stage that is over."""
        first = 1
        if self._state is not None:
            if self._state["stage"] != stage.name:
                return
            self._restore(self._state, stage, best)
            first, self._state = self._state["epoch"] + 1, None
            if best.age >= stage.patience:
                return
        yield from range(first, stage.epochs + 1)

    def keep(self, stage: Stage, epoch: int, best: Best) -> None:
        """Write everything, whole or not at all."""
        if self.path is None:
            return
        state = {
            "about": self._about,
            "stage": stage.name,
            "epoch": epoch,
            "model": self._model.state_dict(),
            "modules": [module.state_dict() for module in stage.modules],
            "optimisers": [optimiser.state_dict() for optimiser in stage.optimisers],
            "schedules": [schedule.state_dict() for schedule in stage.schedules],
            "best": (best.loss, best.age, best.states),
            "chance": (torch.get_rng_state(), self._rng.bit_generator.state),
            "rows": [list(row) for row in self._journal.rows],
        }
        write(state, self.path)

    def finish(self) -> None:
        """The training is over."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def _restore(self, state: dict[str, Any], stage: Stage, best: Best) -> None:
        for module, its in zip(stage.modules, state["modules"], strict=True):
            module.load_state_dict(its)
        for optimiser, its in zip(stage.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(its)
        for schedule, its in zip(stage.schedules, state["schedules"], strict=True):
            schedule.load_state_dict(its)
        best.loss, best.age, best.states = state["best"]
        chance, self._rng.bit_generator.state = state["chance"]
        torch.set_rng_state(chance)


def write(state: dict[str, Any], path: Path) -> None:
    """Tensors as safetensors, each once, and all else as JSON in the metadata; whole or not at all."""
    tensors: dict[str, Tensor] = {}
    names: dict[tuple[int, torch.Size], str] = {}

    def plain(value: Any) -> Any:
        if isinstance(value, Tensor):
            name = names.setdefault((value.data_ptr() or id(value), value.shape), f"tensor {len(names)}")
            tensors[name] = value.detach().cpu().contiguous()
            return {"tensor": name}
        if isinstance(value, dict):
            return {"items": [[key, plain(each)] for key, each in value.items()]}
        return [plain(each) for each in value] if isinstance(value, list | tuple) else value

    body = json.dumps(plain(state))
    fresh = path.with_suffix(".new")
    save_file(tensors, fresh, {"training": body})
    fresh.replace(path)


def read(path: Path) -> dict[str, Any]:
    """What `write` wrote; raises CheckpointError for anything else."""

    def whole(value: Any) -> Any:
        if isinstance(value, dict):
            if "tensor" in value:
                return tensors[value["tensor"]]
            return {key: whole(each) for key, each in value["items"]}
        return [whole(each) for each in value] if isinstance(value, list) else value

    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            state: dict[str, Any] = whole(json.loads((file.metadata() or {})["training"]))
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path.name} is no training to resume ({type(error).__name__})") from error
    return state
