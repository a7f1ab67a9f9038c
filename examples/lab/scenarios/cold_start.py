# SPDX-License-Identifier: BSD-2-Clause
"""An app produces at once after its start, when there is no connection yet; SASL or TLS make it longer.

expect: cold-start
expect-tls: cold-start
affected: what was produced at once and took 20 ms or more
at-least: 1
slow-ms: 20
"""
from lablib import world


def run(lab):
    topic = lab.topic()
    lab.neighbour(topic, "-c", 300, rate=100).wait()    # the broker is warm, the client is not
    lab.probe()
    with lab.injected():
        login = {} if lab.tls else dict(to=world.SASL, security_protocol="sasl_plaintext", sasl_mechanism="PLAIN",
                                        sasl_username="alice", sasl_password="alice-secret")
        app = lab.app(topic, "-c", 20, **login)
        app.acked(1)
        app.stop()
