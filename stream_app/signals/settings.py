"""When a signal fires."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SignalSettings:
    """Thresholds; a threshold is reached when the figure equals it."""

    hot_purchase: float = 0.5
    hot_products: int = 3
    churn: float = 0.8
    negative_sentiment: float = -0.3
    contradictions: int = 1
    friction: int = 2
    rage_clicks: int = 1
    bot_anomaly: float = 0.8
    bot_events: int = 60
    bot_gap_ms: float = 500.0
