/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join_peer.c - a broker as one producer instance sees it: its connections, its state,
 * how many requests are in flight to it.
 */
#include <string.h>
#include "join_int.h"

#define TRIED_AGAIN		(11000 * JOIN_MS)	/* reconnect.backoff.max.ms is 10 s */
#define IDEMPOTENT_IN_FLIGHT	5	/* librdkafka lowers the limit to this */

/* ---- intervals ------------------------------------------------------------- */

static void spans_put(struct spans *s, int64_t begin, int64_t end)
{
	uint32_t last = s->nr++ % JOIN_SPANS;

	s->iv[last].begin = begin;
	s->iv[last].end = end;
	s->iv[last].cause = TL_CAUSE_UNKNOWN;
	s->iv[last].conn = NULL;
}

void spans_add(struct spans *s, int64_t begin, int64_t end)
{
	uint32_t last = (s->nr - 1) % JOIN_SPANS;

	if (end <= begin)
		return;
	/* A window that opens for an instant and fills again was never open. */
	if (!s->nr || begin - s->iv[last].end >= JOIN_MS || begin < s->iv[last].begin)
		spans_put(s, begin, end);
	else if (end > s->iv[last].end)
		s->iv[last].end = end;
}

void spans_open(struct spans *s, int64_t ns, enum tl_cause cause)
{
	if (s->open_since)
		return;
	s->open_since = ns;
	s->open_cause = cause;
	s->open_conn = NULL;
}

void spans_blame(struct spans *s, struct conn *c, int64_t since)
{
	s->open_conn = c;
	s->open_conn_since = since;
}

void spans_close(struct spans *s, int64_t ns)
{
	const struct span_iv *last = s->nr ? &s->iv[(s->nr - 1) % JOIN_SPANS] : NULL;

	if (!s->open_since)
		return;
	/* For another reason than the one right before it. */
	if (last && last->cause != TL_CAUSE_UNKNOWN && last->cause != s->open_cause && ns > s->open_since)
		spans_put(s, s->open_since, ns);
	else
		spans_add(s, s->open_since, ns);
	if (s->nr && s->iv[(s->nr - 1) % JOIN_SPANS].cause == TL_CAUSE_UNKNOWN) {
		s->iv[(s->nr - 1) % JOIN_SPANS].cause = s->open_cause;
		s->iv[(s->nr - 1) % JOIN_SPANS].conn = s->open_conn;
		s->iv[(s->nr - 1) % JOIN_SPANS].since = s->open_conn_since;
	}
	s->open_since = 0;
}

/* The reason is known now: of all of it when there was none, else from here on. */
void spans_because(struct spans *s, int64_t ns, enum tl_cause cause)
{
	if (!s->open_since || s->open_cause == cause)
		return;
	/* A handshake that broke off, and then nobody to shake hands with: that was no login that failed. */
	if (s->open_cause != TL_CAUSE_UNKNOWN && s->open_cause != TL_CAUSE_COLD_START &&
	    !(s->open_cause == TL_CAUSE_AUTH && cause == TL_CAUSE_UNREACHABLE)) {
		spans_close(s, ns);
		spans_open(s, ns, cause);
	}
	s->open_cause = cause;
	s->open_conn = NULL;
}

/*
 * How much of from..to lies in them.  Told late, one may begin before others that it holds: what lies in
 * several counts once.  They come in the order of their ends; from one that does not less is counted.
 */
int64_t spans_within(const struct spans *s, int64_t from, int64_t to)
{
	uint32_t n = s->nr < JOIN_SPANS ? s->nr : JOIN_SPANS;
	int64_t sum = 0;

	for (uint32_t i = 1; i <= n && from < to; i++) {
		const struct span_iv *iv = &s->iv[(s->nr - i) % JOIN_SPANS];
		int64_t begin = iv->begin > from ? iv->begin : from, end = iv->end < to ? iv->end : to;

		if (end <= begin)
			continue;
		sum += end - begin;
		to = begin;
	}
	return sum;
}

