"""Makes the Python code of stages/gateway/rpc/lipstage.proto: ``python -m tools.grpc_code [--check]``.

Needs grpcio-tools, which holds the compiler.
"""

import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parents[1]
PROTO = "stages/gateway/rpc/lipstage.proto"
NAMES = ("lipstage_pb2.py", "lipstage_pb2.pyi", "lipstage_pb2_grpc.py")


def made() -> dict[Path, str]:
    """The generated files, by their path in the checkout. Raises SystemExit for a .proto file with faults."""
    with tempfile.TemporaryDirectory() as folder:
        own = files("grpc_tools") / "_proto"
        arguments = ["protoc", f"-I{ROOT}", f"-I{own}", f"--python_out={folder}", f"--pyi_out={folder}",
                     f"--grpc_python_out={folder}", PROTO]  # fmt: skip
        if protoc.main(arguments):
            raise SystemExit(f"{PROTO} can't be compiled")
        place = Path(PROTO).parent
        return {place / name: (Path(folder) / place / name).read_text() for name in NAMES}


def main() -> int:
    """Write the files, or with ``--check`` compare them; returns 1 when one differs."""
    differ = 0
    for path, text in made().items():
        target = ROOT / path
        if target.is_file() and target.read_text() == text:
            continue
        if "--check" in sys.argv[1:]:
            print(f"{path} is not what {PROTO} gives: python -m tools.grpc_code", file=sys.stderr)
            differ = 1
        else:
            target.write_text(text)
    return differ


if __name__ == "__main__":
    sys.exit(main())
