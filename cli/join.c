/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join.c - the stream itself: names, tables of identities, and the window in which
 * resolved batches wait until no more evidence about them can come.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "join_int.h"

#define DISK_WAIT	(30000 * JOIN_MS)	/* for a sync behind an acked batch */
#define CALLBACK_WAIT	(10000 * JOIN_MS)

#define NAME(e, s)	s,
#define CAUSE_NAME(e, s, t) s,
#define CAUSE_TIER(e, s, t) TL_TIER_##t,
const char *const tl_outcome_names[] = { TL_OUTCOMES(NAME) };
const char *const tl_phase_names[] = { TL_PHASES(NAME) };
const char *const tl_part_names[] = { TL_PARTS(NAME) };
const char *const tl_known_names[] = { TL_KNOWNS(NAME) };
const char *const tl_join_names[] = { TL_JOINS(NAME) };
const char *const tl_tier_names[] = { TL_TIERS(NAME) };
const char *const tl_cause_names[] = { TL_CAUSES(CAUSE_NAME) };
const enum tl_tier tl_cause_tiers[] = { TL_CAUSES(CAUSE_TIER) };

_Noreturn void join_no_memory(void)
{
	fputs("acktrail: out of memory\n", stderr);
	exit(4);
}

void *join_alloc(size_t n)
{
	void *p = calloc(1, n);

	if (!p)
		join_no_memory();
	return p;
}

const char *join_intern(struct join *j, const char *s, size_t n)
{
	struct interned *e;

	if (!s || !n)
		return NULL;
	HASH_FIND(hh, j->strings, s, n, e);
	if (e)
		return e->s;
	e = join_alloc(sizeof(*e));
	e->s = join_alloc(n + 1);
	memcpy(e->s, s, n);
	HASH_ADD_KEYPTR(hh, j->strings, e->s, n, e);
	return e->s;
}

/* ---- topics ---------------------------------------------------------------- */

static struct topic *topic_named(struct join *j, const char *name, size_t n)
{
	struct topic *t;

	HASH_FIND(hh, j->topics, name, n, t);
	if (t)
		return t;
	t = join_alloc(sizeof(*t));
	t->name = join_alloc(n + 1);
	memcpy(t->name, name, n);
	t->internal = n >= 2 && name[0] == '_' && name[1] == '_';
	HASH_ADD_KEYPTR(hh, j->topics, t->name, n, t);
	return t;
}

static void topic_map(struct join *j, const struct jtrail *jt, uint32_t id, struct topic *topic)
{
	struct key2 key = { jt->index, id };
	struct topic_id *e;

	HASH_FIND(hh, j->topic_ids, &key, sizeof(key), e);
	if (!e) {
		e = join_alloc(sizeof(*e));
		e->key = key;
		HASH_ADD(hh, j->topic_ids, key, sizeof(key), e);
	}
	e->topic = topic;
}

static void topic_event(struct join *j, struct jtrail *jt, const struct event *ev)
{
	uint64_t uuid[2] = { ev->topic.uuid_hi, ev->topic.uuid_lo };
	bool has_uuid = uuid[0] || uuid[1];
	struct topic_uuid *u = NULL;
	struct topic *topic;
	char hex[40];

	if (has_uuid)
		HASH_FIND(hh, j->topic_uuids, uuid, sizeof(uuid), u);
	if (ev->tail_len) {
		topic = topic_named(j, ev->tail, ev->tail_len);
	} else if (u) {
		topic = u->topic;
	} else if (has_uuid) {
		int n = snprintf(hex, sizeof(hex), "{%016" PRIx64 "%016" PRIx64 "}", uuid[0], uuid[1]);

		topic = topic_named(j, hex, (size_t)n);
	} else {
		return;
	}
	if (has_uuid && !u) {
		u = join_alloc(sizeof(*u));
		memcpy(u->uuid, uuid, sizeof(uuid));
		HASH_ADD(hh, j->topic_uuids, uuid, sizeof(uuid), u);
	}
	if (u)
		u->topic = topic;
	topic_map(j, jt, ev->topic.topic, topic);
}

/* NULL: the trail never told that name. */
struct topic *join_topic(struct join *j, struct jtrail *jt, uint32_t id)
{
	struct key2 key = { jt->index, id };
	struct topic_id *e;
	const char *name;

	if (!id)
		return NULL;
	HASH_FIND(hh, j->topic_ids, &key, sizeof(key), e);
	if (e)
		return e->topic;
	name = j->conf.topic_name ? j->conf.topic_name(jt->t, id) : NULL;
	if (!name || !*name)
		return NULL;
	topic_map(j, jt, id, topic_named(j, name, strlen(name)));
	return join_topic(j, jt, id);
}

/* ---- trails ---------------------------------------------------------------- */

