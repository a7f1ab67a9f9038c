# SPDX-License-Identifier: BSD-2-Clause
"""An app produces at once after its start, when there is no connection yet, over a way that takes its time: each step
of the start (TLS or SASL, versions, metadata) is one round trip, before the one that a message takes.

expect: cold-start
expect-tls: cold-start
affected: what was produced at once and took 100 ms or more: one round trip is less, the start is more
at-least: 1
slow-ms: 200
"""
from lablib import world


def run(lab):
    topic, relay = lab.topic(), lab.way(world.RELAY_SASL)
    lab.neighbour(topic, "-c", 300, rate=100).wait()    # the broker is warm, the client is not
    lab.probe()
    with lab.injected(lambda: relay.tell("pass")):
        relay.tell(f"delay {lab.between(25, 35)}")
        app = lab.app(topic, "-c", 20, to=world.RELAY_SASL, socket_nagle_disable="true")
        app.acked(20)
        app.stop()
