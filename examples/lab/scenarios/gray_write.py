# SPDX-License-Identifier: BSD-2-Clause
"""Each write of the leader's disk takes long, and the topic is synced at each append.

expect: leader-fsync
expect-tls: broker-side
affected: late or failed, and alive while writes were slow
at-least: 20
"""


def run(lab):
    topic = lab.topic(flush=1)
    lab.probe()
    app = lab.app(topic, message_timeout_ms=3000).acked(20)
    with lab.injected(lab.disk.heal):
        lab.disk.delay(write=lab.between(100, 200))
        app.failed(10)
    app.more(20)
