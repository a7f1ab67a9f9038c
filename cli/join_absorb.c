/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join_absorb.c - messages that a retry regroups: which batches went on in which, and
 * where their messages were before.
 */
#include <stdlib.h>
#include "join_int.h"

static bool overlaps(const struct jbatch *a, const struct jbatch *b)
{
	return a->b.first_ts_ms <= b->b.max_ts_ms && b->b.first_ts_ms <= a->b.max_ts_ms;
}

/*
 * A queue is sent from its head: what holds messages of `a` holds the first ones, unless
 * another batch has them already.  Ending with the ms that it begins with, `a` is before it.
 */
static bool takes_head(const struct jbatch *jb, const struct jbatch *a)
{
	return a->taken || (jb->b.first_ts_ms <= a->b.first_ts_ms && a->b.first_ts_ms <= jb->b.max_ts_ms);
}

/* Numbered by the same count, other numbers are other messages. */
static bool same_epoch(const struct jbatch *a, const struct jbatch *b)
{
	return a->b.producer.id >= 0 && a->b.producer.id == b->b.producer.id &&
	       a->b.producer.epoch == b->b.producer.epoch;
}

static bool given_up(const struct jbatch *jb)
{
	const struct tl_attempt *last = &jb->b.attempts[jb->b.nr_attempts - 1];

	return last->ended_ns || (last->answered && last->error_code);
}

static void past_add(struct jbatch *jb, const struct past *p)
{
	struct past *all;

	if (p->max_ts < jb->b.first_ts_ms || p->first_ts > jb->b.max_ts_ms || jb->nr_past == JOIN_PAST)
		return;
	/* What was regrouped twice is handed down twice. */
	for (uint32_t i = jb->nr_past; i-- > 0; )
		if (jb->past[i].write_begin_ns == p->write_begin_ns && jb->past[i].conn == p->conn)
			return;
	all = realloc(jb->past, (jb->nr_past + 1) * sizeof(*all));
	if (!all)
		join_no_memory();
	jb->past = all;
	all[jb->nr_past++] = *p;
}

/* Where the messages that `jb` took from `a` were before. */
static void past_take(struct jbatch *jb, const struct jbatch *a)
{
	for (uint32_t i = 0; i < a->nr_past; i++)
		past_add(jb, &a->past[i]);
	for (uint32_t i = 0; i < a->b.nr_attempts; i++) {
		const struct tl_attempt *t = &a->b.attempts[i];
		struct past p = {
			a->b.first_ts_ms, a->b.max_ts_ms, t->write_begin_ns, t->write_end_ns,
			t->response_read_ns ? t->response_read_ns : t->ended_ns, t->conn,
			t->answered ? t->error_code : 0,
		};

		past_add(jb, &p);
	}
}

/*
 * A retry may regroup messages (always without idempotence, and with it once its epoch
 * was bumped): batches that were given up, of the same partition and with timestamps
 * within this one's, go on in it.
 */
void batch_absorb(struct join *j, struct jbatch *jb)
{
	struct jbatch *a, *old, *tmp;

	DL_FOREACH_SAFE2(jb->part->open, a, tmp, part_next) {
		if (a == jb || a->inst_id != jb->inst_id)
			continue;
		/* What was split: this one holds the rest of it. */
		DL_FOREACH2(a->absorbed, old, absorb_next)
			if (overlaps(old, jb)) {
				jb->split_from = true;
				past_take(jb, old);
			}
		if (!overlaps(a, jb) || same_epoch(a, jb) || !takes_head(jb, a) || !given_up(a) || a->replied_ok)
			continue;
		past_take(jb, a);
		DL_DELETE2(jb->part->open, a, part_prev, part_next);
		a->in_part = false;
		if (a->taken) {		/* some of its messages ended in it */
			a->b.messages = a->taken;
			fate_resolve(j, a, a->b.outcome, a->b.resolved_ns);
			jb->split_from = true;
		} else {
			a->in_absorbed = a->resolved = true;
			DL_APPEND2(jb->absorbed, a, absorb_prev, absorb_next);
		}
	}
}
