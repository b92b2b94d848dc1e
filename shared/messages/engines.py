"""Engines by name, each with its typed parameters: what the front checks before a task reaches any engine."""

from pydantic import BaseModel, ConfigDict, Field


class PuppetParams(BaseModel):
    """Parameters of the embedded engine."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    blinks: bool = Field(True, description="Let the eyes blink.")
    head_motion: float = Field(1.0, ge=0.0, le=2.0, description="Scale of idle head motion; 0 keeps it still.")


ENGINE_PARAMS: dict[str, type[BaseModel]] = {"puppet": PuppetParams}
"""An engine is known when it stands here; it runs when the deployment enables it (LIPSTAGE_ENGINES)."""
