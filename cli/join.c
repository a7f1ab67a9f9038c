/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join.c - the stream itself, and the window in which resolved batches wait until no
 * more evidence about them can come.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "join_int.h"
#include "span.h"

#define DISK_WAIT	(30000 * JOIN_MS)	/* for a sync behind an acked batch */
#define CALLBACK_WAIT	(10000 * JOIN_MS)

/* ---- the window ------------------------------------------------------------ */

void jbatch_pend(struct join *j, struct jbatch *jb)
{
	struct jbatch *p;

	if (jb->pending)
		return;
	jb->pending = true;
	j->nr_pending++;
	if (!j->pending) {
		DL_APPEND2(j->pending, jb, pend_prev, pend_next);
		return;
	}
	/* Nearly sorted already: from the tail backwards. */
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

/* Can nothing more be learned about it, as far as one can tell? */
static bool settled(struct join *j, struct jbatch *jb)
{
	int64_t age = j->now - jb->b.resolved_ns;

	if (age > j->conf.window_ns || j->nr_pending > j->conf.max_pending)
		return true;
	if (age < 10 * JOIN_MS && jb->b.outcome != TL_OUTCOME_ACKED)
		return false;
	if (wants_callback(jb) && age < CALLBACK_WAIT)
		return false;
	if (log_may_tell(j, jb))
		return false;
	if (!j->nr_probes)
		return true;
	if (broker_may_tell(j, jb) || absorbed_may_tell(j, jb) || lib_may_claim(j, jb))
		return false;
	/* Kafka by default never syncs: what else is known of it goes before that wait is over, where requests are many. */
	return !(jb->file && !jb->b.on_disk_ns && age < DISK_WAIT &&
		 (jb->file->synced || jb->b.resolved_ns > j->fading_ns));
}

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

static void name_row(struct join *j, struct jbatch *jb)
{
	struct tl_batch *b = &jb->b;
	const char *uuid = jb->trail->uuid;

	(void)j;
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

static void tell(struct join *j, struct jbatch *jb);

/* They ended with the batch that took their messages. */
static void tell_absorbed(struct join *j, struct jbatch *jb)
{
	while (jb->absorbed) {
		struct jbatch *a = jb->absorbed;

		DL_DELETE2(jb->absorbed, a, absorb_prev, absorb_next);
		a->in_absorbed = false;
		a->b.moved = true;
		a->b.moved_into = jb->b.id;
		a->b.outcome = jb->b.outcome;
		a->b.err = jb->b.err;
		a->b.resolved_ns = jb->b.resolved_ns;
		a->b.end_ns = jb->b.end_ns;
		a->b.ended_ns = jb->b.ended_ns;
		a->inst_id = jb->inst_id;
		a->inst = jb->inst;
		tell(j, a);
	}
}

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

static void tell(struct join *j, struct jbatch *jb)
{
	struct tl_batch *b = &jb->b;

	b->phases = j->phases;
	if (!b->messages)
		b->messages = b->count;
	b->trail = jb->trail->index;
	describe_producer(jb);
	broker_times(j, jb);
	b->probed = broker_probed(j, jb);
	fate_log(j, jb);
	name_row(j, jb);
	phases_of(j, jb);
	verdict_of(b, j->conf.slow_ns);
	advice_text(b, j->text, sizeof(j->text));
	b->verdict.text = j->text;
	leave_blame(jb);
	mark_met(j, jb);
	j->nr_told++;
	if (j->conf.batch)
		j->conf.batch(j->conf.arg, b);
	tell_absorbed(j, jb);
	for (uint32_t i = 0; i < b->nr_attempts; i++)
		if (jb->state[i].breq)
			turn_keep(j, jb->state[i].breq, jb, i);
	jbatch_drop(j, jb);
}

static void settle(struct join *j)
{
	while (j->pending && settled(j, j->pending))
		tell(j, j->pending);
}

struct join *join_new(const struct join_conf *conf)
{
	struct join *j = join_alloc(sizeof(*j));

	j->conf = *conf;
	if (!j->conf.slow_ns)
		j->conf.slow_ns = JOIN_SLOW_NS;
	if (!j->conf.window_ns)
		j->conf.window_ns = JOIN_WINDOW_NS;
	if (!j->conf.max_pending)
		j->conf.max_pending = JOIN_MAX_PENDING;
	return j;
}

void join_event(struct join *j, const struct event *ev)
{
	struct jtrail *jt = join_trail(j, ev->trail);
	int64_t ns = event_axis(ev, ev->ns);

	if (ev->type == AT_EV_TOPIC) {
		topic_event(j, jt, ev);
		return;
	}
	/* Names are handed out before all else of their chunk, however late they were learned. */
	if (ev->type != AT_EV_FILE && ev->type != AT_EV_THREAD) {
		if (ns > jt->last_ns)
			jt->last_ns = ns;
		if (ns > j->now)
			j->now = ns;
	}
	if (ev->type == AT_EV_END)
		jt->end_ns = ns;
	else if (ev->type == AT_EV_NOTE && !jt->probe)
		gap_note(j, jt, ev);
	else if (!client_event(j, jt, ev))
		broker_event(j, jt, ev);
	settle(j);
}

void join_end(struct join *j)
{
	fate_end(j);
	while (j->pending)
		tell(j, j->pending);
}

/* It looked for what these clients sent, lost nothing, and saw none of it. */
static bool is_blind(const struct jtrail *t)
{
	return t->probe && !t->met && (t->covered[AT_COVER_APPEND] || t->covered[AT_COVER_REQUEST]) &&
	       !may_lack(t, AT_EV_APPEND) && !may_lack(t, AT_EV_ARRIVAL);
}

bool join_is_foreign(const struct join *j, const struct trail *t)
{
	for (uint32_t i = 0; j->nr_sent && i < j->nr_trails; i++)
		if (j->trails[i]->t == t)
			return is_blind(j->trails[i]);
	return false;
}

#define FREE_TABLE(table, type) do { \
	struct type *e_, *t_; \
	HASH_ITER(hh, table, e_, t_) { HASH_DEL(table, e_); free(e_); } \
} while (0)

#define FREE_POOLED(table, type, pool) do { \
	struct type *e_, *t_; \
	HASH_ITER(hh, table, e_, t_) { HASH_DEL(table, e_); pool_put(pool, e_); } \
} while (0)

