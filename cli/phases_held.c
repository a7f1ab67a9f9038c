/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * phases_held.c - who held a connection: a batch that waits behind others inherits
 * what held those.
 */
#include "join_int.h"
#include "phases.h"

static int64_t overlap(int64_t a, int64_t b, int64_t x, int64_t y)
{
	int64_t lo = a > x ? a : x, hi = b < y ? b : y;

	return hi > lo ? hi - lo : 0;
}

static void held_add(struct held *h, const struct busy *b, int64_t from, int64_t to)
{
	int64_t end = b->answered ? b->answered : to, in = overlap(b->read, end, from, to);
	int64_t mute = b->muted ? overlap(b->answered, b->muted, from, to) : 0;
	int64_t life = end - b->read;
	double part = life > 0 ? (double)in / (double)life : 0;

	if (!in && !mute)
		return;
	h->muted += mute;
	if (!h->first || b->read < h->first)
		h->first = b->read;
	if (end > h->last)
		h->last = end;
	h->total += in;
	h->fsync += (int64_t)(part * (double)b->fsync);
	h->append += (int64_t)(part * (double)b->append);
	h->lock += (int64_t)(part * (double)b->lock);
	h->handlers += (int64_t)(part * (double)b->handlers);
	h->follower += (int64_t)(part * (double)b->follower);
	if (b->culprit && b->fsync > h->worst) {
		h->worst = b->fsync;
		h->culprit = b->culprit;
	}
	if (b->stalled && b->stalled_ns > h->worst_stall) {
		h->worst_stall = b->stalled_ns;
		h->stalled = b->stalled;
	}
	/* Where it is most of that request's wait; else the stall was another. */
	if (b->why && 2 * b->why->ns >= b->append + b->lock && b->why->ns > h->worst_why) {
		h->worst_why = b->why->ns;
		chain_put(h->why);
		h->why = chain_get(b->why);
	}
}

void held_end(struct held *h)
{
	chain_put(h->why);
	h->why = NULL;
}

/* What the broker did on that connection from..to, but for the request `own`; see held_end(). */
struct held held_of(struct join *j, const struct bconn *c, int64_t from, int64_t to,
		    const struct breq *own, int64_t shift)
{
	struct held h = { 0 };
	uint32_t n = c->nr_busy < JOIN_BUSY ? c->nr_busy : JOIN_BUSY;
	int64_t seen = requests_until(c->trail);
	const struct breq *r;

	if (c->conn)
		h.quota = spans_within(&c->conn->throttled, from, to);
	from += shift;
	to += shift;
	for (uint32_t i = 0; i < n; i++) {
		const struct busy *b = &c->ring[(c->nr_busy - 1 - i) % JOIN_BUSY];

		if (b->answered < from && b->muted < from)
			break;
		if (own && b->read >= own->read_ns)
			continue;
		if (b->read < to)
			held_add(&h, b, from, to);
	}
	DL_FOREACH(c->open, r)
		if (r != own && r->read_ns < to && (!own || r->read_ns < own->read_ns)) {
			struct busy b = busy_of(j, r);

			for (uint32_t i = 0; i < r->links.nr && !b.culprit; i++)
				if (r->links.at[i].batch)
					b.culprit = parts_culprit(j, &r->links.at[i].batch->b
						.attempts[r->links.at[i].attempt].sync);
			/* Its answer may have gone unseen. */
			if (r->passed_ns)
				b.answered = r->passed_ns;
			held_add(&h, &b, from, to < seen ? to : seen);
			chain_put(b.why);
		}
	if (h.muted > h.quota)
		h.quota = h.muted;
	if (h.first) {
		h.first -= shift;
		h.last -= shift;
	}
	return h;
}

/*
 * How much of from..to, on the broker's clock, a request before `own` had arrived and was not answered:
 * whatever came in behind it would not have been read any earlier.
 */
int64_t ahead_of(const struct bconn *c, const struct breq *own, int64_t from, int64_t to)
{
	uint32_t n = c->nr_busy < JOIN_BUSY ? c->nr_busy : JOIN_BUSY;
	int64_t sum = 0;

	for (uint32_t i = 0; i < n && from < to; i++) {
		const struct busy *b = &c->ring[(c->nr_busy - 1 - i) % JOIN_BUSY];
		int64_t begin = b->arrived && b->arrived < b->read ? b->arrived : b->read;

		if (b->answered < from)
			break;
		if (own && b->read >= own->read_ns)
			continue;
		sum += overlap(begin, b->answered, from, to);
		if (begin < to)
			to = begin;		/* what is left to count; one ends before the next is read */
	}
	return sum;
}

/* It waited in its own append's write, or for the log's lock and whoever had it. */
void inherit_chain(struct join *j, struct tl_phase *p, const struct chain *c)
{
	/* A phase that is none of the batch's own is told in words alone. */
	bool own = p >= j->phases && p < j->phases + TL_MAX_PHASES;
	struct tl_chain other, *tell = own ? &j->phase_chains[p - j->phases] : &other;

	p->cause = c->locked ? TL_CAUSE_LOG_LOCK : TL_CAUSE_APPEND_STALL;
	p->behind = c->locked ? chain_behind(c) : TL_CAUSE_UNKNOWN;
	p->culprit = chain_text(j, c, tell);
	p->chain = own ? tell : NULL;
}

