#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Holds the rows of a probe alone against Kafka's DumpLogSegments and what broker_half.py wrote down.

usage: broker_half_check.py ROWS LOG_DUMP SENT EVENTS
"""
import collections
import json
import re
import sys

BATCH = re.compile(r"baseOffset: (\d+) lastOffset: \d+ count: (\d+) .* isControl: false .* crc: (\d+) isvalid: true")
FILE = re.compile(r"/([^/]+)-(\d+)/\d{20}\.log$")
TOPICS = ("plain", "other", "synced", "java")
CLIENT_PHASES = {"blocked", "linger", "window", "broker-down", "backpressure", "retry", "unsent", "socket", "response",
                 "callback"}
wrong = collections.defaultdict(list)


def expect(good, what, detail):
    if not good:
        wrong[what].append(detail)


def read_dump(path):
    """(topic, partition, base offset, CRC, count) of each batch."""
    found, where = set(), None
    for line in open(path):
        if line.startswith("Dumping"):
            where = FILE.search(line.strip()).groups()
        batch = BATCH.search(line)
        if batch and where[0] in TOPICS:
            found.add((where[0], int(where[1]), int(batch[1]), int(batch[3]), int(batch[2])))
    return found


def short(row):
    return (row["topic"], row["partition"], row.get("producer", {}).get("client_id"), row["verdict"]["cause"],
            [(p["name"], p["ns"], p.get("cause")) for p in row["phases"]])


# ---- identity -----------------------------------------------------------------------------

def in_the_log(rows, dump):
    ours = collections.Counter((r["topic"], r["partition"], r["base_offset"], r["crc"], r["count"])
                               for r in rows if r["in_log"] == "yes")
    for batch in dump:
        expect(ours[batch] == 1, "a batch of the log has not exactly one row", (batch, ours[batch]))
    for batch in ours:
        expect(batch in dump, "a row is in the log, and is not", batch)
    print(f"{len(dump)} batches in the log, {len(rows)} rows")


def tie(rows, sent):
    """Each batch that the clients wrote down with its row, by CRC and, for those sent twice, in order."""
    by_crc = collections.defaultdict(list)
    for row in rows:
        by_crc[row["topic"], row["partition"], row.get("crc"), row["count"]].append(row)
    for of in by_crc.values():
        of.sort(key=lambda row: row["attempts"][0].get("broker_read_ns", 0))
    tied = []
    for batch in sent:
        of = by_crc[batch["topic"], batch["partition"], batch["crc"], batch["count"]]
        expect(of, "a batch that was sent has no row", batch)
        if of:
            tied.append((batch, of.pop(0)))
    for (topic, *_), of in by_crc.items():
        expect(topic == "java" or not of, "a row that nobody sent", of and short(of[0]))
    return tied


def who(tied, rows, java):
    for batch, row in tied:
        producer = row.get("producer", {})
        name = batch["client"].encode()[:128].decode() if batch["client"] else None
        expect(producer.get("client_id") == name, "another client", (batch["client"], producer))
        if batch["address"]:
            expect(producer.get("address") == batch["address"], "another address", (batch["address"], producer))
        else:
            expect(producer.get("address", "").startswith("127.0.0.1:"), "no address", producer)
        expect("host" not in producer and "pid" not in producer, "claims a client's process", producer)
    for row in rows:
        if row["topic"] == "java":
            producer = row.get("producer", {})
            expect(producer.get("client_id") == "java-half" and producer.get("address") in java,
                   "not the Java producer's", (producer, java))


def requests(rows, events):
    """The shapes that the test is about were there."""
    arrivals = [e for e in events if e["type"] == "arrival" and e["api"] == 0]
    java = [e for e in arrivals if e.get("client_id") == "java-half"]
    several = [e for e in java if e["batches"] >= 2]
    print(f"{len(java)} requests of Java's, version {max((e['version'] for e in java), default=None)}, "
          f"{len(several)} of them with several batches")
    expect(several and all(e["version"] >= 13 for e in java), "Java's producer sent no batches by topic id", len(java))
    expect(any(e["size"] > 1 << 20 for e in arrivals), "no big request was read", None)
    for note in (e for e in events if e["type"] == "note"):
        expect("parsed" not in note["text"] and "framing" not in note["text"], "the parser gave up", note["text"])
    expect(not [r for r in rows if r["topic"].startswith("{")], "a topic id without its name", None)


# ---- time -----------------------------------------------------------------------------------

def phases(rows):
    for row in rows:
        expect(row["outcome"] == "broker-only", "another outcome", short(row))
        expect(not any(key in row for key in ("created_first_ns", "acked_ns")), "claims the client's part", row["id"])
        expect(not CLIENT_PHASES & {p["name"] for p in row["phases"]}, "a phase of the client's", short(row))
        a = row["attempts"][0]
        order = [a[key] for key in ("broker_first_ns", "broker_arrived_ns", "broker_read_ns", "append_begin_ns",
                                    "append_end_ns", "sync_begin_ns", "sync_end_ns", "response_written_ns") if key in a]
        expect(order == sorted(order), "times out of order", a)
        at = order[0]
        for phase in row["phases"]:
            expect(phase["begin_ns"] == at and phase["ns"] > 0, "phases with a gap or an overlap", short(row))
            at = phase["begin_ns"] + phase["ns"]
            expect(sum(p["ns"] for p in phase.get("parts", [])) in (0, phase["ns"]), "parts do not add up", short(row))
        expect(at == row["resolved_ns"], "phases do not end where the row does", short(row))
        unknown = sum(p["ns"] for p in row["phases"] if p["name"] == "unknown")
        expect(not unknown, "time that nothing is known of", short(row))


def on_time(tied, axis):
    """Never before its client began to send, nor answered after the client had the answer: one host, one clock."""
    unseen = []
    for batch, row in tied:
        a = row["attempts"][0]
        begin = batch["send_begin_ns"] + axis
        expect("broker_read_ns" in a, "not read", (batch, a))
        if "broker_read_ns" not in a:
            continue
        if "broker_first_ns" not in a or "broker_arrived_ns" not in a:
            unseen.append(row)
            expect(row["verdict"]["cause"] != "healthy", "healthy, and nobody saw it arrive", short(row))
            a.setdefault("broker_first_ns", a["broker_read_ns"])
        expect(begin <= a["broker_first_ns"], "its first byte came before it was sent", (batch, a["broker_first_ns"] - begin))
        if batch["acks"]:
            expect("response_written_ns" in a and a["response_written_ns"] <= batch["answered_ns"] + axis,
                   "no answer, or after the client had it", (batch, a))
        else:
            expect("response_written_ns" not in a, "an answer to acks=0", a)
        if batch.get("error") or batch.get("twice"):
            expect("append_begin_ns" not in a and row["in_log"] != "yes" and row["verdict"]["cause"] != "healthy",
                   "refused, and told as if it had been appended", short(row))
        else:
            expect(row["in_log"] == "yes" and row["base_offset"] == batch.get("base_offset", row["base_offset"]),
                   "not where the answer says", (batch, row["id"]))
    # The kernel leaves out a program that would interrupt itself: one arrival in a thousand.
    print(f"{len(unseen)} of {len(tied)} were not seen to arrive")
    expect(len(unseen) * 100 <= len(tied), "no arrival", [short(row) for row in unseen][:3])


# ---- causes ---------------------------------------------------------------------------------

def share(row, cause):
    return sum(c["share"] for c in row["verdict"]["causes"] if c["cause"] == cause)


def longest(row):
    return max(row["phases"], key=lambda p: p["ns"])


def blamed(tied, what, cause, least, of=lambda batch, row: True):
    """All of them, but one in ten on a busy machine, for that cause; what they say is printed."""
    rows = [row for batch, row in tied if batch.get("what") == what and of(batch, row)]
    right = [row for row in rows if row["verdict"]["cause"] == cause]
    print(f"{what}: {len(right)} of {len(rows)} say {cause};",
          dict(collections.Counter(row["verdict"]["cause"] for row in rows)))
    expect(len(rows) >= least and len(right) * 10 >= len(rows) * 9, f"{what} does not say {cause}",
           [short(row) for row in rows if row["verdict"]["cause"] != cause][:3])
    return rows


def innocent(tied, what, *causes):
    """A machine with too much to do stops a broker for a moment, too: that is no false word."""
    for batch, row in tied:
        moment = row["verdict"]["cause"] == "broker-paused" and row["resolved_ns"] - row["phases"][0]["begin_ns"] < 10**9
        expect(batch.get("what") != what or moment or row["verdict"]["cause"] not in causes,
               f"{what} blames {row['verdict']['cause']}", short(row))


def is_paused(tied, window, axis):
    blamed(tied, "paused", "broker-paused", 9)
    begin, end = (ns + axis for ns in window)
    held = [row for _, row in tied if row["phases"] and row["phases"][0]["begin_ns"] < end - (end - begin) / 2
            and row["resolved_ns"] > end]
    for row in held:
        for other in ("leader-fsync", "network", "append-stall", "log-lock", "quota"):
            expect(share(row, other) < 0.2, f"the pause is told as {other}", short(row))
    right = sum(row["verdict"]["cause"] == "broker-paused" for row in held)
    print(f"{len(held)} were on their way over the pause, {right} say so")
    expect(right * 10 >= len(held) * 9, "on its way over the pause, and says something else",
           [short(row) for row in held if row["verdict"]["cause"] != "broker-paused"][:3])


def is_quota(tied):
    """A client knows how long the broker meant to be deaf from the answer before."""
    told = {}
    for batch, row in tied:
        if batch.get("what") == "quota":
            before, told[batch["address"]] = told.get(batch["address"], 0), batch["throttle_ms"]
            batch["deaf_ms"] = before
    rows = blamed(tied, "quota", "quota", 4, lambda batch, row: batch["deaf_ms"] >= 300)
    for row in rows:
        expect(longest(row)["name"] == "behind-request", "a quota that is no wait behind a request", short(row))
    innocent(tied, "quota", "broker-paused", "network", "leader-fsync")
    innocent(tied, "beside-quota", "quota", "broker-paused", "network")


def is_network(tied):
    for what in ("network", "dribble"):
        for row in blamed(tied, what, "network", 3):
            expect(longest(row)["name"] == "network" and row["verdict"]["causes"][0].get("known") == "inferred",
                   "its bytes were late, and it says something else", short(row))
    for batch, row in tied:
        on_the_way = sum(p["ns"] for p in row["phases"] if p["name"] == "network")
        apart = batch.get("apart_ns", batch["send_end_ns"] - batch["send_begin_ns"])
        if batch.get("what") in ("network", "dribble"):
            expect(on_the_way * 10 >= apart * 8, "its bytes lay further apart", (short(row), apart))
    innocent(tied, "beside-network", "network", "quota", "broker-paused")


def is_behind(tied):
    for row in blamed(tied, "slow", "leader-fsync", 4):
        expect({p["name"] for p in row["phases"]} >= {"append", "fsync", "index-sync"}, "no sync of its own", short(row))
    for row in blamed(tied, "behind", "leader-fsync", 10):
        phase = longest(row)
        expect(phase["name"] == "behind-request" and phase.get("culprit"), "not behind the slow one", short(row))
        expect("fsync" not in {p["name"] for p in row["phases"]}, "a sync that was another's", short(row))
    for row in blamed(tied, "together", "leader-fsync", 4):
        own = {p["name"] for p in row["phases"]} >= {"append", "fsync"}
        expect(own == (row["topic"] == "synced") and (own or longest(row).get("culprit")), "the other batch's sync", short(row))
    innocent(tied, "beside-behind", "leader-fsync", "quota", "broker-paused", "network")


def main():
    every = [json.loads(line) for line in open(sys.argv[1])]
    rows = [row for row in every if row["topic"] in TOPICS]
    dump, events = read_dump(sys.argv[2]), [json.loads(line) for line in open(sys.argv[4])]
    truth = json.load(open(sys.argv[3]))
    axis = {e["axis_ns"] - e["ns"] for e in events if e["type"] == "arrival"}
    expect(len(axis) == 1, "one clock", axis)
    axis = axis.pop()

    in_the_log(rows, dump)
    tied = tie(rows, truth["sent"])
    who(tied, rows, truth["java"])
    requests(every, events)
    phases(rows)
    on_time(tied, axis)
    is_network([pair for pair in tied if "network" in truth["windows"] or pair[0].get("what") == "dribble"])
    for cause, window in truth["windows"].items():
        if cause == "paused":
            is_paused(tied, window, axis)
        elif cause == "quota":
            is_quota(tied)
        elif cause == "behind":
            is_behind(tied)
    fetched = [tuple(batch) for batch in truth["fetched"]]
    expect(fetched == sorted(batch[2:] for batch in dump if batch[:2] == ("plain", 0)), "the consumer read something else",
           len(fetched))
    for what, details in wrong.items():
        print(f"{what}: {len(details)}")
        for detail in details[:3]:
            print("   ", detail)
    sys.exit(1 if wrong else 0)


main()
