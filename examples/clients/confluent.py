# SPDX-License-Identifier: BSD-2-Clause
"""confluent-kafka: confluent.py BOOTSTRAP TOPIC PARTITIONS COUNT [KEY=VALUE]…

Prints PARTITION OFFSET of each message that the broker acknowledged, in that order.
"""
import sys

from confluent_kafka import Producer


def delivered(err, message):
    print("failed" if err else f"{message.partition()} {message.offset()}")


def main():
    bootstrap, topic, partitions, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    settings = dict(arg.split("=", 1) for arg in sys.argv[5:])
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5, **settings})
    for n in range(count):
        producer.produce(topic, b"message %d" % n, partition=n % partitions, on_delivery=delivered)
        producer.poll(0)
    sys.exit(producer.flush(30) > 0)


main()
