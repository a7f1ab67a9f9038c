# SPDX-License-Identifier: BSD-2-Clause
"""The client gets hardly any CPU: its cgroup may run a few milliseconds of each second.

expect: client-starved
expect-tls: client-starved
affected: late, and alive while it was starved; what a busy machine does to the broker beside is less
slow-ms: 300
"""
import os
import pathlib
from lablib.world import Missing

CPU = pathlib.Path("/sys/fs/cgroup/cpu")


def run(lab):
    if not (CPU / "cpu.cfs_quota_us").exists():
        raise Missing("no CPU limit (cgroup v1)")
    topic, group = lab.topic(), CPU / f"acktrail-lab-{os.getpid()}"
    group.mkdir()
    lab.probe()
    app = lab.app(topic, batch_num_messages=5).acked(20)
    lab.undo.append(group.rmdir)
    (group / "cpu.cfs_period_us").write_text("1000000")
    (group / "cgroup.procs").write_text(str(app.pid()))

    with lab.injected(lambda: (group / "cpu.cfs_quota_us").write_text("-1")):
        (group / "cpu.cfs_quota_us").write_text(str(lab.between(1, 3) * 1000))
        lab.hold(10)
    app.more(20)
    app.stop()
