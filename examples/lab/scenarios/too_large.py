# SPDX-License-Identifier: BSD-2-Clause
"""The topic takes no batch of that size.

expect: broker-error
expect-tls: broker-error
affected: every batch, each is refused
at-least: 20
"""


def run(lab):
    topic = lab.topic(max_message_bytes=500)
    lab.probe()
    with lab.injected():
        app = lab.app(topic, size=lab.between(600, 3000)).failed(100)
