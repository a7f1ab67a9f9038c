# SPDX-License-Identifier: BSD-2-Clause
"""A steady producer on the confluent-kafka wheel, which knows nothing of acktrail.

usage: steady.py [--no-poll FROM,TO] BOOTSTRAP TOPIC PARTITIONS RATE SECONDS [k=v]…

--no-poll: between those seconds it calls nothing that would serve delivery reports.  Prints
what became of its messages.
"""
import sys
import time

from confluent_kafka import Producer

words = sys.argv[1:]
silent = (0.0, 0.0)
if words[0] == "--no-poll":
    silent = tuple(float(s) for s in words[1].split(","))
    words = words[2:]
bootstrap, topic, partitions, rate, seconds = words[0], words[1], int(words[2]), float(words[3]), float(words[4])
fate = {}


def delivered(err, _message):
    name = err.str() if err else "delivered"
    fate[name] = fate.get(name, 0) + 1


producer = Producer({"bootstrap.servers": bootstrap, **dict(w.split("=", 1) for w in words[5:])})
begin, n = time.monotonic(), 0
while (now := time.monotonic() - begin) < seconds:
    producer.produce(topic, b"%d" % n + b"x" * 100, partition=n % partitions, on_delivery=delivered)
    n += 1
    if not silent[0] <= now < silent[1]:
        producer.poll(0)
    time.sleep(max(0.0, n / rate - (time.monotonic() - begin)))
producer.flush(30)
print(f"{n} messages:", ", ".join(f"{count} {name}" for name, count in sorted(fate.items())))
