"""What a signal is."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from stream_app.signals.settings import SignalSettings
from stream_app.state.windows import WindowBatch

Fired = NDArray[np.bool_]
Signal = Callable[[WindowBatch, SignalSettings], Fired]
"""Windows (w) in, whether it fires (w,) out; each window alone decides."""
