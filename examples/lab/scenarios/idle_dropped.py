# SPDX-License-Identifier: BSD-2-Clause
"""Something between forgets an idle connection and tells nobody; what is sent next gets no answer.

expect: idle-connection
expect-tls: idle-connection
affected: what was sent after the pause
at-least: 1
"""
from lablib import world


def run(lab):
    topic, relay = lab.topic(), lab.relay
    lab.probe()
    app = lab.app(topic, rate=1 / lab.between(31, 36), to=world.RELAY, socket_timeout_ms=3000,
                  message_timeout_ms=20000, topic_metadata_refresh_interval_ms=-1,
                  socket_nagle_disable="true").acked(1)
    with lab.injected(lambda: relay.tell("pass")):
        relay.tell("forget")
        app.acked(2)
