# SPDX-License-Identifier: BSD-2-Clause
"""The broker tells its clients an address at which nobody listens (advertised.listeners).

expect: broker-unreachable
expect-tls: no
affected: every batch; all expire, in one row a scan
at-least: 2
"""
from lablib import world


def run(lab):
    topic = lab.topic()
    lab.probe()
    with lab.injected():
        app = lab.app(topic, to=world.WRONG, message_timeout_ms=lab.between(2000, 4000)).failed(300)
