/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * phases_attempt.c - one attempt: from the socket to the answer, by the probe's evidence
 * where there is some, else by what the client's own TCP says.
 */
#include <stdio.h>
#include "phases_int.h"
#include "sync_parts.h"

/* What TCP said while it waited: the client alone cannot tell more. */
void hear_tcp(struct tl_phase *p, const struct conn *conn)
{
	if (p && conn && p->cause == TL_CAUSE_UNKNOWN)
		p->cause = conn_says(conn, p->begin_ns, p->begin_ns + p->ns);
}

static const struct conn *conn_of(const struct link_state *st)
{
	return st->req ? st->req->conn : st->conn;
}

/*
 * Behind the client's socket, and no probe there: the broker's own word that it reads on
 * later, else TCP's.  Between two ends on one host there is nothing but the broker, or a
 * proxy before it.
 */
void behind_socket(struct tl_phase *p, const struct conn *conn)
{
	if (!p || !conn || p->cause != TL_CAUSE_UNKNOWN)
		return;
	if (2 * spans_within(&conn->throttled, p->begin_ns, p->begin_ns + p->ns) > p->ns) {
		p->cause = TL_CAUSE_QUOTA;
		return;
	}
	hear_tcp(p, conn);
	if (p->cause == TL_CAUSE_NETWORK || p->cause == TL_CAUSE_IDLE)
		p->name = TL_PHASE_NETWORK;
	p->unsaid = p->cause == TL_CAUSE_UNKNOWN && !conn_local(conn);
}

/* Not read although nothing was ahead of it: on the broker's host, or not even there? */
static enum tl_phase_name unread(const struct tl_attempt *a, const struct link_state *st)
{
	if (a->arrived_ns || !a->read_ns || (st->req && conn_local(st->req->conn)))
		return TL_PHASE_BROKER_SIDE;
	return TL_PHASE_UNKNOWN;
}

/*
 * The broker was at nothing else and never read it: was it there?  On one host, or by its TCP's word; not by a
 * relay's.
 */
static void never_read(struct tl_phase *p, const struct tl_attempt *a, const struct link_state *st)
{
	const struct conn *c = st->req ? st->req->conn : NULL;

	if (!p || p->name != TL_PHASE_BROKER_SIDE || a->read_ns || a->arrived_ns || a->append_begin_ns || !c || conn_local(c))
		return;
	p->unsaid = c->peer->relayed || conn_says(c, p->begin_ns, p->begin_ns + p->ns) != TL_CAUSE_BROKER_SIDE;
}

/* Never read, for all that is known, and the other end's TCP did not even acknowledge it. */
static bool until_acked(struct cut *c, const struct link_state *st, int64_t to)
{
	enum tl_cause cause = st->req ? conn_says(st->req->conn, c->at, to) : TL_CAUSE_UNKNOWN;
	struct tl_phase *p;

	if (cause != TL_CAUSE_NETWORK && cause != TL_CAUSE_IDLE)
		return false;
	p = go(c, TL_PHASE_NETWORK, to, TL_KNOWN_INFERRED, 0);
	if (p)
		p->cause = cause;
	return true;
}

/*
 * Its last byte came late, but all the while the broker was at requests before it, or stood
 * still, and read nothing: the receive buffer was full.  A slow network leaves the broker idle in between.
 */
static bool shut_out(struct cut *c, const struct bconn *bc, const struct tl_attempt *a, const struct link_state *st,
		     int64_t to, int64_t shift)
{
	int64_t end = a->arrived_ns < to ? a->arrived_ns : to;
	struct held h;
	int64_t still, ahead, most = 4 * (end - c->at);	/* of five */
	bool shut;

	if (end - c->at < SHUT_SLACK)
		return false;
	h = held_of(c->j, bc, c->at, end, st->breq, shift);
	still = bc->target ? spans_within(&bc->target->quiet.still, c->at + shift, end + shift) : 0;
	ahead = st->breq ? ahead_of(bc, st->breq, c->at + shift, end + shift) : 0;
	/*
	 * TCP itself said that its window was shut, or there is no way between the two that could take so long; when it
	 * opens again, that may take its time (an ACK is delayed by up to 40 ms).
	 */
	if (st->req && (conn_was_shut(st->req->conn, c->at, end) || conn_local(st->req->conn)))
		most = 5 * (end - c->at) / 2;
	shut = 5 * (h.total + h.quota + still) >= most || 5 * ahead >= most;
	held_end(&h);
	return shut;
}

