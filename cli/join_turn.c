/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join_turn.c - the requests of a connection take turns: Kafka reads one, and no other
 * until that is answered (or, with acks=0, done).  What the broker was busy with in each
 * is remembered, for those that come behind it.
 */
#include <stdlib.h>
#include <string.h>
#include <acktrail/kafka.h>
#include "clocks.h"
#include "join_int.h"

#define STALLED		(5 * JOIN_MS)	/* whose append took less has no culprit */
#define NEXT_READ	(1000 * JOIN_MS)	/* it lay there meanwhile, or did not wait for this one */

/* The end of what its own thread did for it, on the broker's clock. */
static int64_t after_append(const struct link_state *st, const struct tl_attempt *a, int64_t read_ns)
{
	int64_t shift = a->read_ns ? read_ns - a->read_ns : 0;

	if (a->index_end_ns || a->sync_end_ns)
		return (a->index_end_ns ? a->index_end_ns : a->sync_end_ns) + shift;
	return a->append_end_ns + append_indexed(st, a) + shift;
}

/* When a follower had its copy, on the broker's clock; 0: that is no clock of this broker's, or nobody waited for it. */
static int64_t copied(const struct join *j, const struct breq *r, const struct jbatch *jb, const struct tl_attempt *a, uint32_t nr)
{
	const struct tl_replica *copy = &jb->b.replicas[nr];
	int64_t has = copy->sync_end_ns > copy->append_ns ? copy->sync_end_ns : copy->append_ns;
	/* Of a batch that is told they are on its client's clock. */
	int64_t shift = copy->known && a->read_ns ? r->read_ns - a->read_ns : 0;

	if (r->acks > 0 || r->unasked || !clocks_same(j->trails[jb->copier[nr]->key.trail]->t, r->bconn->trail->t))
		return 0;
	has += shift;
	return r->written_ns && has > r->written_ns ? r->written_ns : has;
}

/* ---- what it was busy with, as far as known yet ---- */

/* A wait for others' appends and syncs is theirs; the longest is the one to name. */
static void busy_chain(struct busy *b, struct chain *c)
{
	if (!c)
		return;
	if (c->locked && chain_behind(c) == TL_CAUSE_LEADER_FSYNC) {
		b->fsync += c->fsync;
		if (!b->culprit)
			b->culprit = c->by.culprit;
	} else if (c->locked) {
		b->lock += c->ns;
	}
	if (!b->why || c->ns > b->why->ns) {
		chain_put(b->why);
		b->why = chain_get(c);
	}
}

static void busy_batch(struct join *j, const struct breq *r, struct busy *b, struct jbatch *jb,
		       struct link_state *st, const struct tl_attempt *a)
{
	struct chain *c;

	b->append += a->append_end_ns - a->append_begin_ns + append_indexed(st, a);
	if (a->append.ns >= STALLED && a->append.ns > b->stalled_ns) {
		b->stalled_ns = a->append.ns;
		b->stalled = parts_culprit(j, &a->append);
	}
	b->fsync += a->sync.ns + a->index.ns;
	for (uint32_t i = 0; a->append_end_ns && i < jb->b.nr_replicas; i++) {
		int64_t has = copied(j, r, jb, a, i) - after_append(st, a, r->read_ns);

		if (has > b->follower)
			b->follower = has;
	}
	if (st->handler_ns > r->read_ns)
		*(st->handler_synced ? &b->fsync : &b->handlers) += st->handler_ns - r->read_ns;
	busy_chain(b, st->stall);
	busy_chain(b, st->lock);
	busy_chain(b, st->after);
	if (a->append_end_ns)
		return;
	c = lock_wait(j, jb, r->bconn->trail, r->read_ns, r->answered_ns ? r->answered_ns : j->now, false);
	busy_chain(b, c);
	chain_put(c);
}

/* One of its batches is told and goes, and it is not answered: those behind it are yet to be told. */
void turn_keep(struct join *j, struct breq *r, struct jbatch *jb, uint32_t attempt)
{
	const struct tl_attempt *a = &jb->b.attempts[attempt];

	if (r->answered_ns)
		return;
	if (!r->kept)
		r->kept = join_alloc(sizeof(*r->kept));
	busy_batch(j, r, r->kept, jb, &jb->state[attempt], a);
	if (!r->kept->culprit)
		r->kept->culprit = parts_culprit(j, &a->sync);
}

void turn_unkeep(struct breq *r)
{
	if (r->kept)
		chain_put(r->kept->why);
	free(r->kept);
	r->kept = NULL;
}

/* b.why is the caller's to put. */
struct busy busy_of(struct join *j, const struct breq *r)
{
	struct busy b = { 0 };

	if (r->kept)
		b = *r->kept;
	b.why = chain_get(b.why);
	b.read = r->read_ns;
	b.answered = r->answered_ns;
	b.arrived = r->arrived_ns;
	b.queue_since = r->queue_since;
	b.unasked = r->unasked;
	b.known = TL_KNOWN_EXACT;
	for (uint32_t i = 0; i < r->links.nr; i++) {
		struct jbatch *jb = r->links.at[i].batch;
		uint32_t n = r->links.at[i].attempt;

		if (jb)
			busy_batch(j, r, &b, jb, &jb->state[n], &jb->b.attempts[n]);
	}
	return b;
}

