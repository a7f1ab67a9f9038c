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
        disk.delay(flush=lab.between(150, 220))
        for _ in range(6):
            # It goes on; and when one batch of partition 1 is back the next is on its way, whose broker refuses none.
            app.more(1, partition=0).more(1, partition=1).more(2, partition=0)
            failed = app.told(False)
            lab.admin("only", lab.broker.node, "message.max.bytes=1")
            app.failed(failed + 1)
            lab.admin("only", lab.broker.node, "message.max.bytes=1048588")
    app.more(20)