/* Its first byte was there long before its last: nobody but its client could tell why. */
static void on_the_way(struct cut *c, struct tl_phase *p)
{
	if (!p || c->b->client || p->ns < PHASE_SLACK || p->name != TL_PHASE_NETWORK)
		return;
	p->cause = TL_CAUSE_NETWORK;
	p->culprit = "or a client that wrote it slowly";
	p->known = weaker(p->known, TL_KNOWN_INFERRED);
}

/*
 * Was the broker at a request that was read before the probe came?  It reads one at a time of a connection; how old
 * that is only its client tells.
 */
static bool before_probe(const struct bconn *bc, const struct conn *conn, int64_t at, int64_t shift)
{
	int64_t since = conn ? conn->connect_ns + shift : at + shift;

	return at + shift < bc->seen_ns && since < bc->trail->cover_from[AT_COVER_REQUEST];
}

/* It came late, and what was ahead of it, or that there is no network, may be what was lost, or not seen. */
static enum tl_phase_name came_late(const struct cut *c, const struct bconn *bc, const struct tl_attempt *a,
				    const struct link_state *st, int64_t shift)
{
	const struct conn *conn = st->req ? st->req->conn : NULL;
	bool blind = may_lack(bc->trail, AT_EV_ANSWER) || may_lack(bc->trail, AT_EV_ARRIVAL) ||
		     before_probe(bc, conn, c->at, shift) || (conn && conn_may_be_local(conn) && !conn_local(conn));

	if (a->arrived_ns - c->at < SHUT_SLACK || !blind)
		return TL_PHASE_NETWORK;
	if (conn && conn_says(conn, c->at, a->arrived_ns) == TL_CAUSE_NETWORK)
		return TL_PHASE_NETWORK;
	return TL_PHASE_UNKNOWN;
}

/* From the client's socket until the broker read it, or `to` when it never did. */
static void until_read(struct cut *c, const struct tl_attempt *a, const struct link_state *st, int64_t to)
{
	const struct bconn *bc = st->breq ? st->breq->bconn : st->req ? st->req->conn->bconn : NULL;
	enum tl_known known = a->read_ns ? a->broker_known : TL_KNOWN_EXACT;
	int64_t shift = st->breq && a->read_ns ? st->breq->read_ns - a->read_ns : 0;
	struct held h;

	if (to > c->limit)
		to = c->limit;
	/* Nor is it known what a broker did after its probe was gone. */
	if (!bc || (!st->breq && requests_until(bc->trail) < c->at + (to - c->at) / 2)) {
		behind_socket(go(c, TL_PHASE_BROKER_SIDE, to, known, a->bound_ns), conn_of(st));
		return;
	}
	if (!a->arrived_ns && !a->read_ns && !a->append_begin_ns && until_acked(c, st, to))
		return;
	if (a->arrived_ns && shut_out(c, bc, a, st, to, shift))
		c->known = weaker(c->known, TL_KNOWN_INFERRED);
	else if (a->arrived_ns)
		on_the_way(c, go(c, came_late(c, bc, a, st, shift), a->arrived_ns, a->broker_known, a->bound_ns));
	if (to <= c->at)
		return;
	h = held_of(c->j, bc, c->at, to, st->breq, shift);
	if (!h.total && !h.quota) {
		bool quick = !a->arrived_ns && a->read_ns && to - c->at < PHASE_SLACK;

		never_read(go(c, quick ? TL_PHASE_NETWORK : unread(a, st), to, known, a->bound_ns), a, st);
		held_end(&h);
		return;
	}
	if (!a->arrived_ns && h.first > c->at + PHASE_SLACK)
		never_read(go(c, unread(a, st), h.first, TL_KNOWN_INFERRED, a->bound_ns), a, st);
	if (a->read_ns && to - h.last > MUTE_SLACK && !h.quota) {
		inherit(c->j, go(c, TL_PHASE_BEHIND, h.last, weaker(known, a->arrived_ns ? TL_KNOWN_EXACT
			: TL_KNOWN_INFERRED), a->bound_ns), &h);
		go(c, TL_PHASE_BROKER_SIDE, to, known, a->bound_ns);
		held_end(&h);
		return;
	}
	if (!a->arrived_ns)
		c->known = weaker(c->known, TL_KNOWN_INFERRED);
	inherit(c->j, go(c, TL_PHASE_BEHIND, to, known, a->bound_ns), &h);
	held_end(&h);
}

