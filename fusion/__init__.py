"""The fused model: features, heads, scorer, training, evaluation. Knows encoders, not the stream."""
