#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Clients that no shim could reach, and what is done to their broker meanwhile.

usage: broker_half.py PORT BROKER_PID LAB CLASSPATH RELAY SENT CAUSE…

CAUSE: paused quota network behind, or random=SEED,ROUNDS: requests of any shape.  Writes what was sent, by whom, from where, when, and what the broker
answered to the file SENT: the test's own truth.  Topics: java (4 partitions), plain (3), other (3) and synced
(1, flush.messages=1); LAB is the laboratory's directory, RELAY the relay's program.
"""
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time

from raw_kafka import Batch, Connection

SENT = []
CONNECTIONS = []


def connect(port, client_id):
    CONNECTIONS.append(Connection(port, client_id, SENT))
    return CONNECTIONS[-1]


def batch(topic="plain", partition=0, count=3, size=40, **more):
    return Batch(topic, partition, [os.urandom(size // 2).hex().encode() for _ in range(count)], **more)


# ---- the shapes of requests ----------------------------------------------------------

def shapes(port):
    c = connect(port, "raw-old")
    for _ in range(5):
        c.one([batch()], version=3)
    c = connect(port, "raw-flexible")
    for _ in range(5):
        c.one([batch(partition=1)], version=9)

    c = connect(port, "raw-idempotent")
    producer = c.init_producer_id()
    for sequence in (0, 3, 6):
        c.one([batch(partition=2, producer=producer, sequence=sequence)])
    again = batch(partition=2, producer=producer, sequence=9)
    c.one([again])
    c.one([again], twice=True)		# an answer with the same offset, and no append

    c = connect(port, "raw-one-send")
    requests = [c.produce([batch(partition=i % 3)], version=9 if i % 2 else 3) for i in range(8)]
    c.send(*requests)
    for _ in requests:
        c.acknowledged()

    for version in (3, 9):
        c = connect(port, f"raw-dribble-{version}")
        for _ in range(2):		# from the first byte of the connection on
            request = c.produce([batch(count=1, size=30)], version=version, what="dribble")
            c.send(request, pieces=[1] * len(request[0]), pause=0.003)
            c.acknowledged()

    c = connect(port, "raw-no-acks")
    c.send(*[c.produce([batch(partition=i % 3)], acks=0, version=9 if i % 2 else 3) for i in range(6)])
    c.one([batch()])
    c.send(c.produce([batch()], acks=0))
    c.one([batch()])

    c = connect(port, "raw-many")
    for version in (3, 9):
        c.one([batch(topic, p) for topic in ("plain", "other") for p in range(3)], version=version)
    c = connect(port, "raw-big")
    for version in (3, 9):
        c.one([batch("plain", p, count=7, size=100000) for p in range(2)], version=version)
    c.one([batch(count=2)])

    c = connect(port, "raw-same-corr")
    for _ in range(4):
        c.one([batch("other")], corr=7)
    for name in (None, "", "x" * 200, "größe"):
        c = connect(port, name)
        for version in (3, 9):
            c.one([batch("other", 1)], version=version)

    c = connect(port, "raw-refused")
    c.one([batch()])
    c.one([batch(damage=True)], refused=True)
    c.one([batch("other"), batch("plain", damage=True)], what="half-refused")

    c = connect(port, "raw-both")	# answers by write and by sendfile on one connection
    offset = 0
    for _ in range(6):
        c.one([batch("other", 2, count=5, size=2000)])
        _, offset = c.fetch("other", 2, offset)


class Consumer(threading.Thread):
    """Reads what partitions 0 of plain hold while the rest goes on."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.connection, self.found, self.over = Connection(port, "raw-consumer", []), [], False

    def run(self):
        offset = 0
        while True:
            last = self.over
            found, offset = self.connection.fetch("plain", 0, offset, wait_ms=50)
            self.found += found
            if last and not found:
                return

    def stop(self):
        self.over = True
        self.join(60)
        return self.found


class Ticking(threading.Thread):
    """A client that sends as soon as it was answered, and says what it does it for."""

    def __init__(self, port, name, what, topic="other", pause=0.01, **more):
        super().__init__(daemon=True)
        self.connection, self.what, self.topic, self.pause, self.over = connect(port, name), what, topic, pause, False
        self.more = more

    def run(self):
        while not self.over:
            self.connection.one([batch(self.topic, **self.more)], what=self.what)
            time.sleep(self.pause)

    def stop(self):
        self.over = True
        self.join(60)
        assert not self.is_alive(), "a client hangs"


