/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join_clock.c - the broker's times of a batch, on its client's clock.
 */
#include "clocks.h"
#include "join_int.h"

static bool broker_told(const struct tl_attempt *a)
{
	return a->read_ns || a->arrived_ns || a->append_end_ns || a->response_written_ns;
}

/* All or none: the clocks are tied, or they are not. */
static bool place_attempt(const struct join *j, const struct jtrail *from, const struct jtrail *to,
			  struct tl_attempt *a)
{
	int64_t *times[] = { &a->read_ns, &a->first_ns, &a->arrived_ns, &a->append_begin_ns, &a->append_end_ns,
			     &a->sync_begin_ns, &a->sync_end_ns, &a->index_end_ns,
			     &a->response_written_ns };
	struct clock *tie = clocks_tie(j->conf.clocks, from->t, to->t);

	if (!tie)
		return false;
	for (unsigned i = 0; i < sizeof(times) / sizeof(*times); i++) {
		int64_t ns = *times[i], bound;

		if (!ns)
			continue;
		if (!clocks_place(tie, from->t, to->t, &ns, &bound))
			return false;
		a->clock_offset_ns = *times[i] - ns;
		if (bound > a->bound_ns)
			a->bound_ns = bound;
		*times[i] = ns;
	}
	return true;
}

/*
 * A request cannot have been read before it was written, nor an answer before that: what
 * the band leaves open beyond that is within the bound.
 */
static void hold_order(struct tl_attempt *a)
{
	int64_t *early[] = { &a->arrived_ns, &a->read_ns };

	for (int i = 0; i < 2; i++)
		if (*early[i] && a->write_end_ns && *early[i] < a->write_end_ns &&
		    *early[i] + a->bound_ns >= a->write_end_ns)
			*early[i] = a->write_end_ns;
	if (a->response_written_ns && a->response_read_ns && a->response_written_ns > a->response_read_ns &&
	    a->response_written_ns - a->bound_ns <= a->response_read_ns)
		a->response_written_ns = a->response_read_ns;
}

/* The trail that told of an attempt's broker, or NULL. */
static const struct jtrail *broker_trail(const struct link_state *st)
{
	return st->breq ? st->breq->bconn->trail : st->appender ? st->appender :
	       st->req && st->req->conn->bconn ? st->req->conn->bconn->trail : NULL;
}

/*
 * A follower's times of its copy, on the clock of the batch's own: as the leader's are placed
 * where both have one clock, else by its own tie to the client; without one by the wall clocks.
 */
static void place_copy(struct join *j, struct jbatch *jb, uint32_t nr)
{
	const struct jtrail *from = j->trails[jb->copier[nr]->key.trail], *to = jb->trail;
	const struct tl_attempt *a = jb->b.nr_attempts ? &jb->b.attempts[jb->b.counted] : NULL;
	const struct jtrail *leader = a ? broker_trail(&jb->state[jb->b.counted]) : NULL;
	struct tl_replica *r = &jb->b.replicas[nr];
	int64_t *times[] = { &r->append_ns, &r->sync_end_ns };
	struct clock *tie;

	r->known = TL_KNOWN_EXACT;
	if (clocks_same(from->t, to->t))
		return;
	if (leader && clocks_same(from->t, leader->t)) {
		r->known = a->broker_known;
		r->bound_ns = a->bound_ns;
		for (unsigned i = 0; i < sizeof(times) / sizeof(*times); i++)
			*times[i] -= *times[i] ? a->clock_offset_ns : 0;
		return;
	}
	r->known = TL_KNOWN_INFERRED;
	tie = clocks_tie(j->conf.clocks, from->t, to->t);
	for (unsigned i = 0; tie && i < sizeof(times) / sizeof(*times); i++) {
		int64_t bound = 0;

		if (!*times[i] || !clocks_place(tie, from->t, to->t, times[i], &bound))
			continue;
		r->known = TL_KNOWN_ACROSS;
		if (bound > r->bound_ns)
			r->bound_ns = bound;
	}
}

void broker_times(struct join *j, struct jbatch *jb)
{
	for (uint32_t i = 0; i < jb->b.nr_attempts; i++) {
		struct tl_attempt *a = &jb->b.attempts[i];
		const struct link_state *st = &jb->state[i];
		const struct jtrail *bt = broker_trail(st);

		if (st->breq) {
			a->first_ns = st->breq->first_ns;
			a->arrived_ns = st->breq->arrived_ns;
			a->no_answer = st->breq->unasked;
			a->read_ns = st->breq->told ? st->breq->read_ns : 0;
			a->response_written_ns = st->breq->written_ns;
		}
		a->broker_known = TL_KNOWN_EXACT;
		if (!jb->b.client || !bt || clocks_same(jb->trail->t, bt->t) || !broker_told(a))
			continue;
		if (place_attempt(j, bt, jb->trail, a)) {
			a->broker_known = TL_KNOWN_ACROSS;
			hold_order(a);
		} else {
			a->broker_known = TL_KNOWN_INFERRED;
		}
	}
	if (!jb->replied_ok && jb->b.nr_attempts)
		jb->b.counted = jb->b.nr_attempts - 1;
	for (uint32_t i = 0; i < jb->b.nr_replicas; i++)
		place_copy(j, jb, i);
}

void disk_time(struct jbatch *jb)
{
	if (jb->b.on_disk_ns && jb->b.nr_attempts)
		jb->b.on_disk_ns -= jb->b.attempts[jb->b.counted].clock_offset_ns;
}
