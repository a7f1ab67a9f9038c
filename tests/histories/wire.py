# SPDX-License-Identifier: BSD-2-Clause
"""What went over the wire, held against what acktrail says of it: which messages each batch
carried, by their timestamps; how each of them ended; every attempt, and who received it."""
import bisect
import collections
import heapq

FOREVER = 1 << 63


class Batch:
    """
    One Produce request: each carries one batch.  Its correlation id may come again, on another
    connection, so when it was sent is part of its name.
    """
    def __init__(self, p, broker, event):
        self.conn, self.corr = event["conn"], event["corr"]
        self.begin, self.crc = event["begin_ns"] or event["ns"], event["crc"]
        self.key = p, broker, self.corr, self.begin
        self.first, self.last, self.count = event["first_ts_ms"], event["max_ts_ms"], event["count"]
        self.where = None       # producer, topic, partition
        self.held = None        # its messages, where their timestamps tell
        self.codec = event["attributes"] & 7
        self.sequence = event["producer_id"], event["epoch"], event["base_sequence"]


class Wire:
    def __init__(self, check):
        self.check, self.say, self.identified = check, check.say, 0
        conns, topics, self.sent = {}, {}, {}
        for e in check.dump:
            if e["type"] == "conn":
                conns[e["conn"]] = check.producer_of.get(e["inst"]), e["broker"]
            elif e["type"] == "topic":
                topics[e["topic"]] = e["name"]
        for e in check.dump:
            if e["type"] == "batch" and e["conn"] in conns:
                p, broker = conns[e["conn"]]
                b = Batch(p, broker, e)
                self.sent.setdefault(b.key, b).where = p, topics[e["topic"]], e["partition"]

    def key(self, row, attempt):
        return row["p"], attempt.get("broker"), attempt.get("corr_id"), attempt["write_begin_ns"] - self.check.to_axis

    # ---- who received it -------------------------------------------------------------

    def received(self):
        """
        By the cluster's own record of requests, where it keeps one: each was an attempt, between
        its first byte and its answer; none was answered, or overtaken by an answer, that the
        cluster did not receive.
        """
        if not self.check.report.head["recorded"]:
            return
        answered, attempts = {}, collections.defaultdict(list)
        for row in self.check.rows:
            for a in row["attempts"]:
                answered[self.key(row, a)] = a.get("response_read_ns")
        latest = collections.defaultdict(int)
        for key, ns in answered.items():
            if ns and key in self.sent:
                latest[self.sent[key].conn] = max(latest[self.sent[key].conn], key[2])
        for key in answered:
            b = self.sent.get(key)
            if b:
                ns = answered[key]
                attempts[key[1]].append((b.begin - 1000, ns - self.check.to_axis if ns else FOREVER,
                                         b.corr > latest[b.conn], key))
        records = collections.defaultdict(list)
        for ns, broker in sorted(self.check.report.received):
            records[broker].append(ns)
        for broker in sorted(records.keys() | attempts.keys()):
            self.match(broker, records[broker], sorted(attempts[broker]))

    def match(self, broker, records, attempts):
        """The attempt whose answer is due first takes the record."""
        waiting, i, unmade = [], 0, 0
        for ns in records:
            while i < len(attempts) and attempts[i][0] <= ns:
                begin, due, optional, key = attempts[i]
                heapq.heappush(waiting, (due, optional, begin, key))
                i += 1
            while waiting and waiting[0][0] < ns:
                self.say(f"broker {broker} answered without receiving it: {heapq.heappop(waiting)[3]}")
            if waiting:
                heapq.heappop(waiting)
            else:
                unmade += 1
        if unmade:
            self.say(f"broker {broker} received {unmade} Produce requests more than attempts tell")
        left = [w[3] for w in waiting if not w[1]] + [a[3] for a in attempts[i:] if not a[2]]
        if left:
            self.say(f"broker {broker} did not receive {left[:5]}, of {len(left)}")

    # ---- what the shim says of failed messages ------------------------------------------

    def failed(self):
        """It tells the first and the last timestamp of those that failed together: records have them."""
        stamps = collections.defaultdict(set)
        for m in self.check.report.messages:
            if m.stamp and m.err:
                stamps[m.producer, m.topic, m.partition, m.err].add(m.stamp)
        for e in self.check.dump:
            if e["type"] != "acks" or not e["err"]:
                continue
            known = stamps.get((self.check.producer_of.get(e["inst"]), e.get("topic_name"), e["partition"], e["err"]))
            # Of what a partitioner refused in produce_batch() nothing can be asked.
            if known and e["last_ts_ms"] and not known >= {e["first_ts_ms"], e["last_ts_ms"]}:
                self.say(f"{e['count']} messages failed with {e['err']}, the first of {e['first_ts_ms']}, the last of {e['last_ts_ms']}: none is")

    # ---- which messages, and how they ended --------------------------------------------

    def identify(self):
        stamped = collections.defaultdict(list)
        for m in self.check.report.messages:
            if m.stamp and m.accepted:
                stamped[m.producer, m.topic].append(m)
        for where in stamped:
            stamped[where].sort(key=lambda m: m.stamp)
        stamps = {where: [m.stamp for m in list_] for where, list_ in stamped.items()}
        for b in self.sent.values():
            where, partition = b.where[:2], b.where[2]
            if where not in stamped:
                continue
            held = stamped[where][bisect.bisect_left(stamps[where], b.first):bisect.bisect_right(stamps[where], b.last)]
            held = [m for m in held if m.partition in (partition, -1)]
            if len(held) == b.count and all(m.partition != -1 for m in held):
                b.held = frozenset(m.nr for m in held)

    def batches(self):
        """
        Where timestamps tell which messages a request carried, and what was sent of them
        later: its rows have those that ended with it, each as it did; and list each request that carried
        just these, in order.  What moved into another batch is said to.
        """
        self.identify()
        message = {(m.producer, m.nr): m for m in self.check.report.messages}
        self.moved = {self.key(row, a) for row in self.check.rows if "moved_into" in row for a in row["attempts"]}
        self.ended = {self.key(row, a) for row in self.check.told for a in row["attempts"]}
        rows, later = collections.defaultdict(list), collections.defaultdict(list)
        for row in self.check.told:
            if row["attempts"]:
                rows[self.key(row, row["attempts"][-1])].append(row)
        for b in sorted(self.sent.values(), key=lambda b: b.begin, reverse=True):
            self.one(b, later[b.where], rows.get(b.key, []), message)
            later[b.where].append(b)

    def one(self, b, later, rows, message):
        after = [x for x in later if x.first <= b.last and b.first <= x.last]
        if b.held is None or any(x.held is None for x in after):
            return
        left = b.held.difference(*(x.held for x in after))
        truth, said = collections.Counter(), collections.Counter()
        for nr in left:
            truth[message[b.key[0], nr].outcome] += 1
        for row in rows:
            said[row["outcome"]] += row["n"]
        self.identified += bool(left)
        if truth != said:
            self.say(f"request {b.key}, {b.where}: its messages ended as {dict(truth)}, rows say {dict(said)} "
                     f"by {[row['join'] for row in rows]} ({[row['id'] for row in rows]}): {sorted(left)[:8]}")
        self.attempts(b, rows)

    def attempts(self, b, rows):
        """
        A row lists the requests with its bytes, unless its messages were grouped otherwise or
        numbered anew between them: then the earlier ones moved on.
        """
        mine = [x for x in self.sent.values() if x.begin <= b.begin and x.where == b.where and
                (x.held & b.held if x.held else x.first <= b.last and b.first <= x.last)]
        mine.sort(key=lambda x: x.begin)
        cut = max((i + 1 for i, x in enumerate(mine) if (x.held, x.crc) != (b.held, b.crc)), default=0)
        same = [x.key for x in mine[cut:]]
        for row in rows:
            made = [self.key(row, a) for a in row["attempts"]]
            if made != same and made != [x.key for x in mine if (x.held, x.crc) == (b.held, b.crc)]:
                self.say(f"{row['id']}: its attempts are {made}, its messages were in {same}")
            # Some of those that shared them ended in part, as rows of their own.
            lost = {x.key for x in mine if x.held} - set(made) - self.moved - self.ended
            if lost:
                self.say(f"{row['id']}: its messages were in {sorted(lost)} before, which did not move on")
