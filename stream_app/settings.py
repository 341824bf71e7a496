"""Every setting: TOML file, then `STREAM_APP_SECTION__KEY`. Unknown keys stop the start-up."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from stream_app.errors import SettingsError

PREFIX = "STREAM_APP_"


class Section(BaseModel):
    """A frozen group of settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class Broker(Section):
    """How to reach Kafka. TLS and SASL pass through to the client."""

    url: str = "127.0.0.1:9092"
    """Comma-separated host:port."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    username: str = ""
    password: SecretStr = SecretStr("")
    password_file: Path | None = None
    """Read instead of `password`, so that the secret is in no environment."""
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    check_hostname: bool = True
    instance_id: str = ""
    """Name of this worker in its group, the same after a restart: it takes its partitions up again without waiting for
    the old session to end. A supervised worker is given one."""
    session_timeout_ms: int = Field(6_000, ge=1_000)
    heartbeat_interval_ms: int = Field(300, ge=100)
    """Also how soon a worker hears that another comes or goes."""
    request_timeout_ms: int = Field(15_000, ge=1_000)
    transaction_timeout_ms: int = Field(30_000, ge=5_000)
    fetch_max_wait_ms: int = Field(20, ge=1)
    """How long the broker holds a fetch that finds nothing, and how long fetches are apart; four times as long where
    little comes. Small keeps latency down."""
    compression: Literal["none", "lz4", "zstd", "snappy", "gzip"] = "zstd"
    """zstd: a fifth of lz4's time as the client does lz4, and half its bytes."""


class Topics(Section):
    """Names and shapes of the topics."""

    prefix: str = Field("behavior.", pattern=r"^[A-Za-z0-9._-]*$")
    partitions: int = Field(0, ge=0, le=10_000)
    """Of every input alike; 0: as many as the inputs that exist have, 4 where there are none."""
    replication: int = Field(1, ge=1)
    create: bool = True
    """Create missing topics at start; otherwise a missing topic stops the worker, named."""


class Pipeline(Section):
    """How batches are cut."""

    name: str = Field("stream-app", pattern=r"^[A-Za-z0-9._-]+$")
    """Consumer group, transactional ids and prediction ids derive from it."""
    batch_events: int = Field(2_048, ge=1)
    """Most events of one transaction; a backlog fills it."""
    linger_ms: float = Field(10.0, ge=0)
    """How long the first event after a silence waits for company."""
    pace_ms: float = Field(300.0, ge=0)
    """Between two small batches of a task: a transaction costs worker and broker about 6 ms of CPU however small."""
    pace_events: int = Field(64, ge=1)
    """So many events in all tasks of a worker do not wait for that: at 2,000 a second every 32 ms."""
    pace_share: float = Field(0.8, gt=0, le=1)
    """Of the time, at most, a worker is busy with batches that are not full: events gather in the rest of it."""
    updates_ms: int = Field(250, ge=0)
    """Between a task's engagement records of windows that are still open; final ones go at once."""
    inbox_events: int = Field(4_096, ge=1)
    """Decoded events held per input and task; fetching from the input pauses above it. What was fetched by then (4 MiB
    of a partition, and as much again in the client) comes on top: at 64, two tasks with 280 MiB waiting grew by 210.
    """
    tick_ms: int = Field(500, ge=50)
    drain_s: float = Field(8.0, gt=0)
    overload_s: float = Field(0.0, ge=0)
    """Age of the oldest waiting record from which a worker answers with less (see worker.overload); 0: never, since a
    backlog read again should give the answers that the log gave before, and a late full one is worth more to most."""
    merge_wait_ms: int = Field(1_000, ge=0)
    """How long a batch waits for an input that is known to hold more, so that a replay merges alike."""


class State(Section):
    """Event time and windows, milliseconds."""

    bound_ms: int = Field(5_000, ge=0)
    grace_ms: int = Field(60_000, ge=0)
    session_gap_ms: int = Field(1_800_000, ge=1_000)
    tumbling_ms: int = Field(300_000, ge=1_000)
    idle_input_ms: int = Field(10_000, ge=100)
    user_ttl_ms: int = Field(30 * 86_400_000, ge=60_000)
    checkpoint_s: float = Field(60.0, ge=0)
    """Between two local checkpoints of a task, in the data folder; fewer where writing takes long. 0: none."""


class Model(Section):
    """What scores the events."""

    path: Path | None = None
    """A safetensors artefact; the one in the package when absent."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = Field(1, ge=1)
    recommendations: int = Field(10, ge=0, le=100)
    folder: Path | None = None
    """Where the artefacts lie that the control topic may name; `models` in the data folder when absent."""
    returns: bool = True
    """Go back by itself to the model before, where the new one does worse."""
    return_after: int = Field(10_000, ge=1)
    """Graded answers of each, per head, before two models are compared."""
    return_margin: float = Field(0.25, ge=0)
    """Share by which a head's mean log loss must be higher, beside twice its standard error."""
    drift_events: int = Field(20_000, ge=100)
    """Events that make the reference where the artefact holds none, and the window that is compared with it."""


