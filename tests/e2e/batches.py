#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Holds `acktrail timeline --format ndjson` against Kafka's own DumpLogSegments.

usage: batches.py acked TIMELINE DUMP TOPIC MESSAGES
       batches.py fate|phases TIMELINE DUMP TOPIC

acked: the acked batches are the ones in the log: (partition, base offset, count,
       CRC), nothing missing, nothing extra, MESSAGES messages in all.
phases: of every batch that a client saw the phases follow each other without gap
       or overlap from created_first_ns to resolved_ns (integers: jq's doubles lose ns).
fate:  every batch's in_log, sent and resend agree with the log.
"""
import json
import re
import sys

BATCH = re.compile(r"baseOffset: (\d+) lastOffset: (\d+) count: (\d+) .* isControl: (\w+) .*"
                   r" size: (\d+) magic: 2 .* crc: (\d+) isvalid: true")
FILE = re.compile(r"/([^/]+)-(\d+)/\d{20}\.log$")


def read_dump(path, topic):
    """{(partition, crc, count): [base offset, …]}"""
    batches, partition, name = {}, None, None
    for line in open(path):
        if line.startswith("Dumping"):
            name, partition = FILE.search(line.strip()).groups()
        found = BATCH.search(line)
        if found and name == topic and found[4] == "false":
            key = int(partition), int(found[6]), int(found[3])
            batches.setdefault(key, []).append(int(found[1]))
    return batches


def read_timeline(path, topic):
    rows = [json.loads(line) for line in open(path)]
    return [row for row in rows if row["topic"] == topic]


def show(title, rows):
    print(f"{title}: {len(rows)}")
    for row in list(rows)[:5]:
        print("   ", row)


def acked(rows, log, messages):
    ours = sorted((r["partition"], r["base_offset"], r["count"], r["crc"])
                  for r in rows if r["outcome"] == "acked")
    theirs = sorted((p, base, count, crc) for (p, crc, count), bases in log.items() for base in bases)
    missing, extra = set(theirs) - set(ours), set(ours) - set(theirs)
    show("in the log, not in the timeline", missing)
    show("in the timeline, not in the log", extra)
    total = sum(row[2] for row in ours)
    print(f"{len(ours)} acked batches, {total} messages")
    return ours == theirs and total == messages


def fate(rows, log):
    """An unknown is allowed where there is no proof, but never a wrong yes or no."""
    wrong, seen = [], {}
    places = {(partition, base) for (partition, _, _), bases in log.items() for base in bases}
    for row in rows:
        key = row["partition"], row.get("crc"), row["count"]
        # Without a CRC: the messages of a batch that did not end as its others, by where that lies.
        there = key in log if "crc" in row else any((row["partition"], a.get("base_offset")) in places
                                                    for a in row["attempts"])
        said = row["in_log"]
        seen[(row["outcome"], row["sent"], said)] = seen.get((row["outcome"], row["sent"], said), 0) + 1
        expect = {"yes": "duplicates", "no": "safe", "unknown": "may-duplicate"}[said]
        if (said == "yes") != there and said != "unknown":
            wrong.append((row["id"], said, key))
        elif row["outcome"] != "acked" and row["resend"] != expect:
            wrong.append((row["id"], said, row.get("resend")))
        elif not row["sent"] and there:
            wrong.append((row["id"], "not sent, yet in the log"))
    for key, count in sorted(seen.items()):
        print(f"outcome {key[0]}, sent {key[1]}, in_log {key[2]}: {count}")
    show("wrong", wrong)
    expired = [r for r in rows if r["outcome"] == "expired"]
    told = [r for r in expired if r["in_log"] != "unknown"]
    print(f"{len(expired)} expired rows, {len(told)} with a definite answer")
    return not wrong and expired and len(told) * 10 >= len(expired) * 9


def phases(rows):
    wrong, seen = [], 0
    for row in rows:
        if "producer" not in row or row["outcome"] == "broker-only":
            continue
        seen += 1
        at = row["created_first_ns"]
        for phase in row["phases"]:
            if phase["name"] == "blocked":
                at = phase["begin_ns"]
            if phase["begin_ns"] != at or phase["ns"] <= 0:
                wrong.append((row["id"], phase["name"], phase["begin_ns"] - at))
            at = phase["begin_ns"] + phase["ns"]
            if sum(part["ns"] for part in phase.get("parts", [])) not in (0, phase["ns"]):
                wrong.append((row["id"], phase["name"], "parts"))
        if at != row["resolved_ns"]:
            wrong.append((row["id"], "end", row["resolved_ns"] - at))
    show(f"of {seen} batches with phases that do not add up", wrong)
    return seen and not wrong


def main():
    mode, timeline, dump, topic = sys.argv[1:5]
    rows, log = read_timeline(timeline, topic), read_dump(dump, topic)
    good = {"acked": lambda: acked(rows, log, int(sys.argv[5])),
            "fate": lambda: fate(rows, log),
            "phases": lambda: phases(rows)}[mode]()
    sys.exit(0 if good else 1)


main()
