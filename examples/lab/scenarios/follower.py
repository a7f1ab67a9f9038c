# SPDX-License-Identifier: BSD-2-Clause
"""acks=all, and the disk of the one follower is slow: it syncs each append late, the leader's disk is quick.

expect: follower
expect-tls: broker-side
affected: late or failed, and alive while the follower's flushes were slow
at-least: 10
"""


def run(lab):
    follower = lab.world.broker(2)
    topic = lab.topic("1,2", flush=1, min_insync_replicas=2)
    lab.probe(lab.broker, follower)
    app = lab.app(topic, rate=lab.between(5, 10), message_timeout_ms=20000).acked(10)
    disk = lab.world.disk("gray2")
    with lab.injected(disk.heal):
        disk.delay(flush=lab.between(100, 200))
        lab.hold(6)
    app.more(10)
