/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join_wire.c - a client whose library says nothing: one that is not librdkafka, or has it
 * where no shim reaches.  Its sockets alone show when it began, what it gave up, how much
 * it may have in flight, and how long it lingers; what they do not show is not known.
 */
#include <acktrail/kafka.h>
#include "join_int.h"

#define FULL_LEAST	(10 * JOIN_MS)	/* shorter ones make nobody late */
#define ROOM_SLACK	(5 * JOIN_MS)	/* from reading an answer to the next request */
#define LINGER_SLACK	(20 * JOIN_MS)	/* a busy machine's */

/* Of a trail that is cut a library may have told whose its batches were, and what they waited for. */
static bool library_cut(const struct jtrail *t)
{
	return t->t->incomplete && (t->t->bad_account || t->t->account.nr_instances);
}

bool wire_alone(const struct jbatch *jb)
{
	return !jb->inst_id && !jb->trail->has_producers && !library_cut(jb->trail);
}

/* ---- what stands for its instance: there is one, as far as can be told ------------- */

struct inst *inst_of(struct join *j, struct jtrail *t, const struct conn *c)
{
	struct inst *in = inst_find(j, t->index, c->inst);

	if (in || c->inst || t->has_producers)
		return in;
	if (!t->wire) {
		t->wire = join_alloc(sizeof(*t->wire));
		t->wire->key.trail = t->index;
		t->wire->produced = c->flags & AT_CONN_MIDSTREAM;	/* its start was not seen */
	}
	return t->wire;
}

const struct inst *inst_of_batch(const struct jbatch *jb)
{
	return jb->inst ? jb->inst : wire_alone(jb) ? jb->trail->wire : NULL;
}

/*
 * Nobody tells how long a batch may linger.  What nothing else held lingered; but for the first, which may
 * have waited for its client's start, and for one that waited far longer than others had to.
 */
bool may_linger(const struct jbatch *jb, int64_t waited)
{
	const struct inst *in = inst_of_batch(jb);
	int64_t *least = &jb->trail->least_wait;

	if (!*least || waited < *least)
		*least = waited;
	return in && in->produced_ns < jb->b.attempts[0].write_begin_ns && waited <= 2 * *least + LINGER_SLACK;
}

/* ---- what it gave up --------------------------------------------------------------- */

/*
 * A connection that ended while nobody had waited for longer: nobody was late.  Java tells its end first to the
 * other side, by shutdown(), and closes it with its next select(), 100 ms later or so.
 */
int64_t soon_given_up(const struct conn *c)
{
	return (c->inst ? 100 : 300) * JOIN_MS;
}

/* Its connection ended without an answer; it will be sent again, and what is behind it waits until then. */
void part_waits(struct jbatch *jb, const struct conn *c, int64_t ns)
{
	const struct peer *p = c->peer;

	if (!jb->part || jb->resolved || !wire_alone(jb))
		return;
	if (!jb->part->again)
		jb->part->again = join_alloc(sizeof(*jb->part->again));
	spans_open(jb->part->again, ns, p->lost_cause);
	if (p->lost_conn == c)
		spans_blame(jb->part->again, p->lost_conn, p->lost_since);
}

/*
 * The batches of a partition are sent in order, and what has to be sent again goes first: what
 * got no answer and is passed over by a younger one its producer has given up by then.
 */
void fate_passed_over(struct join *j, const struct jbatch *by, int64_t ns)
{
	struct jbatch *jb, *tmp;

	DL_FOREACH_SAFE2(by->part->open, jb, tmp, part_next) {
		const struct tl_attempt *last = &jb->b.attempts[jb->b.nr_attempts - 1];

		if (jb != by && last->ended_ns && !last->answered && !jb->replied_ok &&
		    jb->b.producer.id == by->b.producer.id && jb->b.max_ts_ms < by->b.first_ts_ms)
			fate_resolve(j, jb, TL_OUTCOME_EXPIRED, ns);
	}
}

/* ---- how much it may have in flight -------------------------------------------------- */

/*
 * Where there were never more, and the next is written as soon as one of them is answered,
 * it had waited for that.
 */
void room_taken(struct conn *c, const struct req *r)
{
	int64_t late = r->begin_ns - c->room_ns;

	if (c->inst || r->api != KAFKA_PRODUCE || library_cut(c->trail))
		return;
	if (c->room_ns && late >= 0 && late <= ROOM_SLACK && c->room_ns - c->full_ns >= FULL_LEAST)
		spans_add(&c->peer->full, c->full_ns, c->room_ns);
	if (c->nr_flying < c->most)
		return;
	c->most = c->nr_flying;
	c->full_ns = r->end_ns;
	c->room_ns = 0;
}

/* No answer made room as long as it lasted. */
void room_never(struct conn *c, int64_t ns)
{
	if (!c->inst && !library_cut(c->trail) && c->nr_flying > 1 && c->nr_flying == c->most)
		spans_add(&c->peer->full, c->full_ns, ns);
}
