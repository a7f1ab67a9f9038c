/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>
#include "phases_int.h"

/* More attempts than there is room for: all of the rest is the wait for the next one, for the same reason. */
static void lump(struct tl_batch *b)
{
	struct tl_phase *p = &b->phases[b->nr_phases - 1], *q = p;

	while (q > b->phases && q->name != TL_PHASE_RETRY)
		q--;
	if (p->name == TL_PHASE_RETRY)
		return;
	p->name = q->name == TL_PHASE_RETRY ? TL_PHASE_RETRY : TL_PHASE_UNKNOWN;
	p->cause = q->name == TL_PHASE_RETRY ? q->cause : TL_CAUSE_UNKNOWN;
	p->behind = TL_CAUSE_UNKNOWN;
	p->culprit = q->name == TL_PHASE_RETRY ? q->culprit : NULL;
	p->known = q->name == TL_PHASE_RETRY ? TL_KNOWN_INFERRED : TL_KNOWN_UNKNOWN;
	p->parts = NULL;
	p->chain = NULL;
	p->unsaid = false;
	p->attempt = 0;
	p->bound_ns = 0;
}

struct tl_phase *go(struct cut *c, enum tl_phase_name name, int64_t until, enum tl_known known,
		    int64_t bound)
{
	struct tl_batch *b = c->b;
	struct tl_phase *p;

	if (!until)
		return NULL;
	if (c->inferred)
		known = weaker(known, TL_KNOWN_INFERRED);
	if (until > c->limit) {
		until = c->limit;
		known = TL_KNOWN_EXACT;
		bound = 0;
	}
	if (until <= c->at)
		return NULL;
	p = b->nr_phases ? &b->phases[b->nr_phases - 1] : NULL;
	if (p && (p->name != name || p->attempt != c->attempt) && b->nr_phases == TL_MAX_PHASES) {
		lump(b);
		p->ns += until - c->at;
		c->at = until;
		return NULL;
	}
	if (p && p->name == name && p->attempt == c->attempt) {
		p->ns += until - c->at;
		p->known = weaker(p->known, known);
	} else {
		p = &b->phases[b->nr_phases++];
		*p = (struct tl_phase){ .name = name, .attempt = c->attempt, .begin_ns = c->at,
					.ns = until - c->at, .known = weaker(c->known, known) };
	}
	if (name == TL_PHASE_UNKNOWN)
		p->known = TL_KNOWN_UNKNOWN;
	p->bound_ns = p->known == TL_KNOWN_ACROSS ? (bound > c->bound ? bound : c->bound) : 0;
	c->at = until;
	c->known = known;
	c->bound = bound;
	return p;
}

struct tl_phase *go_exact(struct cut *c, enum tl_phase_name name, int64_t until)
{
	return go(c, name, until, TL_KNOWN_EXACT, 0);
}

/* ---- the whole life ------------------------------------------------------------------ */

static void of_client(struct cut *c)
{
	struct tl_batch *b = c->b;
	struct tl_phase *told;

	if (!b->created_first_ns) {
		/* No ack told it.  A CreateTime is the app's word, to the millisecond. */
		int64_t ts = b->first_ts_ms * JOIN_MS, first = b->nr_attempts ? b->attempts[0].write_begin_ns : 0;

		b->created_inferred = true;
		b->created_first_ns = ts > 0 && ts <= first && first - ts < 600000 * JOIN_MS ? ts : first;
	}
	if (!b->created_first_ns || b->created_first_ns > b->end_ns)
		b->created_first_ns = b->end_ns;
	c->at = b->created_first_ns;
	c->inferred = b->nr_attempts && b->attempts[0].inferred;
	c->known = b->created_inferred ? TL_KNOWN_INFERRED : TL_KNOWN_EXACT;
	if (b->blocked_ns > 0) {
		c->at -= b->blocked_ns;
		go(c, TL_PHASE_BLOCKED, b->created_first_ns, TL_KNOWN_EXACT, 0);
	}
	if (gap_hides_beginning(c->jb))
		go(c, TL_PHASE_UNKNOWN, c->jb->seen_from, TL_KNOWN_EXACT, 0);
	if (!b->nr_attempts) {
		if (!b->sent)
			before_send(c, c->limit);
		else
			go(c, TL_PHASE_UNKNOWN, c->limit, TL_KNOWN_EXACT, 0);
	} else if (!carried_before(c, c->jb, b->attempts[0].write_begin_ns)) {
		before_send(c, b->attempts[0].write_begin_ns);
	}
	for (uint32_t i = 0; i < b->nr_attempts && i <= b->counted; i++) {
		const struct tl_attempt *a = &b->attempts[i], *next = i < b->counted ? a + 1 : NULL;
		int64_t end = c->limit;

		if (next && next->write_begin_ns && next->write_begin_ns < end)
			end = next->write_begin_ns;
		if (a->ended_ns && a->ended_ns < end)
			end = a->ended_ns;
		phases_attempt(c, i, end);
		if (!next && (b->outcome == TL_OUTCOME_ACKED || a->answered) && !a->error_code)
			break;
		/* Until the next attempt, or until it was given up. */
		c->attempt = 0;
		until_next(c, a, next ? next->write_begin_ns : c->limit);
	}
	c->attempt = 0;
	if (b->outcome == TL_OUTCOME_ACKED && b->acked_ns) {
		if (b->acked_ns - c->at < PHASE_SLACK && b->nr_phases) {
			struct tl_phase *p = &b->phases[b->nr_phases - 1];

			c->attempt = p->attempt;
			go(c, p->name, b->acked_ns, TL_KNOWN_EXACT, 0);
			c->attempt = 0;
		} else {
			go(c, TL_PHASE_UNKNOWN, b->acked_ns, TL_KNOWN_EXACT, 0);
		}
	}
	go(c, TL_PHASE_UNKNOWN, c->limit, TL_KNOWN_EXACT, 0);
	c->limit = b->end_ns;
	c->inferred = false;
	told = go(c, TL_PHASE_CALLBACK, c->limit, TL_KNOWN_EXACT, 0);
	quiet_client(c->jb->trail, told);
	cpu_phase(c->j, c->jb->trail, c->jb->called_tid, told);
	/* It may have had no CPU, if what would tell was lost. */
	if (told && told->cause == TL_CAUSE_UNKNOWN && told->ns >= CPU_TOLD && may_lack(c->jb->trail, AT_EV_CPU_WAIT))
		told->name = TL_PHASE_UNKNOWN;
}