/* A fleet's connections are many, and most have few requests.  Not yet full it does not wrap. */
static void ring_grow(struct bconn *c)
{
	uint32_t room = c->ring_room ? 2 * c->ring_room : 16;

	c->ring = realloc(c->ring, room * sizeof(*c->ring));
	if (!c->ring)
		join_no_memory();
	memset(&c->ring[c->ring_room], 0, (room - c->ring_room) * sizeof(*c->ring));
	c->ring_room = room;
}

static struct busy *bconn_remember(struct join *j, struct breq *r)
{
	struct bconn *c = r->bconn;
	struct busy *slot, *fading;

	if (c->nr_busy == c->ring_room && c->ring_room < JOIN_BUSY)
		ring_grow(c);
	slot = &c->ring[c->nr_busy++ % JOIN_BUSY];
	fading = r->api == KAFKA_PRODUCE && c->nr_busy >= JOIN_BUSY / 2 ?
		 &c->ring[(c->nr_busy - JOIN_BUSY / 2) % JOIN_BUSY] : NULL;
	if (fading && fading->answered > j->fading_ns)
		j->fading_ns = fading->answered;
	__builtin_prefetch(&c->ring[c->nr_busy % JOIN_BUSY].why, 1);	/* written the next time, and long unused */
	chain_put(slot->why);
	*slot = busy_of(j, r);
	for (uint32_t i = 0; i < r->links.nr && !slot->culprit; i++)
		if (r->links.at[i].batch)
			slot->culprit = parts_culprit(j, &r->links.at[i].batch->b
						      .attempts[r->links.at[i].attempt].sync);
	return slot;
}

void bconn_free(struct bconn *c)
{
	for (uint32_t i = 0; i < c->nr_busy && i < JOIN_BUSY; i++)
		chain_put(c->ring[i].why);
	free(c->ring);
	free(c);
}

/*
 * The log's lock is taken once more after the append (maybeIncrementHighWatermark), and
 * after those followers that were seen.
 */
static void lock_again(struct join *j, const struct breq *r, struct jbatch *jb, uint32_t n)
{
	const struct tl_attempt *a = &jb->b.attempts[n];
	int64_t from = after_append(&jb->state[n], a, r->read_ns);

	for (uint32_t i = 0; i < jb->b.nr_replicas; i++) {
		int64_t has = copied(j, r, jb, a, i);

		if (has > from)
			from = has;
	}
	if (a->append_end_ns && !jb->state[n].after)
		jb->state[n].after = lock_wait(j, jb, r->bconn->trail, from, r->answered_ns, true);
}

/* ---- one after the other ------------------------------------------------------------- */

static int64_t work_end(const struct breq *r)
{
	int64_t end = r->read_ns;

	for (uint32_t i = 0; i < r->links.nr; i++) {
		const struct jbatch *jb = r->links.at[i].batch;
		uint32_t n = r->links.at[i].attempt;
		int64_t ns = jb ? after_append(&jb->state[n], &jb->b.attempts[n], 0) : 0;

		if (ns > end)
			end = ns;
	}
	return end;
}

/*
 * Answered, or (written 0) over without.  The answer may say that nothing more will be read
 * for `throttle` ns (Kafka mutes the connection), counted from some time after the append.
 */
void turn_ends(struct join *j, struct breq *r, int64_t written, int64_t ns, int64_t throttle)
{
	struct busy *slot;

	r->written_ns = written;
	r->answered_ns = ns;
	DL_DELETE(r->bconn->open, r);
	for (uint32_t i = 0; written && i < r->links.nr; i++)
		if (r->links.at[i].batch)
			lock_again(j, r, r->links.at[i].batch, r->links.at[i].attempt);
	slot = bconn_remember(j, r);
	slot->throttle = throttle;
	slot->muted = throttle ? work_end(r) + throttle : 0;
	r->over = true;
	for (uint32_t i = 0; i < r->links.nr; i++) {
		struct jbatch *jb = r->links.at[i].batch;

		if (jb && !jb->b.client && jb->pending) {
			pending_leave(j, jb);
			broker_only_pend(j, jb, written ? written : ns);
		}
	}
	if (!r->live_links)
		breq_free(j, r);
}

/* May more be learned of it?  Its end where nobody answers: that the next is read, soon after its work. */
bool turn_may_last(struct join *j, const struct breq *r)
{
	if (r->answered_ns || r->bconn->end_ns)
		return false;
	for (uint32_t i = 0; i < r->links.nr; i++)
		if (r->links.at[i].batch && !r->links.at[i].batch->b.attempts[r->links.at[i].attempt].append_end_ns)
			return true;
	return !r->unasked || j->now - work_end(r) < NEXT_READ;
}

/* The next is read: what was not answered is over all the same. */
void turn_begins(struct join *j, struct breq *r)
{
	struct bconn *c = r->bconn;
	struct breq *o, *tmp;
	struct busy *b;

	DL_FOREACH_SAFE(c->open, o, tmp) {
		int64_t end = work_end(o);

		if (o == r || o->passed_ns)
			continue;
		o->passed_ns = r->read_ns;
		if (o->unasked)
			turn_ends(j, o, 0, end > o->read_ns && end < r->read_ns ? end : r->read_ns, 0);
	}
	b = c->nr_busy ? &c->ring[(c->nr_busy - 1) % JOIN_BUSY] : NULL;
	if (!b || !b->throttle)
		return;
	/* So it said; whether it was so this read shows. */
	if (b->muted > r->read_ns)
		b->muted = 0;
	else
		b->muted = b->answered + b->throttle < r->read_ns ? b->answered + b->throttle : r->read_ns;
	b->throttle = 0;
}
