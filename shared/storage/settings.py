"""Settings of buckets and retention. boto3's own ``AWS_*`` variables keep their names."""

import logging
import secrets
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, StringConstraints, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.messages.refs import ALIAS

ARTIFACTS = "artifacts"
"""Alias of the artifact bucket in every ``ArtifactRef``."""

MIN_SECRET_BYTES = 16

Bucket = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
Alias = Annotated[str, StringConstraints(pattern=ALIAS)]

_log = logging.getLogger(__name__)


class StorageSettings(BaseSettings):
    """Settings of the object storage, read from ``LIPSTAGE_*``.

    Bucket maps are JSON objects ``{alias: bucket}``. Retention is in days, by the bucket's lifecycle rules. Frames of a
    finished job are deleted at once, so ``retention_frames_days`` only concerns failed jobs. The replay of a dead
    letter reads these objects: all defaults are longer than a dead letter is kept (see `shared.storage.retention`).
    """

    model_config = SettingsConfigDict(env_prefix="LIPSTAGE_", extra="ignore", frozen=True, env_ignore_empty=True)

    bucket: Bucket = Field("lipstage", description="Artifact bucket: jobs, markers, cached outputs.")
    input_buckets: dict[Alias, Bucket] = Field(
        default_factory=lambda: {"inputs": "lipstage-inputs"},
        min_length=1,
        description="Buckets that requests may read, by alias: JSON; never the artifact bucket.",
    )
    output_buckets: dict[Alias, Bucket] = Field(
        default_factory=dict, description="Buckets that requests may name for the video, by alias: JSON."
    )
    s3_addressing: Literal["path", "virtual", "auto"] = Field(
        "path",
        description="Bucket in the path (most self-hosted object stores), in the host name (AWS), or chosen by boto3.",
    )
    s3_connections: int = Field(16, ge=1, le=256, description="Connections kept open to the object store.")
    cache_key: SecretStr | None = Field(None, description="Secret of the cache's key digests, at least 16 bytes.")
    cache_key_file: Path | None = Field(
        None, description="File with that secret; read when LIPSTAGE_CACHE_KEY is unset."
    )
    retention_frames_days: int = Field(
        60, ge=1, le=36_500, description="Frames of jobs that did not end with done, days."
    )
    retention_jobs_days: int = Field(
        60, ge=1, le=36_500, description="Videos, markers and other outputs of a job, days."
    )
    retention_cache_days: int = Field(
        120, ge=2, le=36_500, description="Audio and face outputs cached by content, days."
    )
    retention_inputs_days: int = Field(
        60, ge=1, le=36_500, description="Portraits and speech in the input buckets, days."
    )
    retention_dead_letters_days: int = Field(
        90, ge=1, le=36_500, description="Values of dead letters that are too large for their topic, days."
    )
    retention_checkpoints_days: int = Field(
        14,
        ge=1,
        le=36_500,
        description="Checkpoints of jobs that did not end with done, days; a replay after that starts from the"
        " beginning.",
    )
    retention_erasures_days: int = Field(
        1095, ge=1, le=36_500, description="Records of erasures, which hold no data of users, days."
    )

    @model_validator(mode="after")
    def _inputs_are_not_artifacts(self) -> Self:
        """Prevent a request from reading artifacts of other jobs as inputs, and outputs from overwriting inputs."""
        if ARTIFACTS in self.input_buckets or ARTIFACTS in self.output_buckets:
            raise ValueError(
                f"LIPSTAGE_INPUT_BUCKETS, LIPSTAGE_OUTPUT_BUCKETS: the alias {ARTIFACTS!r} is the artifact bucket's own"
            )
        if self.bucket in self.input_buckets.values():
            raise ValueError(
                "LIPSTAGE_INPUT_BUCKETS: an input alias must not name the artifact bucket, LIPSTAGE_BUCKET"
            )
        if set(self.input_buckets.values()) & set(self.output_buckets.values()):
            raise ValueError("LIPSTAGE_OUTPUT_BUCKETS: an output alias must not name an input bucket")
        return self

    @cached_property
    def cache_secret(self) -> bytes:
        """Secret of the cache's digests; when none is set, a random secret of this process (no hits across processes).

        Raises ValueError for a secret that is too short, OSError for a file that can't be read.
        """
        if self.cache_key is not None:
            secret = self.cache_key.get_secret_value().encode()
        elif self.cache_key_file is not None:
            secret = self.cache_key_file.read_bytes().strip()
        else:
            _log.warning("LIPSTAGE_CACHE_KEY is not set: cached outputs are found by this process only")
            return secrets.token_bytes(32)
        if len(secret) < MIN_SECRET_BYTES:
            raise ValueError(f"the cache secret needs at least {MIN_SECRET_BYTES} bytes")
        return secret

    def artifact_bucket(self, alias: str) -> str:
        """Name of the bucket behind the alias of an artifact or output. Raises KeyError for an unknown alias."""
        return self.bucket if alias == ARTIFACTS else self.output_buckets[alias]
