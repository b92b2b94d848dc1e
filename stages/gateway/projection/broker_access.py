"""librdkafka's connection properties as faust and aiokafka take them: brokers, TLS, SASL."""

import ssl
from dataclasses import dataclass
from typing import Any

from faust import SASLCredentials, SSLCredentials
from faust.types.auth import CredentialsT

from shared.runtime.kafka_config import Config

SECURITY = ("ssl.", "sasl.", "security.", "enable.ssl.", "https.")
"""What begins so decides who is trusted: a property that can't be applied must not be left out."""
APPLIED = frozenset(
    {
        "bootstrap.servers",
        "client.id",
        "security.protocol",
        "ssl.ca.location",
        "ssl.ca.pem",
        "ssl.certificate.location",
        "ssl.key.location",
        "ssl.key.password",
        "ssl.endpoint.identification.algorithm",
        "enable.ssl.certificate.verification",
        "sasl.mechanism",
        "sasl.mechanisms",
        "sasl.username",
        "sasl.password",
    }
)
PROTOCOLS = ("plaintext", "ssl", "sasl_plaintext", "sasl_ssl")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


class UnsupportedProperty(ValueError):
    """A property that this service can't apply; the text is one sentence for an operator."""


@dataclass(frozen=True, slots=True)
class BrokerAccess:
    """How faust reaches the brokers."""

    urls: list[str]
    client_id: str
    credentials: CredentialsT | None
    ignored: tuple[str, ...]
    """Names of properties that tune librdkafka and do not apply to this client."""


def broker_access(config: Config) -> BrokerAccess:
    """The access that the properties describe. Raises UnsupportedProperty."""
    for name in config:
        if name.startswith(SECURITY) and name not in APPLIED:
            raise UnsupportedProperty(f"the projection's Kafka client has no property {name}: remove it or use another")
    text = {name: str(value) for name, value in config.items()}
    protocol = text.get("security.protocol", "plaintext").lower()
    if protocol not in PROTOCOLS:
        raise UnsupportedProperty(f"security.protocol={protocol} is none of {', '.join(PROTOCOLS)}")
    context = _ssl_context(text) if protocol.endswith("ssl") else None
    credentials: CredentialsT | None = SSLCredentials(context) if context is not None else None
    if protocol.startswith("sasl"):
        credentials = _sasl(text, context)
    servers = [server.strip() for server in text["bootstrap.servers"].split(",") if server.strip()]
    # librdkafka also takes PROTOCOL://host:port.
    urls = [f"kafka://{server.rpartition('://')[2]}" for server in servers]
    return BrokerAccess(urls, text["client.id"], credentials, tuple(sorted(config.keys() - APPLIED)))


def _sasl(text: dict[str, str], context: ssl.SSLContext | None) -> SASLCredentials:
    mechanism = text.get("sasl.mechanism") or text.get("sasl.mechanisms") or "GSSAPI"
    if mechanism.upper() not in MECHANISMS:
        raise UnsupportedProperty(
            f"sasl.mechanism={mechanism}: the projection's Kafka client knows {', '.join(MECHANISMS)}"
        )
    return SASLCredentials(
        username=text.get("sasl.username", ""),
        password=text.get("sasl.password", ""),
        ssl_context=context,
        mechanism=mechanism.upper(),
    )


def _ssl_context(text: dict[str, str]) -> ssl.SSLContext:
    """Raises UnsupportedProperty for a file that can't be read."""
    try:
        context = ssl.create_default_context(cafile=text.get("ssl.ca.location"), cadata=text.get("ssl.ca.pem"))
        if certificate := text.get("ssl.certificate.location"):
            key, password = text.get("ssl.key.location"), text.get("ssl.key.password")
            context.load_cert_chain(certificate, key, password)
        elif "ssl.key.location" in text:
            raise UnsupportedProperty("ssl.key.location needs ssl.certificate.location")
    except OSError as e:  # ssl.SSLError is one.
        raise UnsupportedProperty(f"a file of ssl.* can't be read: {e.strerror or e.reason}") from None  # type: ignore[attr-defined]
    if text.get("ssl.endpoint.identification.algorithm", "https").lower() == "none":
        context.check_hostname = False
    if text.get("enable.ssl.certificate.verification", "true").lower() == "false":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def settings_of(access: BrokerAccess) -> dict[str, Any]:
    """The access as settings of a faust app."""
    known: dict[str, Any] = {"broker": access.urls, "broker_client_id": access.client_id}
    return known if access.credentials is None else {**known, "broker_credentials": access.credentials}
