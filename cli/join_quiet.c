/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join_quiet.c - a process that stood still: nothing at all was seen of it, while work
 * that needs nobody else lay there.  Silence alone is no evidence: most have nothing to
 * do now and then.
 */
#include <acktrail/kafka.h>
#include "join_int.h"

#define QUIET	(50 * JOIN_MS)	/* shorter ones are a busy machine's */
#define LONG	(1000 * JOIN_MS)	/* so long no thread computes alone */
#define AWAKE	(50 * JOIN_MS)	/* from its first sign of life until it turns to what lay there */

/*
 * Were there an event, would it be here?  Not when some were lost; and a ring that began
 * anew is whole in its younger half, as each thread's chunks are recycled on their own.
 */
static bool told_all(const struct trail *t, int64_t from)
{
	if (t->lost || t->account.probe_lost || t->incomplete)
		return false;
	return !t->wrapped[AT_BULK] ||
	       from >= (int64_t)(t->newest_ns - t->held_ns[AT_BULK] / 2) + t->to_axis_ns;
}

void quiet_seen(struct quiet *q, const struct jtrail *t, int64_t ns)
{
	if (q->last_ns && ns - q->last_ns >= QUIET && told_all(t->t, q->last_ns)) {
		q->gap_begin = q->last_ns;
		q->gap_end = ns;
		spans_add(&q->gaps, q->gap_begin, ns);
	}
	if (ns > q->last_ns)
		q->last_ns = ns;
}

static bool may_prove(const struct quiet *q, int64_t since, int64_t taken, int64_t least)
{
	return q->gap_end && q->gap_end - since >= least && since >= q->gap_begin - AWAKE &&
	       taken >= q->gap_end && taken - q->gap_end <= AWAKE;
}

/*
 * Work lay there since `since`, and was taken up at `taken`: was the process silent until
 * then?  Alive, and not at that work, is something else.
 */
void quiet_proof(struct quiet *q, int64_t since, int64_t taken, int64_t least)
{
	if (may_prove(q, since, taken, least))
		spans_add(&q->still, q->gap_begin, q->gap_end);
}

/* A handler may have been at a request, computing: that leaves no trace either. */
static bool in_hand(const struct jtrail *t, const struct target *g)
{
	const struct bconn *c;
	const struct breq *r;

	LL_FOREACH(t->bconns, c) {
		if (c->target != g)
			continue;
		DL_FOREACH(c->open, r)
			if (r->read_ns <= g->quiet.gap_begin && r->api != KAFKA_FETCH)
				return true;
	}
	return false;
}

/*
 * The broker's: a request that had arrived, nothing of that connection before it, and
 * none of the process's threads did anything until it was read.
 */
void quiet_arrival(struct breq *r, const struct event *ev)
{
	struct bconn *c = r->bconn;
	const struct busy *before = c->nr_busy ? &c->ring[(c->nr_busy - 1) % JOIN_BUSY] : NULL;

	if (!c->target)
		return;
	quiet_seen(&c->target->quiet, c->trail, r->read_ns);
	if (!ev->arrival.arrived_ns)
		return;
	if (!before || before->answered <= r->arrived_ns)
		c->queue_since = r->arrived_ns;
	r->queue_since = c->queue_since;
	for (const struct breq *o = c->open; o; o = o->next)
		if (o != r && !o->passed_ns)
			return;
	if (before && (before->answered > r->arrived_ns || before->muted > r->arrived_ns))
		return;
	/* A quota mutes a connection also where no answer can say so. */
	if (before && before->unasked)
		return;
	if (c->conn &&
	    spans_within(&c->conn->throttled, r->arrived_ns, r->read_ns))
		return;
	if (may_prove(&c->target->quiet, r->arrived_ns, r->read_ns, 2 * QUIET))
		quiet_proof(&c->target->quiet, r->arrived_ns, r->read_ns, in_hand(c->trail, c->target) ? LONG : 2 * QUIET);
}

/* What is only known to be the broker's: did its process stand still most of the time? */
void quiet_phase(struct tl_phase *p, const struct bconn *c, int64_t shift)
{
	/* That the handler which took it came from another request says little of who was busy till then. */
	bool open = p && (p->cause == TL_CAUSE_UNKNOWN || p->cause == TL_CAUSE_BROKER_SIDE ||
			  (p->cause == TL_CAUSE_BROKER_BUSY && p->name == TL_PHASE_QUEUE));

	if (!open || !c || !c->target)
		return;
	if (2 * spans_within(&c->target->quiet.still, p->begin_ns + shift, p->begin_ns + p->ns + shift) < p->ns)
		return;
	p->cause = TL_CAUSE_PAUSED;
	p->unsaid = false;
	p->culprit = NULL;
	if (p->known > TL_KNOWN_INFERRED)
		p->known = TL_KNOWN_INFERRED;
}


static bool after_all(const struct spans *s, int64_t ns)
{
	return !s->nr || ns >= s->iv[(s->nr - 1) % JOIN_SPANS].end;
}

/* Then it did not stand still around that time, however little was seen of it. */
void quiet_alive(struct quiet *q, int64_t ns)
{
	struct spans *both[] = { &q->gaps, &q->still };

	for (int k = 0; k < 2; k++)
		for (uint32_t i = 0; !after_all(both[k], ns) && i < JOIN_SPANS && i < both[k]->nr; i++) {
			struct span_iv *iv = &both[k]->iv[i];

			if (ns >= iv->begin + AWAKE && ns <= iv->end - AWAKE)
				iv->end = iv->begin;
		}
	if (ns >= q->gap_begin + AWAKE && ns <= q->gap_end - AWAKE)
		q->gap_begin = q->gap_end = 0;
}

/* The client's: of what lies with it, or may, what it could not do while it stood still. */
void quiet_client(struct jtrail *t, struct tl_phase *p)
{
	if (!p || 2 * spans_within(&t->quiet.still, p->begin_ns, p->begin_ns + p->ns) < p->ns)
		return;
	p->cause = TL_CAUSE_STARVED;
	p->culprit = NULL;
	if (p->known > TL_KNOWN_INFERRED)
		p->known = TL_KNOWN_INFERRED;
}

/*
 * A batch that nothing held, and that no thread of the client sent: proof like the others.  But
 * not of short silences one after the other: it woke up in between, and had a reason not to send.
 */
bool quiet_unsent(struct jtrail *t, int64_t from, int64_t to)
{
	int64_t in = spans_within(&t->quiet.gaps, from, to), longest = 0;
	uint32_t n = t->quiet.gaps.nr < JOIN_SPANS ? t->quiet.gaps.nr : JOIN_SPANS;

	if (to - from < QUIET || 2 * in < to - from)
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (t->quiet.gaps.iv[i].begin < to && t->quiet.gaps.iv[i].end > from &&
		    t->quiet.gaps.iv[i].end - t->quiet.gaps.iv[i].begin > longest)
			longest = t->quiet.gaps.iv[i].end - t->quiet.gaps.iv[i].begin;
	if (2 * longest < to - from && longest < LONG / 2)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		int64_t b = t->quiet.gaps.iv[i].begin, e = t->quiet.gaps.iv[i].end;

		if (b < to && e > from && !spans_within(&t->quiet.still, b, e))
			spans_add(&t->quiet.still, b, e);
	}
	return true;
}
