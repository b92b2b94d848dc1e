"""The embedded engine: a 2-D puppet of the portrait on ONNX Runtime and OpenCV, with weights in the package."""

from shared.slot.engines import EngineSpec

ENGINE = EngineSpec(
    factory="stages.infer.puppet.engine:PuppetEngine",
    memory_mb=2048,
    # Half an hour of speech, the most that an operator may allow, at two megapixels: 25 minutes on an idle core.
    deadline_s=3600.0,
)
