/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join_peer.c - a broker as one producer instance sees it: its connections, its state,
 * how many requests are in flight to it.
 */
#include <stdio.h>
#include <string.h>
#include "join_int.h"
#include "span.h"

#define IDEMPOTENT_IN_FLIGHT	5	/* librdkafka lowers the limit to this */
#define IDLE_NS			(30000 * JOIN_MS)	/* less is forgotten by no middlebox */
#define HANDSHAKE		(5000 * JOIN_MS)	/* what is refused is refused sooner */

/* ---- intervals ------------------------------------------------------------- */

void spans_add(struct spans *s, int64_t begin, int64_t end)
{
	uint32_t last = (s->nr - 1) % JOIN_SPANS;

	if (end <= begin)
		return;
	/* A window that opens for an instant and fills again was never open. */
	if (s->nr && begin - s->iv[last].end < JOIN_MS && begin >= s->iv[last].begin) {
		if (end > s->iv[last].end)
			s->iv[last].end = end;
		return;
	}
	last = s->nr++ % JOIN_SPANS;
	s->iv[last].begin = begin;
	s->iv[last].end = end;
	s->iv[last].cause = TL_CAUSE_UNKNOWN;
	s->iv[last].conn = NULL;
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
	if (!s->open_since)
		return;
	spans_add(s, s->open_since, ns);
	if (s->nr && s->iv[(s->nr - 1) % JOIN_SPANS].cause == TL_CAUSE_UNKNOWN) {
		s->iv[(s->nr - 1) % JOIN_SPANS].cause = s->open_cause;
		s->iv[(s->nr - 1) % JOIN_SPANS].conn = s->open_conn;
		s->iv[(s->nr - 1) % JOIN_SPANS].since = s->open_conn_since;
	}
	s->open_since = 0;
}

/* How much of from..to lies in them. */
int64_t spans_within(const struct spans *s, int64_t from, int64_t to)
{
	uint32_t n = s->nr < JOIN_SPANS ? s->nr : JOIN_SPANS;
	int64_t sum = 0;

	for (uint32_t i = 0; i < n; i++) {
		int64_t begin = s->iv[i].begin > from ? s->iv[i].begin : from;
		int64_t end = s->iv[i].end < to ? s->iv[i].end : to;

		if (end > begin)
			sum += end - begin;
	}
	return sum;
}

/* ---- brokers, as an instance sees them -------------------------------------- */

static struct peer *peer_get(struct join *j, struct key3 key)
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

	r->flying = true;
	if (++c->peer->in_flight >= limit && limit)
		spans_open(&c->peer->full, r->end_ns, TL_CAUSE_UNKNOWN);
}

void peer_land(struct join *j, struct req *r, int64_t ns)
{
	struct conn *c = r->conn;

	if (!r->flying)
		return;
	r->flying = false;
	if (--c->peer->in_flight < in_flight_limit(j, c))
		spans_close(&c->peer->full, ns);
}

/* ---- connections ----------------------------------------------------------- */

static void conn_leave(struct join *j, struct conn *c, int64_t ns, bool closed)
{
	struct peer *p = c->peer;

	if (!p)
		return;
	if (p->up && --p->up == 0 && closed && !p->states) {
		spans_open(&p->down, ns, p->lost_cause);
		spans_blame(&p->down, p->lost_conn, p->lost_since);
	}
	for (struct req *r = c->reqs; r; r = r->next)
		if (r->flying && closed)
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
		if (since)
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
	struct key2 key = { trail, id };
	struct conn *c;

	HASH_FIND(hh, j->conns, &key, sizeof(key), c);
	return c;
}

struct conn *conn_get(struct join *j, struct jtrail *t, uint32_t id)
{
	struct key2 key = { t->index, id };
	struct conn *c = conn_find(j, t->index, id);

