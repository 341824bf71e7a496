"""Encoders: one modality per file. Tensors in, tensors out; no events, no topics, no clock."""
