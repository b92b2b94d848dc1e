"""Render a video with only a Kafka client and an S3 client, as a program in any language can.

Needs confluent-kafka and boto3, and a stack: `lipstage up`, then `eval "$(lipstage config --env)"`.
Run: python examples/produce_request.py [PORTRAIT SPEECH OUT.mp4]
"""

import json
import os
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path

import boto3
from botocore.config import Config
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
PREFIX = os.environ.get("LIPSTAGE_TOPIC_PREFIX", "")
BUCKETS = {
    "inputs": json.loads(os.environ.get("LIPSTAGE_INPUT_BUCKETS", "{}")).get("inputs", "lipstage-inputs"),
    "artifacts": os.environ.get("LIPSTAGE_BUCKET", "lipstage"),
}
TENANT = "default"
TIMEOUT_S = 300
METADATA_REFRESH_S = 2


def main(portrait: Path, speech: Path, target: Path) -> int:
    brokers = {"bootstrap.servers": os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "")}
    if not brokers["bootstrap.servers"]:
        print("KAFKA_BOOTSTRAP_SERVERS is not set: it names the brokers, as host:port,host:port", file=sys.stderr)
        return 2
    # Endpoint, region and keys come from the AWS_* variables; path addressing works with every self-hosted store.
    s3 = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
    job_id = uuid.uuid4().hex

    # 1. Both files go to the input bucket, under the tenant's prefix.
    keys = {"portrait": f"{TENANT}/{job_id}/portrait", "speech": f"{TENANT}/{job_id}/speech"}
    s3.upload_file(str(portrait), BUCKETS["inputs"], keys["portrait"])
    s3.upload_file(str(speech), BUCKETS["inputs"], keys["speech"])

    # 2. Listen to the job's events from now on: every partition, no consumer group.
    consumer = Consumer(brokers | {"group.id": "produce-request-example", "enable.auto.commit": False})
    topic = PREFIX + "render.events"
    positions = {}  # The next offset by partition.
    for p in consumer.list_topics(topic, timeout=10).topics[topic].partitions:
        positions[p] = consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1]
    consumer.assign([TopicPartition(topic, p, offset) for p, offset in positions.items()])

    # 3. One JSON record; its key is the job id.
    request = {
        "job_id": job_id,
        "tenant": TENANT,
        "portrait": {"bucket": "inputs", "key": keys["portrait"]},
        "speech": {"bucket": "inputs", "key": keys["speech"]},
        "params": {"dynamic_scale": 1.1},
    }
    producer = Producer(brokers)
    producer.produce(PREFIX + "render.requests", key=job_id, value=json.dumps(request))
    if producer.flush(30):
        print("the broker did not confirm the request", file=sys.stderr)
        return 1

    # 4. Exactly one of done, rejected, failed ends the job. Another tenant may use the same job id: check both.
    deadline = time.monotonic() + TIMEOUT_S
    refresh_at = time.monotonic() + METADATA_REFRESH_S
    while time.monotonic() < deadline:
        if time.monotonic() > refresh_at:  # Partitions that were added are read from their beginning.
            refresh_at = time.monotonic() + METADATA_REFRESH_S
            with suppress(KafkaException):  # The broker is down; the client reconnects by itself.
                known = consumer.list_topics(topic, timeout=10).topics[topic].partitions
                if added := {p: 0 for p in known if p not in positions}:
                    positions |= added
                    consumer.assign([TopicPartition(topic, p, offset) for p, offset in positions.items()])
        message = consumer.poll(1.0)
        if message is None or message.error():
            continue
        positions[message.partition()] = message.offset() + 1
        if message.key() != job_id.encode():
            continue
        event = json.loads(message.value() or b"{}")
        if (event["tenant"], event["job_id"]) != (TENANT, job_id):
            continue
        print(event["type"], event.get("stage", ""), event.get("percent", ""))
        if event["type"] == "done":
            video = event["video"]
            target.parent.mkdir(parents=True, exist_ok=True)
            s3.download_file(BUCKETS[video["bucket"]], video["key"], str(target))
            print(f"{target}: {event['duration_s']} s of video in {event['total_s']} s")
            return 0
        if event["type"] in ("rejected", "failed"):
            # As ASCII: a message may repeat text of others, which must not control this terminal.
            print(f"{event['code']}: {event['message']!a}", file=sys.stderr)
            return 1
    print(f"the job has not ended after {TIMEOUT_S} s", file=sys.stderr)
    return 1


if __name__ == "__main__":
    paths = [Path(argument) for argument in sys.argv[1:]]
    if len(paths) not in (0, 3):
        sys.exit(__doc__)
    if paths and os.path.lexists(paths[2]):
        sys.exit(f"{paths[2]} exists already")
    sys.exit(main(*(paths or (SAMPLES / "portrait.png", SAMPLES / "speech.wav", Path("out/example.mp4")))))
