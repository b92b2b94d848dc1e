"""The keys by which a record speaks for a tenant. In a model of their own: nothing but the check and the signer reads
them, and they never travel with the other settings."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.messages.tenant_signature import SigningKey, parse_keys

MISSING = "LIPSTAGE_TENANCY=signed needs LIPSTAGE_TENANT_KEY or LIPSTAGE_TENANT_KEY_FILE"


class TenantSettings(BaseSettings):
    """Keys of the signatures of requests and cancel commands."""

    model_config = SettingsConfigDict(
        env_prefix="LIPSTAGE_", extra="ignore", frozen=True, populate_by_name=True, env_ignore_empty=True
    )

    tenant_key: SecretStr | None = Field(
        None,
        description="With LIPSTAGE_TENANCY=signed: keys of the signatures, id:secret, several comma-separated. Clients"
        " sign with the first, services accept all. A secret has at least 32 bytes; an id such as acme/k1 is"
        " that of a key for the tenant acme only.",
    )
    tenant_key_file: Path | None = Field(
        None, description="File with these keys, one a line; read when LIPSTAGE_TENANT_KEY is unset."
    )

    def keys(self) -> tuple[SigningKey, ...]:
        """The keys, the one that signs first; none when neither variable is set.

        Raises ValueError for what can't be read as keys, without a secret in its text, and OSError for the file.
        """
        if self.tenant_key is not None:
            return parse_keys(self.tenant_key.get_secret_value())
        return parse_keys(self.tenant_key_file.read_text()) if self.tenant_key_file is not None else ()
