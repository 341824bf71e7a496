"""Proof from the topics alone: what became of every input offset, and whether its features can be made again."""
