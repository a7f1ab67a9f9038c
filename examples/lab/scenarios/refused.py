# SPDX-License-Identifier: BSD-2-Clause
"""The broker is killed; connections are refused until it is started again.

expect: broker-unreachable
expect-tls: broker-unreachable
affected: late or failed, and alive while it was not there; what waits goes in few batches
at-least: 1
"""


def run(lab):
    topic = lab.topic()
    lab.probe()
    app = lab.app(topic, reconnect_backoff_max_ms=1000).acked(20)
    with lab.injected(lab.broker.restart):
        lab.broker.kill()
        lab.hold(lab.between(5, 15) / 10)
    app.more(20)