/* A batch inherits what held those before it: a cause only when most of it is known. */
void inherit(struct join *j, struct tl_phase *p, const struct held *h)
{
	if (!p)
		return;
	if (h->quota > h->total && 2 * h->quota > p->ns) {
		p->cause = TL_CAUSE_QUOTA;
	} else if (2 * h->total < p->ns) {
		if (h->total > 0)
			p->cause = TL_CAUSE_BROKER_SIDE;
	} else if (2 * h->fsync >= h->total && h->fsync > 0) {
		p->cause = TL_CAUSE_LEADER_FSYNC;
		p->culprit = h->culprit;
	} else if (2 * (h->append + h->lock) >= h->total && h->append + h->lock > 0) {
		p->cause = h->lock > h->append ? TL_CAUSE_LOG_LOCK : TL_CAUSE_APPEND_STALL;
		if (h->why)
			inherit_chain(j, p, h->why);
		else if (h->append >= h->lock)
			p->culprit = h->stalled;
	} else if (2 * h->follower >= h->total && h->follower > 0) {
		p->cause = TL_CAUSE_FOLLOWER;
	} else if (2 * h->handlers >= h->total && h->handlers > 0) {
		p->cause = TL_CAUSE_BROKER_BUSY;
	} else if (h->total > 0) {
		p->cause = TL_CAUSE_BROKER_SIDE;
	}
}

/*
 * Since when there was a queue up to `r`, which lay with its client from `from` on: those that were read
 * meanwhile were ahead of it, in a receive buffer that had no room for it.
 */
static int64_t backlog_since(const struct breq *r, int64_t from)
{
	const struct bconn *c = r->bconn;
	uint32_t n = c->nr_busy < JOIN_BUSY ? c->nr_busy : JOIN_BUSY;
	int64_t since = r->queue_since;

	for (uint32_t i = 0; i < n; i++) {
		const struct busy *b = &c->ring[(c->nr_busy - 1 - i) % JOIN_BUSY];

		if (b->read < from)
			break;
		if (b->read < r->read_ns && b->queue_since && b->queue_since < since)
			since = b->queue_since;
	}
	return since;
}

/*
 * Behind a queue that is worked off, each request of it quickly: it is there because of
 * what held it for the longest since it was empty.
 */
void inherit_backlog(struct join *j, struct tl_phase *p, const struct breq *r, int64_t shift)
{
	struct tl_phase whole = *p;
	struct held h;
	int64_t since;

	if (!r || !r->queue_since || (p->cause != TL_CAUSE_UNKNOWN && p->cause != TL_CAUSE_BROKER_SIDE))
		return;
	since = backlog_since(r, p->begin_ns + shift);
	whole.begin_ns = since;
	whole.ns = r->read_ns - since;
	whole.cause = TL_CAUSE_UNKNOWN;
	h = held_of(j, r->bconn, since, r->read_ns, r, 0);
	inherit(j, &whole, &h);
	held_end(&h);
	quiet_phase(&whole, r->bconn, 0);
	if (whole.cause == TL_CAUSE_UNKNOWN || whole.cause == TL_CAUSE_BROKER_SIDE)
		return;
	p->cause = whole.cause;
	p->culprit = whole.culprit;
	if (p->known > TL_KNOWN_INFERRED)
		p->known = TL_KNOWN_INFERRED;
}

/* The window or the socket was full: because of what? */
void inherit_from_peer(struct join *j, struct tl_phase *p, const struct peer *peer)
{
	const struct bconn *bc = peer && peer->last ? peer->last->bconn : NULL;
	const struct blame *best = NULL;
	int64_t most = 0;
	uint32_t n;

	if (!p || !peer)
		return;
	if (bc) {
		struct held h = held_of(j, bc, p->begin_ns, p->begin_ns + p->ns, NULL, 0);

		bool told = 2 * h.total >= p->ns || h.quota;

		if (told)
			inherit(j, p, &h);
		quiet_phase(p, bc, 0);
		held_end(&h);
		if (told)
			return;
	}
	n = peer->nr_blames < JOIN_BLAMES ? peer->nr_blames : JOIN_BLAMES;
	for (uint32_t i = 0; i < n; i++) {
		const struct blame *b = &peer->blame[i];
		int64_t in = overlap(b->begin, b->end, p->begin_ns, p->begin_ns + p->ns);

		if (in > most && b->cause != TL_CAUSE_WINDOW) {
			most = in;
			best = b;
		}
	}
	if (best && 2 * most >= p->ns) {
		p->cause = best->cause;
		p->culprit = best->culprit;
	}
}

/* A connection was given up after waiting since then: what was the broker doing? */
void inherit_from_conn(struct join *j, struct tl_phase *p, const struct conn *conn, int64_t from,
		       int64_t to)
{
	struct held h;
	struct tl_phase like = { .begin_ns = from, .ns = to - from };

	if (!p || !conn || !conn->bconn || to <= from)
		return;
	h = held_of(j, conn->bconn, from, to, NULL, 0);
	/* A request that it had before the rest went lost says nothing of the rest. */
	if (2 * h.total >= like.ns || h.quota)
		inherit(j, &like, &h);
	quiet_phase(&like, conn->bconn, 0);
	held_end(&h);
	if (like.cause == TL_CAUSE_UNKNOWN)
		return;
	p->cause = like.cause;
	p->behind = like.behind;
	p->culprit = like.culprit;
}