	if (c)
		return c;
	c = join_alloc(sizeof(*c));
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
		for (uint32_t i = 0; i < r->nr_links; i++)
			if (r->links[i].batch) {
				struct jbatch *jb = r->links[i].batch;

				jb->b.attempts[r->links[i].attempt].broker = c->broker;
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

/* ---- a cold start ------------------------------------------------------------ */

/* A step of the start; of those that run side by side each moment counts once a kind. */
void cold_step(struct inst *in, const char *name, int64_t begin, int64_t end)
{
	struct cold *c = NULL;

	if (begin < in->begin_ns)
		begin = in->begin_ns;
	for (uint32_t i = 0; i < in->nr_cold; i++)
		if (!strcmp(in->cold[i].name, name))
			c = &in->cold[i];
	if (!c && in->nr_cold < JOIN_COLD) {
		c = &in->cold[in->nr_cold++];
		c->name = name;
	}
	if (!c)
		return;
	if (begin < c->end)
		begin = c->end;
	if (end > begin) {
		c->ns += end - begin;
		c->end = end;
	}
}

const char *cold_text(struct join *j, const struct inst *in)
{
	bool told[JOIN_COLD] = { false };
	char text[160], t[24];
	size_t n = 0;

	for (int k = 0; in && k < 4; k++) {
		int best = -1;

		for (uint32_t i = 0; i < in->nr_cold; i++)
			if (!told[i] && (best < 0 || in->cold[i].ns > in->cold[best].ns))
				best = (int)i;
		if (best < 0 || (k && in->cold[best].ns < JOIN_MS))
			break;
		told[best] = true;
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s %s", n ? ", " : "", in->cold[best].name,
				      span_text(t, sizeof(t), in->cold[best].ns));
	}
	return join_intern(j, text, n);
}

/* ---- what the connection tells of its two ends ------------------------------- */

void conn_sign(struct conn *c, int64_t ns, int what)
{
	if (!c->signs)
		c->signs = join_alloc(JOIN_SIGNS * sizeof(*c->signs));
	c->signs[c->nr_signs % JOIN_SIGNS].ns = ns;
	c->signs[c->nr_signs++ % JOIN_SIGNS].what = what;
}

/* Sampled while a request was overdue: did the peer's TCP acknowledge it? */
void tcp_event(struct join *j, struct jtrail *t, const struct event *ev)
{
	const struct ev_tcp *e = &ev->tcp;
	bool stuck = e->unacked && (e->retransmits || e->backoff);
	struct conn *c = conn_find(j, t->index, e->conn);

	if (c && (stuck || !e->unacked))
		conn_sign(c, event_axis(ev, ev->ns), stuck ? SIGN_STUCK : SIGN_ACKED);
}

/* The sample next to a time that had none of its own: the one before, or the one after. */
static int sign_beside(const struct conn *c, int64_t from, int64_t to)
{
	uint32_t n = c->nr_signs < JOIN_SIGNS ? c->nr_signs : JOIN_SIGNS;
	const struct sign *before = NULL, *after = NULL;

	for (uint32_t i = 0; i < n; i++) {
		const struct sign *s = &c->signs[i];

		if (s->what == SIGN_LIFE)
			continue;
		if (s->ns < from && s->ns >= from - JOIN_SAMPLE && (!before || s->ns > before->ns))
			before = s;
		if (s->ns > to && s->ns <= to + JOIN_SAMPLE && (!after || s->ns < after->ns))
			after = s;
	}
	if (before && after && before->what != after->what)
		return SIGN_LIFE;
	return before ? before->what : after ? after->what : SIGN_LIFE;
}

/* What the peer's TCP did not acknowledge after a long silence: something between forgot it. */
static bool was_idle(const struct conn *c)
{
	return c->answered_ns && c->asked_ns - c->answered_ns >= IDLE_NS;
}

enum tl_cause conn_says(const struct conn *c, int64_t from, int64_t to)
{
	uint32_t n = c->nr_signs < JOIN_SIGNS ? c->nr_signs : JOIN_SIGNS, stuck = 0, acked = 0;