struct jtrail *join_trail(struct join *j, struct trail *t)
{
	struct jtrail *jt;
	const uint8_t *u = t->header.uuid;

	for (uint32_t i = 0; i < j->nr_trails; i++)
		if (j->trails[i]->t == t)
			return j->trails[i];
	jt = join_alloc(sizeof(*jt));
	jt->t = t;
	jt->index = j->nr_trails;
	jt->probe = t->header.kind == AT_KIND_PROBE;
	jt->broker = -1;
	jt->host = join_intern(j, t->header.host, strnlen(t->header.host, sizeof(t->header.host)));
	snprintf(jt->uuid, sizeof(jt->uuid), "%02x%02x%02x%02x", u[0], u[1], u[2], u[3]);
	j->nr_probes += jt->probe;
	j->trails = realloc(j->trails, (j->nr_trails + 1) * sizeof(jt));
	if (!j->trails)
		join_no_memory();
	j->trails[j->nr_trails++] = jt;
	return jt;
}

void join_add_trail(struct join *j, struct trail *t)
{
	join_trail(j, t);
}

bool same_clock(const struct jtrail *a, const struct jtrail *b)
{
	const struct at_header *x = &a->t->header, *y = &b->t->header;

	if (a == b || (a->t->axis_exact && b->t->axis_exact))
		return true;
	return x->boot_id[0] && !strncmp(x->boot_id, y->boot_id, sizeof(x->boot_id));
}

/* ---- intervals ------------------------------------------------------------- */

void spans_add(struct spans *s, int64_t begin, int64_t end)
{
	uint32_t last = (s->nr - 1) % JOIN_SPANS;

	if (end <= begin)
		return;
	/* A window that opens for an instant and fills again was never open. */
	if (s->nr && begin - s->iv[last].end < JOIN_MS && begin >= s->iv[last].begin) {
		if (end > s->iv[last].end)
			s->iv[last].end = end;
		return;
	}
	last = s->nr++ % JOIN_SPANS;
	s->iv[last].begin = begin;
	s->iv[last].end = end;
	s->iv[last].cause = TL_CAUSE_UNKNOWN;
	s->iv[last].conn = NULL;
}

void spans_open(struct spans *s, int64_t ns, enum tl_cause cause)
{
	if (s->open_since)
		return;
	s->open_since = ns;
	s->open_cause = cause;
	s->open_conn = NULL;
}

void spans_blame(struct spans *s, struct conn *c, int64_t since)
{
	s->open_conn = c;
	s->open_conn_since = since;
}

void spans_close(struct spans *s, int64_t ns)
{
	if (!s->open_since)
		return;
	spans_add(s, s->open_since, ns);
	if (s->nr && s->iv[(s->nr - 1) % JOIN_SPANS].cause == TL_CAUSE_UNKNOWN) {
		s->iv[(s->nr - 1) % JOIN_SPANS].cause = s->open_cause;
		s->iv[(s->nr - 1) % JOIN_SPANS].conn = s->open_conn;
		s->iv[(s->nr - 1) % JOIN_SPANS].since = s->open_conn_since;
	}
	s->open_since = 0;
}

/* ---- batches --------------------------------------------------------------- */

struct jbatch *jbatch_new(struct join *j, struct jtrail *t, struct topic *topic, int32_t partition)
{
	struct jbatch *jb = join_alloc(sizeof(*jb));

	(void)j;
	jb->trail = t;
	jb->topic = topic;
	jb->b.topic = topic ? topic->name : NULL;
	jb->b.internal = topic && topic->internal;
	jb->b.partition = partition;
	jb->b.base_offset = -1;
	jb->b.producer.id = -1;
	jb->b.outcome = TL_OUTCOME_OPEN;
	return jb;
}

struct jbatch *ident_find(struct join *j, const struct ident *id)
{
	struct ident_slot *s;

	HASH_FIND(hh, j->idents, id, sizeof(*id), s);
	return s ? s->head : NULL;
}

void jbatch_identify(struct join *j, struct jbatch *jb, const struct ident *id)
{
	struct ident_slot *s;

	HASH_FIND(hh, j->idents, id, sizeof(*id), s);
	if (!s) {
		s = join_alloc(sizeof(*s));
		s->key = *id;
		HASH_ADD(hh, j->idents, key, sizeof(s->key), s);
	}
	jb->ident = *id;
	jb->hashed = true;
	if (s->head)
		s->head->twin = jb->twin = true;
	DL_APPEND2(s->head, jb, id_prev, id_next);
}

static struct sequence sequence_of(const struct jbatch *jb)
{
	return (struct sequence){ jb->topic, jb->b.producer.id, jb->b.partition,
				  jb->b.producer.base_sequence,
				  (uint32_t)(uint16_t)jb->b.producer.epoch, jb->b.count };
}

