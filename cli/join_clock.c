/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join_clock.c - the offset between two trails' clocks, learned from matched requests,
 * and the broker's times placed by it.
 */
#include "join_int.h"

static struct clock_pair *clock_pair(struct join *j, const struct jtrail *a, const struct jtrail *b)
{
	struct key2 key = { a->index, b->index };
	struct clock_pair *p;

	HASH_FIND(hh, j->clocks, &key, sizeof(key), p);
	if (p)
		return p;
	p = join_alloc(sizeof(*p));
	p->key = key;
	HASH_ADD(hh, j->clocks, key, sizeof(p->key), p);
	return p;
}

static void clock_learn(struct clock_pair *p, const struct tl_attempt *a)
{
	if (a->read_ns && a->write_end_ns) {
		int64_t d = a->read_ns - a->write_end_ns;

		if (!p->there || d < p->min_there)
			p->min_there = d;
		p->there = true;
	}
	if (a->response_written_ns && a->response_read_ns) {
		int64_t d = a->response_read_ns - a->response_written_ns;

		if (!p->back || d < p->min_back)
			p->min_back = d;
		p->back = true;
	}
}

static void shift(int64_t *ns, int64_t by)
{
	if (*ns)
		*ns -= by;
}

/* Broker times onto the client's clock, with the bound that the two ways leave. */
static void clock_apply(const struct clock_pair *p, struct tl_attempt *a)
{
	int64_t theta;

	a->broker_known = TL_KNOWN_INFERRED;
	if (!p->there || !p->back)
		return;
	theta = (p->min_there - p->min_back) / 2;
	a->bound_ns = (p->min_there + p->min_back) / 2;
	if (a->bound_ns < 0)
		a->bound_ns = -a->bound_ns;
	a->broker_known = TL_KNOWN_ACROSS;
	shift(&a->arrived_ns, theta);
	shift(&a->read_ns, theta);
	shift(&a->append_begin_ns, theta);
	shift(&a->append_end_ns, theta);
	shift(&a->sync_begin_ns, theta);
	shift(&a->sync_end_ns, theta);
	shift(&a->index_end_ns, theta);
	shift(&a->response_written_ns, theta);
}

void broker_times(struct join *j, struct jbatch *jb)
{
	for (uint32_t i = 0; i < jb->b.nr_attempts; i++) {
		struct tl_attempt *a = &jb->b.attempts[i];
		const struct link_state *st = &jb->state[i];
		const struct jtrail *bt = NULL;

		if (st->breq) {
			a->arrived_ns = st->breq->arrived_ns;
			a->read_ns = st->breq->told ? st->breq->read_ns : 0;
			a->response_written_ns = st->breq->written_ns;
			bt = st->breq->bconn->trail;
		} else if (st->req && st->req->conn->bconn) {
			bt = st->req->conn->bconn->trail;
		}
		a->broker_known = TL_KNOWN_EXACT;
		if (!jb->b.client || (!bt && !st->appended))
			continue;
		/* An append without its request: any probe's clock but ours will do. */
		for (uint32_t k = 0; !bt && k < j->nr_trails; k++)
			if (j->trails[k]->probe)
				bt = j->trails[k];
		if (!bt || same_clock(jb->trail, bt))
			continue;
		clock_learn(clock_pair(j, jb->trail, bt), a);
		clock_apply(clock_pair(j, jb->trail, bt), a);
	}
	if (!jb->replied_ok && jb->b.nr_attempts)
		jb->b.counted = jb->b.nr_attempts - 1;
}
