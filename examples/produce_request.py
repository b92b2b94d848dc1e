"""Render a video with nothing but a Kafka client and an S3 client: what any program in any language would do.

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
PATIENCE_S = 300
GROWTH_S = 2


def main(portrait: Path, speech: Path, target: Path) -> int:
    # Endpoint, region and keys come from the AWS_* variables; path addressing suits every self-hosted store.
    s3 = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
    brokers = {"bootstrap.servers": os.environ["KAFKA_BOOTSTRAP_SERVERS"]}
    job_id = uuid.uuid4().hex

    # 1. Both files go to the input bucket, under the tenant's prefix.
    keys = {"portrait": f"{TENANT}/{job_id}/portrait", "speech": f"{TENANT}/{job_id}/speech"}
    s3.upload_file(str(portrait), BUCKETS["inputs"], keys["portrait"])
    s3.upload_file(str(speech), BUCKETS["inputs"], keys["speech"])

    # 2. Listen to the job's events from now on: every partition, no consumer group.
    consumer = Consumer(brokers | {"group.id": "produce-request-example", "enable.auto.commit": False})
    topic = PREFIX + "render.events"
    following = {}  # The next offset by partition.
    for p in consumer.list_topics(topic, timeout=10).topics[topic].partitions:
        following[p] = consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1]
    consumer.assign([TopicPartition(topic, p, offset) for p, offset in following.items()])

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
        print("the broker did not take the request", file=sys.stderr)
        return 1

    # 4. Exactly one of done, rejected, failed ends the job. It has two names: another tenant may use the same job id.
    deadline = time.monotonic() + PATIENCE_S
    look_at = time.monotonic() + GROWTH_S
    while time.monotonic() < deadline:
        if time.monotonic() > look_at:  # Has the topic grown? What is new is read from its beginning.
            look_at = time.monotonic() + GROWTH_S
            with suppress(KafkaException):  # The broker is away; the client finds it again.
                known = consumer.list_topics(topic, timeout=10).topics[topic].partitions
                if added := {p: 0 for p in known if p not in following}:
                    following |= added
                    consumer.assign([TopicPartition(topic, p, offset) for p, offset in following.items()])
        message = consumer.poll(1.0)
        if message is None or message.error():
            continue
        following[message.partition()] = message.offset() + 1
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
            # As ASCII: a message may repeat what somebody else wrote, and must not steer this terminal.
            print(f"{event['code']}: {event['message']!a}", file=sys.stderr)
            return 1
    print("no end within the time", file=sys.stderr)
    return 1


if __name__ == "__main__":
    given = [Path(argument) for argument in sys.argv[1:]]
    if len(given) not in (0, 3):
        sys.exit(__doc__)
    sys.exit(main(*(given or (SAMPLES / "portrait.png", SAMPLES / "speech.wav", Path("out/example.mp4")))))
