# SPDX-License-Identifier: BSD-2-Clause
"""What a scenario may do: topics, apps under the shim, a probe, and the times at which it injects."""
import contextlib
import os
import pathlib
import random
import re
import signal
import subprocess
import time

from . import world as w
from .world import Missing, Trouble, until


class Head:
    """What a scenario's head says, written down before anything is run."""

    def __init__(self, text):
        self.what = text.strip().split("\n\n")[0].replace("\n", " ")
        said = dict(re.findall(r"^([a-z-]+): *(.*)$", text, re.M))
        self.expect = re.split(r"[ +]+", said["expect"])
        # The same without a probe, the client on TLS; `no`: needs a probe, or has no client's side of its own.
        self.tls = re.split(r"[ +]+", said.get("expect-tls", "no"))
        self.phase = said.get("phase")
        self.each = said.get("each", "").split()            # of several causes none may be missing
        self.culprit = said.get("culprit")                  # in the words of some
        self.partition = int(said["partition"]) if "partition" in said else None    # of that one alone
        self.forbid = said.get("forbid", "").split()
        self.outcome = said.get("outcome")                  # of those that ended so alone
        self.affected = said["affected"]
        self.any = said.get("any") == "yes"
        self.within = said.get("within") == "yes"
        self.least = int(said.get("at-least", 5))
        self.slow_ms = int(said.get("slow-ms", 100))
        self.version = said.get("kafka", "4.3.1")


