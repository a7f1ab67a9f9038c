# SPDX-License-Identifier: BSD-2-Clause
"""A local queue of one message and many threads that produce: each call waits for those before it.

expect: queue-full
expect-tls: queue-full
affected: every batch, once all threads wait
at-least: 20
"""


def run(lab):
    topic = lab.topic()
    lab.probe()
    app = lab.app(topic, "--writers", lab.between(12, 16), queue_buffering_max_messages=1, linger_ms=30).acked(20)
    with lab.injected():
        app.more(250)       # who waits longest is chance: some come first again and again
