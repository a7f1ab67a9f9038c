# SPDX-License-Identifier: BSD-2-Clause
"""sync_check.py WORK FS SCHEDULER FLUSH_MS WRITE_MS CACHE: compares what the probe and acktrail
disk say of each sync with what the program that synced measured itself."""
import json
import os
import re
import sys
from statistics import median

work, fs, scheduler, flush_ms, write_ms, cache = sys.argv[1:]
flush_ns, write_ns = int(flush_ms) * 1000000, int(write_ms) * 1000000
failures = []


def lines(name):
    with open(f"{work}/{name}") as f:
        return [json.loads(line) for line in f]


def check(ok, text):
    print(f"  {'ok  ' if ok else 'FAIL'} {text}")
    if not ok:
        failures.append(text)


events = lines("dump")
axis = next(e["to_axis_ns"] for e in events if e["type"] == "trail")
syncs = [e["sync"] for e in lines("disk.ndjson") if "sync" in e]
blocks = [e for e in events if e["type"] == "block"]
commits = [e for e in events if e["type"] == "commit"]
notes = [e for e in events if e["type"] == "note"]
left_out = {e["text"].split(":")[0]: e["count"] for e in notes if "the kernel did not run" in e["text"]}
report = []
with open(f"{work}/report") as f:
    for line in f:
        tid, call, begin, end, lost, path = line.split()
        report.append((int(tid), call, int(begin), int(end), int(lost), path))

# Who syncs by aio or io_uring has a worker do it: the file is what both know.
ASYNC = ("aio", "io_uring")
by_thread = {}
for s in syncs:
    by_thread.setdefault((s["path"] if s["call"] in ASYNC else s["tid"], s["call"]), []).append(s)
for of in by_thread.values():
    of.sort(key=lambda s: s["begin_ns"])


def find(tid, call, begin, end, path):
    """The probe's sync that lies within the user's two looks at the clock; XFS tells of one by aio when
    its worker is done, which may be after who waits for it is told."""
    for s in by_thread.get((path if call in ASYNC else tid, call), []):
        b = s["begin_ns"] - axis
        if begin <= b and (b + s["ns"] <= end or fs == "xfs" and call == "aio" and b < end):
            return s
    return None


def part(s, *names):
    return sum(p["ns"] for p in s.get("parts", []) if p["name"] in names)


print(f"{fs}, scheduler {scheduler}, write {cache}")
slow, crowd, phases = [], [], {}
missing = odd = waited = total = paths = over = 0
worst = 0
with open(f"{work}/phases") as f:
    for line in f:
        name, first, last = line.split()
        found = []
        for tid, call, begin, end, lost, path in report[int(first):int(last)]:
            total += 1
            s = find(tid, call, begin, end, path)
            if not s:
                missing += 1
                continue
            gap = (end - begin) - s["ns"]
            waited += lost > 0
            if gap - lost > max(100000, 0.05 * (end - begin)):
                odd += 1
                worst = max(worst, gap - lost)
                print(f"  note {call} of {name}: {gap / 1000:.0f} µs more by its own clock, {lost / 1000:.0f} without a CPU")
            paths += s["path"] != path
            over += sum(p["ns"] for p in s["parts"]) > s["ns"]
            found.append(s)
            if s["ns"] > 5000000:
                (crowd if name == "shared" else slow).append(part(s, "unexplained") / s["ns"])
        phases[name] = found

emulated = os.environ.get("ACKTRAIL_EMULATED")
kernel = tuple(int(n) for n in re.findall(r"\d+", os.uname().release)[:2])
# What the kernel did not run is counted, at the tracepoints of system calls since dd8657894c11 (6.7).
may = sum(n for what, n in left_out.items() if what in ("sync", "append")) if kernel >= (6, 7) else total // 200
check(missing <= may, f"the syncs are found: {total - missing} of {total}; {may} may not,"
      + (" as the probe counted" if kernel >= (6, 7) else " for this kernel does not count what it does not run"))
# A virtual CPU stands still whenever the host has none for it, and tells nobody; an emulated one all the more.
may = total // 10 if emulated else total // 200
check(odd <= may, f"within 5 % or 100 µs of the program's own clock: {total - missing - odd} of {total - missing}, {may} may not"
      f" (the widest gap {worst / 1000:.0f} µs); {waited} waited for a CPU, for so long it may be more")
check(not paths, "every sync has its file's path")
dirs = phases["dirs"]
own = {(s["path"].rsplit("/", 1)[-1], s["role"], s.get("topic"), s.get("partition")) for s in dirs}
check(own == {("t-0", "directory", "t", 0), ("logs", "directory", None, None)},
      f"{len(dirs)} syncs of directories: the partition's own, and the log directory, which is no partition's: {own}")
check(not over, "parts never exceed the wall time")
for who, of, most in (("one thread", slow, 0.05), ("64 threads", crowd, 0.05)):
    check(of and median(of) <= most, f"{who}: unexplained at the median of the {len(of)} syncs over 5 ms:"
          f" {100 * median(of) if of else 0:.1f} % (at most {100 * most:.0f} %)")

