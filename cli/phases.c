/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>
#include "join_int.h"
#include "phases.h"

/* The saw: where it stands, how far it may go, how sure the last cut was. */
struct cut {
	struct join *j;
	struct jbatch *jb;
	struct tl_batch *b;
	int64_t	 at, limit, bound;
	enum tl_known known;
	uint32_t attempt;
};

static enum tl_known weaker(enum tl_known a, enum tl_known b)
{
	return a < b ? a : b;
}

/* Everything from here to `until` is `name`; NULL when that is nothing. */
static struct tl_phase *go(struct cut *c, enum tl_phase_name name, int64_t until,
			   enum tl_known known, int64_t bound)
{
	struct tl_batch *b = c->b;
	struct tl_phase *p;

	if (!until)
		return NULL;
	if (until > c->limit) {
		until = c->limit;
		known = TL_KNOWN_EXACT;
		bound = 0;
	}
	if (until <= c->at)
		return NULL;
	p = b->nr_phases ? &b->phases[b->nr_phases - 1] : NULL;
	if (p && ((p->name == name && p->attempt == c->attempt) || b->nr_phases == TL_MAX_PHASES)) {
		p->ns += until - c->at;
		p->known = weaker(p->known, known);
	} else {
		p = &b->phases[b->nr_phases++];
		*p = (struct tl_phase){ .name = name, .attempt = c->attempt, .begin_ns = c->at,
					.ns = until - c->at, .known = weaker(c->known, known) };
	}
	if (name == TL_PHASE_UNKNOWN)
		p->known = TL_KNOWN_UNKNOWN;
	p->bound_ns = p->known == TL_KNOWN_ACROSS ? (bound > c->bound ? bound : c->bound) : 0;
	c->at = until;
	c->known = known;
	c->bound = bound;
	return p;
}

static struct tl_phase *go_exact(struct cut *c, enum tl_phase_name name, int64_t until)
{
	return go(c, name, until, TL_KNOWN_EXACT, 0);
}

/* ---- before and between attempts ---------------------------------------------------- */

/* What TCP said while it waited: the client alone cannot tell more. */
static void hear_tcp(struct tl_phase *p, const struct conn *conn)
{
	if (p && conn && p->cause == TL_CAUSE_UNKNOWN)
		p->cause = conn_says(conn, p->begin_ns, p->begin_ns + p->ns);
}

struct slice { enum tl_phase_name name; enum tl_cause cause; const struct conn *conn; int64_t since, until; bool found; };

static void slice_look(const struct spans *s, enum tl_phase_name name, int64_t at,
		       struct slice *best)
{
	uint32_t n = s->nr < JOIN_SPANS ? s->nr : JOIN_SPANS;

	if (s->open_since) {
		if (s->open_since <= at && !best->found) {
			best->found = true;
			best->name = name;
			best->cause = s->open_cause;
			best->conn = s->open_conn;
			best->since = s->open_conn_since;
		} else if (s->open_since > at && s->open_since < best->until) {
			best->until = s->open_since;
		}
	}
	for (uint32_t i = 0; i < n; i++) {
		int64_t begin = s->iv[i].begin, end = s->iv[i].end;

		if (begin <= at && at < end) {
			if (!best->found) {
				best->found = true;
				best->name = name;
				best->cause = s->iv[i].cause;
				best->conn = s->iv[i].conn;
				best->since = s->iv[i].since;
			}
			if (end < best->until)
				best->until = end;
		} else if (begin > at && begin < best->until) {
			best->until = begin;
		}
	}
}

