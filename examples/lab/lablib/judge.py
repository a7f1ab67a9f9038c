# SPDX-License-Identifier: BSD-2-Clause
"""Holds what acktrail says of a run against what its scenario's head says."""
import collections
import datetime
import json
import re
import subprocess
import time

MS = 1000000
ENOUGH = 0.95


class Found:
    """What one run came to."""

    def __init__(self):
        self.wrong, self.causes = [], collections.Counter()
        self.affected = self.rows = 0
        self.summary = ""
        self.ns = self.unknown_ns = 0


def ndjson(acktrail, command, trails, *filters):
    done = subprocess.run([str(acktrail), command, "--format", "ndjson", *filters, *map(str, trails)],
                          capture_output=True, text=True)
    if done.returncode not in (0, 3):   # 3: evidence incomplete, said on standard error
        raise RuntimeError(f"acktrail {command}: status {done.returncode}: {done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def broken_phases(row):
    """Each phase begins where the one before it ended; the first with the batch, the last with its end."""
    at = row["created_first_ns"]
    for phase in row.get("phases", []):
        if phase["name"] == "blocked":
            at = phase["begin_ns"]
        if phase["begin_ns"] != at or phase["ns"] <= 0:
            return f"{phase['name']} is {phase['begin_ns'] - at} ns off"
        at += phase["ns"]
        if sum(part["ns"] for part in phase.get("parts", [])) not in (0, phase["ns"]):
            return f"parts of {phase['name']} do not add up"
    if "resolved_ns" in row and at != row["resolved_ns"]:
        return f"the end is {row['resolved_ns'] - at} ns off"
    return None


def life(row):
    """From the first phase, which may be a produce call that waited, to the end."""
    phases = row.get("phases", [])
    begin = phases[0]["begin_ns"] if phases else row["created_first_ns"]
    end = phases[-1]["begin_ns"] + phases[-1]["ns"] if phases else row.get("resolved_ns", begin)
    return min(begin, row["created_first_ns"]), max(end, row.get("resolved_ns", 0))


def hit(row, windows, slow_ms, within):
    """Was it there while the cause was, and did it end badly or late?  Not by any word of acktrail's verdict."""
    begin, end = life(row)
    if within:
        there = any(begin >= since and end <= until for since, until in windows)
    else:
        there = any(begin <= until and end >= since for since, until in windows)
    return there and (row["outcome"] != "acked" or end - begin >= slow_ms * MS)


def account(app, rows):
    """What the app was told of its messages, against the rows."""
    if not app.report.exists():
        return None
    told = collections.Counter()
    for line in app.report.read_text().splitlines():
        error = line.split()[3]
        if line.split()[4] != "rejected":
            told["acked" if error == "NO_ERROR" else "not"] += 1
    rowed = collections.Counter()
    for row in rows:
        rowed["acked" if row["outcome"] == "acked" else "not"] += row.get("messages", row["count"])
    if app.process.returncode == 0 and told != rowed:
        return f"the app was told {dict(told)}, the rows hold {dict(rowed)}"
    return None


def rfc3339(ns):
    return datetime.datetime.fromtimestamp(ns // 1000 / 1e6, datetime.timezone.utc).isoformat()


def judge(lab):
    acktrail, head, found = lab.world.program("cli", "acktrail"), lab.head, Found()
    apps = [app.trail for app in lab.apps]
    trails = apps + [trail for _, trail in lab.probes]
    expect = head.tls if lab.tls else head.expect
    ours = ("--client", lab.client)
    rows = ndjson(acktrail, "timeline", trails, *ours)
    why = ndjson(acktrail, "why", trails, *ours, "--slow", str(head.slow_ms))
    verdicts = {row["id"]: row["verdict"] for row in why[1:]}
    found.rows = len(rows)
    for row in rows:
        if trouble := broken_phases(row):
            found.wrong.append(f"{row['id']}: {trouble}")
    if len(lab.apps) == 1 and (trouble := account(lab.apps[0], rows)):
        found.wrong.append(trouble)

    windows = lab.windows or [(lab.begin, 1 << 62)]
    # What the start took is none of the cause's; the summary is asked for over the time when it was there.
    first, last = windows[0][0], max(until for _, until in lab.windows) if lab.windows else time.time_ns()
    alone = ["--since", rfc3339(first), "--until", rfc3339(last), "--slowest", "1"]
    if head.outcome:
        alone += ["--outcome", head.outcome]
    if head.partition is not None:
        alone += ["--partition", str(head.partition)]
    found.summary = ndjson(acktrail, "why", trails, *ours, "--slow", str(head.slow_ms), *alone)[0]["summary"]["cause"]
    slow_ms = 0 if expect == ["healthy"] else head.slow_ms
    hits = [row for row in rows if hit(row, windows, slow_ms, head.within)
            and head.partition in (None, row["partition"]) and head.outcome in (None, row["outcome"])]
    found.affected = len(hits)
    right = phased = 0
    for row in hits:
        verdict = verdicts[row["id"]]
        causes = [cause["cause"] for cause in verdict["causes"]]
        found.causes[verdict["cause"]] += 1
        right += causes[0] in expect and (head.any or all(cause in causes for cause in expect))
        phased += head.phase in [phase["name"] for phase in row["phases"]]
    for row in rows:
        for phase in row.get("phases", []):
            found.ns += phase["ns"]
            found.unknown_ns += phase["ns"] * (phase["name"] == "unknown")
        for cause in verdicts[row["id"]]["causes"]:
            if cause["cause"] in head.forbid:
                found.wrong.append(f"{row['id']}: {cause['cause']} is blamed, and has nothing to do with it")
    if len(hits) < head.least:
        found.wrong.append(f"only {len(hits)} batches were affected: the scenario shows nothing")
    elif right < ENOUGH * len(hits):
        found.wrong.append(f"{right} of {len(hits)} affected batches have the verdict {' + '.join(expect)}")
    named = [cause for row in hits for cause in verdicts[row["id"]]["causes"]]
    for cause in [] if lab.tls else head.each:
        if not any(c["cause"] == cause for c in named):
            found.wrong.append(f"{cause} is named for no batch")
    if head.culprit and not lab.tls and not any(re.search(head.culprit, c.get("culprit", "")) for c in named):
        found.wrong.append(f"no culprit says {head.culprit}: {sorted({c.get('culprit', '') for c in named})[:8]}")
    if head.phase and not lab.tls and phased < ENOUGH * len(hits):
        found.wrong.append(f"{phased} of {len(hits)} affected batches have the phase {head.phase}")
    if found.summary not in expect:
        found.wrong.append(f"the summary says {found.summary}")
    return found