/* ---- brokers, as an instance sees them -------------------------------------- */

struct peer *peer_get(struct join *j, struct key3 key)
{
	struct peer *p;

	HASH_FIND(hh, j->peers, &key, sizeof(key), p);
	if (p)
		return p;
	p = join_alloc(sizeof(*p));
	p->key = key;
	HASH_ADD(hh, j->peers, key, sizeof(p->key), p);
	return p;
}

struct peer *peer_find(struct join *j, uint32_t trail, uint32_t inst, int32_t broker)
{
	struct key3 key = { trail, inst, (uint32_t)broker };
	struct peer *p = NULL;

	if (broker >= 0)
		HASH_FIND(hh, j->peers, &key, sizeof(key), p);
	return p;
}

static struct key3 peer_key(const struct conn *c)
{
	uint64_t h = c->peer_hi * 31 + c->peer_lo * 0x9e3779b97f4a7c15u + c->peer_port;

	if (c->broker >= 0)
		return (struct key3){ c->key.trail, c->inst, (uint32_t)c->broker };
	return (struct key3){ c->key.trail, c->inst, (uint32_t)(h >> 32) | 0x80000000u };
}

static uint32_t in_flight_limit(struct join *j, const struct conn *c)
{
	const struct inst *in = inst_find(j, c->key.trail, c->inst);

	if (!in)
		return 0;
	if (in->conf.flags & AT_INST_IDEMPOTENT &&
	    (!in->conf.max_in_flight || in->conf.max_in_flight > IDEMPOTENT_IN_FLIGHT))
		return IDEMPOTENT_IN_FLIGHT;
	return in->conf.max_in_flight;
}

void peer_fly(struct join *j, struct req *r)
{
	struct conn *c = r->conn;
	uint32_t limit = in_flight_limit(j, c);

	c->nr_flying += !r->flying;
	r->flying = true;
	room_taken(c, r);
	if (++c->peer->in_flight >= limit && limit)
		spans_open(&c->peer->full, r->end_ns, TL_CAUSE_UNKNOWN);
}

void peer_land(struct join *j, struct req *r, int64_t ns)
{
	struct conn *c = r->conn;

	for (uint32_t i = 0; i < r->links.nr; i++)
		if (r->links.at[i].batch)
			idemp_lands(r->links.at[i].batch, ns);
	if (!r->flying)
		return;
	r->flying = false;
	if (c->nr_flying-- == c->most)
		c->room_ns = ns;
	if (--c->peer->in_flight < in_flight_limit(j, c))
		spans_close(&c->peer->full, ns);
}

/* ---- connections ----------------------------------------------------------- */

static void conn_leave(struct join *j, struct conn *c, int64_t ns, bool closed)
{
	struct peer *p = c->peer;

	if (!p)
		return;
	conn_has_room(c, ns ? ns : j->now);
	if (closed)
		room_never(c, ns);
	if (p->up && --p->up == 0 && closed && !p->states) {
		/* Until the next connection, which may be what was lost. */
		spans_open(&p->down, ns, may_lack(c->trail, AT_EV_CONN) ? TL_CAUSE_UNKNOWN : p->lost_cause);
		spans_blame(&p->down, p->lost_conn, p->lost_since);
	}
	for (struct req *r = c->reqs; r; r = r->next)
		if (closed)
			peer_land(j, r, ns);
		else if (r->flying)
			p->in_flight--;
}

static void conn_enter(struct join *j, struct conn *c)
{
	struct peer *p = peer_get(j, peer_key(c));
	const struct inst *in = inst_find(j, c->key.trail, c->inst);
	int64_t since = in && in->begin_ns ? in->begin_ns : c->connect_ns;

	if (!p->ever_up && !p->states) {
		p->down.open_since = 0;
		if (since && !(c->flags & AT_CONN_MIDSTREAM))
			spans_open(&p->down, since, TL_CAUSE_COLD_START);
	}
	p->ever_up = true;
	p->up++;
	p->last = c;
	if (c->ready_ns && !p->states)
		spans_close(&p->down, c->ready_ns);
	c->peer = p;
	for (struct req *r = c->reqs; r; r = r->next)
		p->in_flight += r->flying;
}

