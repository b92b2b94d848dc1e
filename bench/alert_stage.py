"""An encode service whose jobs say how they end, with short limits: run as a module by `bench.monitored`.

What is shortened is constant in production: the pause of the circuit breaker, and the time after which a task hangs.
"""

from shared.runtime import breaker
from shared.runtime.host import stage_service
from shared.runtime.settings import RuntimeSettings
from shared.slot.spec import StageSpec

SPEC = StageSpec(name="encode", handler="bench.alert_stage_handler", inputs={}, memory_mb=1024, deadline_s=2.0)

if __name__ == "__main__":
    breaker.FIRST_PAUSE_S = 12.0
    stage_service.TASK_GRACE_S = 1.0
    raise SystemExit(stage_service.serve("encode", RuntimeSettings(), SPEC))
