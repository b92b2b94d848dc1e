"""Writes shared/local/kafka-jars.txt: the broker's jars with their SHA-256, for one Kafka release.

The logging binding is resolved separately: resolved together with the broker, its dependency management selects older
client jars. The digests are those of the downloaded files; review the change before committing it.

    python -m tools.lock_kafka_jars 4.3.1
"""

import sys

import jgo

from shared.local.jars import LOCK_FILE, Jar, sha256_of

BROKER = "org.apache.kafka:kafka_2.13"
LOGGING = "org.apache.logging.log4j:log4j-slf4j-impl"
HEADER = """\
# Class path of the local Apache Kafka broker, in order: Maven coordinates and sha256.
# Written by `python -m tools.lock_kafka_jars {version}`; checked at every start of the broker.
"""


def resolve(version: str) -> list[Jar]:
    """The jars of a Kafka release and of the log4j binding for its log4j-core."""
    artifacts = list(jgo.resolve(f"{BROKER}:{version}"))
    log4j = next(a.version for a in artifacts if a.artifactId == "log4j-core")
    known = {(a.groupId, a.artifactId) for a in artifacts}
    artifacts += [a for a in jgo.resolve(f"{LOGGING}:{log4j}") if (a.groupId, a.artifactId) not in known]
    return [Jar(a.groupId, a.artifactId, a.version, sha256_of(a.resolve())) for a in artifacts]


def main(arguments: list[str]) -> int:
    """Write the list; the argument is the Kafka release."""
    (version,) = arguments
    jars = resolve(version)
    lines = [f"{jar.coordinates} {jar.sha256}" for jar in jars]
    LOCK_FILE.write_text(HEADER.format(version=version) + "\n".join(lines) + "\n")
    print(f"{len(jars)} jars in {LOCK_FILE.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