class Java:
    """Kafka's own producer.  Which ports are its own the kernel says."""

    ROUNDS = 30

    def __init__(self, world):
        self.process = world.java(pathlib.Path(__file__).parent / "JavaBatches.java", "java", 4, self.ROUNDS)

    def run(self):
        self.heard("ready")
        addresses = self.addresses()
        self.process.stdin.write("go on\n")
        self.heard("done")
        addresses |= self.addresses()
        self.process.stdin.write("end\n")
        assert not self.process.wait(), "the Java producer failed"
        return sorted(addresses)

    def heard(self, word):
        said = self.process.stdout.readline().strip()
        assert said == word, said or "the Java producer ended"

    def addresses(self):
        pid, found = self.process.pid, set()
        files = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")
                 if os.path.lexists(f"/proc/{pid}/fd/{fd}")]
        for line in open(f"/proc/{pid}/net/tcp6").readlines()[1:] + open(f"/proc/{pid}/net/tcp").readlines()[1:]:
            words = line.split()
            if f"socket:[{words[9]}]" in files:
                found.add("127.0.0.1:%d" % int(words[1].split(":")[1], 16))
        return found


# ---- causes ----------------------------------------------------------------------------

def paused(world):
    """SIGSTOP while some wait for an answer and others send."""
    clients = [Ticking(world.port, f"raw-paused-{i}", "around-pause") for i in range(3)]
    idle = [connect(world.port, f"raw-stopped-{i}") for i in range(3)]
    for c in idle:
        c.one([batch("other")])
    for c in clients:
        c.start()
    time.sleep(0.3)
    os.kill(world.broker, signal.SIGSTOP)
    begin = time.monotonic_ns()
    try:
        time.sleep(0.1)
        for i, c in enumerate(idle):
            c.send(*[c.produce([batch("other", i)], what="paused") for _ in range(1 + 2 * i)])
        time.sleep(2)
    finally:
        end = time.monotonic_ns()
        os.kill(world.broker, signal.SIGCONT)
    for i, c in enumerate(idle):
        for _ in range(1 + 2 * i):
            c.acknowledged()
    for c in clients:
        c.stop()
    return begin, end


def quota(world):
    world.admin("quota", "raw-quota", 4000)
    neighbour = Ticking(world.port, "raw-no-quota", "beside-quota")
    neighbour.start()
    begin = time.monotonic_ns()
    c = connect(world.port, "raw-quota")
    for _ in range(12):
        c.one([batch("other", 1, count=1, size=4000)], what="quota")
    c = connect(world.port, "raw-quota")		# the same, but not waiting for answers
    many = [c.produce([batch("other", 1, count=1, size=2000)], what="quota") for _ in range(4)]
    c.send(*many)
    for _ in many:
        c.acknowledged()
    end = time.monotonic_ns()
    neighbour.stop()
    world.admin("quota", "raw-quota", 0)
    return begin, end


def network(world):
    control = pathlib.Path(world.sent + ".relay")
    control.write_text("pass")
    relay = subprocess.Popen([world.relay, "-c", str(control), f"127.0.0.1:{world.port}"], stdout=subprocess.PIPE,
                             text=True)
    neighbour = Ticking(world.port, "raw-no-relay", "beside-network")
    try:
        at = int(relay.stdout.readline().split("=")[1])

        def tell(what):
            new = control.with_suffix(".new")
            new.write_text(what)
            new.replace(control)
            while not relay.stdout.readline().startswith(what):
                pass

        relay.stdout.readline()
        neighbour.start()
        begin = time.monotonic_ns()
        c = connect(at, "raw-relayed")
        c.address = None			# the relay's is what the broker sees
        c.one([batch("other")])
        for _ in range(3):
            data, request = c.produce([batch("other", 2, count=1, size=400)], what="network")
            c.send((data[:100], request))
            time.sleep(0.2)			# it is there
            tell("delay 700")
            half_ns = request["rows"][0]["send_begin_ns"]
            c.send((data[100:], request))
            c.acknowledged()
            request["rows"][0].update(send_begin_ns=half_ns, apart_ns=700000000)
            tell("pass")
        end = time.monotonic_ns()
        neighbour.stop()
    finally:
        relay.terminate()
        relay.wait()
    return begin, end


