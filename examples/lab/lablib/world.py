# SPDX-License-Identifier: BSD-2-Clause
"""The laboratory's brokers, disks and relay: begun when first asked for, undone at the end."""
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import time

LAB = pathlib.Path(__file__).resolve().parent.parent
JVM = ["java", "-Xmx128m", "-Xshare:auto", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
# Offsets of a broker's ports from its first; what is behind a relay is advertised as the relay's port.
# Two listeners have another password and another certificate than the rest.
(PLAIN, CONTROLLER, TLS, SASL, WRONG, NOBODY, BEHIND, RELAY, BEHIND_TLS, RELAY_TLS, BEHIND_SASL, RELAY_SASL,
 OTHER_SASL, OTHER_TLS) = range(14)
PORTS = 14

LOGIN = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="{}";'
ALICE = dict(security_protocol="sasl_plaintext", sasl_mechanism="PLAIN", sasl_username="alice",
             sasl_password="alice-secret")


class Trouble(Exception):
    """The laboratory itself did not work: neither right nor wrong."""


class Missing(Exception):
    """Cannot be had on this machine."""


def until(what, seconds=60, every=0.05):
    """Waits until what() is true; the limit is for a machine in trouble, not a measure."""
    end = time.monotonic() + seconds
    while not (found := what()):
        if time.monotonic() > end:
            raise Trouble(f"never came true: {getattr(what, '__doc__', None) or what}")
        time.sleep(every)
    return found


def say(*command, **more):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **more)
    if done.returncode == 4:
        raise Missing(done.stderr.strip())
    if done.returncode:
        raise Trouble(f"{command[0]}: status {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout


def free_ports(n):
    while True:
        first = random.SystemRandom().randrange(20000, 31000)
        for port in range(first, first + n):
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)) == 0:
                    break
        else:
            return first


class Disk:
    """A gray disk: quick until told otherwise."""

    def __init__(self, world, name):
        self.dir = world.work / name
        self.env = dict(os.environ, ACKTRAIL_BUILD=str(world.build))
        said = dict(line.split("=", 1) for line in self.tell("start", "--size", "2G").split())
        self.mount, self.device = pathlib.Path(said["mount"]), said["device"]

    def tell(self, *words):
        return say(LAB / "graydisk", *words, "--dir", self.dir, env=self.env)

    def number(self):
        at = os.stat(self.device).st_rdev
        return f"{os.major(at)}:{os.minor(at)}"

    def delay(self, **ms):
        self.tell("delay", *(f"{what}={value}ms" for what, value in ms.items()))

    def heal(self):
        self.delay(flush=0, write=0, read=0)


class Broker:
    def __init__(self, world, node, log_dirs):
        self.world, self.node, self.version = world, node, world.version
        self.name = f"lab{os.getpid()}-{node}-{self.version}"
        self.port = free_ports(PORTS)
        self.log_dirs = [str(d) for d in log_dirs]
        options = []
        for key, value in self.settings():
            options += ["--set", f"{key}={value}"]
        self.take(self.tell("start", "--port", self.port, "--node-id", node, "--log-dir", ",".join(self.log_dirs),
                            "--cluster-id", world.cluster_id, "--version", self.version, *options))

    def at(self, which):
        return f"127.0.0.1:{self.port + which}"

    def settings(self):
        listeners = {"PLAINTEXT": (PLAIN, PLAIN), "SSL": (TLS, TLS), "SASL_PLAINTEXT": (SASL, SASL),
                     "WRONG": (WRONG, NOBODY), "RELAYED": (BEHIND, RELAY), "RELAYED_TLS": (BEHIND_TLS, RELAY_TLS),
                     "RELAYED_SASL": (BEHIND_SASL, RELAY_SASL), "OTHER_SASL": (OTHER_SASL, RELAY_SASL),
                     "OTHER_TLS": (OTHER_TLS, RELAY_TLS)}
        here = [f"{name}://{self.at(port)}" for name, (port, _) in listeners.items()]
        told = [f"{name}://{self.at(port)}" for name, (_, port) in listeners.items()]
        kinds = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,WRONG:PLAINTEXT," \
                "RELAYED:PLAINTEXT,RELAYED_TLS:SSL,RELAYED_SASL:SASL_PLAINTEXT,OTHER_SASL:SASL_PLAINTEXT,OTHER_TLS:SSL"
        first = self.world.brokers.get(1, self)
        settings = [("listener.security.protocol.map", kinds), ("advertised.listeners", ",".join(told)),
                    ("controller.quorum.voters", f"{first.node}@{first.at(CONTROLLER)}"),
                    ("ssl.keystore.type", "PEM"), ("ssl.keystore.location", self.world.certificate()),
                    ("listener.name.other_tls.ssl.keystore.location", self.world.certificate("other")),
                    ("sasl.enabled.mechanisms", "PLAIN"), ("controlled.shutdown.enable", "true")]
        for name, password in ("sasl_plaintext", "alice-secret"), ("relayed_sasl", "alice-secret"), ("other_sasl", "new"):
            settings.append((f"listener.name.{name}.plain.sasl.jaas.config", LOGIN.format(password)))
        if first is self:
            here.append(f"CONTROLLER://{self.at(CONTROLLER)}")
        else:
            settings.append(("process.roles", "broker"))
        return settings + [("listeners", ",".join(here))]

    def tell(self, *words):
        return say(LAB / "broker", *words, "--name", self.name, env=self.world.env)

    def take(self, said):
        self.pid = int(dict(line.split("=", 1) for line in said.splitlines())["pid"])

    def pause(self):
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self):
        os.kill(self.pid, signal.SIGCONT)

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)

    def stop_process(self):
        """As an operator does: it hands its partitions over first."""
        os.kill(self.pid, signal.SIGTERM)
        self.until_gone()

    def until_gone(self):
        until(lambda: not os.path.exists(f"/proc/{self.pid}") or " Z " in
              pathlib.Path(f"/proc/{self.pid}/stat").read_text())

    def restart(self):
        self.take(self.tell("restart", "--version", self.version))

    def stop(self):
        self.tell("stop")


