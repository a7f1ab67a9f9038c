/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join_fate.c - how batches end: by a reply, with their producer, with the trail; and
 * what a resend would do.
 */
#include <acktrail/kafka.h>
#include "join_int.h"

/* A duplicate is a success for a producer that has a sequence, and for no other. */
bool attempt_ok(const struct jbatch *jb, const struct tl_attempt *a)
{
	return a->answered && (!a->error_code ||
			       (a->error_code == DUPLICATE_SEQUENCE && jb->b.producer.id >= 0));
}

static void leave_open(struct jbatch *jb)
{
	if (jb->in_part)
		DL_DELETE2(jb->part->open, jb, part_prev, part_next);
	jb->in_part = false;
}

void fate_resolve(struct join *j, struct jbatch *jb, enum tl_outcome outcome, int64_t ns)
{
	leave_open(jb);
	idemp_lands(jb, ns);
	jb->resolved = true;
	jb->seen_from = jb->trail->seen_from;
	if (!jb->b.messages)
		jb->b.messages = jb->taken ? jb->taken : jb->b.count;
	jb->b.outcome = outcome;
	if (outcome != TL_OUTCOME_OPEN)
		jb->b.resolved_ns = ns;
	jb->b.end_ns = jb->b.ended_ns = ns;
	if (outcome == TL_OUTCOME_ACKED && !jb->b.acked_ns)
		jb->b.acked_ns = ns;
	if (!jb->b.resolved_ns)
		jb->b.resolved_ns = ns;
	pending_enter(j, jb);
}

/* ---- the wire alone ------------------------------------------------------------- */

/* acks=0: its producer takes it for delivered once it is written, as librdkafka does. */
static void fate_written(struct join *j, struct jbatch *jb, uint32_t attempt)
{
	const struct req *r = jb->state[attempt].req;

	if (!r || !r->told || r->api != KAFKA_PRODUCE || r->acks || jb->resolved || !wire_alone(jb))
		return;
	jb->b.counted = attempt;
	fate_resolve(j, jb, TL_OUTCOME_ACKED, r->end_ns);
}

/* No interceptor tells how it ended: the reply does, or that there will be none. */
void fate_replied(struct join *j, struct jbatch *jb, uint32_t attempt)
{
	struct tl_attempt *a = &jb->b.attempts[attempt];

	if (!a->answered) {
		fate_written(j, jb, attempt);
		return;
	}
	if (attempt_ok(jb, a)) {
		jb->b.counted = attempt;
		jb->replied_ok = true;
		if (a->base_offset >= 0 && !jb->state[attempt].appender)
			broker_adopt(j, jb);
	}
	if (jb->resolved || !wire_alone(jb))
		return;
	if (attempt_ok(jb, a))
		fate_resolve(j, jb, TL_OUTCOME_ACKED, a->response_read_ns);
}

/* ---- ends ------------------------------------------------------------------------ */

/* Nothing said how it ended: what the evidence allows. */
static void resolve_left(struct join *j, struct jbatch *jb, enum tl_outcome outcome, int64_t ns)
{
	const struct tl_attempt *a = &jb->b.attempts[jb->b.counted];

	/* What was lost might have told. */
	if (jb->trail->t->lost && !wire_alone(jb) && !jb->taken &&
	    (may_lack(jb->trail, AT_EV_ACKS) || !jb->replied_ok))
		fate_resolve(j, jb, TL_OUTCOME_OPEN, ns);
	else if (jb->replied_ok)
		fate_resolve(j, jb, TL_OUTCOME_ACKED, a->response_read_ns);
	else if (jb->taken)
		fate_resolve(j, jb, jb->b.outcome, jb->b.resolved_ns);
	else if ((outcome == TL_OUTCOME_LOST || outcome == TL_OUTCOME_DROPPED) && gap_hides_end(jb))
		fate_resolve(j, jb, TL_OUTCOME_OPEN, jb->trail->seen_until);
	else
		fate_resolve(j, jb, outcome, ns);
}

/*
 * What is still open when the instance is gone was dropped with it, as far as its account
 * has such messages; the others ended in rows that could not be told to be theirs.
 */