for name, need, what in (("flush-delay", flush_ns, ("flush",)), ("flush-delay-fdatasync", flush_ns, ("flush",)),
                         ("flush-delay-msync", flush_ns, ("flush",)),
                         ("flush-delay-osync", flush_ns, ("flush",)), ("flush-delay-dirs", flush_ns, ("flush",)),
                         ("flush-delay-aio", flush_ns, ("flush",)),
                         ("flush-delay-uring", flush_ns, ("flush",)), ("write-delay-range", write_ns, ("device",)),
                         ("write-delay", write_ns, ("device",)), ("write-delay-msync", write_ns, ("device",))):
    if name not in phases:
        continue
    if name == "flush-delay-msync" and fs == "ext4-nojournal" and kernel < (6, 5):
        print(f"  note {name}: this kernel flushes nothing there (5b5b4ff8f92d, 6.5)")
        continue
    got = [part(s, *what) for s in phases[name]]
    low = sum(g < need for g in got)
    check(got and not low, f"{name}: {what[0]} time >= {need / 1e6:.0f} ms in {len(got) - low} of {len(got)} syncs"
          f" (median {median(got) / 1e6 if got else 0:.1f} ms)")

# Held back by a limit: before a request existed, and neither the queue's nor the device's fault.
if "throttle" in phases:
    wall = sum(s["ns"] for s in phases["throttle"])
    held = sum(part(s, "before-request") for s in phases["throttle"])
    disk = sum(part(s, "device", "flush", "queue") for s in phases["throttle"])
    check(held >= 0.5 * wall and held > 2 * disk, f"throttle: {100 * held / wall:.0f} % of {wall / 1e6:.0f} ms before the request"
          f" (at least 50 %), {100 * disk / wall:.0f} % in queue, device and flush")
else:
    print("  note not throttled: this machine has no blkio controller of cgroup v1")
if cache == "through":
    flushed = sum(part(s, "flush") for of in phases.values() for s in of)
    check(not flushed and not [b for b in blocks if b["op"] & 0xff == 2], "without a volatile cache nothing is flushed")

# Each request once: the kernel's own counters of the same time are the other account.
def look(name):
    """The moment before, the counters with nothing in flight, the moment after."""
    with open(f"{work}/{name}") as f:
        begin, *counters, end = (int(x) for x in f.read().split())
    return begin, counters, end


before, after = look("stat.before"), look("stat.after")
device = {e["dev"] for e in events if e["type"] == "device"}
writes = [b for b in blocks if b["op"] & 0xff == 1 and b["issue_ns"]]
flushes = [b for b in blocks if b["op"] & 0xff == 2 and b["issue_ns"]]
stale = sum(e["count"] for e in notes if "completion" in e["text"])
twice = len(blocks) - len({(b["dev"], b["op"], b["sector"], b["issue_ns"], b["queue_ns"], b["queue_tid"], b["ns"])
                           for b in blocks})
check(not twice, f"no request is told twice, of {len(blocks)}")
# A flush that carries no data is a write to the kernel's counters; the request that it becomes is a flush.
told = [b for b in writes + flushes + [b for b in blocks if b["op"] & 0xff == 2 and not b["issue_ns"]]
        if before[2] < b["ns"] < after[2]]
beside = sum(b["ns"] >= after[0] for b in told)
counted = after[1][4] - before[1][4] + after[1][15] - before[1][15]
# A completion that was missed is noticed when the request's address is used again: where some were, others may not be yet.
unseen, may = counted - len(told), left_out.get("block", 0) + 2 * stale
check(-beside <= unseen <= may, f"each request closed exactly once: {len(told)} told, {counted} counted by the kernel;"
      f" {may} may lack, as the probe counted ({stale} whose end it missed), {beside} are of the moment of the last look")

if fs == "ext4":
    b = min(s["begin_ns"] for s in phases["shared"]) - axis
    e = max(s["begin_ns"] + s["ns"] for s in phases["shared"]) - axis
    mine = [c for c in commits if c["begin_ns"] < e and c["ns"] > b]
    waited = sum(c["waiters"] for c in mine)
    n = len(phases["shared"])
    most = max((c["waiters"] for c in mine), default=0)
    check(mine and len(mine) < n / 4, f"64 threads: {n} syncs share {len(mine)} commits")
    check(0.9 * n <= waited <= n + 64 and most <= 64,
          f"64 threads: waiters of those commits sum up to {waited}, at most {most} of one")
    # By the program's clock alone: a sync waited for one of the commits that ended within it.  So a commit
    # had at least those that had no other, and at most those that it ended within.
    ends = sorted((c["ns"], c["waiters"]) for c in mine)
    least, most = dict.fromkeys((e for e, _ in ends), 0), dict.fromkeys((e for e, _ in ends), 0)
    for s in phases["shared"]:
        b, e = s["begin_ns"] - axis, s["begin_ns"] - axis + s["ns"]
        within = [end for end, _ in ends if b <= end <= e]
        for end in within:
            most[end] += 1
            least[end] += len(within) == 1
    off = sum(max(least[end] - waiters, waiters - most[end], 0) for end, waiters in ends)
    check(off <= 0.02 * n, f"64 threads: waiters {[w for _, w in ends]} lie between what the syncs' own times allow:"
          f" {[(least[e], most[e]) for e, _ in ends]}")
    shown = [s.get("waiters", 0) for s in phases["shared"]]
    check(median(shown) > 8, f"64 threads: the syncs say that they shared with {median(shown):.0f} at the median")
elif fs == "xfs":
    check(commits and all(c["how"] == 1 for c in commits), f"the log's writes are seen: {len(commits)}")
    b = min(s["begin_ns"] for s in phases["shared"]) - axis
    e = max(s["begin_ns"] + s["ns"] for s in phases["shared"]) - axis
    mine = [c for c in commits if c["begin_ns"] < e and c["ns"] > b]
    n = len(phases["shared"])
    waited = sum(c["waiters"] for c in mine)
    check(mine and len(mine) < n and waited > len(mine), f"64 threads: {n} syncs share {len(mine)} writes of the log,"
          f" waited for {waited} times")
else:
    check(not commits, f"no commit is seen: {len(commits)}")
sys.exit(1 if failures else 0)