struct conn *conn_find(struct join *j, uint32_t trail, uint32_t id)
{
	void **near = near_slot(j->trails[trail], NEAR_CONN, id);
	struct key2 key = { trail, id };
	struct conn *c;

	if (near)
		return *near;
	HASH_FIND(hh, j->conns, &key, sizeof(key), c);
	return c;
}

struct conn *conn_get(struct join *j, struct jtrail *t, uint32_t id)
{
	void **near = near_slot(t, NEAR_CONN, id);
	struct key2 key = { t->index, id };
	struct conn *c = conn_find(j, t->index, id);

	if (c)
		return c;
	c = join_alloc(sizeof(*c));
	if (near)
		*near = c;
	c->key = key;
	c->trail = t;
	c->broker = -1;
	HASH_ADD(hh, j->conns, key, sizeof(c->key), c);
	conn_enter(j, c);
	return c;
}

/* Whose connection it is may be told late, by the library's own callback. */
void conn_bind(struct join *j, struct conn *c, uint32_t inst, int32_t broker)
{
	bool same = (!inst || inst == c->inst) && (broker < 0 || broker == c->broker);
	struct peer *old = c->peer;

	if (same || c->end_ns)
		return;
	conn_leave(j, c, 0, false);
	if (old && old->last == c)
		old->last = NULL;
	if (inst)
		c->inst = inst;
	if (broker >= 0)
		c->broker = broker;
	conn_enter(j, c);
	for (struct req *r = c->reqs; r; r = r->next)
		for (uint32_t i = 0; i < r->links.nr; i++)
			if (r->links.at[i].batch) {
				struct jbatch *jb = r->links.at[i].batch;

				jb->b.attempts[r->links.at[i].attempt].broker = c->broker;
				jb->peer = jb->part->peer = c->peer;
				if (!jb->inst_id)
					jb->inst_id = c->inst;
				jb->inst = inst_find(j, c->key.trail, jb->inst_id);
			}
}

void conn_event(struct join *j, struct jtrail *t, const struct event *ev)
{
	const struct ev_conn *e = &ev->conn;
	struct conn *c = conn_get(j, t, e->conn);

	if (!c->told) {
		c->told = true;
		c->connect_ns = event_axis(ev, e->connect_ns);
		c->ready_ns = event_axis(ev, ev->ns);
		c->peer_hi = e->peer_hi;
		c->peer_lo = e->peer_lo;
		c->peer_port = e->peer_port;
		c->local_hi = e->local_hi;
		c->local_lo = e->local_lo;
		c->local_port = e->local_port;
		j->nr_addresses++;
		c->flags = e->flags;
		if (c->connect_ns && c->ready_ns && e->inst && !peer_get(j, peer_key(c))->states) {
			struct inst *in = inst_find(j, t->index, e->inst);

			if (in && !in->produced)
				cold_step(in, "connect", c->connect_ns, c->ready_ns);
		}
		/* The place kept while nothing was known of it gives way. */
		conn_leave(j, c, 0, false);
		if (c->peer && c->peer->last == c)
			c->peer->last = NULL;
		if (e->inst)
			c->inst = e->inst;
		if (e->broker >= 0)
			c->broker = e->broker;
		conn_enter(j, c);
		return;
	}
	c->flags |= e->flags;
	conn_bind(j, c, e->inst, e->broker);
}

void conn_thread(struct conn *c, uint32_t tid)
{
	c->tid = tid;
	if (c->peer)
		c->peer->tid = tid;
}

