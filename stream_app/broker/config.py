"""The broker's properties: one KRaft node for broker and controller, small, on the loopback only."""

from dataclasses import dataclass
from pathlib import Path

from stream_app.broker.process import HOST
from stream_app.broker.security import Security

LOG4J = """\
rootLogger.level = WARN
rootLogger.appenderRef.out.ref = OUT
appender.out.type = Console
appender.out.name = OUT
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %m (%c)%n
"""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What differs between two embedded brokers."""

    data: Path
    port: int
    internal_port: int
    controller_port: int
    partitions: int
    security: Security

    def properties(self) -> dict[str, str]:
        """Kafka's server properties."""
        client, internal = f"CLIENT://{HOST}:{self.port}", f"INTERNAL://{HOST}:{self.internal_port}"
        controller = f"{HOST}:{self.controller_port}"
        protocols = f"CLIENT:{self.security.protocol},INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT"
        return {
            "node.id": "1",
            "process.roles": "broker,controller",
            "controller.quorum.voters": f"1@{controller}",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "INTERNAL",
            "listeners": f"{client},{internal},CONTROLLER://{controller}",
            "advertised.listeners": f"{client},{internal}",
            "listener.security.protocol.map": protocols,
            "log.dirs": str(self.data / "log"),
            "num.partitions": str(self.partitions),
            "auto.create.topics.enable": "false",
            "log.retention.ms": "-1",  # replayed records carry old times and must not expire
            "log.cleaner.dedupe.buffer.size": "8388608",
            "num.network.threads": "2",
            "num.io.threads": "4",
            "broker.heartbeat.interval.ms": "500",
            "broker.session.timeout.ms": "3000",  # a crashed node may register again only after this
            "group.initial.rebalance.delay.ms": "0",
            "offsets.topic.num.partitions": "4",
            # compacted soon: while a group's offsets load, 4.3.0 may take two loads of them for one, and it loads them
            # again and again for as long as anybody writes within the time that a load takes
            "offsets.topic.segment.bytes": "1048576",
            "log.cleaner.delete.retention.ms": "600000",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            **self.security.properties(self.data / "keys"),
        }

    def write(self) -> Path:
        """Write the properties and the logging set-up into the data folder; returns the properties' path."""
        (self.data / "log4j2.properties").write_text(LOG4J, "utf-8")
        path = self.data / "broker.properties"
        path.touch(0o600)
        path.write_text("".join(f"{key}={value}\n" for key, value in self.properties().items()), "utf-8")
        return path
