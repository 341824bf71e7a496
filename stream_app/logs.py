"""Logs to standard error: JSON lines for machines, readable lines for people. No personal text in either.

Faust takes logging over unless told otherwise: `faust.Worker(app, override_logging=False, redirect_stdouts=False,
loglevel=None)`; an app started with `await app.start()` leaves it alone.
"""

from __future__ import annotations

import logging
import math
import re
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import orjson

from stream_app.errors import StreamAppError

OURS = ("stream_app", "encoders", "fusion")
QUIET = ("faust", "mode", "aiokafka", "kafka", "asyncio", "aiohttp", "urllib3", "torch")
"""Libraries that speak only from WARNING on."""
SPEAKING_ERRORS = (StreamAppError, OSError)
"""Errors whose message is about systems, not about an event."""
LONGEST = 200
EVERY_S, MOST_SAID = 10.0, 1_000
PASSING = "retrying. Error: NotEnoughReplicasError"
"""Of a producer, and no warning: brokers do not take a transaction's records while they write down another part of it,
which the client sends beside; it tries again after 5 ms (KIP-890; clients of that age are told this error)."""
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_WORD = re.compile(r"[\w.:/@+=\-\[\]]{1,128}", re.ASCII)


def configure(style: Literal["json", "console"] = "json", level: str = "INFO") -> None:
    """Send all logging to standard error in one style; may be called again."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else ConsoleFormatter(colour=sys.stderr.isatty()))
    handler.addFilter(Seldom())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))


class Seldom(logging.Filter):
    """A library says the same thing once in EVERY_S; `repeated` tells how often it was held back before."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, str], tuple[float, int]] = {}  # when last, and how often held back since

    def filter(self, record: logging.LogRecord) -> bool:
        """See the class."""
        if record.name.partition(".")[0] in OURS or record.exc_info:
            return True
        key = record.name, message(record)
        if key[1].endswith(PASSING):
            record.levelno, record.levelname = logging.INFO, "INFO"
        said_s, held = self._said.get(key, (-math.inf, 0))
        if record.created - said_s < EVERY_S:
            self._said[key] = said_s, held + 1
            return False
        if len(self._said) >= MOST_SAID:
            self._said.clear()
        self._said[key] = record.created, 0
        if held:
            record.repeated = held
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message, the extra fields, the exception."""

    def format(self, record: logging.LogRecord) -> str:
        """See the class."""
        body: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": message(record),
            **extra(record),
        }
        if error := _error(record):
            body["exception"] = {"type": _name(error), "message": _told(error), "at": _frames(error)}
        return orjson.dumps(body, default=str).decode()


class ConsoleFormatter(logging.Formatter):
    """`time level message key=value`, and under it the exception in one line."""

    def __init__(self, *, colour: bool = False) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """See the class."""
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        words = [message(record), *(f"{key}={value}" for key, value in extra(record).items())]
        line = f"{time} {self._paint(record)} {' '.join(words)}"
        if error := _error(record):
            where = (_frames(error) or ["?"])[-1]
            line += f"\n         {_name(error)}: {_told(error) or 'message withheld'} (at {where})"
        return line

    def _paint(self, record: logging.LogRecord) -> str:
        code = {"WARNING": 33, "ERROR": 31, "CRITICAL": 31}.get(record.levelname, 2)
        return f"\x1b[{code}m{record.levelname:<8}\x1b[0m" if self._colour else f"{record.levelname:<8}"


def message(record: logging.LogRecord) -> str:
    """The message with its arguments made safe; of a library's only the first line (asyncio prints reprs below)."""
    trusted = record.name.partition(".")[0] in OURS
    arguments = record.args
    if isinstance(arguments, dict):
        safe: Any = {key: _safe(value, trusted=trusted) for key, value in arguments.items()}
    else:
        safe = tuple(_safe(value, trusted=trusted) for value in arguments or ())
    try:
        text = str(record.msg) % safe if arguments else str(record.msg)
    except (TypeError, ValueError):  # a number's format, and its argument withheld
        text = str(record.msg)
    return text if trusted else text.partition("\n")[0][:LONGEST]


def extra(record: logging.LogRecord) -> dict[str, Any]:
    """What was given as `extra=`, made safe."""
    return {key: _safe(value, trusted=True) for key, value in vars(record).items() if key not in _STANDARD}


def _safe(value: Any, *, trusted: bool) -> Any:
    """Numbers, words and types pass, our own sentences too; bytes, records, events and errors leave only their type."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return value if trusted or _WORD.fullmatch(value) else "<str>"
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, SPEAKING_ERRORS):
        return str(value)
    if type(value) in (list, tuple, set, frozenset):
        return [_safe(item, trusted=trusted) for item in list(value)[:20]]
    if isinstance(value, type):  # which error it was
        return value.__name__
    if type(value) is dict and trusted:
        return {str(key): _safe(item, trusted=trusted) for key, item in value.items()}
    return f"<{type(value).__name__}>"


def _error(record: logging.LogRecord) -> BaseException | None:
    return record.exc_info[1] if record.exc_info else None


def _name(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")


def _told(error: BaseException) -> str | None:
    """The message of an error that may speak; a ValueError may quote an event."""
    speaks = isinstance(error, SPEAKING_ERRORS) or type(error).__module__.startswith("aiokafka.")
    return str(error)[:LONGEST] if speaks else None


def _frames(error: BaseException) -> list[str]:
    """Where it was raised, outermost first: file, line, function; never source or values."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
