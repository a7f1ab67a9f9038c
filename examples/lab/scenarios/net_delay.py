# SPDX-License-Identifier: BSD-2-Clause
"""The way to the broker takes long: each byte is passed on late, in both directions.

expect: network
expect-tls: broker-side
affected: every batch while the delay was there
at-least: 20
"""
from lablib import world


def run(lab):
    topic, relay = lab.topic(), lab.relay
    lab.probe()
    app = lab.app(topic, to=world.RELAY, message_timeout_ms=20000).acked(20)
    with lab.injected(lambda: relay.tell("pass")):
        relay.tell(f"delay {lab.between(300, 700)}")
        lab.hold(5)
    app.more(20)
