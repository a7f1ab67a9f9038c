# SPDX-License-Identifier: BSD-2-Clause
"""The client sends more than its quota allows; the broker answers, and then reads nothing from it for a while.

expect: quota
expect-tls: quota
affected: every late batch
at-least: 10
"""


def run(lab):
    topic = lab.topic()
    lab.admin("quota", lab.client, lab.between(6, 9) * 1000)
    lab.undo.append(lambda: lab.admin("quota", lab.client, 0))
    lab.probe()
    app = lab.app(topic, "-c", 160, size=1000, rate=50).acked(5)
    with lab.injected():
        app.process.wait()
