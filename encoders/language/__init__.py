"""Encoders of text that read it as a sequence, and the pretrained models that they can read it through."""