	for (uint32_t i = 0; i < n; i++) {
		const struct sign *s = &c->signs[i];

		if (s->ns < from || s->ns > to)
			continue;
		stuck += s->what == SIGN_STUCK;
		acked += s->what == SIGN_ACKED;
	}
	if (!stuck && !acked) {
		int what = sign_beside(c, from, to);

		stuck = what == SIGN_STUCK;
		acked = what == SIGN_ACKED;
	}
	if (stuck > acked)
		return was_idle(c) ? TL_CAUSE_IDLE : TL_CAUSE_NETWORK;
	return acked ? TL_CAUSE_BROKER_SIDE : TL_CAUSE_UNKNOWN;
}

bool conn_local(const struct conn *c)
{
	return c->told && c->peer_hi == c->local_hi && c->peer_lo == c->local_lo;
}

/*
 * Between a broker's answer and its reading: was the client at that socket in the later
 * half, and not only in the burst that ended it?  Then the bytes were not there.
 */
bool conn_read_on(const struct conn *c, int64_t from, int64_t to)
{
	uint32_t n = c->nr_signs < JOIN_SIGNS ? c->nr_signs : JOIN_SIGNS;
	int64_t slack = (to - from) / 10 > 5 * JOIN_MS ? (to - from) / 10 : 5 * JOIN_MS;

	for (uint32_t i = 0; i < n; i++)
		if (c->signs[i].what == SIGN_LIFE && c->signs[i].ns >= from + (to - from) / 2 &&
		    c->signs[i].ns < to - slack)
			return true;
	return false;
}

/*
 * A client that closes while requests wait gave up on the broker's answers: what is
 * down from here on is down because of what held those.
 */
static void conn_lost(struct conn *c, uint32_t how, int64_t ns)
{
	struct peer *p = c->peer;
	int64_t since = 0;

	p->lost_ns = ns;
	p->lost_cause = how == AT_END_ERROR ? TL_CAUSE_UNREACHABLE : TL_CAUSE_UNKNOWN;
	p->lost_conn = NULL;
	for (struct req *r = c->reqs; r; r = r->next)
		if (r->flying && !r->over && (!since || r->end_ns < since))
			since = r->end_ns;
	if (since && how != AT_END_CLOSED && was_idle(c))
		p->lost_cause = TL_CAUSE_IDLE;	/* reset when it was used again */
	if (!since || how != AT_END_CLOSED || ns - since < 100 * JOIN_MS)
		return;
	p->lost_cause = conn_says(c, since, ns);
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
		for (uint32_t i = 0; i < r->nr_links; i++) {
			struct link *l = &r->links[i];
			struct tl_attempt *a = l->batch ? &l->batch->b.attempts[l->attempt] : NULL;

			if (a && !a->answered && !a->ended_ns)
				a->ended_ns = ns;
		}
		req_over(j, r);
	}
}

/* "host:port/STATE", as librdkafka names its states. */
static bool state_is(const struct event *ev, const char *const names[])
{
	const char *slash = memrchr(ev->tail, '/', ev->tail_len);
	size_t n;

	if (!slash)
		return false;
	n = ev->tail_len - (size_t)(++slash - ev->tail);
	for (; *names; names++)
		if (strlen(*names) == n && !memcmp(*names, slash, n))
			return true;
	return false;
}

/* An address by which no broker is known yet. */
static uint32_t address_of(const struct event *ev)
{
	const char *slash = memrchr(ev->tail, '/', ev->tail_len);
	uint32_t h = 2166136261u;

	for (const char *s = ev->tail; slash && s < slash; s++)
		h = (h ^ (uint8_t)*s) * 16777619u;
	return h | 0x80000000u;
}

