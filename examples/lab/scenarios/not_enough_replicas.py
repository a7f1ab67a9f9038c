# SPDX-License-Identifier: BSD-2-Clause
"""acks=all, two replicas must be in sync, and the follower's broker has gone.

expect: broker-error
expect-tls: broker-error
affected: late or failed, and alive when the follower was no more in sync
at-least: 2
"""
from lablib.world import until


def run(lab):
    other = lab.world.broker(2)
    topic = lab.topic("1,2", min_insync_replicas=2)
    lab.probe()
    other.stop_process()
    lab.undo.append(other.restart)
    until(lambda: lab.admin("leader", topic, 0) == "1 1")
    lab.neighbour(topic, "-c", 30, "-X", "acks=1", rate=100).wait()
    with lab.injected():
        lab.app(topic, message_timeout_ms=lab.between(3000, 5000)).failed(100)