/*
 * What the syncs waited for, of the phase that they make up: what lies between them is
 * unexplained; of a phase cut short each part is cut alike.
 */
static void set_parts(struct cut *c, struct tl_phase *p, const struct tl_parts *of)
{
	struct tl_parts *parts;
	int64_t sum = 0;

	if (!p)
		return;
	parts = &c->j->phase_parts[p - c->b->phases];
	*parts = *of;
	if (parts->ns > p->ns)
		for (int i = 0; i < TL_NR_PARTS; i++)
			parts->part[i] = (int64_t)((double)parts->part[i] * (double)p->ns / (double)parts->ns);
	for (int i = 0; i < TL_NR_PARTS; i++)
		sum += parts->part[i];
	for (int i = 0; i < TL_NR_PARTS && sum > p->ns; i++) {	/* rounding */
		int64_t over = sum - p->ns < parts->part[i] ? sum - p->ns : parts->part[i];

		parts->part[i] -= over;
		sum -= over;
	}
	parts->part[TL_PART_UNEXPLAINED] += p->ns - sum;
	parts->ns = p->ns;
	p->parts = parts;
	p->culprit = parts_culprit(c->j, of);
	/* It was awake: nothing that a disk could do about it. */
	if (2 * parts->part[TL_PART_CPU] > p->ns)
		p->cause = TL_CAUSE_BROKER_BUSY;
}

/*
 * The broker had it and did nothing with it that was seen, before its append or after:
 * both take the log's lock (UnifiedLog.append, maybeIncrementHighWatermark), which
 * another's append and sync of the same log may have held.
 */
static void until_lock(struct cut *c, const struct chain *wait, enum tl_phase_name name, int64_t to,
		       enum tl_known known, int64_t bound)
{
	int64_t from = c->at;
	struct tl_phase *p = go(c, name, to < c->limit ? to : c->limit, known, bound);

	/* Cut short by an expiry the question is still who held it until then. */
	if (!p || (p->cause != TL_CAUSE_UNKNOWN && 2 * (c->at - from) < p->ns))
		return;			/* most of it was before */
	p->cause = TL_CAUSE_UNKNOWN;
	p->culprit = NULL;
	if (!wait || 2 * wait->ns < to - from)
		return;
	inherit_chain(c->j, p, wait);
	p->known = weaker(p->known, wait->known);
	/* Cut short it need not be the one that held it the longest of all. */
	if (c->at < to) {
		p->known = weaker(p->known, TL_KNOWN_INFERRED);
		p->culprit = NULL;
		p->chain = NULL;
	}
}

/* What the write waited for; in a journal for whose commit, and what that wrote. */
static void stalled_append(struct cut *c, struct tl_phase *p, const struct tl_attempt *a, const struct link_state *st)
{
	int64_t indexed = append_indexed(st, a);
	struct tl_parts of = a->append;

	if (!p || (!of.ns && !indexed))
		return;
	if (indexed) {
		of.ns = a->append_end_ns - a->append_begin_ns + indexed;
		of.part[st->index.part] += st->index.ns;
		of.seen = true;
		if (st->index.dev)
			parts_on(c->j, st->appender->index, st->index.dev, &of);
	}
	set_parts(c, p, &of);
	if (st->stall && 2 * st->stall->ns >= p->ns)
		inherit_chain(c->j, p, st->stall);
}

/* Never appended, so far: who has the log? */
static void without_append(struct cut *c, const struct link_state *st, const struct tl_attempt *a)
{
	int64_t shift = st->breq->read_ns - a->read_ns;	/* onto the broker's own clock */
	struct chain *wait = lock_wait(c->j, c->jb, st->breq->bconn->trail, c->at + shift, c->limit + shift, false);

	until_lock(c, wait, TL_PHASE_QUEUE, c->limit, TL_KNOWN_EXACT, 0);
	chain_put(wait);
}

/* In the queue that all handlers take from, until one was free. */
static void until_handler(struct cut *c, const struct link_state *st, const struct tl_attempt *a,
			  enum tl_known known, int64_t bound)
{
	int64_t shift = st->breq ? st->breq->read_ns - a->read_ns : 0;
	struct tl_phase *p;

