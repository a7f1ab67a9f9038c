# SPDX-License-Identifier: BSD-2-Clause
"""The broker gets another certificate while the client runs, and the connections are cut: the client does not trust it.

expect: auth
expect-tls: auth
affected: late or failed, and alive when the certificate was the other one
at-least: 2
"""
import ssl
from lablib import world
from lablib.world import until


def run(lab):
    topic, lab_relay = lab.topic(), lab.world.relay(tls=True)
    key = "listener.name.relayed_tls.ssl.keystore.location"
    lab.probe()
    app = lab.app(topic, to=world.RELAY_TLS, message_timeout_ms=lab.between(3000, 5000)).acked(20)

    def heal():
        lab.admin("only", 1, f"{key}={lab.world.certificate()}")

    with lab.injected(heal):
        at = ("127.0.0.1", lab.broker.port + world.BEHIND_TLS)
        trusted = ssl.get_server_certificate(at)
        lab.admin("only", 1, f"{key}={lab.world.certificate('other')}")
        until(lambda: ssl.get_server_certificate(at) != trusted)
        lab_relay.tell("reset")
        lab_relay.tell("pass")
        app.failed(50)
