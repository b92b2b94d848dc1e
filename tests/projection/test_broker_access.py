"""librdkafka's properties as faust takes them, and as it can't."""

import ssl
from pathlib import Path
from typing import Any

import certifi
import pytest
from faust import SASLCredentials, SSLCredentials
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from shared.runtime.kafka_config import base
from shared.runtime.settings import RuntimeSettings
from stages.gateway.projection.broker_access import UnsupportedProperty, broker_access, settings_of


def access(**properties: str) -> Any:
    names = {name.replace("_", "."): value for name, value in properties.items()}
    return broker_access({"bootstrap.servers": "a:1,SSL://b:2", "client.id": "c"} | names)


def test_plain_brokers_need_no_credentials() -> None:
    found = access()
    assert (found.urls, found.credentials) == (["kafka://a:1", "kafka://b:2"], None)
    assert settings_of(found) == {"broker": found.urls, "broker_client_id": "c"}


def test_tls_verifies_name_and_authority_unless_it_is_told_not_to() -> None:
    found = access(security_protocol="SSL", ssl_ca_location=certifi.where()).credentials
    assert isinstance(found, SSLCredentials)
    assert (found.context.verify_mode, found.context.check_hostname) == (ssl.CERT_REQUIRED, True)
    found = access(security_protocol="ssl", ssl_endpoint_identification_algorithm="none").credentials
    assert (found.context.verify_mode, found.context.check_hostname) == (ssl.CERT_REQUIRED, False)
    found = access(security_protocol="ssl", enable_ssl_certificate_verification="false").credentials
    assert found.context.verify_mode == ssl.CERT_NONE


@pytest.mark.parametrize(("protocol", "encrypted"), [("SASL_SSL", True), ("sasl_plaintext", False)])
def test_sasl_reaches_aiokafka(protocol: str, encrypted: bool) -> None:
    found = access(
        security_protocol=protocol, sasl_mechanism="SCRAM-SHA-512", sasl_username="u", sasl_password="p"
    ).credentials
    assert isinstance(found, SASLCredentials)
    auth = dict(credentials_to_aiokafka_auth(found, None))
    assert (auth.pop("ssl_context") is not None) is encrypted
    assert auth == {
        "security_protocol": protocol.upper(),
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "u",
        "sasl_plain_password": "p",
    }


@pytest.mark.parametrize(
    ("properties", "named"),
    [
        ({"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER"}, "OAUTHBEARER"),
        ({"security_protocol": "SASL_SSL"}, "GSSAPI"),
        ({"security_protocol": "carrier-pigeon"}, "carrier-pigeon"),
        ({"ssl_keystore_location": "/k"}, "ssl.keystore.location"),
        ({"sasl_oauthbearer_config": "x"}, "sasl.oauthbearer.config"),
        ({"security_protocol": "ssl", "ssl_ca_location": "/nowhere/ca.pem"}, "can't be read"),
        ({"security_protocol": "ssl", "ssl_key_location": "/k"}, "ssl.certificate.location"),
    ],
)
def test_what_decides_on_trust_and_cannot_be_applied_is_refused(properties: dict[str, str], named: str) -> None:
    with pytest.raises(UnsupportedProperty, match=named):
        access(**properties)


def test_what_tunes_librdkafka_is_ignored_and_named(tmp_path: Path) -> None:
    file = tmp_path / "kafka.properties"
    file.write_text("socket.timeout.ms=1000\nsecurity.protocol=plaintext\n")
    found = broker_access(base(RuntimeSettings(kafka_properties_file=file), "projection"))
    assert "socket.timeout.ms" in found.ignored
    assert "security.protocol" not in found.ignored
