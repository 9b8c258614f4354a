"""The ceiling of a consumer: fetch and parse, nothing else. `python -m bench.peers.consume_only COUNT`."""

import json
import os
import sys
import time

import orjson
import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.events.topics import RESPONSES
from shared.kafka.topics import PARTITIONS


async def consume(count: int) -> dict[str, float]:
    """Read so many records from the beginning; the clocks start with the first."""
    client = AIOKafkaConsumer(bootstrap_servers=os.environ["KAFKA_BOOTSTRAP_SERVERS"], max_poll_records=1000)
    await client.start()
    try:
        places = [TopicPartition(RESPONSES.name, number) for number in range(PARTITIONS)]
        client.assign(places)
        await client.seek_to_beginning(*places)
        started, cpu, seen = time.perf_counter(), time.process_time(), 0
        while seen < count:
            for records in (await client.getmany(timeout_ms=5000, max_records=1000)).values():
                for record in records:
                    orjson.loads(record.value)
                seen += len(records)
        return {"answers": seen, "seconds": time.perf_counter() - started, "cpu": time.process_time() - cpu}
    finally:
        await client.stop()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(uvloop.run(consume(int(sys.argv[1])))) + "\n")
