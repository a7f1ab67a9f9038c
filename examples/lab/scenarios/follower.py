# SPDX-License-Identifier: BSD-2-Clause
"""acks=all, and the disk of the one follower is slow: it syncs each append late, the leader's disk is quick.

expect: follower
expect-tls: broker-side
affected: late or failed, and alive while the follower's flushes were slow
at-least: 20
"""


def run(lab):
    follower = lab.world.broker(2)
    topic = lab.topic("1,2", flush=1, min_insync_replicas=2)
    lab.probe(lab.broker, follower)
    app = lab.app(topic, message_timeout_ms=20000).acked(20)
    disk = lab.world.disk("gray2")
    with lab.injected(disk.heal):
        disk.delay(flush=lab.between(100, 200))
        lab.hold(6)
    app.more(20)
