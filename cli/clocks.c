/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "clocks.h"
#include "parallel.h"
#include "say.h"
#include "table.h"

#define MAX_PROOFS	(1u << 20)	/* of all pairs together, 24 MB; but no pair less than */
#define MIN_PROOFS	1024u
#define MAX_HALVES	(1u << 18)	/* then a smaller sample of requests is matched, the same on both sides */

/* A request as one side saw it, raw times of that side. */
struct half {
	struct half_key { uint32_t trail, conn, corr; } key;
	uint64_t ident;			/* 0: not known yet */
	uint64_t out, in;		/* client: sent, answer read; broker: read, answer written */
	bool	 client, waits;		/* waits: in by_ident */
	struct half *other;
	UT_hash_handle hh, by_ident;
};

struct pair {
	struct clock *clock;
	struct pair *next;
};

struct clocks {
	struct half *halves, *waiting;
	struct half *spare;		/* a list by `other` */
	struct pair *pairs;
	uint32_t nr_trails, nr_pairs;
	struct clock ***tie;		/* of each client's trail, if it has any: with each trail */
	uint32_t mask;			/* idents with one of these bits are left out */
	bool	*given;			/* trails placed by --clock-offset */
};

bool clocks_same(const struct trail *a, const struct trail *b)
{
	const char *x = a->header.boot_id, *y = b->header.boot_id;

	return a == b || (a->axis_exact && b->axis_exact) ||
	       (x[0] && !strncmp(x, y, sizeof(a->header.boot_id)));
}

/* ---- matching --------------------------------------------------------------------- */

static uint64_t mix(uint64_t h, uint64_t v)
{
	h ^= v + 0x9e3779b97f4a7c15ull + (h << 6) + (h >> 2);
	h ^= h >> 31;
	h *= 0xbf58476d1ce4e5b9ull;
	return h ^ (h >> 29);
}

/* The first batch of a request, and its CorrId: a retry is another request. */
static uint64_t identity(uint32_t crc, int64_t first_ts, int32_t partition, uint32_t count, uint32_t corr)
{
	uint64_t h = mix(mix(mix(crc, (uint64_t)first_ts), (uint64_t)(uint32_t)partition << 32 | count), corr);

	return h ? h : 1;
}

static void half_free(struct clocks *c, struct half *h)
{
	if (h->waits)
		HASH_DELETE(by_ident, c->waiting, h);
	HASH_DEL(c->halves, h);
	if (h->other)
		h->other->other = NULL;
	h->other = c->spare;
	c->spare = h;
}

static struct half *half_new(struct clocks *c)
{
	struct half *h = c->spare;

	if (!h)
		return calloc(1, sizeof(*h));
	c->spare = h->other;
	memset(h, 0, sizeof(*h));
	return h;
}

static void halves_free(struct clocks *c)
{
	struct half *h;

	HASH_CLEAR(by_ident, c->waiting);
	while ((h = c->halves)) {
		h->waits = false;
		half_free(c, h);
	}
	while ((h = c->spare)) {
		c->spare = h->other;
		free(h);
	}
}

static void sample_less(struct clocks *c)
{
	struct half *h, *tmp;

	while (HASH_COUNT(c->halves) > MAX_HALVES / 2 && c->mask < UINT32_MAX / 2) {
		c->mask = 2 * c->mask + 1;
		HASH_ITER(hh, c->halves, h, tmp)
			if (!h->ident || h->ident & c->mask)
				half_free(c, h);
	}
}

static struct half *half_find(struct clocks *c, const struct event *ev, uint32_t conn, uint32_t corr)
{
	struct half_key key = { ev->trail->index, conn, corr };
	struct half *h;

	HASH_FIND(hh, c->halves, &key, sizeof(key), h);
	return h;
}

static struct half *half_get(struct clocks *c, const struct event *ev, uint32_t conn, uint32_t corr, bool client)
{
	struct half *h = half_find(c, ev, conn, corr);

	if (h)
		return h;
	if (HASH_COUNT(c->halves) >= MAX_HALVES)
		sample_less(c);
	h = half_new(c);
	if (!h)
		return NULL;
	h->key = (struct half_key){ ev->trail->index, conn, corr };
	h->client = client;
	HASH_ADD(hh, c->halves, key, sizeof(h->key), h);
	return h;
}

static struct clock *tie(const struct clocks *c, uint32_t client, uint32_t probe)
{
	return c->tie[client] ? c->tie[client][probe] : NULL;
}

/* A fleet has many pairs: each keeps its share of the proofs. */
static void share_out(struct clocks *c)
{
	uint32_t each = MAX_PROOFS / c->nr_pairs;

	for (struct pair *p = c->pairs; p; p = p->next)
		clock_limit(p->clock, each < MIN_PROOFS ? MIN_PROOFS : each > CLOCK_PROOFS ? CLOCK_PROOFS : each);
}

static struct clock *pair_clock(struct clocks *c, uint32_t client, uint32_t probe)
{
	struct clock **row = c->tie[client];
	struct pair *p;

