# SPDX-License-Identifier: BSD-2-Clause
"""What a history went through: by its plan where that is sure to take effect, else by what was seen of it."""

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


def plan(check):
    head = check.report.head
    yield f"librdkafka {head['library']}"
    if head["recorded"]:
        yield "the cluster's record of requests"
    yield f"ended: {head['ending']}"
    did = head["did"]
    for key, name in (("errors", "errors pushed"), ("delays", "single answers delayed"), ("rtt", "broker slow"),
                      ("down", "broker down"), ("up", "broker up"), ("moves", "leader moved"),
                      ("metadata", "metadata lost"), ("producer_id", "producer id refused"),
                      ("topic", "topic in error"), ("purges", "purged on the way")):
        if did[key]:
            yield name
    if len(check.report.settings) > 1:
        yield "two producers"
    for s in check.report.settings.values():
        conf = dict(pair.split("=") for pair in s["text"].split())
        yield "idempotent" if s["idempotent"] else "not idempotent"
        yield f"acks {s['acks']}"
        yield f"in flight {conf['max.in.flight.requests.per.connection']}"
        yield "linger 0" if conf["linger.ms"] == "0" else "linger"
        yield f"producing threads {s['threads']}"
        yield f"reports: {s['report']}"
        yield ("timestamps of the library", "timestamps of the app, far off", "timestamps of the app, near")[s["stamp"]]
        if conf["message.send.max.retries"] == "0":
            yield "no retries"
        if conf.get("enable.gapless.guarantee"):
            yield "gapless"


def seen(check, wire):
    for b in wire.sent.values():
        yield f"codec {CODECS[b.codec]}"
    crcs = {}
    for b in wire.sent.values():
        if b.sequence[0] >= 0 and crcs.setdefault(b.where + (b.first, b.count), b.sequence[1]) != b.sequence[1]:
            yield "seen: epoch bumped under a batch"
    for row in check.rows:
        yield f"seen: {row['outcome']}" if not row.get("moved") else "seen: regrouped"
        if len(row["attempts"]) > 1:
            yield "seen: tried again"
        if len({a.get("broker") for a in row["attempts"]}) > 1:
            yield "seen: tried again at another broker"
        if row["outcome"] == "acked" and any("error_code" not in a and "response_read_ns" not in a for a in row["attempts"][:-1]):
            yield "seen: acked after an attempt without an answer"
        for a in row["attempts"]:
            if a.get("error_code"):
                yield "seen: answered with an error"
            if a.get("error_code") == 46:
                yield "seen: duplicate sequence"
            if a.get("response_read_ns", 0) - a["write_end_ns"] > 100000000:
                yield "seen: answered late"
            if "response_read_ns" not in a:
                yield "seen: never answered"
    for m in check.report.messages:
        if m.outcome == "acked" and m.offset == -1001 and check.report.settings[m.producer]["acks"]:
            yield "seen: acked implicitly"
        if not m.accepted:
            yield "seen: refused"


def covered(check, wire):
    return sorted(set(plan(check)) | set(seen(check, wire)))
