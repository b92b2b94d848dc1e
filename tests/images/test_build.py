"""The sizes of images, with a program in the place of the engine that knows what has been pulled."""

from pathlib import Path

import pytest

from tools.images.build import PUBLIC_BASE, Size, sizes, tag
from tools.images.engine import Engine, EngineError
from tools.images.targets import TARGETS

AUDIO = next(target for target in TARGETS if target.name == "audio")
PROGRAM = """#!/bin/sh
cd "${0%/*}"
case "$1" in
  pull) echo 100 > "$(echo "$2" | tr /: --)" ;;
  image) size=$(cat "$(echo "$3" | tr /: --)") || exit 1; echo "[{\\"Size\\": $size}]" ;;
  *) exit 2 ;;
esac
"""


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    program = tmp_path / "engine"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    return Engine(str(program))


def add(folder: Path, image: str, size: int) -> None:
    (folder / image.replace("/", "-").replace(":", "-")).write_text(str(size))


def test_base_that_only_the_builder_has_is_pulled_for_the_sizes(engine: Engine, tmp_path: Path) -> None:
    add(tmp_path, tag(AUDIO), 350)
    assert sizes(engine, [AUDIO]) == [Size(AUDIO, 250)]
    assert engine.has(PUBLIC_BASE)


def test_base_that_is_there_is_not_pulled_again(engine: Engine, tmp_path: Path) -> None:
    add(tmp_path, tag(AUDIO), 350)
    add(tmp_path, PUBLIC_BASE, 120)
    assert sizes(engine, [AUDIO]) == [Size(AUDIO, 230)]


def test_image_that_is_not_built_has_no_size(engine: Engine) -> None:
    with pytest.raises(EngineError):
        sizes(engine, [AUDIO])
