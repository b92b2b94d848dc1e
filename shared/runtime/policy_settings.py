"""Provenance and consent: what every finished video says about itself, and what a request must say. By tenant, too."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from shared.messages.names import NAME
from shared.slot.marking import LABEL_CHARACTERS, MAX_LABEL_COLUMNS, Position, columns

Mark = Literal["c2pa", "aigc"]
LabelPolicy = Literal["off", "en", "zh"]
ConsentPolicy = Literal["optional", "required"]
MARKS: tuple[Mark, ...] = ("c2pa", "aigc")


class TenantPolicy(BaseModel):
    """What is different for one tenant; a field that is left out is the deployment's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    provenance: tuple[Mark, ...] | None = None
    label: LabelPolicy | None = None
    consent: ConsentPolicy | None = None


class PolicySettings(BaseSettings):
    """Read by the audio service (consent) and the encode service (marks, label, signer)."""

    model_config = SettingsConfigDict(env_prefix="LIPSTAGE_", extra="ignore", frozen=True, env_ignore_empty=True)

    provenance: Annotated[tuple[Mark, ...], NoDecode] = Field(
        MARKS,
        description="Marks in the metadata of every video, comma-separated: c2pa (a signed manifest), aigc (the field"
        " `AIGC` of GB 45438-2025); none: neither. Where it names c2pa and there is no certificate, encode does not"
        " start; by default it warns then, and signs nothing.",
    )
    label: LabelPolicy = Field(
        "off", description="Language of the visible label that every video begins with; off: only on request."
    )
    label_text: str = Field(
        "",
        description="The label's text in place of `AI-generated` and `AI生成`: 24 columns, a Chinese character is two.",
    )
    label_position: Position = Field("bottom-right", description="The corner of the label.")
    label_height: float = Field(
        0.05, ge=0.05, le=0.2, description="Height of the label's capital letters, share of the picture's shorter side."
    )
    label_seconds: float = Field(3.0, ge=2, le=3600, description="How long the label is shown from the start, seconds.")
    consent: ConsentPolicy = Field(
        "optional",
        description="required: a request without `consent`, a reference to the consent of the person who is shown, is"
        " rejected with CONSENT_REQUIRED.",
    )
    tenant_policies: dict[str, TenantPolicy] = Field(
        default_factory=dict,
        description='What is different for a tenant, as JSON: `{"acme": {"label": "zh", "consent": "required"}}`;'
        " provenance, label and consent.",
    )
    aigc_producer: str = Field(
        "lipstage",
        pattern=r"^[ -~]{1,64}$",
        description="ContentProducer of the `AIGC` field: name or code of the service that generates the video.",
    )
    c2pa_certificate_file: Path | None = Field(
        None, description="Certificate chain of the C2PA signer, PEM, its own certificate first; without the root."
    )
    c2pa_private_key_file: Path | None = Field(
        None,
        description="Private key of that certificate, PEM without a password: P-256, P-384, P-521, Ed25519 or RSA."
        " Read by the encode service; a worker process never gets it.",
    )

    @field_validator("provenance", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        names = tuple(name.strip() for name in value.split(",") if name.strip())
        return () if names == ("none",) else names

    @field_validator("label_text")
    @classmethod
    def _check_text(cls, value: str) -> str:
        if missing := "".join(dict.fromkeys(one for one in value if one not in LABEL_CHARACTERS)):
            raise ValueError(f"has characters without a glyph: {missing}; allowed are {LABEL_CHARACTERS}")
        if columns(value) > MAX_LABEL_COLUMNS:
            raise ValueError(f"has {columns(value)} columns; at most {MAX_LABEL_COLUMNS}")
        return value

    @field_validator("tenant_policies")
    @classmethod
    def _check_names(cls, value: dict[str, TenantPolicy]) -> dict[str, TenantPolicy]:
        import re

        if wrong := next((name for name in value if not re.fullmatch(NAME, name)), None):
            raise ValueError(f"{wrong!r} is not a tenant: {NAME}")
        return value

    @model_validator(mode="after")
    def _check_pair(self) -> Self:
        if (self.c2pa_certificate_file is None) != (self.c2pa_private_key_file is None):
            raise ValueError("LIPSTAGE_C2PA_CERTIFICATE_FILE and LIPSTAGE_C2PA_PRIVATE_KEY_FILE: set both, or neither")
        return self

    def marks_of(self, tenant: str) -> tuple[Mark, ...]:
        """The marks in the metadata of the tenant's videos."""
        own = self._of(tenant).provenance
        return self.provenance if own is None else own

    def label_of(self, tenant: str) -> LabelPolicy:
        """The label that the tenant's videos must have."""
        return self._of(tenant).label or self.label

    def requires_consent(self, tenant: str) -> bool:
        """Whether the tenant's requests must refer to a consent."""
        return (self._of(tenant).consent or self.consent) == "required"

    def _of(self, tenant: str) -> TenantPolicy:
        return self.tenant_policies.get(tenant, TenantPolicy())
