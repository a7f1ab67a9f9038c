/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * phases_wait.c - before and between attempts: why a batch was not being sent, as far as
 * the history of its broker, as that instance saw it, tells.
 */
#include <stdio.h>
#include "phases_int.h"

#define LOCKED		(100 * JOIN_MS)	/* no lock is held so long by a thread that runs */
#define MAX_CARRIED	64u	/* attempts with a message of another batch before it was in this one */

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

/* Down for no other reason that is known: does nobody answer? */
static void unanswered(const struct join *j, const struct peer *peer, int64_t at, struct slice *s)
{
	struct slice k = { .until = s->until };

	if (s->found && s->cause != TL_CAUSE_UNKNOWN && s->cause != TL_CAUSE_COLD_START)
		return;
	if (peer->connecting.open_since && j->now - peer->connecting.open_since < SYN_AGAIN)
		return;
	slice_look(&peer->connecting, TL_PHASE_BROKER_DOWN, at, &k);
	s->until = k.until;
	if (!k.found)
		return;
	s->found = true;
	s->name = k.name;
	s->cause = k.cause;
	s->conn = NULL;
}

/* Nobody knows who leads its partition, but all that might are down. */
static void every_broker(const struct cut *c, struct slice *best)
{
	struct slice all = { .until = best->until };
	struct peer *p, *tmp;
	bool any = false;

	HASH_ITER(hh, c->j->peers, p, tmp) {
		if (p->key.trail != c->jb->inst->key.trail || p->key.conn != c->jb->inst->key.id ||
		    p->key.corr & 0x80000000u)
			continue;
		struct slice s = { .until = all.until };

		slice_look(&p->down, TL_PHASE_BROKER_DOWN, c->at, &s);
		if (!s.found)
			return;
		/* The library tries only those that it needs: of the others there is no cause. */
		if (!any || all.cause == TL_CAUSE_UNKNOWN || all.cause == TL_CAUSE_COLD_START)
			all = s;
		all.until = s.until;
		any = true;
	}
	if (any && !best->found)
		*best = all;
}

/* Recovering: until the last request in flight had come back. */
static const char *drained(struct join *j, const struct conn *c)
{
	char text[80];
	int n = c->broker >= 0 ? snprintf(text, sizeof(text), "broker %d: its answer ended the wait for all in flight",
					  c->broker) : 0;

	return n > 0 ? join_intern(j, text, (size_t)n) : NULL;
}

/* Nothing held it but its thread, which had no CPU most of the time, by the kernel's word. */
static bool no_cpu(struct cut *c, const struct peer *peer, int64_t until)
{
	struct tl_phase *p;

	/* Or slept meanwhile, for a lock of another that had none. */
	if (!peer->ever_up || (!cpu_starved(c->j, c->jb->trail, peer->tid, c->at, until) &&
			       (until - c->at < LOCKED || !cpu_any_starved(c->j, c->jb->trail, c->at, until))))
		return false;
	p = go(c, TL_PHASE_UNSENT, until, TL_KNOWN_INFERRED, 0);
	if (p)
		p->cause = TL_CAUSE_STARVED;
	return true;
}

