# SPDX-License-Identifier: BSD-2-Clause
"""Kafka's wire format written by hand, so that a test decides itself what goes out in which send().

Produce v3 (the old encoding) and v9 (flexible), Fetch v4, InitProducerId v0.  Every batch that is sent
is noted with what its sender knows of it: CRC, count, from which address, when (CLOCK_MONOTONIC).
"""
import socket
import struct
import time

PRODUCE, FETCH, INIT_PRODUCER_ID = 0, 1, 22


def _table():
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
        yield n


TABLE = tuple(_table())


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def uvarint(n):
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def varint(n):
    return uvarint(n << 1 if n >= 0 else (-n << 1) - 1)


class Batch:
    """A record batch of format 2, not compressed."""

    def __init__(self, topic, partition, values, producer=None, sequence=-1, damage=False):
        now = time.time_ns() // 1000000
        records = b""
        for i, value in enumerate(values):
            record = b"\0" + varint(0) + varint(i) + varint(-1) + varint(len(value)) + value + varint(0)
            records += varint(len(record)) + record
        pid, epoch = producer or (-1, -1)
        body = struct.pack(">hiqqqhii", 0, len(values) - 1, now, now, pid, epoch, sequence, len(values)) + records
        self.topic, self.partition, self.count = topic, partition, len(values)
        self.crc = crc32c(body) ^ (1 if damage else 0)
        self.bytes = struct.pack(">qiibI", 0, 9 + len(body), -1, 2, self.crc) + body


def text(s):
    s = s if isinstance(s, (bytes, type(None))) else s.encode()
    return struct.pack(">h", -1) if s is None else struct.pack(">h", len(s)) + s


def compact(data):
    data = data.encode() if isinstance(data, str) else data
    return uvarint(len(data) + 1) + data


def frame(api, version, corr, client_id, body, flexible=False):
    head = struct.pack(">hhi", api, version, corr) + text(client_id) + (b"\0" if flexible else b"")
    return struct.pack(">i", len(head) + len(body)) + head + body


def by_topic(batches):
    topics = {}
    for batch in batches:
        topics.setdefault(batch.topic, []).append(batch)
    return topics.items()


def produce(version, corr, client_id, batches, acks, timeout_ms=30000):
    if version < 9:
        body = text(None) + struct.pack(">hii", acks, timeout_ms, len(by_topic(batches)))
        for topic, of in by_topic(batches):
            body += text(topic) + struct.pack(">i", len(of))
            for batch in of:
                body += struct.pack(">ii", batch.partition, len(batch.bytes)) + batch.bytes
        return frame(PRODUCE, version, corr, client_id, body)
    body = b"\0" + struct.pack(">hi", acks, timeout_ms) + uvarint(len(by_topic(batches)) + 1)
    for topic, of in by_topic(batches):
        body += compact(topic) + uvarint(len(of) + 1)
        for batch in of:
            body += struct.pack(">i", batch.partition) + compact(batch.bytes) + b"\0"
        body += b"\0"
    return frame(PRODUCE, version, corr, client_id, body + b"\0", True)


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        self.at += n
        return self.data[self.at - n:self.at]

    def unpack(self, what):
        found = struct.unpack(">" + what, self.take(struct.calcsize(">" + what)))
        return found[0] if len(found) == 1 else found

    def uvarint(self):
        n = shift = 0
        while True:
            byte = self.take(1)[0]
            n |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return n