def behind(world):
    """One connection whose first request waits for a slow disk, and a quick one beside it."""
    neighbour = Ticking(world.port, "raw-beside", "beside-behind")
    c = connect(world.port, "raw-behind")
    c.one([batch("synced")])
    neighbour.start()
    begin = time.monotonic_ns()
    world.disk("flush=250ms")
    for _ in range(3):
        requests = [c.produce([batch("synced")], what="slow")]
        requests += [c.produce([batch("other", p)], what="behind") for p in range(3)]
        c.send(*requests)
        for _ in requests:
            c.acknowledged()
    for names in (("other", "synced"), ("synced", "other")):
        c.one([batch(name) for name in names], what="together")
    # acks=0: nobody answers, and the next is not read before it is on disk
    c.send(c.produce([batch("synced")], acks=0, what="slow"))
    c.one([batch("other")], what="behind")
    world.disk("flush=0")
    end = time.monotonic_ns()
    neighbour.stop()
    return begin, end


def at_random(world, seed, rounds):
    """Requests of every shape: several at a time, in pieces that end anywhere, answered or not."""
    whole = []

    def run(n):
        rng = random.Random(seed * 100 + n)
        c = connect(world.port, f"raw-random-{n}")
        for _ in range(rounds):
            requests = []
            for _ in range(rng.choice((1, 1, 2, 4))):
                places = rng.sample([(t, p) for t in ("plain", "other") for p in range(3)], rng.randint(1, 6))
                batches = [batch(t, p, count=rng.randint(1, 4), size=rng.choice((2, 40, 3000, 20000))) for t, p in places]
                requests.append(c.produce(batches, version=rng.randint(3, 9), acks=rng.choice((0, 1, -1)), what="random"))
            left, pieces = sum(len(data) for data, _ in requests), []
            for _ in range(rng.choice((0, 0, 1, 3, 10))):
                pieces.append(rng.choice((1, 2, 3, 5, rng.randint(1, 200), rng.randint(1, max(left, 1)))))
            c.send(*requests, pieces=pieces, pause=0.001)
            for _, request in requests:
                if request["acks"]:
                    c.acknowledged()
        whole.append(c)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(6)]
    begin = time.monotonic_ns()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(whole) == len(threads), "a client failed"
    for c in whole:		# what nobody answers is there when the next is answered
        c.one([batch()])
    return begin, time.monotonic_ns()


class World:
    def __init__(self, port, broker, lab, classpath, relay, sent):
        self.port, self.broker, self.lab, self.relay, self.sent = int(port), int(broker), lab, relay, sent
        self.classpath = classpath
        self.operator = None

    def java(self, program, *words):
        return subprocess.Popen(
            ["java", "-Xmx96m", "-Xshare:auto", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", self.classpath,
             "-Dorg.slf4j.simpleLogger.defaultLogLevel=off", str(program), f"127.0.0.1:{self.port}",
             *(str(word) for word in words)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def admin(self, *words):
        if not self.operator:
            self.operator = self.java(f"{self.lab}/Admin.java")
        self.operator.stdin.write(" ".join(str(w) for w in words) + "\n")
        said = self.operator.stdout.readline()
        assert said.startswith("ok"), said

    def disk(self, what):
        subprocess.run([f"{self.lab}/graydisk", "delay", what], check=True, stdout=subprocess.DEVNULL)


def main():
    world = World(*sys.argv[1:7])
    windows = {}
    consumer = Consumer(world.port)
    consumer.start()
    java = Java(world)
    shapes(world.port)
    addresses = java.run()
    for cause in sys.argv[7:]:
        if cause.startswith("random="):
            windows["random"] = at_random(world, *map(int, cause[7:].split(",")))
        else:
            windows[cause] = {"paused": paused, "quota": quota, "network": network, "behind": behind}[cause](world)
    fetched = consumer.stop()
    if world.operator:
        world.operator.stdin.close()
        world.operator.wait()
    with open(world.sent, "w") as out:
        json.dump({"sent": SENT, "windows": windows, "fetched": fetched, "java": addresses}, out)


main()