/* Why it was not being sent until `to`, as far as the connection's history tells. */
static void wait_for(struct cut *c, const struct peer *peer, int64_t to, enum tl_phase_name other)
{
	if (to > c->limit)
		to = c->limit;
	while (c->at < to) {
		struct slice s = { .name = other, .until = to };
		int64_t at = c->at;
		struct tl_phase *p;

		if (peer) {
			slice_look(&peer->down, TL_PHASE_BROKER_DOWN, c->at, &s);
			slice_look(&peer->shaking, TL_PHASE_BROKER_DOWN, c->at, &s);
			if (c->jb->inst)
				slice_look(&c->jb->inst->no_id, TL_PHASE_BROKER_DOWN, c->at, &s);
			if (c->jb->inst)
				slice_look(&c->jb->inst->prelude, TL_PHASE_BROKER_DOWN, c->at, &s);
			slice_look(&peer->full, TL_PHASE_WINDOW, c->at, &s);
			slice_look(&peer->busy, TL_PHASE_BACKPRESSURE, c->at, &s);
		} else if (c->jb->inst) {
			slice_look(&c->jb->inst->no_broker, TL_PHASE_BROKER_DOWN, c->at, &s);
			slice_look(&c->jb->inst->prelude, TL_PHASE_BROKER_DOWN, c->at, &s);
		}
		/* A moment between two reasons belongs to the one before. */
		if (!s.found && s.until - c->at < PHASE_SLACK && c->b->nr_phases &&
		    c->b->phases[c->b->nr_phases - 1].attempt == c->attempt)
			s.name = c->b->phases[c->b->nr_phases - 1].name;
		p = go(c, s.name, s.until, s.name == TL_PHASE_UNKNOWN ? TL_KNOWN_EXACT
								      : TL_KNOWN_INFERRED, 0);
		if (!p || !s.found || s.name != TL_PHASE_BROKER_DOWN)
			continue;
		/* Merged with a slice before it: the longer one says why. */
		if (p->cause == TL_CAUSE_UNKNOWN || 2 * (c->at - at) > p->ns) {
			p->cause = s.cause;
			p->culprit = s.cause == TL_CAUSE_COLD_START ? cold_text(c->j, c->jb->inst) : NULL;
			if (s.conn)
				inherit_from_conn(c->j, p, s.conn, s.since, s.conn->end_ns);
		}
	}
	for (uint32_t i = 0; peer && i < c->b->nr_phases; i++) {
		struct tl_phase *p = &c->b->phases[i];

		if (p->cause == TL_CAUSE_UNKNOWN &&
		    (p->name == TL_PHASE_WINDOW || p->name == TL_PHASE_BACKPRESSURE))
			inherit_from_peer(c->j, p, peer);
		if (p->name == TL_PHASE_BACKPRESSURE)
			hear_tcp(p, peer->last);
	}
}

static void before_send(struct cut *c, int64_t until)
{
	const struct tl_batch *b = c->b;
	const struct tl_producer *p = &b->producer;
	enum tl_known known = b->created_inferred ? TL_KNOWN_INFERRED : TL_KNOWN_EXACT;
	int64_t lingered = until;

	if (p->linger_us || p->instance)
		lingered = b->created_first_ns + (int64_t)p->linger_us * 1000;
	else if (b->created_last_ns)
		lingered = b->created_last_ns;
	/* Full before its time: it could have gone when the last message came. */
	if (p->batch_messages && b->count >= p->batch_messages && b->created_last_ns &&
	    b->created_last_ns < lingered)
		lingered = b->created_last_ns;
	if (lingered < c->at)
		lingered = c->at;
	if (until - lingered < WAKE_SLACK)
		lingered = until;
	go(c, TL_PHASE_LINGER, lingered, lingered == until ? TL_KNOWN_EXACT : known, 0);
	wait_for(c, c->jb->peer, until, TL_PHASE_UNKNOWN);
}

/* ---- one attempt ------------------------------------------------------------------ */

/* Not read although nothing was ahead of it: on the broker's host, or not even there? */
static enum tl_phase_name unread(const struct tl_attempt *a, const struct link_state *st)
{
	if (a->arrived_ns || !a->read_ns || (st->req && conn_local(st->req->conn)))
		return TL_PHASE_BROKER_SIDE;
	return TL_PHASE_UNKNOWN;
}

/* From the client's socket until the broker read it, or `to` when it never did. */
static void until_read(struct cut *c, const struct tl_attempt *a, const struct link_state *st, int64_t to)
{
	const struct bconn *bc = st->breq ? st->breq->bconn : st->req ? st->req->conn->bconn : NULL;
	enum tl_known known = a->read_ns ? a->broker_known : TL_KNOWN_EXACT;
	int64_t shift = st->breq && a->read_ns ? st->breq->read_ns - a->read_ns : 0;
	struct tl_phase *p;
	struct held h;

	if (to > c->limit)
		to = c->limit;
	if (!bc) {
		p = go(c, TL_PHASE_BROKER_SIDE, to, known, a->bound_ns);
		hear_tcp(p, st->req ? st->req->conn : NULL);
		return;
	}
	if (a->arrived_ns)
		go(c, TL_PHASE_NETWORK, a->arrived_ns, a->broker_known, a->bound_ns);
	if (to <= c->at)
		return;
	h = held_of(c->j, bc, c->at, to, st->breq, shift);
	if (!h.total && !h.quota) {
		bool quick = !a->arrived_ns && a->read_ns && to - c->at < PHASE_SLACK;

		go(c, quick ? TL_PHASE_NETWORK : unread(a, st), to, known, a->bound_ns);
		return;
	}
	if (!a->arrived_ns && h.first > c->at + PHASE_SLACK)
		go(c, unread(a, st), h.first, TL_KNOWN_INFERRED, a->bound_ns);
	if (a->read_ns && to - h.last > MUTE_SLACK && !h.quota) {
		inherit(go(c, TL_PHASE_BEHIND, h.last, weaker(known, a->arrived_ns ? TL_KNOWN_EXACT
			: TL_KNOWN_INFERRED), a->bound_ns), &h);
		go(c, TL_PHASE_BROKER_SIDE, to, known, a->bound_ns);
		return;
	}
	if (!a->arrived_ns)
		c->known = weaker(c->known, TL_KNOWN_INFERRED);
	inherit(go(c, TL_PHASE_BEHIND, to, known, a->bound_ns), &h);
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
}

