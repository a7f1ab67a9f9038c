# SPDX-License-Identifier: BSD-2-Clause
"""An ordinary app on the confluent-kafka wheel: wheel.py BOOTSTRAP TOPIC PARTITIONS COUNT [k=v]…"""
import sys
from confluent_kafka import Producer

bootstrap, topic, partitions, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
fate = {"acked": 0, "failed": 0}


def delivered(err, _message):
    fate["failed" if err else "acked"] += 1


producer = Producer({"bootstrap.servers": bootstrap, **dict(a.split("=", 1) for a in sys.argv[5:])})
for n in range(count):
    while True:
        try:
            producer.produce(topic, b"%d" % n + b"x" * (n % 200), partition=n % partitions,
                             on_delivery=delivered)
            break
        except BufferError:
            producer.poll(0.1)
    producer.poll(0)
producer.flush(60)
print(fate["acked"], "acked,", fate["failed"], "failed")
sys.exit(fate["failed"] > 0)
