# SPDX-License-Identifier: BSD-2-Clause
"""The app asks for a long linger.ms, and its batches never fill.

expect: linger
expect-tls: linger
affected: every batch
at-least: 5
"""


def run(lab):
    topic = lab.topic()
    lab.probe()
    app = lab.app(topic, linger_ms=lab.between(300, 900)).acked(150)
    with lab.injected():
        app.acked(450)