/*
 * The broker had it and did nothing with it that was seen, before its append or after:
 * both take the log's lock (UnifiedLog.append, maybeIncrementHighWatermark), which
 * another's append and sync of the same log may have held.
 */
static void until_lock(struct cut *c, const struct link_state *st, const struct tl_attempt *a,
		       enum tl_phase_name name, int64_t to, bool handed_over, enum tl_known known,
		       int64_t bound)
{
	const char *culprit = NULL;
	int64_t shift = st->breq->read_ns - a->read_ns;	/* onto the broker's own clock */
	int64_t end = to < c->limit ? to : c->limit, from = c->at;
	int64_t held = plog_held(c->j, c->jb, st->breq->bconn->trail, from + shift, to + shift,
				 handed_over, &culprit);
	struct tl_phase *p;

	/* Cut short by an expiry the question is still who held it until then. */
	p = go(c, name, end, known, bound);
	if (!p || 2 * held < to - from)
		return;
	p->known = weaker(p->known, TL_KNOWN_INFERRED);
	p->cause = TL_CAUSE_LEADER_FSYNC;
	p->culprit = culprit;
}

/* Written by the broker, and not yet read: by the network, or by a client that did not look? */
static void until_response(struct cut *c, const struct link_state *st, int64_t to)
{
	const struct conn *conn = st->req ? st->req->conn : NULL;
	int64_t end = to < c->limit ? to : c->limit;
	struct tl_phase *p = go_exact(c, TL_PHASE_RESPONSE, to);

	if (p && conn && !conn_local(conn) && conn_read_on(conn, p->begin_ns, end))
		p->cause = TL_CAUSE_NETWORK;
}

static void attempt(struct cut *c, uint32_t i, int64_t limit)
{
	struct tl_attempt *a = &c->b->attempts[i];
	const struct link_state *st = &c->jb->state[i];
	int64_t keep = c->limit, bound = a->bound_ns;
	enum tl_known known = a->broker_known;
	struct tl_phase *p;

	c->attempt = a->n;
	if (limit < c->limit)
		c->limit = limit;
	p = go_exact(c, TL_PHASE_SOCKET, a->write_end_ns);
	if (p && p->ns > PHASE_SLACK)
		inherit_from_peer(c->j, p, c->jb->peer);
	hear_tcp(p, st->req ? st->req->conn : NULL);
	if (a->read_ns)
		until_read(c, a, st, a->read_ns);
	else if (a->append_begin_ns || !a->response_read_ns)
		until_read(c, a, st, a->append_begin_ns ? a->append_begin_ns : c->limit);
	if (a->append_begin_ns) {
		if (a->read_ns && c->at < c->limit && a->append_begin_ns > c->at)
			until_lock(c, st, a, TL_PHASE_QUEUE, a->append_begin_ns, true, known, bound);
		else
			go(c, a->read_ns ? TL_PHASE_QUEUE : TL_PHASE_BROKER_SIDE, a->append_begin_ns, known, bound);
		/* What the broker does between the write and its sync is part of appending. */
		go(c, TL_PHASE_APPEND, a->sync_begin_ns ? a->sync_begin_ns : a->append_end_ns, known, bound);
		p = go(c, TL_PHASE_FSYNC, a->sync_end_ns, known, bound);
		set_parts(c, p, &a->sync);
		p = go(c, TL_PHASE_INDEX, a->index_end_ns, known, bound);
		set_parts(c, p, &a->index);
		/* Followers that were seen to append only after the leader held it up. */
		for (uint32_t k = 0; k < c->b->nr_replicas; k++)
			if (c->b->replicas[k].append_ns > c->at)
				go(c, TL_PHASE_REPLICATION, c->b->replicas[k].append_ns, known, bound);
	} else if (a->read_ns && !a->answered && st->breq && !st->breq->answered_ns) {
		until_lock(c, st, a, TL_PHASE_QUEUE, c->limit, false, TL_KNOWN_EXACT, 0);
	}
	if (a->response_written_ns) {
		if (a->append_begin_ns && a->read_ns && st->breq && a->response_written_ns > c->at)
			until_lock(c, st, a, TL_PHASE_BROKER_SIDE, a->response_written_ns, true, known, bound);
		else
			go(c, TL_PHASE_BROKER_SIDE, a->response_written_ns, known, bound);
		until_response(c, st, a->response_read_ns ? a->response_read_ns : c->limit);
	} else {
		p = go_exact(c, TL_PHASE_BROKER_SIDE, a->response_read_ns ? a->response_read_ns : c->limit);
		if (!a->read_ns && !a->append_begin_ns)
			hear_tcp(p, st->req ? st->req->conn : NULL);
	}
	c->limit = keep;
}

