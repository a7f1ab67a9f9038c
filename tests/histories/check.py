#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Holds what acktrail says of a history against what the app itself knows.

usage: check.py ACKTRAIL REPORT TRAIL

One line on standard output: what was compared; one more for every disagreement.
Exit status 1 when there is any.
"""
import collections
import json
import subprocess
import sys

from cover import covered
from wire import Wire

TIMED_OUT, PURGE_QUEUE, PURGE_INFLIGHT, DESTROY = -192, -152, -151, -197
NOT_PERSISTED = 0
LASTING = (-1, 10, 29, 44, 87)   # broker errors that are not tried again
PARTITIONER = (3, 29, -190, -188)   # refused after it was accepted: told to interceptors as failed
MS = 1000000
SLACK = 100 * MS    # a thread may be put aside between two looks at the clock
ENDED = ("acked", "failed", "expired", "purged", "dropped")
JOINS = ("none", "timestamps", "sequence", "offset", "crc")


class Message:
    def __init__(self, line, intercept):
        ack, call = line.get("ack"), line.get("call")
        heard = ack or call or {}
        self.producer, self.topic, self.nr = line["producer"], line["topic"], line["message"]
        self.refused = line["refused"]
        self.begin, self.end = line["begin_ns"], line["end_ns"]
        self.order = line["order"]
        self.ack, self.call = ack, call
        self.err, self.offset = heard.get("err"), heard.get("offset", -1)
        self.partition = heard.get("partition", line["wanted"])
        self.stamp = line["stamp_ms"]
        self.status = heard.get("status")
        self.ns = heard.get("ns")
        # A failed partitioner, and the like, are told by the callback of an accepted message.
        self.accepted = not self.refused or bool(ack)
        # Without interceptors that is known by the error: a partitioner's.
        if not intercept and self.refused in PARTITIONER:
            self.accepted, self.err, self.status = True, self.refused, NOT_PERSISTED
        # That callback shows the app's own array element, which need not name a topic.
        if ack and not ack["named"]:
            self.topic = None
        self.outcome = None
        self.junk = False       # the offset, perhaps

    def __repr__(self):
        return (f"message {self.nr} of producer {self.producer}, {self.topic}-{self.partition}, "
                f"offset {self.offset}: {self.outcome} ({self.err})")


def outcome_of(message, ending):
    if message.err is None:
        return "lost" if ending == "exit" else "dropped"
    return {0: "acked", TIMED_OUT: "expired", PURGE_QUEUE: "purged", PURGE_INFLIGHT: "purged",
            DESTROY: "dropped"}.get(message.err, "failed")


class Report:
    def __init__(self, path):
        self.messages, self.sent, self.settings = [], collections.defaultdict(collections.Counter), {}
        self.received = []
        for line in map(json.loads, open(path)):
            if "message" in line:
                self.messages.append(Message(line, self.settings[line["producer"]]["intercept"]))
            elif "settings" in line:
                self.settings[line["settings"]] = line
            elif "received" in line:
                self.received.append((line["ns"], line["received"]))
            elif "sent" in line:
                self.sent[line["sent"]][line["broker"], line["corr"]] += 1
            else:
                self.head = line
        for m in self.messages:
            m.outcome = outcome_of(m, self.head["ending"])
        self.find_junk_offsets()

    def find_junk_offsets(self):
        """
        A duplicate is told as delivered at -1, 0, 1, …: its place in the log is not known.
        Where such a run ends, and a partition's first offsets begin, cannot be told.
        """
        last = {}
        for m in sorted((m for m in self.messages if m.outcome == "acked"), key=lambda m: (m.order, m.ns)):
            where = m.producer, m.topic, m.partition
            if m.offset == -1 or (m.offset >= 0 and last.get(where) == m.offset):
                last[where], m.junk = m.offset + 1, m.offset >= 0
            else:
                last.pop(where, None)


class Check:
    def __init__(self, acktrail, report, trail):
        self.report = Report(report)
        self.wrong = []
        self.ndjson = lambda *args: [json.loads(line) for line in self.run(acktrail, *args, trail)]
        self.rows = self.ndjson("timeline", "--format", "ndjson", "--attempts")
        self.summary = self.ndjson("summary", "--format", "ndjson")
        self.dump = self.ndjson("dump", "--format", "ndjson")
        # The mock cluster's own handle is an instance, too.
        names = {line["inst"]: line["client_id"] for line in self.dump if line["type"] == "instance"}
        self.producer_of = {inst: int(name[1:]) for inst, name in names.items() if name != "mock"}
        self.to_axis = next(line["to_axis_ns"] for line in self.dump if line["type"] == "trail")
        for row in self.rows:
            row["p"] = self.producer_of.get(row.get("producer", {}).get("instance"))
            row["n"] = row.get("messages", row["count"])
        self.told = [row for row in self.rows if not row.get("moved")]

    def run(self, *command):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode:
            self.say(f"{' '.join(command[1:3])}: status {done.returncode}: {done.stderr.decode().strip()}")
        return done.stdout.splitlines()

    def say(self, text):
        self.wrong.append(text)

    def expect(self, what, said, truth):
        if said != truth:
            self.say(f"{what}: acktrail says {said}, the app {truth}")

    # ---- the account: message for message --------------------------------------

    def account(self):
        said = {}
        for line in self.summary:
            if "account" in line:
                a = line["account"]
                said[self.producer_of.get(a["instance"])] = a
        for p, settings in self.report.settings.items():
            mine = [m for m in self.report.messages if m.producer == p]
            truth = collections.Counter(m.outcome for m in mine if m.accepted)
            a = said.get(p, collections.Counter())
            self.expect(f"producer {p}, accepted", a["accepted"], sum(m.accepted for m in mine))
            for outcome in ENDED + ("lost", "open"):
                self.expect(f"producer {p}, {outcome}", a[outcome], truth[outcome])
            refused = sum(not m.accepted for m in mine)
            # A topic handle alone does not say whose it is, where there are several producers.
            if len(self.report.settings) == 1 or a["refused"] > refused:
                self.expect(f"producer {p}, refused", a["refused"], refused)
            if settings["report"] in ("msg_cb", "old_cb"):
                self.expect(f"producer {p}, called", a["called"], sum(bool(m.call) for m in mine))
            if a and not (a["balanced"] and a["accepted"] == sum(a[o] for o in ENDED + ("lost", "open"))):
                self.say(f"producer {p}: the account does not close: {a}")
        if None in said:
            self.say(f"an account of nobody: {said[None]}")

    # ---- rows --------------------------------------------------------------------

    def sums(self):
        """Messages per producer, topic, partition, outcome and error."""
        said, truth = collections.Counter(), collections.Counter()
        loose_said, loose_truth = collections.Counter(), collections.Counter()
        errors = self.error_names()
        for m in self.report.messages:
            if not m.accepted:
                continue
            where = m.producer, m.topic, m.partition
            if m.outcome in ("dropped", "lost"):
                loose_truth[where[:2] + (m.outcome,)] += 1
            else:
                truth[where + (m.outcome, errors.get(m.err) if m.outcome == "failed" else None)] += 1
        for row in self.told:
            where = row["p"], row.get("topic"), row["partition"]
            if row["outcome"] in ("dropped", "lost"):
                loose_said[where[:2] + (row["outcome"],)] += row["n"]
            else:
                said[where + (row["outcome"], row.get("error") if row["outcome"] == "failed" else None)] += row["n"]
        for key in sorted(said.keys() | truth.keys(), key=str):
            if said[key] != truth[key]:
                self.say(f"messages of {key}: acktrail says {said[key]}, the app {truth[key]}")
        # What went with the process or the handle without a word need not have a row.
        for key, n in loose_said.items():
            if n > loose_truth[key]:
                self.say(f"messages of {key}: rows hold {n}, the app {loose_truth[key]}")

    def error_names(self):
        names = {}
        for m in self.report.messages:
            if m.err and m.err not in names:
                names[m.err] = ERRORS.get(m.err, "unnamed")
        return names

    def offsets(self):
        """Every acked message lies in one acked row of its partition, and rows hold no other."""
        messages, rows = collections.defaultdict(dict), collections.defaultdict(list)
        for m in sorted(self.report.messages, key=lambda m: m.junk, reverse=True):
            if m.outcome == "acked" and m.offset >= 0:
                messages[m.topic, m.partition][m.offset] = m
        for row in self.told:
            if row["outcome"] == "acked" and "base_offset" in row:
                rows[row.get("topic"), row["partition"]].append(row)
        self.batches = []
        for where in sorted(rows.keys() | messages.keys(), key=str):
            left = dict(messages[where])
            for row in rows[where]:
                held = [left.pop(o, None) for o in range(row["base_offset"], row["last_offset"] + 1)]
                if row["last_offset"] - row["base_offset"] + 1 != row["count"]:
                    self.say(f"{row['id']}: count {row['count']}, offsets {row['base_offset']}…{row['last_offset']}")
                if any(m is None or m.producer != row["p"] for m in held):
                    self.say(f"{row['id']}: {where} {row['base_offset']}…{row['last_offset']} are not all its "
                             f"messages' offsets: {[m and m.offset for m in held][:8]}")
                elif not any(m.junk for m in held):
                    self.batches.append((row, held))
            for m in left.values():
                if not m.junk:
                    self.say(f"no acked row holds {m}")

    def batch_times(self):
        """A batch's own times lie where its messages were made, acknowledged, and called for."""
        for row, held in self.batches:
            made = min(m.begin for m in held) + self.to_axis, max(m.end for m in held) + self.to_axis
            first, last = row.get("created_first_ns", 0), row.get("created_last_ns", 0)
            known = row["phases"][0].get("known") if row["phases"] else None
            slack = SLACK if known == "exact" else 1000 * MS
            if not made[0] - slack <= first <= held[0].end + self.to_axis + slack:
                self.say(f"{row['id']}: made at {first - made[0]} ns after its first message was ({known})")
            if not made[0] - slack <= last <= made[1] + slack:
                self.say(f"{row['id']}: last made at {last - made[1]} ns after its last message was ({known})")
            if all(m.ack for m in held):
                acked = held[0].ack["ns"] + self.to_axis, held[-1].ack["ns"] + self.to_axis
                if not acked[0] - SLACK <= row["acked_ns"] <= acked[1] + SLACK:
                    self.say(f"{row['id']}: acked {row['acked_ns'] - acked[0]} ns after its first ack")
            if self.report.settings[row["p"]]["report"] == "msg_cb" and all(m.call for m in held):
                called = held[-1].call["ns"] + self.to_axis
                if abs(row["resolved_ns"] - called) > 2 * SLACK:
                    self.say(f"{row['id']}: resolved {row['resolved_ns'] - called} ns after its last callback")

    # ---- attempts ------------------------------------------------------------------

    def attempts(self):
        seen = collections.defaultdict(collections.Counter)
        for row in self.rows:
            for a in row["attempts"]:
                # A batch that ended in several ways is several rows, one of them with its CRC.
                key = a.get("broker", -1), a.get("corr_id")
                seen[row["p"]][key + (a["write_begin_ns"],)] += "crc" in row
            # "Possibly persisted" is the library's word also for requests that it never wrote.
            if row["sent"] and not row["attempts"] and (row["outcome"] == "acked" or row["join"] != "none"):
                self.say(f"{row['id']}: sent, without an attempt ({row['outcome']}, {row['n']} messages)")
            if not row["sent"] and row["attempts"]:
                self.say(f"{row['id']}: not sent, with {len(row['attempts'])} attempts")
            if [a["n"] for a in row["attempts"]] != list(range(1, len(row["attempts"]) + 1)):
                self.say(f"{row['id']}: attempts are not numbered")
        for p in self.report.settings:
            twice = [key for key, n in seen[p].items() if n > 1]
            if twice:
                self.say(f"producer {p}: requests in several rows: {twice[:5]}")
            if not self.report.settings[p]["intercept"]:
                continue
            told = collections.Counter(key[:2] for key in seen[p])
            missing, extra = self.report.sent[p] - told, told - self.report.sent[p]
            if missing:
                self.say(f"producer {p}: Produce requests without an attempt: {sorted(missing)[:5]}, of {len(missing)}")
            if extra:
                self.say(f"producer {p}: attempts that were never sent: {sorted(extra)[:5]}, of {len(extra)}")
        if None in seen:
            self.say(f"attempts of nobody: {list(seen[None])[:5]}")

    def sent(self):
        """Never sent says acktrail: not one that was persisted, possibly or for sure."""
        said, truth, kept = collections.Counter(), collections.Counter(), collections.Counter()
        for m in self.report.messages:
            if m.status is None or m.outcome not in ("failed", "expired", "purged"):
                continue
            key = m.producer, m.topic, m.partition, m.outcome
            (truth if m.status == NOT_PERSISTED else kept)[key] += 1
        for row in self.told:
            if not row["sent"]:
                said[row["p"], row.get("topic"), row["partition"], row["outcome"]] += row["n"]
            if row["outcome"] == "acked" and not row["sent"]:
                self.say(f"{row['id']}: acked and never sent")
        for key, n in said.items():
            if key[3] not in ("dropped", "lost", "open") and n > truth[key]:
                self.say(f"never sent of {key}: rows hold {n}, the app knows {truth[key]} not persisted")

    # ---- each row by itself --------------------------------------------------------

    def row_sense(self):
        for row in self.rows:
            if row["p"] is None:
                self.say(f"{row['id']}: of no producer")
            if row["join"] not in JOINS:
                self.say(f"{row['id']}: joined by {row['join']}")
            # What ended in rows that could not be told to be its own says just that.
            if row["outcome"] == "broker-only" or row["outcome"] == "open" and not row.get("moved"):
                self.say(f"{row['id']}: {row['outcome']}")
            if row["n"] > row["count"] or row["n"] <= 0:
                self.say(f"{row['id']}: {row['n']} of {row['count']} messages")
            if row["in_log"] == "yes" or (row["in_log"] == "no" and row["sent"]):
                self.say(f"{row['id']}: in the log: {row['in_log']}, without a probe")
            if row["outcome"] != "acked" and row["sent"] and row["resend"] != "may-duplicate":
                self.say(f"{row['id']}: resend {row['resend']}, {row['outcome']} and sent")
            if row["outcome"] != "open":
                self.verdict(row)
                self.phases(row)

    def verdict(self, row):
        """What no retry can mend fails the batch at once, with the broker's word for it."""
        # What was purged may be answered still, before the app is called back.
        ended = next((p["begin_ns"] for p in row["phases"] if p["name"] == "callback"), row["resolved_ns"])
        for a in row["attempts"]:
            code = a.get("error_code")
            if code not in LASTING or a["response_read_ns"] > ended:
                continue
            if row.get("moved") or row["outcome"] != "failed" or row["error"] != ERRORS[code]:
                self.say(f"{row['id']}: answered {ERRORS[code]}, and {row['outcome']} ({row.get('error')})")

    def phases(self, row):
        at = row.get("created_first_ns")
        if at is None or "resolved_ns" not in row:
            self.say(f"{row['id']}: no beginning or no end ({row['outcome']})")
            return
        for phase in row["phases"]:
            if phase["name"] == "blocked":
                at = phase["begin_ns"]
            if phase["begin_ns"] != at or phase["ns"] <= 0:
                self.say(f"{row['id']}: phase {phase['name']} is {phase['begin_ns'] - at} ns off, lasts {phase['ns']}")
            at = phase["begin_ns"] + phase["ns"]
        if at != row["resolved_ns"]:
            self.say(f"{row['id']}: phases end {at - row['resolved_ns']} ns after the batch ({row['outcome']})")

    def all(self):
        for m in self.report.messages:
            if m.ack and m.call and (m.ack["err"] != m.call["err"] or m.call["times"] != 1 or m.ack["times"] != 1):
                self.say(f"the app was told twice, or otherwise than the interceptor: {m}")
        self.account()
        self.sums()
        self.offsets()
        self.batch_times()
        self.attempts()
        self.sent()
        wire = Wire(self)
        wire.received()
        wire.failed()
        wire.batches()
        self.row_sense()
        print(json.dumps({
            "messages": len(self.report.messages), "rows": len(self.rows),
            "attempts": sum(len(row["attempts"]) for row in self.rows),
            "told apart": wire.identified, "not told": sum(row["outcome"] == "open" for row in self.rows), "received": len(self.report.received),
            "outcomes": collections.Counter(m.outcome if m.accepted else "refused" for m in self.report.messages),
            "covered": covered(self, wire),
        }))
        for text in self.wrong[:12]:
            print(f"  {text}")
        if len(self.wrong) > 12:
            print(f"  … and {len(self.wrong) - 12} more")
        return not self.wrong


