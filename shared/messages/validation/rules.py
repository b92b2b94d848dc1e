"""What the models can't express: which engine runs here, the parameters of each engine, the tenant's own keys."""

import json
from collections.abc import Collection

from pydantic import BaseModel, ValidationError

from shared.messages.codes import Code, Rejected
from shared.messages.engines import ENGINE_PARAMS
from shared.messages.names import CONSENT
from shared.messages.request import OPTIMAL_STEPS, RenderRequest
from shared.messages.task import JobWarning
from shared.messages.validation.errors import explain
from shared.messages.validation.wording import PATTERNS, join_words


def check_engine_enabled(request: RenderRequest, enabled: Collection[str]) -> None:
    """Raise Rejected(ENGINE_UNAVAILABLE) unless this build has the engine and the deployment enables it."""
    if request.engine not in ENGINE_PARAMS or request.engine not in enabled:
        available = sorted(set(enabled) & set(ENGINE_PARAMS))
        raise Rejected(
            Code.ENGINE_UNAVAILABLE,
            f"The engine {request.engine} is not available here.",
            field="engine",
            allowed=join_words(available) if available else "none is enabled",
        )


def check_engine_params(request: RenderRequest) -> BaseModel:
    """The engine's own parameters, typed by ``shared.messages.engines``.

    Raises Rejected: ENGINE_UNAVAILABLE for an engine without parameters in this build, INVALID_REQUEST with a field
    such as ``engine_params.head_motion``.
    """
    check_engine_enabled(request, ENGINE_PARAMS)
    model = ENGINE_PARAMS[request.engine]
    try:
        # Through JSON: only there do strict models take a list for a tuple.
        return model.model_validate_json(json.dumps(request.engine_params), extra="forbid")
    except ValidationError as error:
        problem = explain(error, model, within="engine_params")
        raise Rejected(Code.INVALID_REQUEST, problem.message, field=problem.field, allowed=problem.allowed) from error


def check_tenant(request: RenderRequest) -> None:
    """Raise Rejected(INPUT_FORBIDDEN) for a key or prefix outside the tenant's own prefix ``<tenant>/``."""
    own = f"{request.tenant}/"
    keys = [("portrait.key", request.portrait.key), ("speech.key", request.speech.key)]
    if request.output is not None:
        keys.append(("output.prefix", request.output.prefix + "/"))
    for field, key in keys:
        if not key.startswith(own):
            raise Rejected(
                Code.INPUT_FORBIDDEN,
                f"{field} is outside the tenant's prefix.",
                field=field,
                allowed=f"keys that start with {own}",
            )


def check_consent(request: RenderRequest, *, required: bool) -> None:
    """Raise Rejected(CONSENT_REQUIRED) for a request without a reference to a consent where the policy requires it."""
    if required and request.consent is None:
        raise Rejected(
            Code.CONSENT_REQUIRED,
            "The tenant's policy requires a reference to the consent of the person who is shown.",
            field="consent",
            allowed=PATTERNS[CONSENT],
        )


def check_request(request: RenderRequest, enabled: Collection[str]) -> None:
    """All of the above. Raises Rejected."""
    check_engine_enabled(request, enabled)
    check_engine_params(request)
    check_tenant(request)


def advice(request: RenderRequest) -> tuple[JobWarning, ...]:
    """Warnings about parameters that are valid and rarely intended."""
    steps = request.params.inference_steps
    if steps >= OPTIMAL_STEPS:
        return ()
    message = f"{steps} inference steps: fewer than {OPTIMAL_STEPS} usually reduce the quality."
    return (JobWarning(code=Code.NON_OPTIMAL_STEPS, message=message),)