static void drop_left(struct join *j, struct jbatch *jb, uint64_t *open, int64_t ns)
{
	uint32_t left = jb->b.count - jb->taken;

	if (jb->replied_ok || (jb->taken && *open < left)) {
		resolve_left(j, jb, TL_OUTCOME_ACKED, ns);
		return;
	}
	if (jb->taken)
		jb = acks_rest(j, jb);
	if (*open < left) {
		jb->b.moved = true;
		fate_resolve(j, jb, TL_OUTCOME_OPEN, ns);
		return;
	}
	*open -= left;
	fate_resolve(j, jb, TL_OUTCOME_DROPPED, ns);
}

void fate_instance_end(struct join *j, struct jtrail *t, const struct ev_instance_end *e, int64_t ns)
{
	struct part *p, *tp;
	struct jbatch *jb, *tmp;
	uint64_t open = e->open;

	HASH_ITER(hh, j->parts, p, tp) {
		if (p->key.trail != t->index)
			continue;
		DL_FOREACH_SAFE2(p->open, jb, tmp, part_next)
			if (jb->inst_id == e->inst && e->inst)
				drop_left(j, jb, &open, ns);
	}
}

void fate_end(struct join *j)
{
	struct part *p, *tp;
	struct jbatch *jb, *tmp;

	HASH_ITER(hh, j->parts, p, tp)
		DL_FOREACH_SAFE2(p->open, jb, tmp, part_next) {
			struct jtrail *t = jb->trail;
			bool gone = t->end_ns || trail_over(t->t);
			const struct tl_attempt *last = &jb->b.attempts[jb->b.nr_attempts - 1];

			if (wire_alone(jb) && last->answered && last->error_code && gone)
				resolve_left(j, jb, TL_OUTCOME_FAILED, last->response_read_ns);
			else if (gone && !t->t->incomplete) {
				jb->b.killed = !t->end_ns && t->t->header.state == AT_OPEN;
				resolve_left(j, jb, TL_OUTCOME_LOST, t->end_ns ? t->end_ns : t->last_ns);
			} else {	/* of a trail cut short: the rest may have told how it ended */
				resolve_left(j, jb, TL_OUTCOME_OPEN, t->last_ns);
			}
		}
}

/* ---- is it in the log, may it be sent again ---------------------------------------- */

static const char *expired_by(const struct tl_batch *b)
{
	int64_t lived = b->end_ns - b->created_first_ns;
	int64_t limit = (int64_t)b->producer.message_timeout_ms * JOIN_MS;

	if (b->outcome != TL_OUTCOME_EXPIRED || b->wire_alone)
		return NULL;
	if (!limit || !b->created_first_ns || lived + 50 * JOIN_MS >= limit)
		return "message.timeout.ms";
	for (uint32_t i = 0; i < b->nr_attempts; i++) {
		const struct tl_attempt *a = &b->attempts[i];
		int64_t end = a->ended_ns ? a->ended_ns : b->end_ns;

		if (b->producer.socket_timeout_ms && !a->answered && end - a->write_end_ns + 50 * JOIN_MS >=
		    (int64_t)b->producer.socket_timeout_ms * JOIN_MS)
			return "socket.timeout.ms";
	}
	return NULL;
}

void fate_ends(struct jbatch *jb)
{
	struct tl_batch *b = &jb->b;

	if (b->resolved_ns && b->outcome != TL_OUTCOME_OPEN && b->end_ns > b->resolved_ns)
		b->resolved_ns = b->end_ns;
	b->expired_by = expired_by(b);
	if (jb->rest)
		return;		/* which of the batch's offsets are its messages' is not told */
	if (b->base_offset < 0 && b->nr_attempts && b->attempts[b->counted].base_offset >= 0)
		b->base_offset = b->attempts[b->counted].base_offset;
	for (uint32_t i = 0; i < b->nr_attempts && b->base_offset < 0; i++)
		b->base_offset = b->attempts[i].base_offset;
}

void fate_log(struct join *j, struct jbatch *jb)
{
	struct tl_batch *b = &jb->b;

	log_judge(j, jb);
	b->resend = b->outcome == TL_OUTCOME_ACKED || b->in_log == TL_IN_LOG_YES ? TL_RESEND_DUPLICATES :
		    b->in_log == TL_IN_LOG_NO ? TL_RESEND_SAFE : TL_RESEND_MAY_DUPLICATE;
}
