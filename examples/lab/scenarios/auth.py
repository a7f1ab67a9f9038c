# SPDX-License-Identifier: BSD-2-Clause
"""The broker does not take the client's password; over TLS, the client does not trust the broker's certificate.

expect: auth
expect-tls: auth
affected: every batch; all expire, in one row a scan
at-least: 1
"""
from lablib import world


def run(lab):
    topic = lab.topic()
    login = dict(to=world.SASL, sasl_password="another")
    if lab.tls:
        lab.world.certificate("other")
        login = dict(ssl_ca_location=lab.world.work / "other-ca.pem")
    lab.probe()
    with lab.injected():
        lab.app(topic, message_timeout_ms=lab.between(3000, 5000), **login).failed(100)
