/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join_pending.c - resolved batches wait here until no more evidence about them can come, and are told in
 * the order of their resolution.  One may hold back many: an expired one whose connection stays half open
 * on its broker, for as long as the window is.  What held those behind it is worked out before it is
 * forgotten; where their data is may change until their turn.
 */
#include "join_int.h"

#define DISK_WAIT	(30000 * JOIN_MS)	/* for a sync behind an acked batch */
#define CALLBACK_WAIT	(10000 * JOIN_MS)

/* By when they ended.  Nearly sorted already: from the tail backwards. */
static void queue_up(struct join *j, struct jbatch *jb)
{
	struct jbatch *p;

	if (!j->pending) {
		DL_APPEND2(j->pending, jb, pend_prev, pend_next);
		return;
	}
	for (p = j->pending->pend_prev; ; p = p->pend_prev) {
		if (p->b.resolved_ns <= jb->b.resolved_ns) {
			DL_APPEND_ELEM2(j->pending, p, jb, pend_prev, pend_next);
			return;
		}
		if (p == j->pending)
			break;
	}
	DL_PREPEND2(j->pending, jb, pend_prev, pend_next);
}

void pending_enter(struct join *j, struct jbatch *jb)
{
	if (jb->pending)
		return;
	jb->pending = true;
	j->nr_pending++;
	queue_up(j, jb);
	DL_APPEND2(j->unworked, jb, work_prev, work_next);
}

void pending_leave(struct join *j, struct jbatch *jb)
{
	if (!jb->pending)
		return;
	jb->pending = false;
	j->nr_pending--;
	DL_DELETE2(j->pending, jb, pend_prev, pend_next);
	if (jb->worked)
		batch_unwork(jb);
	else
		DL_DELETE2(j->unworked, jb, work_prev, work_next);
}

static bool wants_callback(const struct jbatch *jb)
{
	uint32_t flags = jb->inst ? jb->inst->conf.flags : 0;

	if (flags & AT_INST_DR_ERRORS && jb->b.outcome == TL_OUTCOME_ACKED)
		return false;
	return jb->in_uncalled && flags & (AT_INST_DR_MSG_CB | AT_INST_DR_CB | AT_INST_DR_EVENT);
}

/* Those whose messages it took end with it; the broker may append them after it. */
static bool absorbed_may_tell(struct join *j, struct jbatch *jb)
{
	struct jbatch *a;

	DL_FOREACH2(jb->absorbed, a, absorb_next) {
		a->b.resolved_ns = jb->b.resolved_ns;
		if (broker_may_tell(j, a) || absorbed_may_tell(j, a))
			return true;
	}
	return false;
}

/* Can nothing more be learned of where its time was, as far as one can tell? */
static bool time_known(struct join *j, struct jbatch *jb)
{
	int64_t age = j->now - jb->b.resolved_ns;

	if (age < 10 * JOIN_MS && jb->b.outcome != TL_OUTCOME_ACKED)
		return false;
	if (wants_callback(jb) && age < CALLBACK_WAIT)
		return false;
	return !j->nr_probes ||
	       (!broker_may_tell(j, jb) && !absorbed_may_tell(j, jb) && !lib_may_claim(j, jb));
}

/* Nor of where its data is? */
static bool settled(struct join *j, struct jbatch *jb)
{
	int64_t age = j->now - jb->b.resolved_ns;

	if (age > j->conf.window_ns || j->nr_pending > j->conf.max_pending)
		return true;
	if (log_may_tell(j, jb) || !time_known(j, jb))
		return false;
	/* Kafka by default never syncs: where requests are many that is not waited for. */
	return !(jb->file && !jb->b.on_disk_ns && age < DISK_WAIT &&
		 (jb->file->synced || jb->b.resolved_ns > j->fading_ns));
}

/* Was it written, and not answered, where no probe was seen?  All of it may be told late. */
static bool astray(const struct jbatch *jb)
{
	for (uint32_t i = 0; i < jb->b.nr_attempts; i++) {
		const struct link_state *st = &jb->state[i];

		if (!jb->b.attempts[i].answered && !st->breq && !(st->req && st->req->conn->bconn))
			return true;
	}
	return false;
}

/* One that has to wait longer than what held it is remembered.  One at a time: there is one event or more for each. */
static void work_ahead(struct join *j)
{
	struct jbatch *jb = j->unworked;

	if (!jb || (jb->b.resolved_ns > j->fading_ns && j->now - jb->b.resolved_ns < DISK_WAIT))
		return;
	DL_DELETE2(j->unworked, jb, work_prev, work_next);
	if (!astray(jb) && time_known(j, jb))
		batch_work_out(j, jb);
	else
		DL_APPEND2(j->unworked, jb, work_prev, work_next);
}

void pending_settle(struct join *j)
{
	while (j->pending && settled(j, j->pending))
		batch_tell(j, j->pending);
	work_ahead(j);
}
