"""The offsets that KEDA reads, from a real broker."""

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from bench.autoscale.keda import INVALID_OFFSET, Offsets
from shared.runtime.kafka_config import UNLOGGED, base
from shared.runtime.settings import RuntimeSettings

REQUEST_S = 10.0


class OffsetReader:
    """Reads one group's offsets of one topic; partitions are counted each time, because a topic may grow."""

    def __init__(self, settings: RuntimeSettings, topic: str, group: str) -> None:
        """``topic`` and ``group`` are full names, with the deployment's prefix."""
        self._admin = AdminClient(base(settings, "autoscale") | UNLOGGED)
        self._topic = topic
        self._group = group

    # A new broker needs a moment to make a coordinator for its first group.
    @retry(retry=retry_if_exception_type(KafkaException), stop=stop_after_delay(30), wait=wait_fixed(0.5), reraise=True)
    def read(self) -> dict[int, Offsets]:
        """Partition -> its offsets. Raises KafkaException when the broker does not answer or the topic is missing, for
        half a minute."""
        description = self._admin.list_topics(self._topic, timeout=REQUEST_S).topics[self._topic]
        if description.error is not None:
            raise KafkaException(description.error)
        partitions = [TopicPartition(self._topic, number) for number in description.partitions]
        request = [ConsumerGroupTopicPartitions(self._group, partitions)]
        committed = self._admin.list_consumer_group_offsets(request, request_timeout=REQUEST_S)[self._group]
        end = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        # Uncommitted, as KEDA's client asks: markers and records of open transactions count.
        ends = self._admin.list_offsets(dict.fromkeys(partitions, end), request_timeout=REQUEST_S)
        for future in (committed, *ends.values()):
            future.exception()  # Wait for every answer: the client has crashed when one came after its future was gone.
        stored = {p.partition: p.offset for p in committed.result().topic_partitions}
        return {
            partition.partition: Offsets(future.result().offset, max(INVALID_OFFSET, stored[partition.partition]))
            for partition, future in ends.items()
        }
