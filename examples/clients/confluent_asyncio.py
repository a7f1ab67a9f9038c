# SPDX-License-Identifier: BSD-2-Clause
"""confluent-kafka, asyncio: confluent_asyncio.py BOOTSTRAP TOPIC PARTITIONS COUNT [KEY=VALUE]…

Prints PARTITION OFFSET of each message that the broker acknowledged.
"""
import asyncio
import sys

from confluent_kafka.aio import AIOProducer


async def main():
    bootstrap, topic, partitions, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    settings = dict(arg.split("=", 1) for arg in sys.argv[5:])
    producer = AIOProducer({"bootstrap.servers": bootstrap, "linger.ms": 5, **settings}, batch_size=100)
    sent = [await producer.produce(topic, b"message %d" % n, partition=n % partitions) for n in range(count)]
    await producer.flush()
    for message in await asyncio.gather(*sent):
        print(message.partition(), message.offset())
    await producer.close()


asyncio.run(main())
