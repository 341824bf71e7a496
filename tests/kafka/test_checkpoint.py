"""After kill -9 a task comes back from its local checkpoint and the tail of its changelog, or, where the file is not
to be trusted, from the changelog alone; either way with the same state."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from fusion.scorer import ARTEFACT
from stream_app.broker import EmbeddedBroker
from stream_app.models.artefact import Served, load_served
from stream_app.models.memory import held_dtype
from stream_app.producers.publish import encode
from stream_app.producers.simulate import simulate
from stream_app.state import StateSettings, TaskState
from stream_app.state.task_state import OWN
from stream_app.transport import admin
from stream_app.transport.log_reader import LogReader
from stream_app.worker.checkpoints import Checkpoints, Found, last_values
from tests.kafka.workers import System, kill, settings_for, until
from tests.stream_app.state.whole import whole

START_MS = 1_700_000_000_000
PARTITIONS = 2
