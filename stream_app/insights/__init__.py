"""Aggregates for people over tumbling windows: trends, funnel, mood and segment sizes; never one person's doings."""

METRICS: tuple[str, ...] = ("trending_items", "trending_queries", "category_sentiment", "funnel", "segments")
"""`metric` of the records of `behavior.insights`."""
