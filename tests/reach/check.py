#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Holds what acktrail says of a topic against what the client said and what the broker wrote.

usage: check.py HOW TIMELINE DUMP SAID LOG_DIR TOPIC COUNT

HOW    full    interceptors and wire: batches as in the log, an instance, an account, callbacks
       wire    no interceptors: batches as in the log, and nothing that only the library knows
       hidden  interceptors, TLS that cannot be reached: no CRC, and what is inferred says so
TIMELINE, DUMP   output of `acktrail timeline|dump --format ndjson`
SAID   what the client printed: PARTITION OFFSET of each message that was acknowledged to it;
       "-": the client does not tell, so the log alone is the measure
LOG_DIR          the broker's, read here by the format's own rules
"""
import glob
import json
import struct
import sys

HEADER = struct.Struct(">qiibIhiqqqhii")    # of a record batch, magic 2: 61 bytes


def batches_in_log(log_dir, topic):
    """{(partition, base offset, count, CRC)}"""
    found = set()
    for path in glob.glob(f"{glob.escape(log_dir)}/{topic}-*/*.log"):
        partition = int(path.split("/")[-2].rsplit("-", 1)[1])
        data, at = open(path, "rb").read(), 0
        while at + HEADER.size <= len(data):
            base, length, _, magic, crc, attributes, *_, count = HEADER.unpack_from(data, at)
            if magic != 2 or length <= 0:
                break
            if not attributes & 0x20:       # control batches
                found.add((partition, base, count, crc))
            at += 12 + length
    return found


def offsets(batches):
    return sorted((b[0], b[1] + i) for b in batches for i in range(b[2]))


class Checks:
    def __init__(self):
        self.failed = False

    def same(self, what, ours, theirs):
        if ours == theirs:
            return
        self.failed = True
        print(f"WRONG {what}:")
        if isinstance(ours, (list, set)):
            print(f"   here alone: {sorted(set(ours) - set(theirs))[:5]} of {len(ours)}")
            print(f"   there alone: {sorted(set(theirs) - set(ours))[:5]} of {len(theirs)}")
        else:
            print(f"   {ours!r}, expected {theirs!r}")

    def all(self, what, rows, true):
        wrong = [row for row in rows if not true(row)]
        if wrong or not rows:
            self.failed = True
            print(f"WRONG {what}: {len(wrong)} of {len(rows)} rows, such as {json.dumps(wrong[:1])}")


def exact(row):
    """Names of phases that claim to be exact."""
    return {p["name"] for p in row["phases"] if p.get("known") == "exact"}


def account(events, count, checks):
    accounts = [e for e in events if e["type"] == "account"]
    for name, want in (("accepted", count), ("acked", count), ("failed", 0), ("expired", 0),
                       ("purged", 0), ("dropped", 0), ("refused", 0)):
        checks.same(f"the account: {name}", sum(a[name] for a in accounts), want)


def check(how, rows, events, said, log, count):
    checks = Checks()
    acked = [r for r in rows if r["outcome"] == "acked"]
    ours = {(r["partition"], r.get("base_offset"), r["count"], r.get("crc")) for r in acked}
    checks.same("messages acknowledged", offsets(ours), offsets(log))
    checks.same("messages in the log", len(offsets(log)), count)
    checks.same("rows that were not acknowledged", [r["id"] for r in rows if r["outcome"] != "acked"], [])
    if said is not None:
        checks.same("messages acknowledged to the client", offsets(ours), sorted(said))
    checks.all("sent", rows, lambda r: r["sent"] and r["resend"] == "duplicates")
    if how != "hidden":
        checks.same("batches (partition, base offset, count, CRC)", ours, log)
        checks.all("one answered attempt", rows, lambda r: len(r["attempts"]) == 1 and
                   r["attempts"][0].get("error_code") == 0 and
                   r["attempts"][0]["write_begin_ns"] <= r["attempts"][0]["write_end_ns"] <
                   r["attempts"][0]["response_read_ns"])
    else:
        checks.all("no CRC, and no join by one", rows, lambda r: "crc" not in r and r["join"] != "crc")
        checks.all("nothing exact but what the library knows", rows,
                   lambda r: exact(r) <= {"blocked", "linger", "callback"})
    if how != "wire":
        account(events, count, checks)
        checks.all("an instance", rows, lambda r: r["producer"]["instance"] > 0)
        checks.same("ends of instances before the end of the process",
                    any(e["type"] == "instance" and e["lib_version"] for e in events), True)
    else:
        checks.same("instances and accounts", [e for e in events if e["type"] in
                    ("instance", "account", "acks", "callback", "produce")], [])
        checks.all("no instance", rows, lambda r: "instance" not in r["producer"])
        checks.all("no queue and no callback that was seen", rows,
                   lambda r: exact(r) <= {"socket", "network", "broker-side"})
    lost = [e for e in events if e["type"] == "trail" and (e.get("lost") or e.get("bad_bytes"))]
    checks.same("lost evidence", lost, [])
    print(f"{how}: {len(rows)} batches, {len(offsets(ours))} messages;", "failed" if checks.failed else "as they are in the log")
    return not checks.failed


def ndjson(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def main():
    how, timeline, dump, said, log_dir, topic, count = sys.argv[1:]
    rows = ndjson(timeline)
    # By its name, also where the client's requests name topics by id.
    if {row["topic"] for row in rows} != {topic}:
        sys.exit(f"topics: {sorted({row['topic'] for row in rows})}")
    if said == "-":
        said = None
    else:
        said = [tuple(int(n) for n in line.split()) for line in open(said, encoding="utf-8")]
    sys.exit(not check(how, rows, ndjson(dump), said, batches_in_log(log_dir, topic), int(count)))


main()
