"""Counting only: per-user tumbling windows over a topic of clicks, one record per event, exactly once.

The transport and the columnar way of the full pipeline with nothing else in it; `python -m stream_app.windows` runs it.
"""
