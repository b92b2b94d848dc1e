"""The names of a deployment's topics, groups and buckets, to which rights are given."""

from dataclasses import dataclass

CLIENT, OPERATOR = "client", "operator"
"""Who has rights beside the services: who submits, and the command line."""


@dataclass(frozen=True, slots=True)
class Names:
    """What the settings say of names; `shared.runtime.settings` and `shared.storage.settings` describe each."""

    topic_prefix: str = ""
    engines: tuple[str, ...] = ("puppet",)
    bucket: str = "lipstage"
    input_buckets: tuple[str, ...] = ("lipstage-inputs",)
    output_buckets: tuple[str, ...] = ()
    tenancy: str = "open"
    """Whether a client uses the shared topics, or with ``topic`` those of its tenant."""

    def topic(self, name: str) -> str:
        """The topic's full name."""
        return self.topic_prefix + name

    def group(self, service: str, engine: str | None = None) -> str:
        """The consumer group of a service; infer has one for each engine."""
        return f"{self.topic_prefix}lipstage.{service}" + (f".{engine}" if engine else "")

    def buckets(self, role: str) -> tuple[str, ...]:
        """The buckets of a kind: ``artifacts``, ``inputs`` or ``outputs``."""
        return {"artifacts": (self.bucket,), "inputs": self.input_buckets, "outputs": self.output_buckets}[role]

    @property
    def all_buckets(self) -> tuple[str, ...]:
        """Every bucket, sorted."""
        return tuple(sorted({self.bucket, *self.input_buckets, *self.output_buckets}))