ERRORS = {
    -1: "UNKNOWN_SERVER_ERROR", 2: "CORRUPT_MESSAGE", 3: "UNKNOWN_TOPIC_OR_PARTITION", 5: "LEADER_NOT_AVAILABLE",
    6: "NOT_LEADER_OR_FOLLOWER", 7: "REQUEST_TIMED_OUT", 10: "MESSAGE_TOO_LARGE", 13: "NETWORK_EXCEPTION",
    19: "NOT_ENOUGH_REPLICAS", 20: "NOT_ENOUGH_REPLICAS_AFTER_APPEND", 29: "TOPIC_AUTHORIZATION_FAILED",
    44: "POLICY_VIOLATION", 45: "OUT_OF_ORDER_SEQUENCE_NUMBER", 46: "DUPLICATE_SEQUENCE_NUMBER",
    56: "KAFKA_STORAGE_ERROR", 59: "UNKNOWN_PRODUCER_ID", 87: "INVALID_RECORD",
    -150: "_FATAL", -195: "_TRANSPORT", -190: "_UNKNOWN_PARTITION", -188: "_UNKNOWN_TOPIC",
    -149: "_INCONSISTENT", -148: "_GAPLESS_GUARANTEE",
}

if __name__ == "__main__":
    sys.exit(0 if Check(*sys.argv[1:4]).all() else 1)
