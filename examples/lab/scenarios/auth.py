# SPDX-License-Identifier: BSD-2-Clause
"""The user's password is changed while the client runs; the broker ends sessions after three seconds.

expect: auth
expect-tls: no
affected: late or failed, and alive when the password was the other one
at-least: 2
slow-ms: 500
"""
from lablib import world

KEY = "listener.name.sasl_plaintext.plain.sasl.jaas.config"


def run(lab):
    topic = lab.topic()

    def password(word):
        lab.admin("only", 1, f"{KEY}={world.PASSWORD.format(word).replace(' ', '%20')}")

    lab.probe()
    app = lab.app(topic, to=world.SASL, security_protocol="sasl_plaintext", sasl_mechanism="PLAIN",
                  sasl_username="alice", sasl_password="alice-secret",
                  message_timeout_ms=lab.between(3000, 5000)).acked(20)
    with lab.injected(lambda: password("alice-secret")):
        password("another")
        app.failed(100)