/* A client that nobody witnessed: the broker's half. */
static void of_broker(struct cut *c)
{
	struct tl_batch *b = c->b;
	struct tl_attempt *a = b->nr_attempts ? &b->attempts[0] : NULL;

	if (!a)
		return;
	c->at = a->first_ns ? a->first_ns : a->arrived_ns ? a->arrived_ns : a->read_ns ? a->read_ns : a->append_begin_ns;
	if (a->no_answer && a->append_end_ns)
		c->limit = a->append_end_ns;
	if (a->response_written_ns > c->limit)
		c->limit = a->response_written_ns;
	if (a->append_end_ns > c->limit)
		c->limit = a->append_end_ns;
	if (a->index_end_ns > c->limit)
		c->limit = a->index_end_ns;
	if (a->sync_end_ns > c->limit)
		c->limit = a->sync_end_ns;
	b->end_ns = b->resolved_ns = c->limit;
	if (!c->at || c->at > c->limit)
		c->at = c->limit;
	b->created_first_ns = c->at;
	c->known = TL_KNOWN_EXACT;
	phases_attempt(c, 0, c->limit);
}

static bool is_part(const char *culprit, enum tl_part_name part)
{
	size_t n = strlen(tl_part_names[part]);

	return !strncmp(culprit, tl_part_names[part], n) && (!culprit[n] || culprit[n] == ';');
}

/* A sync, its own or another's, that mostly computed or waited for a lock: no disk would cure it. */
static void no_disk(struct tl_phase *p)
{
	bool own = p->cause == TL_CAUSE_UNKNOWN && (p->name == TL_PHASE_FSYNC || p->name == TL_PHASE_INDEX);

	if (!p->culprit || (!is_part(p->culprit, TL_PART_CPU) && !is_part(p->culprit, TL_PART_LOCK)))
		return;
	if (own || p->cause == TL_CAUSE_LEADER_FSYNC)
		p->cause = TL_CAUSE_BROKER_BUSY;
	else if (p->cause == TL_CAUSE_LOG_LOCK && p->behind == TL_CAUSE_LEADER_FSYNC)
		p->behind = TL_CAUSE_BROKER_BUSY;
}

void phases_of(struct join *j, struct jbatch *jb)
{
	struct cut c = { .j = j, .jb = jb, .b = &jb->b, .limit = jb->b.end_ns };
	bool client = jb->b.client;

	jb->b.nr_phases = 0;
	/* The callback comes after everything else. */
	if (client && jb->b.callback_ns && jb->b.ended_ns && jb->b.ended_ns < c.limit)
		c.limit = jb->b.ended_ns;
	if (client)
		of_client(&c);
	else
		of_broker(&c);
	for (uint32_t i = 0; i < jb->b.nr_phases; i++)
		no_disk(&jb->b.phases[i]);
	/* The wait inside produce() is part of the batch's life. */
	if (jb->b.blocked_ns > 0)
		jb->b.created_first_ns -= jb->b.blocked_ns;
}
