"""Coverage-guided fuzzing of the readers in Python by atheris (libFuzzer): ``python -m tests.fuzz.guided TARGET ...``.

The process instruments the target's modules while it imports them, and ends with libFuzzer's own summary.
"""

import argparse
import importlib.util
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

RSS_MB = 2048
STUCK_S = 300
"""How much longer than its time a run may take: the imports, on a busy machine."""


def is_installed() -> bool:
    """Whether this machine has atheris: it has wheels for Linux on x86-64 alone."""
    return importlib.util.find_spec("atheris") is not None


def run(name: str, findings: Path, *, seed: int, seconds: float | None = None, executions: int | None = None) -> int:
    """Fuzz one target in a child process; returns the number of inputs. Findings are saved in ``findings``."""
    command = [sys.executable, "-m", "tests.fuzz.guided", name, "--findings", str(findings), "--seed", str(seed)]
    command += ["--seconds", str(seconds)] if seconds is not None else ["--runs", str(executions)]
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            code: int | str = process.wait((seconds or 0) + STUCK_S)
        except subprocess.TimeoutExpired:
            process.kill()
            code = "none, it hangs"
            process.wait()
        log.seek(0)
        text = log.read()
    counted = re.search(r"Done (\d+) runs", text)
    if counted is None:
        from tests.fuzz.finding import save

        crashed = sorted(findings.glob(f"{name}-libfuzzer-*"))
        data = crashed[-1].read_bytes() if crashed else b""
        save(findings, name, f"guided: exit code {code}", text[-3000:], data)
    return int(counted[1]) if counted else 0


def _fuzz(options: argparse.Namespace) -> None:
    import atheris

    # Nothing of `shared` and `stages` may be imported before.
    with atheris.instrument_imports(include=["shared", "stages"], enable_loader_override=False):
        from tests.fuzz.targets import targets

        (target,) = targets(options.target)
    from tests.fuzz.finding import kind_of, save
    from tests.fuzz.target import CPU_S, MAX_INPUT_BYTES

    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    corpus, work = folder / "corpus", folder / "work"
    corpus.mkdir()
    work.mkdir()
    seeds = list(target.seeds())
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(seed)

    def test_one(data: bytes) -> None:
        path = work / "input"
        path.write_bytes(data)
        started = time.process_time()
        try:
            target.run(path)
        except BaseException as error:  # noqa: BLE001 - any exception is a finding
            save(options.findings, target.name, kind_of(error), repr(error)[:2000], data)
        if (took := time.process_time() - started) > CPU_S:
            save(options.findings, target.name, "too much CPU", f"{took:.1f} s", data)

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.random() < 0.5:
            changed: bytes = atheris.Mutate(data, max_size)
            return changed
        return target.mutate(rng, data, seeds)[:max_size]

    arguments = [
        sys.argv[0],
        str(corpus),
        f"-seed={options.seed % 2**31 or 1}",
        f"-max_len={MAX_INPUT_BYTES}",
        f"-rss_limit_mb={RSS_MB}",
        "-timeout=86400",  # By wall clock, and its alarm can end the process; here the CPU time counts.
        f"-artifact_prefix={options.findings}/{target.name}-libfuzzer-",
        f"-max_total_time={round(options.seconds)}" if options.seconds else f"-runs={options.runs}",
    ]
    setup: Any = atheris.Setup
    setup(arguments, test_one, custom_mutator=mutate)
    atheris.Fuzz()


def main() -> None:
    """Entry point of the child process."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.guided")
    parser.add_argument("target")
    parser.add_argument("--findings", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--runs", type=int, default=1000)
    options = parser.parse_args()
    options.findings.mkdir(parents=True, exist_ok=True)
    _fuzz(options)


if __name__ == "__main__":
    main()
