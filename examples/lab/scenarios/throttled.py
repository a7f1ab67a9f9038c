# SPDX-License-Identifier: BSD-2-Clause
"""The leader's device is throttled by the kernel (cgroup blkio) to a few writes a second, and the topic is synced at each append.

expect: leader-fsync
expect-tls: broker-side
affected: late or failed, and alive while the device was throttled
at-least: 15
"""
import pathlib
from lablib.world import Missing

LIMIT = pathlib.Path("/sys/fs/cgroup/blkio/blkio.throttle.write_iops_device")


def run(lab):
    if not LIMIT.exists():
        raise Missing("no blkio throttling (cgroup v1)")
    topic, device = lab.topic(flush=1), lab.disk.number()
    lab.probe()
    app = lab.app(topic, message_timeout_ms=4000).acked(20)
    with lab.injected(lambda: LIMIT.write_text(f"{device} 0")):
        LIMIT.write_text(f"{device} {lab.between(8, 14)}")
        lab.hold(6)
    app.more(5)