class Relay:
    """examples/lab/relay between clients and a broker's listener; see there for what it can do."""

    def __init__(self, world, port, to):
        self.control = world.work / f"relay-{port}"
        self.control.write_text("pass")
        self.process = subprocess.Popen([str(world.program("examples", "lab", "relay")), "-l", str(port),
                                         "-c", str(self.control), to], stdout=subprocess.PIPE, text=True)
        self.hear("ready")

    def hear(self, word):
        for line in self.process.stdout:
            if line.startswith(word):
                return
        raise Trouble(f"the relay ended, and never said {word}")

    def tell(self, what):
        if self.control.read_text() == what:
            return
        new = self.control.with_suffix(".new")
        new.write_text(what)
        new.replace(self.control)
        self.hear(what)

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Admin:
    """One program for all that an operator does: starting a JVM for each would take longer than the rest."""

    def __init__(self, broker):
        classpath = broker.tell("classpath", "--version", broker.version).strip()
        self.process = subprocess.Popen(
            [*JVM, "-cp", classpath, "-Dorg.slf4j.simpleLogger.defaultLogLevel=off", str(LAB / "Admin.java"),
             broker.at(PLAIN)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def __call__(self, *words):
        self.process.stdin.write(" ".join(str(w) for w in words) + "\n")
        answer = self.process.stdout.readline().strip()
        if not answer.startswith("ok"):
            raise Trouble(f"{' '.join(map(str, words))}: {answer or 'no answer'}")
        return answer[3:]

    def tries(self, *words):
        """What is refused while an earlier setting has not reached every broker."""
        try:
            self(*words)
        except Trouble:
            return False
        return True

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def default_build(top):
    """What ACKTRAIL_BUILD says, else what tests/run builds, else what cmake -B build does."""
    found = [d for d in (top / "build" / "release", top / "build") if (d / "cli" / "acktrail").exists()]
    return os.environ.get("ACKTRAIL_BUILD") or (found[0] if found else top / "build" / "release")


class World:
    def __init__(self, build, work, version="4.3.1"):
        self.build, self.work, self.version = pathlib.Path(build), pathlib.Path(work), version
        self.work.mkdir(exist_ok=True)
        self.env = dict(os.environ, ACKTRAIL_LAB=str(self.work / "brokers"))
        self.cluster_id = "acktrailLaboratory0000"
        self.brokers, self.disks, self.relays, self.undo, self._admin = {}, {}, {}, [], None

    def program(self, *parts):
        path = self.build.joinpath(*parts)
        if not path.exists():
            raise Missing(f"{path} is not built")
        return path

    def certificate(self, name="broker"):
        """Key and certificate in one; the certificate alone, for who is to trust it, is NAME-ca.pem beside."""
        pem, key, ca = (self.work / f"{name}{end}.pem" for end in ("", "-key", "-ca"))
        if not pem.exists():
            say("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", ca)
            pem.write_text(key.read_text() + ca.read_text())
        return pem

    def disk(self, name):
        if name not in self.disks:
            self.disks[name] = Disk(self, name)
            self.undo.append(lambda: self.disks[name].tell("stop"))
            self.undo.append(self.disks[name].heal)
        return self.disks[name]

    def broker(self, node=1):
        """Broker 1 has two disks, `gray` and `other`; each further one joins it, with its own disk."""
        if node not in self.brokers:
            if node == 1:
                dirs = [self.disk("gray").mount / "kafka", self.disk("other").mount / "kafka"]
            else:
                self.broker(1)
                dirs = [self.disk(f"gray{node}").mount / "kafka"]
            self.brokers[node] = broker = Broker(self, node, dirs)
            self.undo.append(broker.stop)
            self.undo.append(lambda: self.wake(broker))
            until(lambda: int(self.admin("brokers")) == len(self.brokers))
        return self.brokers[node]

    def wake(self, broker):
        try:
            broker.resume()
        except ProcessLookupError:
            pass

    def relay(self, key=RELAY):
        """In front of broker 1, for clients that begin at world.RELAY, RELAY_TLS or RELAY_SASL."""
        if key not in self.relays:
            broker = self.broker(1)
            behind = {RELAY: BEHIND, RELAY_TLS: BEHIND_TLS, RELAY_SASL: BEHIND_SASL}[key]
            self.relays[key] = Relay(self, broker.port + key, broker.at(behind))
            self.undo.append(self.relays[key].stop)
        return self.relays[key]

    @property
    def admin(self):
        if not self._admin:
            self._admin = Admin(self.brokers[1])
            self.undo.append(self._admin.stop)
        return self._admin

    def close(self):
        for step in reversed(self.undo):
            try:
                step()
            except Exception as trouble:    # the rest is to be undone all the same
                print(f"lab: {trouble}")
        self.undo.clear()
        shutil.rmtree(self.work / "brokers", ignore_errors=True)
