# SPDX-License-Identifier: BSD-2-Clause
"""kafka-python, which is not librdkafka: kafka_python.py BOOTSTRAP TOPIC PARTITIONS COUNT

Prints PARTITION OFFSET of each message that the broker acknowledged, in the order of sending.
"""
import sys

from kafka import KafkaProducer


def main():
    bootstrap, topic, partitions, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=5)
    sent = [producer.send(topic, b"message %d" % n, partition=n % partitions) for n in range(count)]
    producer.flush(30)
    for future in sent:
        where = future.get(timeout=30)
        print(where.partition, where.offset)
    producer.close()


main()