void join_free(struct join *j)
{
	struct topic *t, *tt;
	struct interned *s, *st;
	struct bthread *th, *tht;
	struct bconn *bc, *bct;
	struct conn *c, *ct;
	struct req *r, *rt;
	struct breq *br, *brt;
	struct part *pa, *pat;
	struct debt *d, *dt;

	if (!j)
		return;
	while (j->pending)
		jbatch_drop(j, j->pending);
	HASH_ITER(hh, j->threads, th, tht) { HASH_DEL(j->threads, th); links_free(&th->links); links_free(&th->copies); free(th); }
	HASH_ITER(hh, j->reqs, r, rt) { HASH_DEL(j->reqs, r); links_free(&r->links); pool_put(&j->pool.req, r); }
	HASH_ITER(hh, j->breqs, br, brt) { HASH_DEL(j->breqs, br); turn_unkeep(br); links_free(&br->links); pool_put(&j->pool.breq, br); }
	HASH_ITER(hh, j->bconns, bc, bct) { HASH_DEL(j->bconns, bc); bconn_free(bc); }
	HASH_ITER(hh, j->topics, t, tt) { HASH_DEL(j->topics, t); free(t->name); free(t); }
	HASH_ITER(hh, j->strings, s, st) { HASH_DEL(j->strings, s); free(s->s); free(s); }
	FREE_TABLE(j->topic_ids, topic_id);
	FREE_TABLE(j->topic_uuids, topic_uuid);
	FREE_TABLE(j->insts, inst);
	FREE_TABLE(j->peers, peer);
	HASH_ITER(hh, j->conns, c, ct) { HASH_DEL(j->conns, c); free(c->signs); free(c); }
	HASH_ITER(hh, j->parts, pa, pat) {
		DL_FOREACH_SAFE(pa->debts, d, dt)
			free(d);
		HASH_DEL(j->parts, pa);
		free(pa->again);
		free(pa->first);
		free(pa);
	}
	FREE_TABLE(j->files, file);
	FREE_TABLE(j->targets, target);
	FREE_POOLED(j->idents, ident_slot, &j->pool.ident);
	FREE_POOLED(j->sequences, sequence_slot, &j->pool.sequence);
	FREE_POOLED(j->places, place_slot, &j->pool.place);
	plogs_free(j);
	FREE_TABLE(j->tnames, tnames);
	FREE_TABLE(j->devices, device);
	for (uint32_t i = 0; i < j->nr_trails; i++) {
		free(j->trails[i]->wire);
		near_free(j->trails[i]);
		free(j->trails[i]);
	}
	free(j->trails);
	lib_free(j);
	cpu_free(j);
	free(j->stalls);
	free(j->blks);
	free(j->commits);
	free(j->pauses);
	pool_free(&j->pool.batch);
	pool_free(&j->pool.req);
	pool_free(&j->pool.breq);
	pool_free(&j->pool.ident);
	pool_free(&j->pool.sequence);
	pool_free(&j->pool.place);
	free(j);
}
