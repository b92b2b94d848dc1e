"""A fresh client process: submits jobs to the stack of LIPSTAGE_STATE_DIR and waits until all are done.

``python bench/checkout/client.py < jobs.json``: a list of {portrait, speech, size, seed}. Writes one JSON object:

- ``wall_s``: from the first submission until the last job is known to be done;
- ``cpu_s``: of this process in that time;
- ``first_produce_ms``: from the first record given to the producer until its acknowledgement;
- ``jobs``: for each job its ``id``, ``wall_s`` from its submission to its ``done`` event, ``seconds`` of each stage,
  ``tail_s`` from infer's ``finished`` event to ``done``, and ``video_s``, the length of the video.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any


def main() -> None:
    """Read the jobs, submit them, wait, and write the figures."""
    from shared.client import Client, submission
    from shared.local.deployment import find_deployment
    from shared.local.settings import LocalSettings
    from shared.messages.events import Done, Finished

    acknowledged_ms: list[float] = []
    send = submission.send

    def timed(*arguments: Any, **named: Any) -> Any:
        start = time.monotonic()
        try:
            return send(*arguments, **named)
        finally:
            acknowledged_ms.append(1000 * (time.monotonic() - start))

    submission.send = timed
    jobs = json.load(sys.stdin)
    with Client(find_deployment(LocalSettings()), service_name="bench") as client:
        specs = [
            client.job_spec(
                Path(job["portrait"]),
                Path(job["speech"]),
                params={"min_resolution": job["size"], "seed": job["seed"]},
            )
            for job in jobs
        ]
        position = client.position()
        start, start_cpu = time.monotonic(), time.process_time()
        submitted = [(time.time(), client.submit(spec)) for spec in specs]
        rows = []
        for at, one in submitted:
            ends_ms: dict[str, int] = {}
            for event in client.events(one, start=position):
                if isinstance(event, Finished):
                    ends_ms[event.stage] = event.time_ms
            if not isinstance(event, Done):
                raise SystemExit(f"the job is not done: {event}")
            rows.append(
                {
                    "id": one.job_id,
                    "wall_s": event.time_ms / 1000 - at,
                    "seconds": event.seconds,
                    "tail_s": (event.time_ms - ends_ms["infer"]) / 1000,
                    "video_s": event.duration_s,
                }
            )
        figures = {
            "wall_s": time.monotonic() - start,
            "cpu_s": time.process_time() - start_cpu,
            "first_produce_ms": acknowledged_ms[0],
            "jobs": rows,
        }
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    sys.path[:] = [path for path in sys.path if Path(path).resolve() != Path(__file__).resolve().parent]
    main()
