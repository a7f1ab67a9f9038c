# SPDX-License-Identifier: BSD-2-Clause
"""A round trip that is long but not slow, one request in flight, and small batches: there is no room for more.

expect: in-flight-window
expect-tls: in-flight-window
affected: every late batch
at-least: 50
"""
from lablib import world


def run(lab):
    topic, relay = lab.topic(), lab.relay
    lab.probe()
    app = lab.app(topic, "-p", 1, "-c", 200, rate=60, to=world.RELAY, max_in_flight=1, batch_num_messages=1).acked(20)
    with lab.injected(lambda: relay.tell("pass")):
        relay.tell(f"delay {lab.between(25, 35)}")
        app.process.wait()