/* Why it was not being sent until `to`, as far as the connection's history tells. */
static void wait_for(struct cut *c, const struct peer *peer, int64_t to, enum tl_phase_name other)
{
	const struct inst *in = inst_of_batch(c->jb);

	if (to > c->limit)
		to = c->limit;
	while (c->at < to) {
		struct slice s = { .name = other, .until = to };
		int64_t at = c->at;
		struct tl_phase *p;
		bool down, shaking = false, starved = false, again = false;

		if (peer) {
			slice_look(&peer->down, TL_PHASE_BROKER_DOWN, c->at, &s);
			unanswered(c->j, peer, c->at, &s);
			down = s.found;
			slice_look(&peer->shaking, TL_PHASE_BROKER_DOWN, c->at, &s);
			shaking = s.found && !down;
			if (c->jb->inst)
				slice_look(&c->jb->inst->no_id, TL_PHASE_BROKER_DOWN, c->at, &s);
			if (in)
				slice_look(&in->prelude, TL_PHASE_BROKER_DOWN, c->at, &s);
			/* Room or not, it would send nothing. */
			if (c->jb->inst)
				slice_look(&c->jb->inst->drain, TL_PHASE_BROKER_DOWN, c->at, &s);
			slice_look(&peer->full, TL_PHASE_WINDOW, c->at, &s);
			slice_look(&peer->busy, TL_PHASE_BACKPRESSURE, c->at, &s);
			if (c->jb->part && c->jb->part->full)
				slice_look(c->jb->part->full, TL_PHASE_WINDOW, c->at, &s);
			again = !s.found;
			if (c->jb->part && c->jb->part->again)
				slice_look(c->jb->part->again, TL_PHASE_RETRY, c->at, &s);
			again &= s.found;
			starved = !s.found;
			/* Of all of it the kernel may say what single waits that ended late do not add up to. */
			if (starved && s.name == TL_PHASE_UNKNOWN && no_cpu(c, peer, s.until))
				continue;
			slice_look(&peer->late, TL_PHASE_UNSENT, c->at, &s);
			starved &= s.found;
			/* A thread that came late, and even then did not send it, had another reason. */
			if (starved && to - s.until > WAKE_SLACK) {
				starved = s.found = false;
				s.name = other;
			}
		} else if (c->jb->inst) {
			slice_look(&c->jb->inst->no_broker, TL_PHASE_BROKER_DOWN, c->at, &s);
			every_broker(c, &s);
			slice_look(&c->jb->inst->prelude, TL_PHASE_BROKER_DOWN, c->at, &s);
		}
		/* A moment between two reasons belongs to the one before. */
		if (!s.found && s.until - c->at < PHASE_SLACK && c->b->nr_phases &&
		    c->b->phases[c->b->nr_phases - 1].attempt == c->attempt)
			s.name = c->b->phases[c->b->nr_phases - 1].name;
		/* A poll for room that ended late, with room: by its thread, or by the socket? */
		if (s.found && s.name == TL_PHASE_BACKPRESSURE && no_cpu(c, peer, s.until))
			continue;
		if (!s.found && s.name == TL_PHASE_UNKNOWN && peer && peer->ever_up &&
		    !wire_alone(c->jb) && quiet_unsent(c->jb->trail, c->at, s.until)) {
			p = go(c, TL_PHASE_UNSENT, s.until, TL_KNOWN_INFERRED, 0);
			if (p)
				p->cause = TL_CAUSE_STARVED;
			continue;
		}
		p = go(c, s.name, s.until, s.name == TL_PHASE_UNKNOWN ? TL_KNOWN_EXACT
								      : TL_KNOWN_INFERRED, 0);
		if (p && (starved || again))
			p->cause = starved ? TL_CAUSE_STARVED : s.cause;
		if (p && again && s.conn)
			inherit_from_conn(c->j, p, s.conn, s.since, s.conn->end_ns);
		if (!p || !s.found || s.name != TL_PHASE_BROKER_DOWN)
			continue;
		if (shaking)
			s.cause = peer_says(c->j, peer, at, c->at);
		/* Merged with a slice before it: the longer one says why. */
		if (p->cause == TL_CAUSE_UNKNOWN || 2 * (c->at - at) > p->ns) {
			p->cause = s.cause;
			p->culprit = s.cause == TL_CAUSE_COLD_START ? cold_text(c->j, in) : NULL;
			if (s.conn && s.cause == TL_CAUSE_IDEMPOTENCE)
				p->culprit = drained(c->j, s.conn);
			else if (s.conn)
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

void before_send(struct cut *c, int64_t until)
{
	const struct tl_batch *b = c->b;
	const struct tl_producer *p = &b->producer;
	enum tl_known known = b->created_inferred ? TL_KNOWN_INFERRED : TL_KNOWN_EXACT;
	int64_t lingered = until;

	if (wire_alone(c->jb) && !may_lack(c->jb->trail, AT_EV_INSTANCE)) {
		wait_for(c, c->jb->peer, until, may_linger(c->jb, until - c->at) ? TL_PHASE_LINGER : TL_PHASE_UNKNOWN);
		return;
	}
	if (p->linger_us || p->instance)
		lingered = b->created_first_ns + (int64_t)p->linger_us * 1000;
	else if (may_lack(c->jb->trail, AT_EV_INSTANCE))
		lingered = 0;			/* how long it may linger was lost, maybe */
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

enum tl_cause cause_of_error(int16_t code)
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
void until_next(struct cut *c, const struct tl_attempt *a, int64_t until)
{
	const struct tl_phase *why = NULL;
	enum tl_cause cause = a->answered ? cause_of_error(a->error_code) : TL_CAUSE_UNKNOWN;
	const struct conn *conn = conn_find(c->j, c->jb->trail->index, a->conn);
	/* Given up too soon for anybody to have held it. */
	bool soon = !a->answered && a->ended_ns && conn && conn->end_ns && conn->waited_ns < soon_given_up(conn);
	struct tl_batch *b = c->b;
	uint32_t n = b->nr_phases;

	/* Not answered: what held that attempt longest. */
	for (uint32_t i = 0; i < n && !a->answered && !soon; i++)
		if (b->phases[i].begin_ns >= a->write_begin_ns && (!why || b->phases[i].ns > why->ns))
			why = &b->phases[i];
	if (why)
		cause = verdict_phase_cause(b, why);
	wait_for(c, c->jb->peer, until, TL_PHASE_RETRY);
	for (; n < b->nr_phases && !soon; n++)
		if (b->phases[n].name == TL_PHASE_RETRY) {
			b->phases[n].cause = cause;
			b->phases[n].culprit = why ? why->culprit : NULL;
		}
}

/* The other end's TCP did not even acknowledge it: a probe there had nothing to see. */
static bool never_acked(const struct conn *conn, const struct tl_phase *p)
{
	enum tl_cause says = p ? conn_says(conn, p->begin_ns, p->begin_ns + p->ns) : TL_CAUSE_UNKNOWN;

	return says == TL_CAUSE_NETWORK || says == TL_CAUSE_IDLE;
}

/*
 * The first message went out in other batches before, whose messages were regrouped:
 * as far as that batch's clients know.  False when it did not.
 */
bool carried_before(struct cut *c, const struct jbatch *jb, int64_t until)
{
	const struct past *at[MAX_CARRIED];
	uint32_t n = 0;

	for (uint32_t i = 0; i < jb->nr_past; i++) {
		const struct past *p = &jb->past[i];
		uint32_t k = n < MAX_CARRIED ? n : MAX_CARRIED - 1;

		if (p->first_ts > jb->b.first_ts_ms || p->max_ts < jb->b.first_ts_ms ||
		    p->write_begin_ns < c->at || p->write_begin_ns >= until)
			continue;
		/* The first of them; of those after that the last wait is all that is told. */
		if (n == MAX_CARRIED && at[k]->write_begin_ns <= p->write_begin_ns)
			continue;
		for (; k && at[k - 1]->write_begin_ns > p->write_begin_ns; k--)
			at[k] = at[k - 1];
		at[k] = p;
		n += n < MAX_CARRIED;
	}
	for (uint32_t i = 0; i < n; i++) {
		int64_t next = i + 1 < n ? at[i + 1]->write_begin_ns : until;
		int64_t end = at[i]->end_ns && at[i]->end_ns < next ? at[i]->end_ns : next;
		const struct conn *conn = conn_find(c->j, jb->trail->index, at[i]->conn);
		struct tl_phase *p;
		struct tl_attempt a = { .write_begin_ns = at[i]->write_begin_ns,
					.answered = at[i]->error_code != 0, .error_code = at[i]->error_code };

		if (!i)
			before_send(c, a.write_begin_ns);
		go_exact(c, TL_PHASE_SOCKET, at[i]->write_end_ns < end ? at[i]->write_end_ns : end);
		p = go_exact(c, TL_PHASE_BROKER_SIDE, end);
		inherit_from_conn(c->j, p, conn, at[i]->write_end_ns, end);
		if (conn && (!conn->bconn || never_acked(conn, p)))
			behind_socket(p, conn);
		until_next(c, &a, next);
	}
	return n > 0;
}
