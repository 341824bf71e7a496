"""`stream-app train`: learn from what the stream's own decode, admit, update and features make of events."""

from stream_app.training.run import train

__all__ = ["train"]
