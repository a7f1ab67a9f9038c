# SPDX-License-Identifier: BSD-2-Clause
"""The partition's leader is moved to another broker, to and fro; the client learns of it by an error.

expect: no-leader
expect-tls: no-leader
affected: late, and alive while the leader was moved
at-least: 1
slow-ms: 700
"""


def run(lab):
    other = lab.world.broker(2)
    topic = lab.topic("1,2")
    lab.probe(lab.broker, other)
    app = lab.app(topic, acks=1, retry_backoff_ms=1000).acked(20)
    with lab.injected():
        for leaders in ("2,1", "1,2", "2,1"):
            lab.admin("move", topic, 0, leaders)
            app.more(30)
