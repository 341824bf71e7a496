"""Encoders: one modality per file. Tensors in, tensors out; no events, no topics, no clock."""

from torch import nn

from encoders.behavior import BehaviorEncoder
from encoders.image import ImageEncoder
from encoders.language.recurrent import RecurrentEncoder
from encoders.language.transformer import MultilingualEncoder, TransformerEncoder
from encoders.text import TextEncoder
from encoders.voice import VoiceEncoder

ENCODERS: dict[str, type[nn.Module]] = {
    "behavior": BehaviorEncoder,
    "text": TextEncoder,
    "voice": VoiceEncoder,
    "image": ImageEncoder,
}

TEXT_ENCODERS: dict[str, type[nn.Module]] = {
    "static": TextEncoder,
    "recurrent": RecurrentEncoder,
    "transformer": TransformerEncoder,
    "multilingual": MultilingualEncoder,
}
"""Ways to read text, all behind the protocol of "text"; the pretrained ones need the extra `language`."""
