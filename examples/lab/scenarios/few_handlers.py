# SPDX-License-Identifier: BSD-2-Clause
"""One request handler, and neighbours whose big requests keep it busy: the broker compresses them again.

expect: broker-busy
expect-tls: broker-side
affected: late, and alive while the neighbours were there
at-least: 10
"""


def run(lab):
    heavy = lab.topic(compression_type="gzip", compression_gzip_level=9, max_message_bytes=20000000, on="other")
    topic = lab.topic()
    lab.handlers(1)
    lab.probe()
    app = lab.app(topic).acked(20)
    with lab.injected():
        flood = [lab.neighbour(heavy, "--noise", size=950000, batch_size=8000000, message_max_bytes=10000000,
                               linger_ms=100, queue_buffering_max_kbytes=30000) for _ in range(3)]
        lab.hold(5)
        for neighbour in flood:
            neighbour.kill()
    app.more(20)