class Signals(Section):
    """When a signal fires: its formula, in its file under stream_app/signals, names what it compares."""

    off: tuple[str, ...] = ()
    """Names of signals that never fire."""
    cooldown_ms: int = Field(21_600_000, ge=0)
    """Event time between two announcements of one signal for one user."""
    holdout: float = Field(0.1, ge=0, lt=1)
    """Share of users whom campaigns leave alone, by a stable hash, so that the campaigns can be measured."""
    hot_purchase: float = Field(0.5, ge=0, le=1)
    hot_products: int = Field(3, ge=1)
    churn: float = Field(0.8, ge=0, le=1)
    negative_sentiment: float = Field(-0.3, ge=-1, le=1)
    sentiment_falls: int = Field(1, ge=1)
    complaints: int = Field(1, ge=1)
    contradictions: int = Field(1, ge=1)
    friction: int = Field(2, ge=1)
    rage_clicks: int = Field(1, ge=1)
    dead_ends: int = Field(2, ge=1)
    slow_ms: int = Field(1_200_000, ge=1_000)
    slow_looks: int = Field(8, ge=1)
    drop_off_looks: int = Field(4, ge=1)
    bot_anomaly: float = Field(0.8, ge=0, le=1)
    bot_events: int = Field(60, ge=2)
    bot_gap_ms: float = Field(500.0, ge=0)


class Insights(Section):
    """Aggregates for people."""

    window_ms: int = Field(3_600_000, ge=1_000)
    """Tumbling; a multiple of state.tumbling_ms. Until it is over, what is known so far is published a dozen times."""
    min_users: int = Field(5, ge=1)
    """What fewer users did is not published."""
    top: int = Field(20, ge=1, le=1_000)
    """Items, queries and categories per window and partition."""
    facts: int = Field(100_000, ge=1_000)
    """Held per window and task; beyond it users are sampled by hash."""


class Catalogue(Section):
    """What people are shown of `behavior.items`; no prediction depends on it."""

    enabled: bool = True
    items: int = Field(100_000, ge=1)
    """Held in memory, about 1 KB each; those changed or looked at longest ago are left out."""
    photos: int = Field(5_000, ge=1)
    """Small ones, at most 8 KB each; others are read again when they are wanted."""


class Web(Section):
    """The HTTP surface."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65_535)
    """0 picks a free port."""
    advertise: str = Field("", pattern=r"^(https?://[^/]+)?$")
    """Where other workers reach this one; what it binds when empty."""
    token: SecretStr = SecretStr("")
    """Guards user data; required where the host is not loopback."""


class Log(Section):
    """What is written to standard error."""

    format: Literal["json", "console"] = "json"
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


class Settings(BaseSettings):
    """The whole; each part of the program receives its own section."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid", validate_default=True
    )

    broker: Broker = Broker()
    topics: Topics = Topics()
    pipeline: Pipeline = Pipeline()
    state: State = State()
    model: Model = Model()
    signals: Signals = Signals()
    insights: Insights = Insights()
    catalogue: Catalogue = Catalogue()
    web: Web = Web()
    log: Log = Log()
    data_dir: Path = Path.home() / ".cache" / "stream-app"
    """Jars of the embedded broker, demo data, checkpoints."""
    test_data: Path | None = None
    """Folder of the real data sets."""


def load(path: Path | None = None, **overrides: Any) -> Settings:
    """Settings from the TOML file (`path`, else STREAM_APP_CONFIG, else none), then the environment.

    `overrides` are `section__key=value` from the command line and win; a None is no override.
    Raises SettingsError naming the key.
    """
    path = path or (Path(found) if (found := os.environ.get(f"{PREFIX}CONFIG")) else None)
    file_values = {} if path is None else _read(path)
    chosen: dict[str, Any] = {}
    for name, value in overrides.items():
        section, _, key = name.partition("__")
        if value is not None:
            chosen.setdefault(section, {})[key] = value

    class Loaded(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,  # noqa: ARG003
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (
                InitSettingsSource(settings_cls, chosen),
                env_settings,
                InitSettingsSource(settings_cls, file_values),
            )

    _refuse_unknown_environment()
    try:
        return Loaded()
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SettingsError(f"setting {where}: {first['msg']}") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        return parse(path.read_bytes(), str(path))
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from None


def parse(content: bytes, name: str) -> dict[str, Any]:
    """The values of a settings file. Raises SettingsError with its name."""
    try:
        return tomllib.loads(content.decode())
    except RecursionError:
        raise SettingsError(f"{name}: nested too deep") from None
    except ValueError as error:  # no TOML, no UTF-8, no number that a machine can hold
        raise SettingsError(f"{name}: {error}") from None


def _refuse_unknown_environment() -> None:
    """pydantic-settings ignores unknown variables with the prefix; a typo must not pass."""
    outside = {"CONFIG", "VENV", "TEST_DATA", "DATA_DIR", "RESTARTS"}
    for name in os.environ:
        if not name.startswith(PREFIX) or (rest := name.removeprefix(PREFIX)) in outside:
            continue
        section, _, key = rest.lower().partition("__")
        field = Settings.model_fields.get(section)
        if field is None or key not in getattr(field.annotation, "model_fields", {}):
            raise SettingsError(f"environment variable {name}: no such setting")
