# SPDX-License-Identifier: BSD-2-Clause
"""A decoy: another topic of the same broker is synced on its slow disk; this one lies on a quick disk.

expect: healthy
expect-tls: healthy
forbid: leader-fsync append-stall
slow-ms: 1000
affected: every batch while the other topic's disk was slow
at-least: 100
"""


def run(lab):
    slow, topic = lab.topic(flush=1), lab.topic(on="other")
    lab.probe()
    app = lab.app(topic).acked(20)
    with lab.injected(lab.disk.heal):
        neighbour = lab.neighbour(slow, rate=50)
        lab.disk.delay(flush=lab.between(100, 250))
        lab.hold(5)
        neighbour.kill()
