# SPDX-License-Identifier: BSD-2-Clause
"""An app produces at once after its start, when there is no connection yet; SASL makes it longer.

expect: cold-start
expect-tls: cold-start
affected: batches of the first half second that took 20 ms or more
at-least: 1
slow-ms: 20
"""
from lablib import world


def run(lab):
    topic = lab.topic()
    lab.admin("user", "alice", "alice-secret")
    lab.probe()
    with lab.injected():
        app = lab.app(topic, to=world.SASL, security_protocol="sasl_plaintext", sasl_mechanism="SCRAM-SHA-512",
                      sasl_username="alice", sasl_password="alice-secret") \
            if not lab.tls else lab.app(topic)
        app.acked(1)
    app.acked(60)