static enum tl_cause cause_of_error(int16_t code)
{
	switch (code) {
	case 0:  return TL_CAUSE_UNKNOWN;
	case 3: case 5: case 6: case 9: case 74: case 100:
		return TL_CAUSE_NO_LEADER;
	case 45: case 47: case 59:
		return TL_CAUSE_IDEMPOTENCE;
	default: return TL_CAUSE_BROKER_ERROR;
	}
}

/* It has to be sent again because of what became of `a`. */
static void until_next(struct cut *c, const struct tl_attempt *a, int64_t until)
{
	const struct tl_phase *why = NULL;
	enum tl_cause cause = a->answered ? cause_of_error(a->error_code) : TL_CAUSE_UNKNOWN;
	struct tl_batch *b = c->b;
	uint32_t n = b->nr_phases;

	/* Not answered: what held that attempt longest. */
	for (uint32_t i = 0; i < n && !a->answered; i++)
		if (b->phases[i].begin_ns >= a->write_begin_ns && (!why || b->phases[i].ns > why->ns))
			why = &b->phases[i];
	if (why)
		cause = verdict_phase_cause(b, why);
	wait_for(c, c->jb->peer, until, TL_PHASE_RETRY);
	for (; n < b->nr_phases; n++)
		if (b->phases[n].name == TL_PHASE_RETRY) {
			b->phases[n].cause = cause;
			b->phases[n].culprit = why ? why->culprit : NULL;
		}
}

/*
 * The first message went out in other batches before, whose messages were regrouped:
 * as far as that batch's clients know.  False when it did not.
 */
static bool carried_before(struct cut *c, const struct jbatch *jb, int64_t until)
{
	const struct past *at[16];
	uint32_t n = 0;

	for (uint32_t i = 0; i < jb->nr_past && n < 16; i++) {
		const struct past *p = &jb->past[i];
		uint32_t k = n;

		if (p->first_ts > jb->b.first_ts_ms || p->max_ts < jb->b.first_ts_ms ||
		    p->write_begin_ns < c->at || p->write_begin_ns >= until)
			continue;
		for (; k && at[k - 1]->write_begin_ns > p->write_begin_ns; k--)
			at[k] = at[k - 1];
		at[k] = p;
		n++;
	}
	for (uint32_t i = 0; i < n; i++) {
		int64_t next = i + 1 < n ? at[i + 1]->write_begin_ns : until;
		int64_t end = at[i]->end_ns && at[i]->end_ns < next ? at[i]->end_ns : next;
		struct tl_attempt a = { .write_begin_ns = at[i]->write_begin_ns,
					.answered = at[i]->error_code != 0, .error_code = at[i]->error_code };

		if (!i)
			before_send(c, a.write_begin_ns);
		go_exact(c, TL_PHASE_SOCKET, at[i]->write_end_ns < end ? at[i]->write_end_ns : end);
		inherit_from_conn(c->j, go_exact(c, TL_PHASE_BROKER_SIDE, end),
				  conn_find(c->j, jb->trail->index, at[i]->conn), at[i]->write_end_ns, end);
		until_next(c, &a, next);
	}
	return n > 0;
}

/* ---- the whole life ------------------------------------------------------------------ */

