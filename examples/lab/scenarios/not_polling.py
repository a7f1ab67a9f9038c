# SPDX-License-Identifier: BSD-2-Clause
"""The app is busy elsewhere for seconds and serves no delivery reports meanwhile.

expect: app-not-polling
expect-tls: app-not-polling
affected: every batch whose report waited for it
at-least: 20
"""


def run(lab):
    topic = lab.topic()
    lab.probe()
    app = lab.app(topic, "--no-poll", f"2,{2 + lab.between(20, 40) / 10}").acked(20)
    with lab.injected():
        app.acked(lab.rate * 7)
