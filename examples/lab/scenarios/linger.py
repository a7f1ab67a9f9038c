# SPDX-License-Identifier: BSD-2-Clause
"""The app asks for a long linger.ms, and its batches never fill.

expect: linger
expect-tls: linger
affected: every batch
at-least: 5
"""


def run(lab):
    topic = lab.topic("1;1;1;1", on="gray,other")
    lab.probe()
    app = lab.app(topic, "-p", 4, linger_ms=lab.between(300, 900)).acked(150)
    with lab.injected():
        app.acked(450)