class Connection:
    """One connection of a client; `sent` is the test's list of what all of them sent."""

    def __init__(self, port, client_id, sent):
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.settimeout(60)
        self.client_id, self.sent, self.corr, self.waiting = client_id, sent, 0, []
        self.address = "%s:%d" % self.sock.getsockname()

    def produce(self, batches, version=9, acks=1, corr=None, **notes):
        """The request's bytes; what it carries is noted, and that an answer is due."""
        self.corr = self.corr + 1 if corr is None else corr
        request = {"corr": self.corr, "version": version, "acks": acks, "rows": []}
        for i, batch in enumerate(batches):
            row = dict(notes, topic=batch.topic, partition=batch.partition, crc=batch.crc, count=batch.count,
                       client=self.client_id, address=self.address, acks=acks, version=version, index=i)
            request["rows"].append(row)
            self.sent.append(row)
        if acks:
            self.waiting.append(request)
        return produce(version, self.corr, self.client_id, batches, acks), request

    def send(self, *requests, pieces=None, pause=0):
        """All in one send(), or in pieces (each a number of bytes) with pauses between."""
        data = b"".join(request[0] for request in requests)
        begin = time.monotonic_ns()
        for size in pieces or [len(data)]:
            if not data:
                break
            self.sock.sendall(data[:size])
            data = data[size:]
            if pause and data:
                time.sleep(pause)
        if data:
            self.sock.sendall(data)
        end = time.monotonic_ns()
        for _, request in requests:
            for row in request["rows"]:
                row.update(send_begin_ns=begin, send_end_ns=end)

    def answer(self):
        size = struct.unpack(">i", self.receive(4))[0]
        return Reader(self.receive(size))

    def receive(self, n):
        got = b""
        while len(got) < n:
            more = self.sock.recv(n - len(got))
            if not more:
                raise EOFError(f"{self.client_id}: the broker closed the connection")
            got += more
        return got

    def acknowledged(self):
        """The answer to the oldest Produce that waits for one, noted with its batches."""
        request = self.waiting.pop(0)
        answer, now = self.answer(), time.monotonic_ns()
        flexible = request["version"] >= 9
        assert answer.unpack("i") == request["corr"], "another request's answer"
        if flexible:
            answer.uvarint()
        for _ in range(answer.uvarint() - 1 if flexible else answer.unpack("i")):
            topic = answer.take(answer.uvarint() - 1 if flexible else answer.unpack("h")).decode()
            for _ in range(answer.uvarint() - 1 if flexible else answer.unpack("i")):
                partition, error, offset, _ = answer.unpack("ihqq")
                if request["version"] >= 5:
                    answer.unpack("q")
                if request["version"] == 8:
                    assert answer.unpack("i") == 0, "errors of single records"
                    answer.take(max(answer.unpack("h"), 0))
                if flexible:
                    assert answer.uvarint() == 1, "errors of single records"
                    answer.take(answer.uvarint() - 1 if answer.data[answer.at] else 1)
                    assert answer.uvarint() == 0, "tagged fields"
                for row in request["rows"]:
                    if (row["topic"], row["partition"]) == (topic, partition):
                        row.update(error=error, base_offset=offset, answered_ns=now)
            if flexible:
                answer.uvarint()
        throttle = answer.unpack("i")
        for row in request["rows"]:
            row["throttle_ms"] = throttle
        return request["rows"]

    def one(self, batches, **more):
        """A request, and its answer."""
        request = self.produce(batches, **more)
        self.send(request)
        return self.acknowledged() if request[1]["acks"] else None

    def init_producer_id(self):
        error, end = 14, time.monotonic() + 30
        while error == 14 and time.monotonic() < end:	# COORDINATOR_LOAD_IN_PROGRESS
            self.corr += 1
            self.sock.sendall(frame(INIT_PRODUCER_ID, 0, self.corr, self.client_id, text(None) + struct.pack(">i", 60000)))
            corr, _, error, pid, epoch = self.answer().unpack("iihqh")
        assert corr == self.corr and not error, error
        return pid, epoch

    def fetch(self, topic, partition, offset, max_bytes=1 << 20, wait_ms=100):
        """The batches at that offset as (base offset, CRC, count), and where to go on."""
        self.corr += 1
        self.sock.sendall(frame(FETCH, 4, self.corr, self.client_id, struct.pack(">iiiibi", -1, wait_ms, 1, max_bytes, 0, 1)
                                + text(topic) + struct.pack(">iiqi", 1, partition, offset, max_bytes)))
        answer = self.answer()
        corr, _, _ = answer.unpack("iii")
        assert corr == self.corr
        answer.take(answer.unpack("h"))
        _, _, error, _, _, aborted = answer.unpack("iihqqi")
        assert not error, error
        answer.take(16 * max(aborted, 0))
        data, found = answer.take(max(answer.unpack("i"), 0)), []
        while len(data) >= 61:
            base, length = struct.unpack(">qi", data[:12])
            if len(data) < 12 + length:
                break
            crc, _, last = struct.unpack(">Ihi", data[17:27])
            found.append((base, crc, last + 1))
            offset = base + last + 1
            data = data[12 + length:]
        return found, offset

    def close(self):
        self.sock.close()
