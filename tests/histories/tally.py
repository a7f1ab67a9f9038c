#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""tally.py ASKED LOG: how many histories agree, what was compared in them, and what they went through."""
import collections
import json
import sys

# What a long run is about: it must have come to pass, each in some history.
WANTED = """errors pushed, single answers delayed, broker slow, broker down, broker up, leader moved,
in flight 1, in flight 2, in flight 3, in flight 4, in flight 5, idempotent, not idempotent, linger 0, linger,
codec none, codec gzip, codec snappy, codec lz4, codec zstd, producing threads 1, producing threads 2, producing threads 3,
two producers, acks -1, acks 0, acks 1, purged on the way, ended: purge, ended: flush, ended: destroy, ended: destroy-down,
ended: exit, seen: acked, seen: failed, seen: expired, seen: purged, seen: dropped, seen: lost, seen: refused,
seen: tried again, seen: tried again at another broker, seen: answered with an error, seen: answered late, seen: never answered,
seen: acked implicitly, seen: duplicate sequence, seen: epoch bumped under a batch, seen: regrouped"""
LONG = 500

asked, ok, failed = int(sys.argv[1]), 0, 0
sums, outcomes, covered = collections.Counter(), collections.Counter(), collections.Counter()
for line in open(sys.argv[2]):
    if line.startswith("ok seed "):
        ok += 1
        said = json.loads(line.split(": ", 1)[1])
        outcomes.update(said.pop("outcomes"))
        covered.update(said.pop("covered"))
        sums.update(said)
    else:
        failed += line.startswith("FAILED ")
        print(line, end="")
print(f"{ok} of {asked} histories agree, {failed} do not: " + ", ".join(f"{n} {k}" for k, n in sums.items()))
print("messages: " + ", ".join(f"{n} {k}" for k, n in outcomes.most_common()))
print("histories that went through it:")
for name, n in sorted(covered.items()):
    print(f"  {n:6} {name}")
missing = {name.strip() for name in WANTED.replace("\n", " ").split(",")} - covered.keys() if asked >= LONG else ()
for name in missing:
    print(f"  never: {name}")
sys.exit(ok != asked or bool(missing))