	if (!row)
		row = c->tie[client] = calloc(c->nr_trails, sizeof(*row));
	if (!row || row[probe])
		return row ? row[probe] : NULL;
	p = calloc(1, sizeof(*p));
	if (!p || !(p->clock = clock_new())) {
		free(p);
		return NULL;
	}
	row[probe] = p->clock;
	p->next = c->pairs;
	c->pairs = p;
	c->nr_pairs++;
	share_out(c);
	return p->clock;
}

static void prove(struct clocks *c, struct half *h, bool sent)
{
	struct half *us = h->client ? h : h->other, *them = us ? us->other : NULL;
	struct clock *k = them ? pair_clock(c, us->key.trail, them->key.trail) : NULL;

	if (!k)
		return;
	if (sent && us->out && them->in)
		clock_at_most(k, (int64_t)us->out, (int64_t)(them->in - us->out));
	if (us->in && them->out) {
		clock_at_least(k, (int64_t)us->in, (int64_t)(them->out - us->in));
		half_free(c, them);
		half_free(c, us);
	}
}

/* It has its identity: the other side may wait for it. */
static void meet(struct clocks *c, struct half *h)
{
	struct half *o;

	if (!h->ident || h->other || h->waits || !(h->client ? h->out : h->in))
		return;
	HASH_FIND(by_ident, c->waiting, &h->ident, sizeof(h->ident), o);
	if (!o) {
		h->waits = true;
		HASH_ADD(by_ident, c->waiting, ident, sizeof(h->ident), h);
		return;
	}
	if (o->client == h->client)	/* the same twice: of neither */
		return;
	HASH_DELETE(by_ident, c->waiting, o);
	o->waits = false;
	o->other = h;
	h->other = o;
	prove(c, h, true);
}

static void identify(struct clocks *c, struct half *h, uint64_t ident)
{
	if (!h || h->ident)
		return;
	if (ident & c->mask) {
		half_free(c, h);
		return;
	}
	h->ident = ident;
	meet(c, h);
}

static const uint64_t looked_at = 1ull << AT_EV_BATCH | 1ull << AT_EV_REQUEST | 1ull << AT_EV_RESPONSE |
				  1ull << AT_EV_ARRIVAL_BATCH | 1ull << AT_EV_ARRIVAL | 1ull << AT_EV_ANSWER;

static void look(struct clocks *c, const struct event *ev)
{
	struct half *h;

	switch (ev->type) {
	case AT_EV_BATCH:
		if (ev->batch.index || ev->batch.flags & (AT_BATCH_RESTATED | AT_BATCH_OLD_FORMAT))
			return;
		identify(c, half_get(c, ev, ev->batch.conn, ev->batch.corr, true),
			 identity(ev->batch.crc, ev->batch.first_ts_ms, ev->batch.partition,
				  ev->batch.count, ev->batch.corr));
		return;
	case AT_EV_REQUEST:
		if (ev->request.api || !ev->request.acks)
			return;
		h = half_get(c, ev, ev->request.conn, ev->request.corr, true);
		if (h && !h->out) {
			h->out = ev->ns;
			meet(c, h);
		}
		return;
	case AT_EV_RESPONSE:
		h = half_find(c, ev, ev->response.conn, ev->response.corr);
		if (h && h->client && !h->in) {
			h->in = ev->ns;
			prove(c, h, false);
		}
		return;
	case AT_EV_ARRIVAL_BATCH:
		if (ev->arrival_batch.index)
			return;
		identify(c, half_get(c, ev, ev->arrival_batch.conn, ev->arrival_batch.corr, false),
			 identity(ev->arrival_batch.crc, ev->arrival_batch.first_ts_ms, ev->arrival_batch.partition,
				  ev->arrival_batch.count, ev->arrival_batch.corr));
		return;
	case AT_EV_ARRIVAL:
		if (ev->arrival.api || !ev->arrival.acks)
			return;
		h = half_get(c, ev, ev->arrival.conn, ev->arrival.corr, false);
		if (h && !h->in) {
			h->in = ev->arrival.arrived_ns ? ev->arrival.arrived_ns : ev->ns;
			meet(c, h);
		}
		return;
	case AT_EV_ANSWER:
		h = half_find(c, ev, ev->answer.conn, ev->answer.corr);
		if (h && !h->client && !h->out) {
			h->out = ev->answer.begin_ns ? ev->answer.begin_ns : ev->ns;
			prove(c, h, false);
		}
		return;
	}
}

/* ---- the axis ---------------------------------------------------------------------- */

/* All trails of one boot move together. */
static void move(struct reader *r, bool *placed, const struct trail *t, int64_t by)
{
	for (int i = 0; i < reader_nr_trails(r); i++) {
		struct trail *o = reader_trail(r, i);

		if (!placed[i] && clocks_same(o, t)) {
			o->to_axis_ns += by;
			placed[i] = true;
		}
	}
}

