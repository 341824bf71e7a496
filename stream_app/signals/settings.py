"""When a signal fires, and how often it is news."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SignalSettings:
    """Thresholds; a threshold is reached when the figure equals it. `off` names signals that never fire."""

    off: tuple[str, ...] = ()
    cooldown_ms: int = 21_600_000
    holdout: float = 0.1
    hot_purchase: float = 0.5
    hot_products: int = 3
    churn: float = 0.8
    negative_sentiment: float = -0.3
    sentiment_falls: int = 1
    complaints: int = 1
    contradictions: int = 1
    friction: int = 2
    rage_clicks: int = 1
    dead_ends: int = 2
    slow_ms: int = 1_200_000
    slow_looks: int = 8
    drop_off_looks: int = 4
    bot_anomaly: float = 0.8
    bot_events: int = 60
    bot_gap_ms: float = 500.0
