/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join.c - the stream itself.
 */
#include <stdlib.h>
#include "join_int.h"

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
	pending_settle(j);
}

void join_end(struct join *j)
{
	fate_end(j);
	while (j->pending)
		batch_tell(j, j->pending);
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
		free(pa->full);
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
