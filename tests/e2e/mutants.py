#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Evidence taken away, cut, shifted or doubled may make the answers weaker, never wrong:
mutants.py ACKTRAIL MUTATE WORK APP PROBE [BATCHES]

The whole evidence says what is true.  Of each mutant every row that is still told must
agree with it or say less.  BATCHES (51): at least so many of the whole are compared.
"""
import collections
import itertools
import json
import pathlib
import subprocess
import sys

acktrail, mutate, work, app, probe, *least = sys.argv[1:]
LESS = {"unknown", "broker-side"}  # said of any time behind the socket that nobody witnessed
# Of a witness that was not there, or of single events
PROBE_EVENTS = {40: "APPEND", 41: "SYNC", 42: "BLOCK", 43: "COMMIT", 44: "ARRIVAL", 45: "ARRIVAL_BATCH", 46: "ANSWER",
                47: "ARRIVAL_END"}
APP_EVENTS = {7: "ACKS", 8: "CALLBACK", 16: "CONN", 17: "CONN_END", 18: "REQUEST", 19: "BATCH", 20: "RESPONSE",
              21: "REPLY", 22: "TCP", 23: "LATE", 24: "CPU_WAIT", 25: "FULL"}


def mutants():
    for seed, percent in itertools.product((1, 2, 3), (1, 10, 50)):
        yield "probe", ("drop", seed, percent)
        yield "app", ("drop", seed, percent)
    for side, kinds in (("probe", PROBE_EVENTS), ("app", APP_EVENTS)):
        for kind in kinds:
            for seed, percent in ((1, 20), (2, 100)):
                yield side, ("drop-type", kind, seed, percent)
        for how, part in itertools.product(("late", "early", "cut"), (0.25, 0.5, 0.75)):
            if side == "probe" or how == "cut":
                yield side, (how, part)
        for seed in (1, 2):
            yield side, ("shuffle", seed)
        yield side, ("again",)


def rows(*trails):
    done = subprocess.run([acktrail, "timeline", "--format", "ndjson", *map(str, trails)], capture_output=True,
                          text=True)
    assert done.returncode in (0, 3), (done.returncode, done.stderr)
    return [r for r in map(json.loads, done.stdout.splitlines()) if "phases" in r]


def key(row):
    """The same batch: whatever names the row, its identity does not change."""
    return (row["topic"], row["partition"], row.get("crc"), row["count"]) if "crc" in row else None


def causes(row):
    return {c["cause"] for c in row["verdict"]["causes"]} | {row["verdict"]["cause"]}


def sending(row):
    """What its first attempt has in common with rows of the same batch: messages that ended otherwise have one of their own."""
    first = row["attempts"][0] if row["attempts"] else {}
    return row["topic"], row["partition"], first.get("corr_id"), first.get("write_begin_ns")


SLOW_NS = 100_000_000  # as why has it


def life(row):
    return sum(p["ns"] for p in row["phases"])


def wrong(row, true):
    at = row.get("created_first_ns") or row["phases"][0]["begin_ns"] if row["phases"] else 0
    for p in row["phases"]:
        if p["begin_ns"] != at or p["ns"] <= 0:
            return "phases with a gap or an overlap"
        at += p["ns"]
    if true is None:
        return None
    if {row["in_log"], true["in_log"]} == {"yes", "no"}:
        return f"in_log {true['in_log']} became {row['in_log']}"
    if {row["outcome"], true["outcome"]} == {"acked", "expired"}:
        return f"{true['outcome']} became {row['outcome']}"
    if row["outcome"] == "open":
        return None  # the verdict of a life that is not over
    ours, theirs = row["verdict"]["cause"], causes(true)
    if row["outcome"] != true["outcome"]:   # of the batch's messages those are left that ended so
        theirs = set().union(*(causes(part) for part in parts[sending(true)]))
    if ours == "healthy" and life(row) < SLOW_NS <= life(true):
        return None  # what is left of its life is short, and says so: no cause
    if ours not in theirs | LESS:
        return f"{'/'.join(sorted(theirs))} became {ours} ({row['outcome']})"
    return None


whole = rows(app, probe)
twins = collections.Counter(key(r) for r in whole)     # identical batches of other apps: which is which is not told
truth = {key(r): r for r in whole if key(r) and twins[key(r)] == 1}
parts = collections.defaultdict(list)
for part in whole:
    parts[sending(part)].append(part)
assert len(truth) >= int(least[0] if least else 51), len(truth)
bad, told, less = collections.Counter(), 0, 0
for side, (how, *args) in mutants():
    target = pathlib.Path(work) / "mutant"
    subprocess.run([mutate, how, *map(str, args), app if side == "app" else probe, str(target)], check=True)
    trails = [target, probe] if side == "app" else [app, target]
    if how == "again":
        trails = [app, probe, target]
    for row in rows(*trails):
        told += 1
        true = truth.get(key(row))
        why = wrong(row, true)
        if why:
            name = (PROBE_EVENTS | APP_EVENTS)[args[0]] if how == "drop-type" else args[0] if args else ""
            bad[f"{side} {how} {name} {args[1:]}: {why}"] += 1
        elif true and row["verdict"]["cause"] != true["verdict"]["cause"]:
            less += 1
    subprocess.run(["rm", "-rf", str(target)], check=True)
print(f"{told} rows of mutants: {less} say less than the whole evidence, {sum(bad.values())} say something else")
for what, n in bad.most_common():
    print(f"{n:6} {what}")
sys.exit(bool(bad))
