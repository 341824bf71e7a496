"""How long and how fast to learn."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """Epochs, rates and seed; `patience` epochs without progress end a stage."""

    text_epochs: int = 5
    text_rate: float = 2e-3
    voice_epochs: int = 2
    image_epochs: int = 60
    pretraining_epochs: int = 2
    epochs: int = 10
    answer_epochs: int = 6
    patience: int = 2
    rate: float = 2e-3
    segments: int = 8
    seed: int = 0
    device: str = "cpu"


QUICK = Plan(text_epochs=1, voice_epochs=1, image_epochs=2, pretraining_epochs=1, epochs=2, answer_epochs=1)
"""To see that it works, not to judge."""