/* How far `theirs` lies from where it belongs, seen from `ours`, in the middle of what both saw. */
static bool astray(const struct clocks *c, const struct trail *ours, const struct trail *theirs, int64_t *by)
{
	const struct clock *p = tie(c, ours->index, theirs->index), *q = tie(c, theirs->index, ours->index);
	int64_t offset;

	if (p && clock_middle(p, &offset))
		*by = ours->to_axis_ns - theirs->to_axis_ns - offset;
	else if (q && clock_middle(q, &offset))
		*by = ours->to_axis_ns - theirs->to_axis_ns + offset;
	else
		return false;
	return true;
}

static void align(struct clocks *c, struct reader *r, bool *placed)
{
	bool more = true;
	int n = reader_nr_trails(r);

	while (more) {
		more = false;
		for (int i = 0; i < n; i++)
			for (int k = 0; k < n; k++) {
				int64_t by;

				if (placed[i] && !placed[k] &&
				    astray(c, reader_trail(r, i), reader_trail(r, k), &by)) {
					move(r, placed, reader_trail(r, k), by);
					more = true;
				}
			}
	}
}

static bool is_from(const struct trail *t, const char *host)
{
	return !strcasecmp(t->header.host, host) || !strcmp(t->path, host);
}

/* Given: true time = shown time - ns, wherever the wall clock put it. */
static void give(struct clocks *c, struct reader *r, bool *placed, const struct clock_given *given, unsigned nr)
{
	for (unsigned g = 0; g < nr; g++)
		for (int i = 0; i < reader_nr_trails(r); i++)
			if (is_from(reader_trail(r, i), given[g].host)) {
				move(r, placed, reader_trail(r, i), -given[g].ns);
				c->given[i] = true;
			}
}

static void say_unused(struct reader *r, const struct clock_given *given, unsigned nr, bool several)
{
	for (unsigned g = 0; g < nr; g++) {
		bool found = false;

		for (int i = 0; i < reader_nr_trails(r); i++)
			found |= is_from(reader_trail(r, i), given[g].host);
		if (!found)
			say("--clock-offset %s: none of these trails is of that host", given[g].host);
		else if (!several)
			say("--clock-offset %s: these trails share one clock, so nothing is moved", given[g].host);
	}
}

static void fit_one(void *arg, size_t i)
{
	clock_fit(((struct pair **)arg)[i]->clock);
}

/* Each by itself, and so on all CPUs. */
static void fit_all(struct clocks *c)
{
	size_t nr = c->nr_pairs;
	struct pair **all = malloc((nr + 1) * sizeof(*all)), *p = c->pairs;

	for (size_t i = 0; all && i < nr; i++, p = p->next)
		all[i] = p;
	if (all)
		parallel_each(nr, fit_one, all);
	else
		for (; p; p = p->next)
			clock_fit(p->clock);
	free(all);
}

struct clocks *clocks_learn(struct reader *r, const struct clock_given *given, unsigned nr_given)
{
	int n = reader_nr_trails(r);
	bool several = false, client = false, probe = false, *placed = calloc((size_t)n, sizeof(*placed));
	struct clocks *c = calloc(1, sizeof(*c));
	struct event ev;

	for (int i = 0; i < n; i++) {
		const struct trail *t = reader_trail(r, i);

		several |= !clocks_same(t, reader_trail(r, 0));
		client |= t->header.kind == AT_KIND_SHIM;
		probe |= t->header.kind == AT_KIND_PROBE;
	}
	say_unused(r, given, nr_given, several);
	if (c) {
		c->given = calloc((size_t)n, sizeof(*c->given));
		c->tie = calloc((size_t)n, sizeof(*c->tie));
		c->nr_trails = (uint32_t)n;
	}
	if (!c || !c->given || !c->tie || !placed || !several) {
		free(placed);
		clocks_free(c);
		return NULL;
	}
	move(r, placed, reader_trail(r, 0), 0);
	give(c, r, placed, given, nr_given);
	if (client && probe) {
		reader_only(r, looked_at);
		while (reader_next(r, &ev))
			look(c, &ev);
		halves_free(c);
		fit_all(c);
		align(c, r, placed);
	}
	free(placed);
	reader_rewind(r);
	return c;
}

void clocks_free(struct clocks *c)
{
	struct pair *p;

	if (!c)
		return;
	free(c->given);
	for (uint32_t i = 0; c->tie && i < c->nr_trails; i++)
		free(c->tie[i]);
	free(c->tie);
	while ((p = c->pairs)) {
		c->pairs = p->next;
		clock_free(p->clock);
		free(p);
	}
	free(c);
}

struct clock *clocks_tie(const struct clocks *c, const struct trail *from, const struct trail *to)
{
	if (!c || c->given[from->index] || c->given[to->index])
		return NULL;
	return tie(c, to->index, from->index);
}

bool clocks_place(struct clock *with, const struct trail *from, const struct trail *to,
		  int64_t *axis_ns, int64_t *bound)
{
	int64_t ours;

	if (!clock_ours(with, *axis_ns - from->to_axis_ns, &ours, bound))
		return false;
	*axis_ns = ours + to->to_axis_ns;
	return true;
}
