"""faust's Kafka client, changed in two points: it reads committed records only, and whatever names headers have."""

from typing import Any

import faust
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport

from stages.gateway.projection import lenient_records


class _Thread(AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: Any) -> Any:
        lenient_records.install()
        made = super()._create_worker_consumer(transport)
        # faust has no setting for it. A request of an aborted transaction would be a job that never ends.
        made._isolation_level = "read_committed"
        return made


class _Consumer(Consumer):
    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)


class _Transport(Transport):
    Consumer = _Consumer


class App(faust.App):
    """An app that reads by this client."""

    def _new_transport(self) -> Transport:
        return _Transport(self.conf.broker_consumer, self)
