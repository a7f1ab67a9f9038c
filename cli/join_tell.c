/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join_tell.c - all that is known of a batch, put together: its times on one clock, its phases, its verdict,
 * its name; and out it goes.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "batch_view.h"
#include "join_int.h"
#include "span.h"

/* "UUID-CONN-CORR-INDEX": of most rows, so not by printf. */
static void name_sent(char *id, const char *uuid, uint32_t conn, uint32_t corr, uint32_t index)
{
	const uint32_t numbers[] = { conn, corr, index };

	id = stpcpy(id, uuid);
	for (int i = 0; i < 3; i++) {
		*id++ = '-';
		id = span_number(id, numbers[i]);
	}
	*id = 0;
}

static void name_row(struct jbatch *jb)
{
	struct tl_batch *b = &jb->b;
	const char *uuid = jb->trail->uuid;

	if (b->client && b->nr_attempts && jb->state[0].req)
		name_sent(b->id, uuid, b->attempts[0].conn, b->attempts[0].corr_id, jb->index);
	else if (b->client)
		snprintf(b->id, sizeof(b->id), "%s-u-%u", uuid, ++jb->trail->nr_unsent);
	else if (b->base_offset >= 0)
		snprintf(b->id, sizeof(b->id), "%s-b-%08x-%d-%" PRId64, uuid, b->crc,
			 b->partition, b->base_offset);
	else
		snprintf(b->id, sizeof(b->id), "%s-b-%08x-%d-c%u-%u", uuid, b->crc, b->partition,
			 b->nr_attempts ? b->attempts[0].conn : 0,
			 b->nr_attempts ? b->attempts[0].corr_id : 0);
}

static void describe_producer(struct jbatch *jb)
{
	struct tl_producer *p = &jb->b.producer;
	const struct inst *in = jb->inst;

	if (jb->b.client) {
		jb->b.wire_alone = wire_alone(jb);
		p->host = jb->trail->host;
		p->pid = jb->trail->t->header.pid;
		p->instance = jb->inst_id;
	}
	for (uint32_t i = 0; i < jb->b.nr_attempts && !p->client_id; i++) {
		const struct link_state *st = &jb->state[i];

		p->client_id = st->req ? st->req->client_id : st->breq ? st->breq->client_id : NULL;
	}
	if (!jb->b.client && jb->b.nr_attempts && jb->state[0].breq) {
		const struct bconn *c = jb->state[0].breq->bconn;

		p->peer_hi = c->peer_hi;
		p->peer_lo = c->peer_lo;
		p->peer_port = c->peer_port;
	}
	if (!in)
		return;
	if (!p->client_id)
		p->client_id = in->client_id;
	p->idempotent = in->conf.flags & AT_INST_IDEMPOTENT;
	p->linger_us = in->conf.linger_us;
	p->message_timeout_ms = in->conf.message_timeout_ms;
	p->socket_timeout_ms = in->conf.socket_timeout_ms;
	p->max_in_flight = in->conf.max_in_flight;
	p->batch_messages = in->conf.batch_messages;
}

/* What held this batch on its connection the longest, for those that waited behind it. */
static void leave_blame(struct jbatch *jb)
{
	const struct tl_batch *b = &jb->b;
	const struct tl_phase *held = NULL;
	struct peer *p = jb->peer;
	enum tl_cause cause;

	/* One that itself waited for the window most of the time says nothing of who fills it. */
	if (!p || !b->nr_attempts || b->verdict.cause == TL_CAUSE_HEALTHY ||
	    b->verdict.cause == TL_CAUSE_UNKNOWN || b->verdict.cause == TL_CAUSE_WINDOW)
		return;
	for (uint32_t i = 0; i < b->nr_phases; i++)
		if (b->phases[i].begin_ns >= b->attempts[0].write_begin_ns && b->phases[i].name != TL_PHASE_CALLBACK &&
		    (!held || b->phases[i].ns > held->ns))
			held = &b->phases[i];
	cause = held ? verdict_phase_cause(b, held) : TL_CAUSE_UNKNOWN;
	if (cause != TL_CAUSE_UNKNOWN)
		p->blame[p->nr_blames++ % JOIN_BLAMES] = (struct blame){
			b->attempts[0].write_begin_ns, b->end_ns, cause, held->culprit };
}

/* Those whose messages it took ended with it. */
static void end_with(struct jbatch *a, const struct jbatch *jb)
{
	a->b.moved = true;
	a->b.moved_into = jb->b.id;
	a->b.outcome = jb->b.outcome;
	a->b.err = jb->b.err;
	a->b.resolved_ns = jb->b.resolved_ns;
	a->b.end_ns = jb->b.end_ns;
	a->b.ended_ns = jb->b.ended_ns;
	a->inst_id = jb->inst_id;
	a->inst = jb->inst;
}

/* ---- where its time was ------------------------------------------------------------ */

/* Into the join's own room. */
static void work_out(struct join *j, struct jbatch *jb)
{
	struct tl_batch *b = &jb->b;

	b->phases = j->phases;
	if (!b->messages)
		b->messages = b->count;
	b->trail = jb->trail->index;
	describe_producer(jb);
	broker_times(j, jb);
	b->probed = broker_probed(j, jb);
	fate_ends(jb);
	phases_of(j, jb);
	verdict_of(b, j->conf.slow_ns);
	leave_blame(jb);
}

void batch_work_out(struct join *j, struct jbatch *jb)
{
	struct jbatch *a;

	work_out(j, jb);
	jb->worked = phases_copy(&jb->b);
	if (!jb->worked)
		join_no_memory();
	jb->b.phases = jb->worked;
	/* It ends there, whatever is told to its app later. */
	if (jb->in_uncalled)
		DL_DELETE2(jb->part->uncalled, jb, call_prev, call_next);
	jb->in_uncalled = false;
	DL_FOREACH2(jb->absorbed, a, absorb_next) {
		end_with(a, jb);
		batch_work_out(j, a);
	}
}

void batch_unwork(struct jbatch *jb)
{
	free(jb->worked);
	jb->worked = NULL;
	/* A broker's half begins where that does, until its client is known. */
	if (!jb->b.client)
		jb->b.created_first_ns = 0;
}

/* ---- its turn ------------------------------------------------------------------------ */

/* Which probes saw it. */
static void mark_met(struct join *j, const struct jbatch *jb)
{
	if (!jb->b.client)
		return;
	j->nr_sent += jb->b.nr_attempts != 0;
	for (uint32_t i = 0; i < jb->b.nr_attempts; i++) {
		const struct link_state *st = &jb->state[i];

		if (st->appender)
			st->appender->met = true;
		if (st->breq)
			st->breq->bconn->trail->met = true;
	}
}

void batch_tell(struct join *j, struct jbatch *jb)
{
	struct tl_batch *b = &jb->b;

	if (!jb->worked)
		work_out(j, jb);
	disk_time(jb);
	fate_log(j, jb);
	name_row(jb);
	advice_text(b, j->text, sizeof(j->text));
	b->verdict.text = j->text;
	mark_met(j, jb);
	j->nr_told++;
	if (j->conf.batch)
		j->conf.batch(j->conf.arg, b);
	while (jb->absorbed) {
		struct jbatch *a = jb->absorbed;

		DL_DELETE2(jb->absorbed, a, absorb_prev, absorb_next);
		a->in_absorbed = false;
		end_with(a, jb);
		batch_tell(j, a);
	}
	for (uint32_t i = 0; i < b->nr_attempts; i++)
		if (jb->state[i].breq)
			turn_keep(j, jb->state[i].breq, jb, i);
	jbatch_drop(j, jb);
}
