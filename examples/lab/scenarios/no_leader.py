# SPDX-License-Identifier: BSD-2-Clause
"""The only replica's broker is killed: the partition has no leader, and the other broker says so.

expect: no-leader broker-unreachable
expect-tls: no-leader broker-unreachable
any: yes
affected: late or failed, and alive while there was no leader
at-least: 1
"""


def run(lab):
    other = lab.world.broker(2)
    topic = lab.topic("2")
    lab.probe(lab.broker)
    app = lab.app(topic, message_timeout_ms=lab.between(4000, 6000)).acked(20)
    with lab.injected(other.restart):
        other.kill()
        app.failed(50)
    app.more(20)
