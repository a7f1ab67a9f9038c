# SPDX-License-Identifier: BSD-2-Clause
"""The network swallows the client's packets: nothing is acknowledged, and no new connection comes about.

expect: network
expect-tls: network
affected: late or failed, and alive while packets were lost
"""
from lablib import world


def run(lab):
    topic, relay = lab.topic(), lab.relay
    lab.probe()
    app = lab.app(topic, to=world.RELAY, message_timeout_ms=lab.between(3000, 5000)).acked(20)
    with lab.injected(lambda: relay.tell("pass")):
        relay.tell("drop")
        app.failed(50)
    app.more(20)