/* What is sent next waits, and all behind it. */
void full_event(struct join *j, struct jtrail *t, const struct event *ev)
{
	const struct ev_full *e = &ev->full;
	struct conn *c = conn_get(j, t, e->conn);
	int64_t ns = event_axis(ev, ev->ns);

	if (!c->peer || c->end_ns)
		return;
	conn_has_room(c, ns);
	if (e->over) {
		spans_add(&c->peer->busy, event_axis(ev, e->begin_ns), ns);
	} else if (!c->peer->busy.open_since && !may_lack(t, AT_EV_FULL) && !may_lack(t, AT_EV_REQUEST)) {
		spans_open(&c->peer->busy, event_axis(ev, e->begin_ns), TL_CAUSE_UNKNOWN);
		c->full = true;
	}
}

void conn_has_room(struct conn *c, int64_t ns)
{
	if (c->full && c->peer)
		spans_close(&c->peer->busy, ns);
	c->full = false;
}

/* ---- its end ------------------------------------------------------------------- */

/*
 * A client that closes while requests wait gave up on the broker's answers: what is
 * down from here on is down because of what held those.  When it tries again for those
 * messages and is not served either, each try may be shorter (their time runs out), and
 * the wait before it longer: still for the same reason.
 */
static void conn_lost(struct conn *c, uint32_t how, int64_t ns)
{
	struct peer *p = c->peer;
	bool again = p->lost_conn && !c->served && how == AT_END_CLOSED && ns - p->lost_ns < TRIED_AGAIN;
	int64_t since = 0;

	p->lost_ns = ns;
	for (struct req *r = c->reqs; r; r = r->next) {
		if (!r->flying || r->over)
			continue;
		if (ns - r->end_ns > c->waited_ns)
			c->waited_ns = ns - r->end_ns;
		if ((!since || r->end_ns < since) && !(conn_local(c) && r->breq && r->breq->written_ns))
			since = r->end_ns;	/* else it was answered, and not read */
	}
	if (again && since && ns - since < 300 * JOIN_MS)
		return;			/* TCP was not asked yet */
	p->lost_cause = how == AT_END_ERROR ? TL_CAUSE_UNREACHABLE : TL_CAUSE_UNKNOWN;
	p->lost_conn = NULL;
	if (since && how != AT_END_CLOSED && conn_was_idle(c))
		p->lost_cause = TL_CAUSE_IDLE;	/* reset when it was used again */
	if (!since || how != AT_END_CLOSED || ns - since < soon_given_up(c))
		return;
	p->lost_cause = conn_says(c, since, ns);
	if (p->lost_cause == TL_CAUSE_BROKER_SIDE && p->relayed)
		p->lost_cause = TL_CAUSE_UNKNOWN;	/* that was the relay's TCP */
	if (p->lost_cause == TL_CAUSE_UNKNOWN && conn_local(c))
		p->lost_cause = TL_CAUSE_BROKER_SIDE;
	p->lost_conn = c;
	p->lost_since = since;
}

void conn_end(struct join *j, struct jtrail *t, const struct event *ev)
{
	struct conn *c = conn_get(j, t, ev->conn_end.conn);
	int64_t ns = event_axis(ev, ev->ns);
	struct req *r, *tmp;

	/* Given up on, not closed: what comes later is not seen, nothing ended. */
	if (c->end_ns || ev->conn_end.how == AT_END_NOT_KAFKA || ev->conn_end.how == AT_END_PARSER_OFF)
		return;
	/* Of TLS that cannot be read it is not told how it was closed; the app's own close is the rule. */
	conn_lost(c, ev->conn_end.how == AT_END_TLS ? AT_END_CLOSED : ev->conn_end.how, ns);
	conn_leave(j, c, ns, true);
	c->end_ns = ns;
	DL_FOREACH_SAFE(c->reqs, r, tmp) {
		if (r->over)
			continue;
		for (uint32_t i = 0; i < r->links.nr; i++) {
			struct link *l = &r->links.at[i];
			struct tl_attempt *a = l->batch ? &l->batch->b.attempts[l->attempt] : NULL;

			if (a && !a->answered && !a->ended_ns) {
				a->ended_ns = ns;
				part_waits(l->batch, c, ns);
			}
		}
		req_over(j, r);
	}
}
