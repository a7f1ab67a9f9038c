/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join_signs.c - what a connection tells of its two ends: when the client was at its
 * socket, and what TCP said of a request that was overdue.
 */
#include "join_int.h"

#define IDLE_NS			(30000 * JOIN_MS)	/* less is forgotten by no middlebox */

void conn_sign(struct conn *c, int64_t ns, int what)
{
	const struct sign *last = &c->sign;

	if (c->nr_signs && what == SIGN_LIFE && last->what == SIGN_LIFE && ns - last->ns < 5 * JOIN_MS)
		return;			/* the ring is for seconds, however busy it is */
	if (!c->signs)
		c->signs = join_alloc(JOIN_SIGNS * sizeof(*c->signs));
	c->sign.ns = ns;
	c->sign.what = what;
	c->signs[c->nr_signs++ % JOIN_SIGNS] = c->sign;
	c->tcp_told |= what != SIGN_LIFE;
}

/* Sampled while a request was overdue: did the peer's TCP acknowledge it? */
void tcp_event(struct join *j, struct jtrail *t, const struct event *ev)
{
	const struct ev_tcp *e = &ev->tcp;
	/*
	 * A window that was shut after they were sent has them sent again, too, ever more seldom: that counts in
	 * backoff alone (tcp_retransmit_timer(): "Receiver dastardly shrinks window").
	 */
	bool stuck = e->unacked && e->retransmits;
	struct conn *c = conn_find(j, t->index, e->conn);

	if (c && (stuck || !e->unacked))
		conn_sign(c, event_axis(ev, ev->ns), stuck ? SIGN_STUCK : e->unsent ? SIGN_SHUT : SIGN_ACKED);
	/* An answer lay there, and nobody read it. */
	if (e->unread_ms)
		spans_add(&t->quiet.unread, event_axis(ev, ev->ns) - e->unread_ms * JOIN_MS, event_axis(ev, ev->ns));
	if (e->unread_ms)
		quiet_proof(&t->quiet, event_axis(ev, ev->ns) - e->unread_ms * JOIN_MS, event_axis(ev, ev->ns), 50 * JOIN_MS);
}

/* Its thread's wait was over at due_ns, and it went on only now. */
void late_event(struct join *j, struct jtrail *t, const struct event *ev)
{
	struct conn *c = conn_find(j, t->index, ev->late.conn);
	int64_t due = event_axis(ev, ev->late.due_ns), ns = event_axis(ev, ev->ns);

	if (c && c->peer)
		spans_add(&c->peer->late, due, ns);
	cpu_late(j, t, ev->tid, due, ns);
	if (ns - due >= 50 * JOIN_MS)
		spans_add(&t->quiet.still, due, ns);
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
	if (before && after && (before->what == SIGN_STUCK) != (after->what == SIGN_STUCK))
		return SIGN_LIFE;
	return before ? before->what : after ? after->what : SIGN_LIFE;
}

/* What the peer's TCP did not acknowledge after a long silence: something between forgot it. */
bool conn_was_idle(const struct conn *c)
{
	return c->answered_ns && c->asked_ns - c->answered_ns >= IDLE_NS;
}

/* Or may have been: what was asked and answered before was lost. */
static bool may_be_idle(const struct conn *c, int64_t from)
{
	if (!may_lack(c->trail, AT_EV_REQUEST) && !may_lack(c->trail, AT_EV_RESPONSE))
		return false;
	return !(c->connect_ns && c->connect_ns > from - IDLE_NS) && !conn_alive(c, from - IDLE_NS, from - JOIN_MS);
}

enum tl_cause conn_says(const struct conn *c, int64_t from, int64_t to)
{
	uint32_t n = c->nr_signs < JOIN_SIGNS ? c->nr_signs : JOIN_SIGNS, stuck = 0, acked = 0;

	if (!c->tcp_told)
		return TL_CAUSE_UNKNOWN;
	for (uint32_t i = 0; i < n; i++) {
		const struct sign *s = &c->signs[i];

		if (s->ns < from || s->ns > to)
			continue;
		stuck += s->what == SIGN_STUCK;
		acked += s->what == SIGN_ACKED || s->what == SIGN_SHUT;
	}
	if (!stuck && !acked) {
		int what = sign_beside(c, from, to);

		stuck = what == SIGN_STUCK;
		acked = what == SIGN_ACKED || what == SIGN_SHUT;
	}
	if (stuck > acked)
		return conn_was_idle(c) ? TL_CAUSE_IDLE : may_be_idle(c, from) ? TL_CAUSE_UNKNOWN : TL_CAUSE_NETWORK;
	return acked ? TL_CAUSE_BROKER_SIDE : TL_CAUSE_UNKNOWN;
}

bool conn_was_shut(const struct conn *c, int64_t from, int64_t to)
{
	uint32_t n = c->nr_signs < JOIN_SIGNS ? c->nr_signs : JOIN_SIGNS;

	for (uint32_t i = 0; i < n; i++)
		if (c->signs[i].what == SIGN_SHUT && c->signs[i].ns >= from && c->signs[i].ns <= to)
			return true;
	return false;
}

bool conn_local(const struct conn *c)
{
	/* A relay on this host: the broker has another connection; and so with all others to that address. */
	if (c->bconn && c->bconn->peer_port && c->local_port && c->bconn->peer_port != c->local_port)
		return false;
	return c->told && !(c->peer && c->peer->relayed) && c->peer_hi == c->local_hi && c->peer_lo == c->local_lo;
}

/* For all that is known: what would tell may be lost. */
bool conn_may_be_local(const struct conn *c)
{
	return conn_local(c) || (!c->told && may_lack(c->trail, AT_EV_CONN));
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

/* Was the client at that socket? */
bool conn_alive(const struct conn *c, int64_t from, int64_t to)
{
	uint32_t n = c->nr_signs < JOIN_SIGNS ? c->nr_signs : JOIN_SIGNS;

	for (uint32_t i = 0; i < n; i++)
		if (c->signs[i].what == SIGN_LIFE && c->signs[i].ns >= from && c->signs[i].ns <= to)
			return true;
	return false;
}

/* The same, of whatever connection there was to that broker; on one host it is the broker. */
enum tl_cause peer_says(struct join *j, const struct peer *p, int64_t from, int64_t to)
{
	enum tl_cause says = TL_CAUSE_UNKNOWN;
	struct conn *c, *tmp;
	bool local = false;

	HASH_ITER(hh, j->conns, c, tmp) {
		if (c->peer != p || (c->end_ns && c->end_ns < from) || c->connect_ns > to)
			continue;
		local |= conn_local(c);
		if (says == TL_CAUSE_UNKNOWN)
			says = conn_says(c, from, to);
	}
	return says != TL_CAUSE_UNKNOWN ? says : local ? TL_CAUSE_BROKER_SIDE : TL_CAUSE_UNKNOWN;
}