	if (!st->breq || st->handler_ns <= st->breq->read_ns)
		return;
	p = go(c, TL_PHASE_QUEUE, st->handler_ns - shift, weaker(known, TL_KNOWN_INFERRED), bound);
	if (!p)
		return;
	p->cause = st->handler_synced ? TL_CAUSE_LEADER_FSYNC : TL_CAUSE_BROKER_BUSY;
	p->culprit = st->handler_synced ? st->handler_culprit : NULL;
}

/* Its request's other batches are appended and synced by the same thread, before it or after. */
static void beside_others(struct cut *c, uint32_t first, const struct link_state *st, const struct tl_attempt *a)
{
	const struct breq *r = st->breq;
	int64_t theirs = r ? r->fsync_ns - a->sync.ns - a->index.ns : 0, wait = 0;
	struct tl_phase *longest = NULL;

	for (uint32_t i = first; i < c->b->nr_phases && theirs > 0; i++) {
		struct tl_phase *p = &c->b->phases[i];

		if (p->begin_ns < a->read_ns || (p->name != TL_PHASE_QUEUE && p->name != TL_PHASE_BROKER_SIDE))
			continue;
		wait += p->ns;
		if (!longest || p->ns > longest->ns)
			longest = p;
	}
	if (!longest || 2 * theirs < wait || (longest->cause != TL_CAUSE_UNKNOWN && longest->cause != TL_CAUSE_BROKER_SIDE))
		return;
	longest->cause = TL_CAUSE_LEADER_FSYNC;
	longest->culprit = r->culprit;
}

/* An answer lay there most of the time, and nobody of the client took it: one of its threads had no CPU. */
static void not_read(struct cut *c, struct tl_phase *p, const struct conn *conn)
{
	int64_t end = p->begin_ns + p->ns;
	bool there = 2 * spans_within(&c->jb->trail->quiet.unread, p->begin_ns, end) >= p->ns ||
		     (p->name == TL_PHASE_RESPONSE && conn && conn_local(conn));

	if (!there || p->cause == TL_CAUSE_STARVED || !cpu_any_starved(c->j, c->jb->trail, p->begin_ns, end))
		return;
	phase_starved(p);
	p->known = weaker(p->known, TL_KNOWN_INFERRED);
}

/* What only the broker, or only the client, could have done and did not: one of them stood still? */
static void stood_still(struct cut *c, uint32_t first, const struct link_state *st, const struct tl_attempt *a)
{
	const struct bconn *bc = st->breq ? st->breq->bconn : st->req ? st->req->conn->bconn : NULL;
	int64_t shift = st->breq && a->read_ns ? st->breq->read_ns - a->read_ns : 0;
	uint32_t tid = conn_of(st) ? conn_of(st)->tid : 0;

	for (uint32_t i = first; i < c->b->nr_phases; i++) {
		struct tl_phase *p = &c->b->phases[i];

		if (p->name == TL_PHASE_BROKER_SIDE || p->name == TL_PHASE_BEHIND || p->name == TL_PHASE_QUEUE)
			quiet_phase(p, bc, shift);
		if (p->name == TL_PHASE_BEHIND)
			inherit_backlog(c->j, p, st->breq, shift);
		if (p->name == TL_PHASE_RESPONSE || (p->name == TL_PHASE_BROKER_SIDE && !bc)) {
			quiet_client(c->jb->trail, p);
			cpu_answer(c->j, c->jb->trail, tid, p);
			not_read(c, p, conn_of(st));
		}
		if (p->name == TL_PHASE_SOCKET)
			cpu_phase(c->j, c->jb->trail, tid, p);
	}
}

/* Written by the broker, and not yet read: by the network, or by a client that did not look? */
static void until_response(struct cut *c, const struct link_state *st, const struct tl_attempt *a)
{
	const struct conn *conn = st->req ? st->req->conn : NULL;
	int64_t end = a->response_read_ns && a->response_read_ns < c->limit ? a->response_read_ns : c->limit;
	struct tl_phase *p = go_exact(c, TL_PHASE_RESPONSE, end);

	if (!p || !conn)
		return;
	if (!conn_may_be_local(conn) && conn_read_on(conn, p->begin_ns, end))
		p->cause = TL_CAUSE_NETWORK;
	else if (conn_says(conn, p->begin_ns, end) == TL_CAUSE_NETWORK)
		p->cause = TL_CAUSE_NETWORK;	/* what was sent meanwhile was not acknowledged */
	else if (!a->response_read_ns && !conn_may_be_local(conn) && conn_alive(conn, p->begin_ns + READ_SLACK + a->bound_ns, end))
		p->cause = TL_CAUSE_NETWORK;	/* it was never there, for a client that was at that socket again */
}

