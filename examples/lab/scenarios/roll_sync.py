# SPDX-License-Identifier: BSD-2-Clause
"""Kafka 3.6 syncs while it rolls a segment and holds the log; the disk's flushes are slow, segments are small.

expect: leader-fsync log-lock
any: yes
expect-tls: no
affected: late, and alive while flushes were slow
at-least: 5
kafka: 3.6.2
"""


def run(lab):
    topic = lab.topic(segment_bytes=14000)
    lab.probe()
    app = lab.app(topic, size=1000, rate=30).acked(20)
    with lab.injected(lab.disk.heal):
        lab.disk.delay(flush=lab.between(200, 400))
        lab.hold(6)
    app.more(20)