void jbatch_sequence(struct join *j, struct jbatch *jb)
{
	struct sequence key = sequence_of(jb);
	struct sequence_slot *s;

	if (jb->b.producer.id < 0 || jb->b.producer.base_sequence < 0)
		return;
	HASH_FIND(hh, j->sequences, &key, sizeof(key), s);
	if (!s) {
		s = join_alloc(sizeof(*s));
		s->key = key;
		HASH_ADD(hh, j->sequences, key, sizeof(key), s);
	}
	jb->in_seq = true;
	DL_APPEND2(s->head, jb, seq_prev, seq_next);
}

void link_add(struct link **links, uint32_t *nr, struct jbatch *jb, uint32_t attempt)
{
	struct link *p = realloc(*links, (*nr + 1) * sizeof(*p));

	if (!p)
		join_no_memory();
	p[(*nr)++] = (struct link){ jb, attempt };
	*links = p;
}

uint32_t jbatch_attempt(struct jbatch *jb)
{
	uint32_t n = jb->b.nr_attempts++;
	struct tl_attempt *a;

	jb->b.attempts = realloc(jb->b.attempts, (n + 1) * sizeof(*jb->b.attempts));
	jb->state = realloc(jb->state, (n + 1) * sizeof(*jb->state));
	if (!jb->b.attempts || !jb->state)
		join_no_memory();
	a = &jb->b.attempts[n];
	memset(a, 0, sizeof(*a));
	memset(&jb->state[n], 0, sizeof(jb->state[n]));
	a->n = n + 1;
	a->broker = -1;
	a->base_offset = -1;
	return n;
}

static void links_forget(struct link *links, uint32_t nr, const struct jbatch *jb)
{
	for (uint32_t i = 0; i < nr; i++)
		if (links[i].batch == jb)
			links[i].batch = NULL;
}

/* Out of every table, and freed. */
void jbatch_drop(struct join *j, struct jbatch *jb)
{
	struct bthread *th, *tmp;

	if (jb->hashed) {
		struct ident_slot *s;

		HASH_FIND(hh, j->idents, &jb->ident, sizeof(jb->ident), s);
		DL_DELETE2(s->head, jb, id_prev, id_next);
		if (!s->head) {
			HASH_DEL(j->idents, s);
			free(s);
		}
	}
	if (jb->in_seq) {
		struct sequence key = sequence_of(jb);
		struct sequence_slot *s;

		HASH_FIND(hh, j->sequences, &key, sizeof(key), s);
		DL_DELETE2(s->head, jb, seq_prev, seq_next);
		if (!s->head) {
			HASH_DEL(j->sequences, s);
			free(s);
		}
	}
	if (jb->place) {
		HASH_DEL(j->places, jb->place);
		free(jb->place);
	}
	while (jb->absorbed) {
		struct jbatch *a = jb->absorbed;

		DL_DELETE2(jb->absorbed, a, absorb_prev, absorb_next);
		a->in_absorbed = false;
		jbatch_drop(j, a);
	}
	if (jb->in_part)
		DL_DELETE2(jb->part->open, jb, part_prev, part_next);
	if (jb->in_uncalled)
		DL_DELETE2(jb->part->uncalled, jb, call_prev, call_next);
	if (jb->file)
		DL_DELETE2(jb->file->waiting, jb, file_prev, file_next);
	if (jb->pending) {
		DL_DELETE2(j->pending, jb, pend_prev, pend_next);
		j->nr_pending--;
	}
	if (jb->b.broker_seen)
		HASH_ITER(hh, j->threads, th, tmp)
			links_forget(th->links, th->nr_links, jb);
	for (uint32_t i = 0; i < jb->b.nr_attempts; i++) {
		struct link_state *st = &jb->state[i];

		if (st->req) {
			links_forget(st->req->links, st->req->nr_links, jb);
			req_unlink(j, st->req);
		}
		if (st->breq) {
			links_forget(st->breq->links, st->breq->nr_links, jb);
			breq_unlink(j, st->breq);
		}
	}
	free(jb->b.attempts);
	free(jb->state);
	free(jb->past);
	free(jb);
}

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
	return jb->in_uncalled && jb->inst &&
	       jb->inst->conf.flags & (AT_INST_DR_MSG_CB | AT_INST_DR_CB | AT_INST_DR_EVENT);
}

/* Can nothing more be learned about it, as far as one can tell? */
static bool settled(struct join *j, const struct jbatch *jb)
{
	int64_t age = j->now - jb->b.resolved_ns;

	if (age > j->conf.window_ns || j->nr_pending > j->conf.max_pending)
		return true;
	if (age < 10 * JOIN_MS && jb->b.outcome != TL_OUTCOME_ACKED)
		return false;
	if (wants_callback(jb) && age < CALLBACK_WAIT)
		return false;
	if (!j->nr_probes)
		return true;
	if (broker_may_tell(j, jb))
		return false;
	return !(jb->file && !jb->b.on_disk_ns && age < DISK_WAIT);
}