static const char *broker_name(struct join *j, int32_t broker)
{
	char text[24];

	return join_intern(j, text, (size_t)snprintf(text, sizeof(text), "broker %d", broker));
}

/* Followers that were seen to append only after the leader held it up: those that it waited for. */
static void until_followers(struct cut *c, const struct link_state *st, const struct tl_attempt *a,
			    enum tl_known known, int64_t bound)
{
	for (uint32_t k = 0; acks_of(st) < 0 && k < c->b->nr_replicas; k++) {
		const struct tl_replica *r = &c->b->replicas[k];
		int64_t until = r->append_ns, written = a->response_written_ns;
		struct tl_phase *p;

		/* A copy behind the answer is of one that was not in sync. */
		if (written && until - r->bound_ns - bound > written)
			continue;
		if (r->sync_end_ns > until && (!written || r->sync_end_ns - r->bound_ns - bound <= written))
			until = r->sync_end_ns;
		if (written && until > written)
			until = written;
		p = until > c->at ? go(c, TL_PHASE_REPLICATION, until, weaker(known, r->known),
				       r->bound_ns > bound ? r->bound_ns : bound) : NULL;
		if (p && r->broker >= 0)
			p->culprit = broker_name(c->j, r->broker);
	}
}

void phases_attempt(struct cut *c, uint32_t i, int64_t limit)
{
	struct tl_attempt *a = &c->b->attempts[i];
	const struct link_state *st = &c->jb->state[i];
	int64_t keep = c->limit, bound = a->bound_ns;
	enum tl_known known = a->broker_known;
	uint32_t first = c->b->nr_phases;
	struct tl_phase *p;

	c->attempt = a->n;
	if (limit < c->limit)
		c->limit = limit;
	p = go_exact(c, TL_PHASE_SOCKET, a->write_end_ns);
	if (p && p->ns > PHASE_SLACK)
		inherit_from_peer(c->j, p, c->jb->peer);
	hear_tcp(p, conn_of(st));
	if (a->read_ns)
		until_read(c, a, st, a->read_ns);
	else if (a->append_begin_ns || !a->response_read_ns)
		until_read(c, a, st, a->append_begin_ns ? a->append_begin_ns : c->limit);
	if (a->append_begin_ns) {
		until_handler(c, st, a, known, bound);
		until_lock(c, st->lock, a->read_ns ? TL_PHASE_QUEUE : TL_PHASE_BROKER_SIDE, a->append_begin_ns,
			   known, bound);
		/* What the broker does between the write and its sync is part of appending. */
		p = go(c, TL_PHASE_APPEND, a->sync_begin_ns ? a->sync_begin_ns : a->append_end_ns + append_indexed(st, a),
		       known, bound);
		stalled_append(c, p, a, st);
		p = go(c, TL_PHASE_FSYNC, a->sync_end_ns, known, bound);
		set_parts(c, p, &a->sync);
		p = go(c, TL_PHASE_INDEX, a->index_end_ns, known, bound);
		set_parts(c, p, &a->index);
		until_followers(c, st, a, known, bound);
	} else if (a->read_ns && !a->answered && st->breq && !st->breq->answered_ns) {
		without_append(c, st, a);
	}
	if (a->response_written_ns) {
		until_lock(c, st->after, TL_PHASE_BROKER_SIDE, a->response_written_ns, known, bound);
		until_response(c, st, a);
	} else {
		p = go_exact(c, TL_PHASE_BROKER_SIDE, a->response_read_ns ? a->response_read_ns : c->limit);
		if (!a->read_ns && !a->append_begin_ns)
			behind_socket(p, conn_of(st));
	}
	if (a->answered && cause_of_error(a->error_code) == TL_CAUSE_NO_LEADER)
		for (uint32_t k = first; k < c->b->nr_phases; k++)
			if (c->b->phases[k].name == TL_PHASE_REPLICATION || c->b->phases[k].name == TL_PHASE_BROKER_SIDE)
				c->b->phases[k].cause = TL_CAUSE_NO_LEADER;	/* until it was told so */
	beside_others(c, first, st, a);
	stood_still(c, first, st, a);
	c->limit = keep;
}
