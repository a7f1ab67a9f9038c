# SPDX-License-Identifier: BSD-2-Clause
"""Nothing is ever synced, but the disk's writes are slow and few dirty pages are allowed: the append itself is made to wait.

expect: append-stall
expect-tls: broker-side
affected: late or failed, and alive while writes were slow
at-least: 5
"""
import pathlib
from lablib.world import Missing


def run(lab):
    bdi = pathlib.Path(f"/sys/class/bdi/{lab.disk.number()}")
    if not (bdi / "max_bytes").exists():
        raise Missing("this kernel has no limit of dirty bytes for one device (max_bytes)")
    topic = lab.topic()
    lab.probe()
    app = lab.app(topic, size=100000, rate=lab.between(60, 90), message_timeout_ms=60000).acked(20)

    def heal():
        lab.disk.heal()
        (bdi / "strict_limit").write_text("0")
        (bdi / "max_ratio").write_text("100")

    with lab.injected(heal):
        lab.disk.delay(write=lab.between(150, 250))
        (bdi / "strict_limit").write_text("1")
        (bdi / "max_bytes").write_text(str(4 << 20))
        lab.hold(8)
    app.more(20)
