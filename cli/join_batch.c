/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join_batch.c - a batch and the tables that find it: by identity, by sequence, by
 * the requests that carried it.
 */
#include <stdlib.h>
#include <string.h>
#include "join_int.h"

struct jbatch *jbatch_new(struct join *j, struct jtrail *t, struct topic *topic, int32_t partition)
{
	struct jbatch *jb = pool_get(&j->pool.batch, sizeof(*jb));

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
		s = pool_get(&j->pool.ident, sizeof(*s));
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
		s = pool_get(&j->pool.sequence, sizeof(*s));
		s->key = key;
		HASH_ADD(hh, j->sequences, key, sizeof(key), s);
	}
	jb->in_seq = true;
	DL_APPEND2(s->head, jb, seq_prev, seq_next);
}

void jbatch_displace(struct join *j, struct jbatch *jb)
{
	if (!jb->place)
		return;
	HASH_DEL(j->places, jb->place);
	pool_put(&j->pool.place, jb->place);
	jb->place = NULL;
}

void links_free(struct links *l)
{
	if (l->at != &l->first)
		free(l->at);
}

void link_add(struct links *l, struct jbatch *jb, uint32_t attempt)
{
	uint32_t n = l->nr++;

	if (!l->at) {
		l->at = &l->first;
	} else if (n && !(n & (n - 1))) {	/* room for as many again */
		bool own = l->at != &l->first;
		struct link *p = realloc(own ? l->at : NULL, 2 * n * sizeof(*p));

		if (!p)
			join_no_memory();
		if (!own)
			p[0] = l->first;
		l->at = p;
	}
	l->at[n] = (struct link){ jb, attempt };
}

uint32_t jbatch_attempt(struct jbatch *jb)
{
	uint32_t n = jb->b.nr_attempts++;
	struct tl_attempt *a;

	if (!n) {
		jb->b.attempts = &jb->first_attempt;
		jb->state = &jb->first_state;
	} else {
		jb->b.attempts = realloc(n > 1 ? jb->b.attempts : NULL, (n + 1) * sizeof(*jb->b.attempts));
		jb->state = realloc(n > 1 ? jb->state : NULL, (n + 1) * sizeof(*jb->state));
		if (!jb->b.attempts || !jb->state)
			join_no_memory();
	}
	if (n == 1) {
		jb->b.attempts[0] = jb->first_attempt;
		jb->state[0] = jb->first_state;
	}
	a = &jb->b.attempts[n];
	memset(a, 0, sizeof(*a));
	memset(&jb->state[n], 0, sizeof(jb->state[n]));
	a->n = n + 1;
	a->broker = -1;
	a->base_offset = -1;
	return n;
}

static void links_forget(struct links *l, const struct jbatch *jb)
{
	for (uint32_t i = 0; i < l->nr; i++)
		if (l->at[i].batch == jb)
			l->at[i].batch = NULL;
}

/* Out of every table, and freed. */
void jbatch_drop(struct join *j, struct jbatch *jb)
{
	if (jb->hashed) {
		struct ident_slot *s;

		HASH_FIND(hh, j->idents, &jb->ident, sizeof(jb->ident), s);
		DL_DELETE2(s->head, jb, id_prev, id_next);
		if (!s->head) {
			HASH_DEL(j->idents, s);
			pool_put(&j->pool.ident, s);
		}
	}
	if (jb->in_seq) {
		struct sequence key = sequence_of(jb);
		struct sequence_slot *s;

		HASH_FIND(hh, j->sequences, &key, sizeof(key), s);
		DL_DELETE2(s->head, jb, seq_prev, seq_next);
		if (!s->head) {
			HASH_DEL(j->sequences, s);
			pool_put(&j->pool.sequence, s);
		}
	}
	jbatch_displace(j, jb);
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
	idemp_lands(jb, j->now);
	pending_leave(j, jb);
	batch_unwork(jb);
	for (uint32_t i = 0; i < jb->b.nr_replicas; i++)
		links_forget(&jb->copier[i]->copies, jb);
	for (uint32_t i = 0; i < jb->b.nr_attempts; i++) {
		struct link_state *st = &jb->state[i];

		if (st->thread)
			links_forget(&st->thread->links, jb);
		chain_put(st->lock);
		chain_put(st->stall);
		chain_put(st->after);
		if (st->req) {
			links_forget(&st->req->links, jb);
			req_unlink(j, st->req);
		}
		if (st->breq) {
			links_forget(&st->breq->links, jb);
			breq_unlink(j, st->breq);
		}
	}
	if (jb->b.nr_attempts > 1) {
		free(jb->b.attempts);
		free(jb->state);
	}
	free(jb->past);
	pool_put(&j->pool.batch, jb);
}