/* Down from here on; `from` is what it came from. */
static void peer_down(struct peer *p, int64_t ns, int from, int64_t from_ns)
{
	bool lost = ns - p->lost_ns < 10000 * JOIN_MS;
	enum tl_cause cause = from == PEER_CONNECT ? TL_CAUSE_UNREACHABLE :
			      (from == PEER_AUTH || from == PEER_TLS) && ns - from_ns < HANDSHAKE ?
			      TL_CAUSE_AUTH : TL_CAUSE_UNKNOWN;

	/* Packets that were lost are lost, still: no other reason is known. */
	if (cause == TL_CAUSE_UNREACHABLE && ns - from_ns >= SYN_AGAIN && p->down.open_since &&
	    p->down.open_cause == TL_CAUSE_NETWORK)
		return;

	spans_close(&p->shaking, ns);
	if (!p->down.open_since) {
		if (cause == TL_CAUSE_UNKNOWN && lost)
			cause = p->lost_cause;
		spans_open(&p->down, ns, cause);
		if (lost && cause == p->lost_cause)
			spans_blame(&p->down, p->lost_conn, p->lost_since);
	} else if (cause != TL_CAUSE_UNKNOWN && !(p->down.open_conn && p->down.open_conn->bconn)) {
		/* It was down; now it is known that connecting fails. */
		p->down.open_cause = cause;
		p->down.open_conn = NULL;
	}
}

/* A SYN that nobody answered for long enough to be sent again: dropped without a word. */
static void connecting_ends(struct peer *p, int64_t ns)
{
	if (p->connecting.open_since && ns - p->connecting.open_since < SYN_AGAIN)
		p->connecting.open_since = 0;
	spans_close(&p->connecting, ns);
}

void broker_state(struct join *j, struct jtrail *t, const struct event *ev)
{
	static const char *const up[] = { "UP", "UPDATE", NULL };
	static const char *const connecting[] = { "CONNECT", NULL };
	static const char *const tls[] = { "SSL_HANDSHAKE", NULL };
	static const char *const auth[] = { "AUTH_HANDSHAKE", "AUTH_REQ", "AUTH_LEGACY", NULL };
	static const char *const shaking[] = { "APIVERSION_QUERY", "REAUTH", NULL };
	static const char *const down[] = { "DOWN", NULL };
	struct key3 key = { t->index, ev->broker_state.inst, (uint32_t)ev->broker_state.broker };
	struct inst *in = inst_find(j, t->index, ev->broker_state.inst);
	int64_t ns = event_axis(ev, ev->ns);
	struct peer *p;
	int64_t from_ns;
	int from;

	if (!ev->tail_len)
		return;
	if (ev->broker_state.broker < 0)
		key.corr = address_of(ev);
	p = peer_get(j, key);
	if (!p->states) {
		p->states = true;
		if (!p->down.open_since && !p->down.nr)
			spans_open(&p->down, in ? in->begin_ns : ns, TL_CAUSE_COLD_START);
	}
	from = p->state;
	from_ns = p->state_ns;
	if (in && !in->produced && p->state_ns && (from == PEER_CONNECT || from == PEER_TLS))
		cold_step(in, from == PEER_TLS ? "TLS" : "connect", p->state_ns, ns);
	p->state = PEER_OTHER;
	p->state_ns = ns;
	connecting_ends(p, ns);
	if (state_is(ev, up)) {
		p->state = PEER_UP;
		spans_close(&p->down, ns);
		spans_close(&p->shaking, ns);
		if (in) {
			in->ever_up = true;
			spans_close(&in->no_broker, ns);
		}
	} else if (state_is(ev, auth) || state_is(ev, tls)) {
		p->state = state_is(ev, tls) ? PEER_TLS : PEER_AUTH;
		spans_close(&p->down, ns);
		spans_open(&p->shaking, ns, TL_CAUSE_BROKER_SIDE);
	} else if (state_is(ev, shaking)) {
		spans_close(&p->down, ns);
		spans_open(&p->shaking, ns, TL_CAUSE_BROKER_SIDE);
	} else if (state_is(ev, connecting)) {
		p->state = PEER_CONNECT;
		peer_down(p, ns, PEER_OTHER, from_ns);
		spans_open(&p->connecting, ns, TL_CAUSE_UNREACHABLE);
	} else {
		peer_down(p, ns, state_is(ev, down) ? from : PEER_OTHER, from_ns);
		if (in && !in->ever_up && from == PEER_CONNECT && state_is(ev, down))
			spans_open(&in->no_broker, in->begin_ns, TL_CAUSE_UNREACHABLE);
	}
}