static void name_row(struct join *j, struct jbatch *jb)
{
	struct tl_batch *b = &jb->b;
	const char *uuid = jb->trail->uuid;

	(void)j;
	if (b->client && b->nr_attempts && jb->state[0].req)
		snprintf(b->id, sizeof(b->id), "%s-%u-%u-%u", uuid, b->attempts[0].conn,
			 b->attempts[0].corr_id, jb->index);
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
		p->host = jb->trail->host;
		p->pid = jb->trail->t->header.pid;
		p->instance = jb->inst_id;
	}
	for (uint32_t i = 0; i < jb->b.nr_attempts && !p->client_id; i++) {
		const struct link_state *st = &jb->state[i];

		p->client_id = st->req ? st->req->client_id : st->breq ? st->breq->client_id : NULL;
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

/* What this batch's fate says about its connection, for those that waited behind it. */
static void leave_blame(struct jbatch *jb)
{
	const struct tl_batch *b = &jb->b;
	struct peer *p = jb->peer;

	if (!p || !b->nr_attempts || b->verdict.cause == TL_CAUSE_HEALTHY ||
	    b->verdict.cause == TL_CAUSE_UNKNOWN)
		return;
	p->blame[p->nr_blames++ % JOIN_BLAMES] = (struct blame){
		b->attempts[0].write_begin_ns, b->end_ns, b->verdict.cause,
		b->verdict.causes[0].culprit };
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

static void tell(struct join *j, struct jbatch *jb)
{
	struct tl_batch *b = &jb->b;

	b->phases = j->phases;
	if (!b->messages)
		b->messages = b->count;
	describe_producer(jb);
	broker_times(j, jb);
	fate_log(j, jb);
	name_row(j, jb);
	phases_of(j, jb);
	verdict_of(b, j->conf.slow_ns);
	advice_text(b, j->text, sizeof(j->text));
	b->verdict.text = j->text;
	leave_blame(jb);
	j->nr_told++;
	if (j->conf.batch)
		j->conf.batch(j->conf.arg, b);
	tell_absorbed(j, jb);
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
	if (ns > jt->last_ns)
		jt->last_ns = ns;
	if (ns > j->now)
		j->now = ns;
	if (ev->type == AT_EV_END)
		jt->end_ns = ns;
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

#define FREE_TABLE(table, type) do { \
	struct type *e_, *t_; \
	HASH_ITER(hh, table, e_, t_) { HASH_DEL(table, e_); free(e_); } \
} while (0)

void join_free(struct join *j)
{
	struct topic *t, *tt;
	struct interned *s, *st;
	struct bthread *th, *tht;
	struct bconn *bc, *bct;
	struct req *r, *rt;
	struct breq *br, *brt;
	struct part *pa, *pat;
	struct debt *d, *dt;

	if (!j)
		return;
	while (j->pending)
		jbatch_drop(j, j->pending);
	HASH_ITER(hh, j->threads, th, tht) { HASH_DEL(j->threads, th); free(th->links); free(th); }
	HASH_ITER(hh, j->reqs, r, rt) { HASH_DEL(j->reqs, r); free(r->links); free(r); }
	HASH_ITER(hh, j->breqs, br, brt) { HASH_DEL(j->breqs, br); free(br->links); free(br); }
	HASH_ITER(hh, j->bconns, bc, bct) { HASH_DEL(j->bconns, bc); free(bc->ring); free(bc); }
	HASH_ITER(hh, j->topics, t, tt) { HASH_DEL(j->topics, t); free(t->name); free(t); }
	HASH_ITER(hh, j->strings, s, st) { HASH_DEL(j->strings, s); free(s->s); free(s); }
	FREE_TABLE(j->topic_ids, topic_id);
	FREE_TABLE(j->topic_uuids, topic_uuid);
	FREE_TABLE(j->insts, inst);
	FREE_TABLE(j->peers, peer);
	FREE_TABLE(j->conns, conn);
	HASH_ITER(hh, j->parts, pa, pat) {
		DL_FOREACH_SAFE(pa->debts, d, dt)
			free(d);
		HASH_DEL(j->parts, pa);
		free(pa);
	}
	FREE_TABLE(j->files, file);
	FREE_TABLE(j->targets, target);
	FREE_TABLE(j->idents, ident_slot);
	FREE_TABLE(j->sequences, sequence_slot);
	FREE_TABLE(j->places, place_slot);
	FREE_TABLE(j->plogs, plog);
	FREE_TABLE(j->clocks, clock_pair);
	FREE_TABLE(j->devices, device);
	for (uint32_t i = 0; i < j->nr_trails; i++)
		free(j->trails[i]);
	free(j->trails);
	free(j->stalls);
	free(j->blks);
	free(j->commits);
	free(j);
}
