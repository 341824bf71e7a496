"""Access control of the embedded broker's client listener: who may connect, how, and to do what."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stream_app.errors import DependencyError

MECHANISM = "SCRAM-SHA-512"
_STORE_PASSWORD = "embedded"  # noqa: S105 - guards a throw-away test key next to it
_AUTHORIZER = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"


@dataclass(frozen=True, kw_only=True)
class Security:
    """SCRAM users (name → password), TLS with a self-made authority, mutual or not, ACLs that deny by default."""

    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    tls: bool = False
    client_authority: Path | None = None  # PEM: with tls, clients must show a certificate that it has signed
    acls: bool = False
    super_users: tuple[str, ...] = ()

    @property
    def protocol(self) -> str:
        """Kafka's name for the client listener's protocol; also what a client sets."""
        if self.users:
            return "SASL_SSL" if self.tls else "SASL_PLAINTEXT"
        return "SSL" if self.tls else "PLAINTEXT"

    def properties(self, keys: Path) -> dict[str, str]:
        """Broker properties for the listener CLIENT; the listener INTERNAL stays plaintext, on loopback."""
        properties = {}
        if self.users:
            login = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            properties["listener.name.client.sasl.enabled.mechanisms"] = MECHANISM
            properties[f"listener.name.client.{MECHANISM.lower()}.sasl.jaas.config"] = login
        if self.tls:
            properties["listener.name.client.ssl.keystore.location"] = str(keys / "broker.p12")
            properties["listener.name.client.ssl.keystore.password"] = _STORE_PASSWORD
        if self.tls and self.client_authority is not None:
            properties["listener.name.client.ssl.client.auth"] = "required"
            properties["listener.name.client.ssl.truststore.type"] = "PEM"
            properties["listener.name.client.ssl.truststore.location"] = str(self.client_authority)
        if self.acls:
            properties["authorizer.class.name"] = _AUTHORIZER
            names = ("ANONYMOUS", *self.super_users)  # ANONYMOUS: the broker itself, over INTERNAL
            properties["super.users"] = ";".join(f"User:{name}" for name in names)
        return properties

    def format_arguments(self) -> list[str]:
        """Arguments of StorageTool that store the users' credentials in the first metadata record."""
        users = self.users.items()
        return [f"--add-scram={MECHANISM}=[name={name},password={password}]" for name, password in users]


def make_certificate(keytool: Path, authority: Path) -> None:
    """Make a key for 127.0.0.1 and localhost that is its own authority, whose PEM goes to `authority`."""
    if authority.exists():
        return
    authority.parent.mkdir(parents=True, exist_ok=True)
    store = authority.with_name("broker.p12")
    store.unlink(missing_ok=True)
    access = ["-keystore", str(store), "-storepass", _STORE_PASSWORD, "-alias", "broker"]
    make = ["-genkeypair", *access, "-keyalg", "EC", "-dname", "CN=localhost", "-validity", "365"]
    names = ["-ext", "san=ip:127.0.0.1,dns:localhost", "-ext", "bc:c", "-ext", "ku:c=digitalSignature,keyCertSign"]
    export = ["-exportcert", *access, "-rfc", "-file", str(authority)]
    for arguments in ([*make, *names], export):
        done = subprocess.run([keytool, *arguments], capture_output=True, text=True)
        if done.returncode:
            raise DependencyError(f"keytool: {(done.stdout + done.stderr).strip().splitlines()[0]}")
