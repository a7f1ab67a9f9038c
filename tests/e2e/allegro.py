#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Holds the chains of `timeline --format ndjson` against what bpftrace saw.

usage: allegro.py TIMELINE PROBE_DUMP ORACLE NEIGHBOUR_PID BROKER_PID
"""
import json
import sys

MS = 1_000_000
failures = 0


def check(ok, text):
    global failures
    failures += not ok
    print(f"  {'ok  ' if ok else 'FAIL'} {text}")


def most(part, whole, text, share=0.9):
    check(whole and len(part) >= share * len(whole), f"{len(part)} of {len(whole)} {text}")


def phase(row, name):
    return next((p for p in row["phases"] if p["name"] == name), {"ns": 0})


def overlap(a, b):
    return min(a[1], b[1]) - max(a[0], b[0])


def main():
    rows = [json.loads(line) for line in open(sys.argv[1])]
    events = [json.loads(line) for line in open(sys.argv[2])]
    seen = [line.split() for line in open(sys.argv[3]) if line.strip()]
    neighbour, broker = int(sys.argv[4]), int(sys.argv[5])
    rows = [r for r in rows if r["outcome"] == "acked" and r["topic"] in ("orders", "other")]
    # Two producers may well make the same batch in the same millisecond: the place tells them apart.
    at = {(r["topic"], r["base_offset"]): r for r in rows}
    names = {e["topic"]: e["name"] for e in events if e["type"] == "topic"}
    appended = {(names[e["topic"]], e["base_offset"]): e for e in events if e["type"] == "append"}
    writes = [(int(w[1]), int(w[2]), int(w[3])) for w in seen if w[0] == "write"]
    loop = next(int(e["name"][4:]) for e in events if e["type"] == "device" and e["name"].startswith("loop"))
    commits = {int(c[2]): (int(c[3]), int(c[4])) for c in seen if c[0] == "commit" and int(c[1]) == 7 << 20 | loop}

    # What bpftrace saw of each batch's own append: its length when that was over 20 ms.
    for r in rows:
        e = appended[r["topic"], r["base_offset"]]
        r["span"] = (e["begin_ns"], e["ns"])
        r["axis"] = e["axis_ns"] - e["ns"]
        r["stall"] = next((end - begin for tid, begin, end in writes if tid == e["tid"] and
                           overlap((begin, end), r["span"]) >= 0.9 * (end - begin)), 0)
    stalled = [r for r in rows if r["stall"] > 100 * MS]
    check(len([r for r in stalled if r["topic"] == "orders"]) >= 3 and
          len([r for r in stalled if r["topic"] == "other"]) >= 3,
          f"{len(stalled)} appends stalled over 100 ms by bpftrace, in both topics")

    told = [r for r in stalled if abs(phase(r, "append")["ns"] - r["stall"]) <= 0.05 * r["stall"] + MS]
    most(told, stalled, "stalls are as long as bpftrace saw them")
    told = [r for r in stalled if phase(r, "append").get("cause") == "append-stall" and
            overlap(commits.get(phase(r, "append").get("commit", {}).get("transaction"), (0, 0)), r["span"]) > 0]
    most(told, stalled, "of them are tied to a commit that ran then, by bpftrace")
    made = [r for r in told if phase(r, "append")["commit"]["requests"] >= 1 and
            phase(r, "append")["commit"]["slowest_ns"] >= 190 * MS]
    most(made, told, "of these to its requests, which took the injected 200 ms")
    forced = [r for r in told if phase(r, "append")["commit"].get("by_pid") == neighbour]
    most(forced, told, "of these to the neighbour that forced it", 0.3)
    wrong = [r for r in told if phase(r, "append")["commit"].get("by_pid") not in (None, neighbour, broker)]
    check(not wrong, "and else to none but the broker's own syncs")
    direct = [r for r in told if r["topic"] == "other" and
              any(q["topic"] == "orders" and phase(q, "append")["commit"]["transaction"] ==
                  phase(r, "append")["commit"]["transaction"] for q in told)]
    most(direct, [r for r in told if r["topic"] == "other"],
         "stalls of the other partition stand beside one of the first, tied to the same commit directly", 0.5)

    # Read before a stall of their own partition ended, appended after it: they waited for it.
    waited = []
    for r in rows:
        queue = phase(r, "request-queue")
        begin = queue.get("begin_ns", 0) - r["axis"]
        for q in stalled:
            if q["topic"] == r["topic"] and q is not r and r["span"][0] >= q["span"][1] and \
                    overlap((begin, begin + queue["ns"]), q["span"]) > 0.8 * queue["ns"] > 40 * MS:
                waited.append((r, q))
                break
    tied = [(r, q) for r, q in waited if phase(r, "request-queue").get("cause") == "log-lock" and
            phase(r, "request-queue").get("held_by", {}).get("crc") == q["crc"] and
            phase(r, "request-queue")["held_by"].get("base_offset") == q["base_offset"]]
    check(len(waited) >= 5, f"{len(waited)} batches waited while another's append stalled")
    most(tied, waited, "are tied to that very append", 0.8)
    deep = [(r, q) for r, q in tied if phase(r, "request-queue").get("commit", {}).get("transaction") ==
            phase(q, "append").get("commit", {}).get("transaction") is not None]
    most(deep, tied, "and through it to the commit that it waited for")
    most([r for r, q in tied if phase(r, "request-queue")["known"] == "exact"], tied,
         "of them exactly, by who woke whom", 0.7)
    first = [r for r, q in tied if r["verdict"]["cause"] in ("log-lock", "append-stall", "healthy") and
             (r["verdict"]["cause"] == "healthy" or
              {"log-lock", "append-stall"} <= {c["cause"] for c in r["verdict"]["causes"]})]
    most(first, tied, "verdicts name the lock and the stall behind it", 0.7)	# a starved broker may weigh more

    # Nothing is tied across partitions, or to an append that did not stall.
    holds = [(r, p["held_by"], p["ns"]) for r in rows for p in r["phases"] if "held_by" in p]
    check(all((r["topic"], h["base_offset"]) in at for r, h, _ in holds), f"all {len(holds)} holders are appends of the same partition")
    quick = [r for r, h, ns in holds if ns > 50 * MS and h["ns"] > 50 * MS and at[r["topic"], h["base_offset"]]["stall"] == 0]
    check(not quick, f"no append that bpftrace did not see stall held the log for long ({len(quick)})")
    check(not [r for r in rows if r["verdict"]["cause"] == "leader-fsync"], "no fsync is blamed: none was on the way")
    sys.exit(failures > 0)


main()
