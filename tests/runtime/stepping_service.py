"""The face stage with the handler of many steps, as a service: run as a module by test_drained_pods."""

import sys

from shared.runtime.host.stage_service import serve
from shared.runtime.settings import RuntimeSettings
from shared.slot.spec import StageSpec

SPEC = StageSpec(
    name="face", handler="tests.runtime.stepping_handler", inputs={}, needs_bytes=lambda _: 0, resumes=True
)

if __name__ == "__main__":
    sys.exit(serve("face", RuntimeSettings(), SPEC))
