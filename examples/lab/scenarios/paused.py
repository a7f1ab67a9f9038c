# SPDX-License-Identifier: BSD-2-Clause
"""The broker's process is stopped for a while (SIGSTOP), as by a long GC or a suspended machine.

expect: broker-paused
expect-tls: broker-side
slow-ms: 300
affected: late or failed, and alive while it was stopped
"""


def run(lab):
    topic = lab.topic()
    lab.probe()
    app = lab.app(topic).acked(20)
    with lab.injected(lab.broker.resume):
        lab.broker.pause()
        lab.hold(lab.between(15, 30) / 10)
    app.more(20)
