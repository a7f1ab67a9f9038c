# SPDX-License-Identifier: BSD-2-Clause
"""A power cut takes batches that the leader had acknowledged and not yet synced: its log is shorter when it is back, and
the idempotent producer's next sequence does not follow (OUT_OF_ORDER_SEQUENCE_NUMBER), which it cannot recover from.

expect: idempotence
expect-tls: idempotence
affected: failed, with what was purged then, once the leader was back
at-least: 1
"""
import struct


def run(lab):
    topic = lab.topic(on="other")
    lab.probe()
    app = lab.app(topic, enable_idempotence="true", reconnect_backoff_max_ms=1000, message_timeout_ms=60000).acked(20).more(30)

    def cut():
        """The log's younger half: after kill -9 the page cache still has it."""
        log = f"{lab.topic_dir(topic)}/{0:020}.log"
        with open(log, "r+b") as file:
            begins, at = [], 0
            while head := file.read(12):
                begins.append(at)
                at = file.seek(struct.unpack(">i", head[8:])[0], 1)
            file.truncate(begins[len(begins) // 2])

    lab.broker.kill()
    lab.broker.until_gone()
    cut()
    with lab.injected():
        lab.broker.restart()
        app.failed()
    app.stop()
