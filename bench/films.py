"""Films for bench.quality, by whichever checkout is first on the path: one process, one set of networks, no services.

``python bench/films.py < jobs.json``: a list of {portrait, speech, film, facts}, paths. Writes the mp4 and, last, facts
and seconds of the stages as JSON. Kept to what every version of the stages has, so that it runs an old one too.
"""

import json
import os
import shutil
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

NAMES = ("audio", "face", "infer", "encode")


def render(handlers: dict[str, Any], job: dict[str, str], scratch: Path) -> None:
    """One film through the stages' own handlers."""
    from shared.messages.request import RenderRequest
    from shared.messages.task import Product, RenderTask
    from shared.slot.api import Task
    from shared.slot.testing import StageHarness

    request = RenderRequest.model_validate({"portrait": {"key": "default/p"}, "speech": {"key": "default/s"}})
    products: dict[str, Product] = {}
    warnings: list[str] = []

    def stage(name: str, inputs: dict[str, Path], **sequences: list[Path]) -> tuple[Any, StageHarness]:
        context = StageHarness(scratch / name, sequences)
        task = RenderTask(job_id="j", request_id="r", request=request, submitted_ms=0, products=dict(products))
        begun = time.monotonic()
        result = handlers[name](context, Task(task, inputs))
        seconds = time.monotonic() - begun
        products[name] = Product(attempt="1", facts=result.facts.model_dump(mode="json"), seconds=seconds)
        warnings.extend(str(code) for code, _ in context.warnings)
        return result, context

    audio, _ = stage("audio", {"speech": Path(job["speech"])})
    face, _ = stage("face", {"portrait": Path(job["portrait"])})
    _, context = stage("infer", {**audio.files, **face.files})
    chunks = [path for path, _ in context.shipped["frames"]]
    done, _ = stage("encode", {"sound": audio.files["sound"], "portrait": face.files["image"]}, frames=chunks)
    film, facts = Path(job["film"]), Path(job["facts"])
    film.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(done.files["video"], film)
    found = {
        "seconds": {name: product.seconds for name, product in products.items()},
        "encode": products["encode"].facts,
        "warnings": warnings,
    }
    facts.write_text(json.dumps(found))


def main() -> None:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from shared.slot.api import Rejected

    handlers = {name: import_module(f"stages.{name}.handler").load() for name in NAMES}
    for job in json.load(sys.stdin):
        with tempfile.TemporaryDirectory() as scratch:
            try:
                render(handlers, job, Path(scratch))
            except Rejected as e:  # a row of the table; any other error is a fault, and is not kept
                Path(job["facts"]).parent.mkdir(parents=True, exist_ok=True)
                Path(job["facts"]).write_text(json.dumps({"refused": str(e.code)}))


if __name__ == "__main__":
    main()
