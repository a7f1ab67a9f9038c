# SPDX-License-Identifier: BSD-2-Clause
"""Partition 0 of two is on the slow disk and synced at each append; what goes to partition 1 waits behind it on the same connection.

expect: leader-fsync
expect-tls: broker-side
phase: behind-request
affected: late, and alive while flushes were slow
at-least: 20
"""


def run(lab):
    topic = lab.topic("1;1", on="gray,other", flush=1)
    lab.probe()
    app = lab.app(topic, "-p", 2, message_timeout_ms=20000).acked(20)
    with lab.injected(lab.disk.heal):
        lab.disk.delay(flush=lab.between(80, 120))
        lab.hold(4)
    app.more(20)
