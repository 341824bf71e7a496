"""What every peer in Python shares: where it works, the check of an event, the sums. Standard library only."""

import os

BROKER = os.environ["BENCH_BROKER"]
SOURCE, OUTPUT = os.environ["BENCH_SOURCE"], os.environ["BENCH_OUTPUT"]
NAME, FOLDER = os.environ["BENCH_NAME"], os.environ["BENCH_FOLDER"]
PARTITIONS = int(os.environ.get("BENCH_PARTITIONS", "4"))
SIZE_MS = 300_000
ACTIONS = frozenset(("view", "add_to_cart", "purchase"))


def valid(event):
    """The event has the shape that it must have."""
    try:
        return (
            type(event["user_id"]) is str
            and type(event["event_id"]) is str
            and type(event["item_id"]) is str
            and type(event["event_time"]) is int
            and type(event["dwell_ms"]) is int
            and event["dwell_ms"] >= 0
            and event["type"] in ACTIONS
        )
    except (KeyError, TypeError):
        return False


def start_of(time_ms):
    """Start of the window, epoch milliseconds."""
    return time_ms // SIZE_MS * SIZE_MS


def add(sums, action, dwell_ms):
    """[count, dwell, carts, purchases] with one event more, in place."""
    sums[0] += 1
    sums[1] += dwell_ms
    if action == "add_to_cart":
        sums[2] += 1
    elif action == "purchase":
        sums[3] += 1
    return sums


def answer(event_id, user_id, start, sums):
    """The output record."""
    return {
        "event_id": event_id,
        "user_id": user_id,
        "window_start": start,
        "count": sums[0],
        "dwell_sum": sums[1],
        "carts": sums[2],
        "purchases": sums[3],
    }
