# SPDX-License-Identifier: BSD-2-Clause
"""The client's SASL user is deleted while it runs; the broker asks it to authenticate again every two seconds.

expect: auth
expect-tls: no
affected: late or failed, and alive when the user was no more
"""
from lablib import world


def run(lab):
    topic, user = lab.topic(), f"user{lab.seed}"
    lab.admin("user", user, "secret")
    lab.probe()
    app = lab.app(topic, to=world.SASL, security_protocol="sasl_plaintext", sasl_mechanism="SCRAM-SHA-512",
                  sasl_username=user, sasl_password="secret", message_timeout_ms=lab.between(3000, 5000)).acked(20)
    with lab.injected():
        lab.admin("user", user)
        app.failed(50)
