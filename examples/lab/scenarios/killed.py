# SPDX-License-Identifier: BSD-2-Clause
"""The app is killed while messages wait for their linger.

expect: app-ended
expect-tls: app-ended
affected: the batches open then
at-least: 1
"""


def run(lab):
    topics = [lab.topic()]
    lab.probe()
    app = lab.app(topics[0], "-p", 1, linger_ms=lab.between(1500, 2500)).acked(lab.rate)
    with lab.injected():
        app.kill()
