# SPDX-License-Identifier: BSD-2-Clause
"""A decoy: a neighbour syncs another file of the same slow disk all the time; the topic is never synced.

expect: healthy
expect-tls: healthy
forbid: leader-fsync
slow-ms: 1000
affected: every batch while the neighbour was there
at-least: 100
"""


def run(lab):
    topic = lab.topic()
    lab.probe()
    app = lab.app(topic).acked(20)
    with lab.injected(lab.disk.heal):
        neighbour = lab.beside(["dd", "if=/dev/zero", f"of={lab.disk.mount}/neighbour", "bs=4k", "count=100000",
                                "oflag=dsync", "conv=notrunc"])
        lab.disk.delay(flush=lab.between(100, 250))
        lab.hold(5)
        neighbour.kill()
