# SPDX-License-Identifier: BSD-2-Clause
"""An idempotent producer recovers: a batch was refused, and before the next epoch all that is in flight has to come back,
also from a broker whose disk is slow; what goes to the other broker waits for that.

expect: idempotence
expect-tls: idempotence
partition: 0
outcome: acked
affected: late, of the partition whose own broker is well, and alive meanwhile; what waits goes in few batches
at-least: 2
slow-ms: 300
"""


def run(lab):
    disk = lab.world.broker(2) and lab.world.disk("gray2")
    topic = lab.topic("1;2", flush=1)
    lab.probe(lab.broker, lab.world.broker(2))
    app = lab.app(topic, "-p", 2, enable_idempotence="true", socket_nagle_disable="true").acked(60)
    with lab.injected(disk.heal):
        disk.delay(flush=lab.between(100, 150))
        for _ in range(6):
            app.more(10, partition=0)   # and some of partition 1 are on their way
            failed = app.told(False)
            lab.admin("config", topic, "max.message.bytes=1")
            app.failed(failed + 1)
            lab.admin("config", topic, "max.message.bytes=1000000")
    app.more(20)
