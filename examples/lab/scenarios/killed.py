# SPDX-License-Identifier: BSD-2-Clause
"""The app is killed while its batches are on their way: on the slow disk of a broker that is slow to sync.

expect: app-ended
expect-tls: app-ended
affected: the batches open then, and what was late before that
at-least: 3
"""


def run(lab):
    topic = lab.topic(flush=1)
    lab.probe()
    app = lab.app(topic).acked(20)
    with lab.injected(lab.disk.heal):
        lab.disk.delay(flush=lab.between(200, 400))
        app.more(3)
        app.kill()