class App:
    """examples/producer under `acktrail record`."""

    def __init__(self, lab, name, command, env=None):
        self.lab, self.name = lab, name
        self.trail, self.report = lab.dir / name, lab.dir / f"{name}.report"
        self.out, self.err = lab.dir / f"{name}.out", lab.dir / f"{name}.err"
        self.process = subprocess.Popen(
            [*lab.prefix, str(lab.world.program("cli", "acktrail")), "record", "-o", str(self.trail), "--",
             *map(str, command), "--report", str(self.report)],
            stdout=open(self.out, "w"), stderr=open(self.err, "w"), env=env)

    def pid(self):
        """Of the app itself, not of the launcher."""
        return int(pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()[0])

    def told(self, good=True, partition=None):
        if not self.report.exists():
            return 0
        lines = [line.split() for line in self.report.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return sum((line[3] == "NO_ERROR") == good and partition in (None, int(line[1])) for line in lines)

    def acked(self, n=20, seconds=60, partition=None):
        """until so many were acknowledged in all"""
        until(lambda: self.told(partition=partition) >= n or self.process.poll() is not None, seconds)
        return self

    def more(self, n=20, partition=None):
        """until so many more were acknowledged than now"""
        return self.acked(self.told(partition=partition) + n, partition=partition)

    def failed(self, n=1):
        until(lambda: self.told(False) >= n or self.process.poll() is not None, 120)
        return self

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        return self

    def kill(self):
        os.kill(self.pid(), signal.SIGKILL)
        self.process.wait()


class Lab:
    prefix = ()

    def __init__(self, world, head, name, seed, tls, where):
        self.world, self.head, self.name, self.seed, self.tls = world, head, name, seed, tls
        self.dir = where
        self.random = random.Random(f"{name} {seed}")
        self.rate = self.random.randint(40, 100)
        self.size = self.random.choice([40, 200, 1000, 4000])
        self.client = f"{name}-{seed}" + ("-tls" if tls else "")
        self.windows, self.apps, self.probes, self.others, self.undo, self.topics = [], [], [], [], [], []
        self.begin = time.time_ns()

    # ---- sizes that vary with the seed ----

    def between(self, low, high):
        return self.random.randint(low, high)

    # ---- the cluster ----

    @property
    def broker(self):
        return self.world.broker(1)

    @property
    def disk(self):
        return self.world.disk("gray")

    @property
    def relay(self):
        return self.way(w.RELAY)

    def way(self, to):
        """The relay of that listener."""
        return self.world.relay(self.listener(to))

    def listener(self, to):
        """The same over TLS, when this run is."""
        return {w.PLAIN: w.TLS, w.RELAY: w.RELAY_TLS, w.RELAY_SASL: w.RELAY_TLS}.get(to, to) if self.tls else to

    @property
    def admin(self):
        self.broker
        return self.world.admin

    def topic(self, replicas="1", on="gray", flush=None, **settings):
        """A new topic of this run, its partitions on those disks of broker 1 (as many as wanted, by comma)."""
        self.world.broker(1)
        if flush:
            settings["flush.messages"] = flush
        said = [f"{key.replace('_', '.')}={value}" for key, value in settings.items()]
        disks = [str(self.world.disk(d).mount) for d in on.split(",")]
        for attempt in range(12):
            name = f"{self.name}-{len(self.topics)}-{attempt}-{time.time_ns() % 10**9}"
            self.admin("topic", name, replicas, *said)
            here = sum("1" in partition.split(",") for partition in replicas.split(";"))
            until(lambda: len(self.lies(name)) >= here)
            if all(d.startswith(disks[int(p) % len(disks)]) for p, d in self.lies(name)):
                self.topics.append(name)
                return name
        raise Trouble(f"no topic comes to lie on {on}")

    def lies(self, topic):
        """[(partition, directory)] of broker 1, as far as they are made."""
        return re.findall(r"\b1:(\d+):(\S+)", self.admin("dirs", topic))

    def topic_dir(self, topic, partition=0):
        return next(d for d in (f"{log}/{topic}-{partition}" for log in self.broker.log_dirs) if os.path.isdir(d))

    def handlers(self, n):
        """num.io.threads of all brokers: by halves, and by doubling again, as Kafka wants it."""
        def tell(steps):
            for k in steps:
                until(lambda: self.admin.tries("broker", f"num.io.threads={k}"))
        tell(k for k in (4, 2, 1) if k >= n)
        self.undo.append(lambda: tell(k for k in (2, 4, 8) if k > n))

    def probe(self, *brokers):
        """Unless this run is the client's alone."""
        if self.tls:
            return
        for broker in brokers or (self.broker,):
            trail = self.dir / f"probe{broker.node}"
            log = self.dir / f"probe{broker.node}.log"
            process = subprocess.Popen([self.world.program("cli", "acktrail"), "probe", "-p", str(broker.pid),
                                        "-o", str(trail)], stdout=open(log, "w"), stderr=subprocess.STDOUT)
            self.probes.append((process, trail))
            until(lambda: "witness" in log.read_text() or process.poll() is not None)
            if process.poll() is not None:
                raise Missing(log.read_text().strip())

    def end_probes(self):
        for process, trail in self.probes:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            process.wait()

    # ---- the app ----

    def settings(self, to=w.PLAIN, **settings):
        """-X options of librdkafka; the listener with them."""
        to = self.listener(to)
        if to in (w.TLS, w.RELAY_TLS):
            settings.setdefault("security_protocol", "ssl")
            settings.setdefault("ssl_ca_location", self.world.certificate().with_name("broker-ca.pem"))
        elif to in (w.SASL, w.RELAY_SASL):
            settings = {**w.ALICE, **settings}
        settings.setdefault("client_id", self.client)
        settings.setdefault("message_timeout_ms", 30000)
        words = ["-b", self.broker.at(to)]
        for key, value in settings.items():
            words += ["-X", f"{key.replace('_', '.')}={value}"]
        return words

    def app(self, topic, *options, to=w.PLAIN, rate=None, size=None, seconds=600, env=None, **settings):
        app = App(self, f"app{len(self.apps)}",
                  [self.world.program("examples", "producer"), "-t", topic, "-s", seconds,
                   "-r", self.rate if rate is None else rate, "-z", size or self.size,
                   *options, *self.settings(to, **settings)], env)
        self.apps.append(app)
        return app

    def neighbour(self, topic, *options, rate=0, size=100, **settings):
        """Another producer, which nobody witnesses."""
        settings.setdefault("client_id", "neighbour")
        settings.setdefault("message_timeout_ms", 60000)
        words = ["-b", self.broker.at(w.PLAIN)]
        for key, value in settings.items():
            words += ["-X", f"{key.replace('_', '.')}={value}"]
        return self.beside([self.world.program("examples", "producer"), "-t", topic, "-s", 600, "-r", rate,
                            "-z", size, "--flush", 0, *options, *words])

    def beside(self, command):
        process = subprocess.Popen([str(c) for c in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.others.append(process)
        return process

    # ---- the injection ----

    @contextlib.contextmanager
    def injected(self, heal=None):
        """The cause is there from here to the end of the block, and `heal` ends it, whatever happens."""
        begin = time.time_ns()
        try:
            yield
        finally:
            if heal:
                heal()
            self.windows.append((begin, time.time_ns()))

    def hold(self, seconds):
        """How long a cause is there; nothing waits for anything else by this."""
        time.sleep(seconds)

    def close(self):
        for process in self.others:
            if process.poll() is None:
                process.terminate()
        for process in self.others:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for app in self.apps:
            if app.process.poll() is None:
                app.process.terminate()
                try:
                    app.process.wait(10)
                except subprocess.TimeoutExpired:
                    app.process.terminate()     # a second signal: purge
                    app.process.wait()
        self.end_probes()
        for step in reversed(self.undo):
            step()
