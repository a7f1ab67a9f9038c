# SPDX-License-Identifier: BSD-2-Clause
"""Kafka's default flush settings, on a disk that writes slowly: a neighbour's fsync makes the journal commit, an append
is held by that commit, and the others of its partition by the log that it holds.

expect: append-stall log-lock
any: yes
expect-tls: broker-side
each: append-stall log-lock
culprit: forced by python3
forbid: leader-fsync
affected: late, and alive while the neighbour synced
at-least: 10
"""
from lablib.world import LAB


def run(lab):
    topic = lab.topic()
    lab.probe()
    others = [lab.neighbour(topic, rate=40, size=200, linger_ms=1) for _ in range(3)]
    app = lab.app(topic, linger_ms=1).acked(40)
    # Whose append it is that a commit holds is chance: with ten or so, of both kinds.
    with lab.injected(lab.disk.heal):
        lab.disk.delay(write=lab.between(150, 250))
        lab.beside([LAB / "neighbour", lab.disk.mount / "neighbour", 12, 300]).wait()
    for other in others:
        other.terminate()
    app.more(20)
