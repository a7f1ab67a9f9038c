# SPDX-License-Identifier: BSD-2-Clause
"""Two causes at once: a long linger, and then a sync on a slow disk.

expect: linger + leader-fsync
expect-tls: linger + broker-side
affected: every batch that lived while flushes were slow, from beginning to end
within: yes
at-least: 4
"""


def run(lab):
    topic = lab.topic(flush=1)
    lab.probe()
    app = lab.app(topic, linger_ms=lab.between(1500, 2000)).acked(20)
    with lab.injected(lab.disk.heal):
        lab.disk.delay(flush=lab.between(150, 250))
        lab.hold(14)
    app.more(1)     # what lingered then goes by itself, not with the app's end, at once after the healing
