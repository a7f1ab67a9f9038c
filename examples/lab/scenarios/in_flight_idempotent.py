# SPDX-License-Identifier: BSD-2-Clause
"""An idempotent producer with all defaults and a long round trip: while five of a partition's messages are in flight
librdkafka sends no more of it, so each batch waits for the one before it, and takes as long itself.

expect: in-flight-window + network
expect-tls: in-flight-window + broker-side
affected: every late batch once that goes round
within: yes
at-least: 20
"""
from lablib import world


def run(lab):
    topic, relay = lab.topic(), lab.relay
    lab.probe()
    app = lab.app(topic, "-p", 1, "-c", 600, rate=200, to=world.RELAY, enable_idempotence="true").acked(20)
    relay.tell(f"delay {lab.between(35, 45)}")
    app.more(50)
    with lab.injected(lambda: relay.tell("pass")):
        app.process.wait()
