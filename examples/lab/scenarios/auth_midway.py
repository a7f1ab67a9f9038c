# SPDX-License-Identifier: BSD-2-Clause
"""A session fails in the middle: the connection is reset, and where the address leads then the client's password is not
taken; over TLS, the certificate there is none that it trusts.

expect: auth
expect-tls: auth
affected: late or failed, and alive while it was not let in; what waits fails in few rows
at-least: 2
"""
from lablib import world


def run(lab):
    topic, relay = lab.topic(), lab.way(world.RELAY_SASL)
    lab.probe()
    app = lab.app(topic, to=world.RELAY_SASL, reconnect_backoff_max_ms=1000,
                  message_timeout_ms=lab.between(3000, 5000)).acked(20)
    with lab.injected(lambda: relay.tell("pass")):
        relay.tell(f"divert {lab.broker.port + (world.OTHER_TLS if lab.tls else world.OTHER_SASL)}")
        app.failed(lab.rate)
    app.more(20)