static void of_client(struct cut *c)
{
	struct tl_batch *b = c->b;

	if (!b->created_first_ns) {
		/* No ack told it.  A CreateTime is the app's word, to the millisecond. */
		int64_t ts = b->first_ts_ms * JOIN_MS, first = b->nr_attempts ? b->attempts[0].write_begin_ns : 0;

		b->created_inferred = true;
		b->created_first_ns = ts > 0 && ts <= first && first - ts < 600000 * JOIN_MS ? ts : first;
	}
	if (!b->created_first_ns || b->created_first_ns > b->end_ns)
		b->created_first_ns = b->end_ns;
	c->at = b->created_first_ns;
	c->known = b->created_inferred ? TL_KNOWN_INFERRED : TL_KNOWN_EXACT;
	if (b->blocked_ns > 0) {
		c->at -= b->blocked_ns;
		go(c, TL_PHASE_BLOCKED, b->created_first_ns, TL_KNOWN_EXACT, 0);
	}
	if (!b->nr_attempts) {
		if (!b->sent)
			before_send(c, c->limit);
		else
			go(c, TL_PHASE_UNKNOWN, c->limit, TL_KNOWN_EXACT, 0);
	} else if (!carried_before(c, c->jb, b->attempts[0].write_begin_ns)) {
		before_send(c, b->attempts[0].write_begin_ns);
	}
	for (uint32_t i = 0; i < b->nr_attempts && i <= b->counted; i++) {
		const struct tl_attempt *a = &b->attempts[i], *next = i < b->counted ? a + 1 : NULL;
		int64_t end = c->limit;

		if (next && next->write_begin_ns && next->write_begin_ns < end)
			end = next->write_begin_ns;
		if (a->ended_ns && a->ended_ns < end)
			end = a->ended_ns;
		attempt(c, i, end);
		if (!next && (b->outcome == TL_OUTCOME_ACKED || a->answered) && !a->error_code)
			break;
		/* Until the next attempt, or until it was given up. */
		c->attempt = 0;
		until_next(c, a, next ? next->write_begin_ns : c->limit);
	}
	c->attempt = 0;
	if (b->outcome == TL_OUTCOME_ACKED && b->acked_ns) {
		if (b->acked_ns - c->at < PHASE_SLACK && b->nr_phases) {
			struct tl_phase *p = &b->phases[b->nr_phases - 1];

			c->attempt = p->attempt;
			go(c, p->name, b->acked_ns, TL_KNOWN_EXACT, 0);
			c->attempt = 0;
		} else {
			go(c, TL_PHASE_UNKNOWN, b->acked_ns, TL_KNOWN_EXACT, 0);
		}
	}
	go(c, TL_PHASE_UNKNOWN, c->limit, TL_KNOWN_EXACT, 0);
	c->limit = b->end_ns;
	go(c, TL_PHASE_CALLBACK, c->limit, TL_KNOWN_EXACT, 0);
}

/* A client that nobody witnessed: the broker's half. */
static void of_broker(struct cut *c)
{
	struct tl_batch *b = c->b;
	struct tl_attempt *a = b->nr_attempts ? &b->attempts[0] : NULL;

	if (!a)
		return;
	c->at = a->arrived_ns ? a->arrived_ns : a->read_ns ? a->read_ns : a->append_begin_ns;
	if (a->response_written_ns > c->limit)
		c->limit = a->response_written_ns;
	if (a->index_end_ns > c->limit)
		c->limit = a->index_end_ns;
	if (a->sync_end_ns > c->limit)
		c->limit = a->sync_end_ns;
	b->end_ns = b->resolved_ns = c->limit;
	if (!c->at || c->at > c->limit)
		c->at = c->limit;
	b->created_first_ns = c->at;
	c->known = TL_KNOWN_EXACT;
	attempt(c, 0, c->limit);
}

void phases_of(struct join *j, struct jbatch *jb)
{
	struct cut c = { .j = j, .jb = jb, .b = &jb->b, .limit = jb->b.end_ns };
	bool client = jb->b.client;

	jb->b.nr_phases = 0;
	/* The callback comes after everything else. */
	if (client && jb->b.callback_ns && jb->b.ended_ns && jb->b.ended_ns < c.limit)
		c.limit = jb->b.ended_ns;
	if (client)
		of_client(&c);
	else
		of_broker(&c);
	/* The wait inside produce() is part of the batch's life. */
	if (jb->b.blocked_ns > 0)
		jb->b.created_first_ns -= jb->b.blocked_ns;
}
