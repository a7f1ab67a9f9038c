# SPDX-License-Identifier: BSD-2-Clause
"""Nothing is wrong.

expect: healthy
expect-tls: healthy
slow-ms: 1000
affected: every batch after the first twenty
at-least: 100
"""


def run(lab):
    topic = lab.topic()
    lab.probe()
    lab.app(topic).acked(20)
    with lab.injected():
        lab.hold(4)
