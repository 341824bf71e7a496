"""Encoders: one modality per file. Tensors in, tensors out; no events, no topics, no clock."""

from torch import nn

from encoders.behavior import BehaviorEncoder
from encoders.image import ImageEncoder
from encoders.text import TextEncoder
from encoders.voice import VoiceEncoder

ENCODERS: dict[str, type[nn.Module]] = {
    "behavior": BehaviorEncoder,
    "text": TextEncoder,
    "voice": VoiceEncoder,
    "image": ImageEncoder,
}
