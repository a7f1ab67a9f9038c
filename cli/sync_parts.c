/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "join_int.h"
#include "sync_parts.h"

#define MAX_IV	4096u	/* intervals looked at for one sync */
#define MAX_PLACES 16u

/* What belongs to no file (metadata) is known by its place on the disk; no inode has this bit. */
#define AT_PLACE(sector) (1ull << 63 | (sector))

static int by_time(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

struct edge { int64_t ns; int32_t part, step; };

void parts_union(struct labelled *iv, uint32_t nr, int64_t begin, int64_t end,
		 int64_t part[TL_NR_PARTS])
{
	struct edge *edges = join_alloc((2 * (size_t)nr + 1) * sizeof(*edges));
	int32_t open[TL_NR_PARTS] = { 0 };
	uint32_t n = 0;
	int64_t at = begin;

	memset(part, 0, TL_NR_PARTS * sizeof(*part));
	for (uint32_t i = 0; i < nr; i++) {
		int64_t b = iv[i].begin > begin ? iv[i].begin : begin;
		int64_t e = iv[i].end < end ? iv[i].end : end;

		if (e <= b)
			continue;
		edges[n++] = (struct edge){ b, (int32_t)iv[i].part, 1 };
		edges[n++] = (struct edge){ e, (int32_t)iv[i].part, -1 };
	}
	qsort(edges, n, sizeof(*edges), by_time);	/* ns is the first member */
	for (uint32_t i = 0; i <= n; i++) {
		int64_t next = i < n ? edges[i].ns : end;

		if (next > at) {
			int label = TL_PART_UNEXPLAINED;

			for (int p = TL_NR_PARTS - 1; p >= 0; p--)
				if (open[p])
					label = p;
			part[label] += next - at;
			at = next;
		}
		if (i < n)
			open[edges[i].part] += edges[i].step;
	}
	free(edges);
}

/* ---- devices ------------------------------------------------------------------ */

static struct device *device_find(struct join *j, uint32_t trail, uint64_t dev)
{
	struct device *d, like;

	memset(&like, 0, sizeof(like));
	like.key.dev = dev;
	like.key.trail = trail;
	HASH_FIND(hh, j->devices, &like.key, sizeof(like.key), d);
	return d;
}

/* A partition's requests are seen on its whole disk. */
static uint64_t root_of(struct join *j, uint32_t trail, uint64_t dev)
{
	const struct device *d = device_find(j, trail, dev);

	return d && d->root ? d->root : dev;
}

void parts_device(struct join *j, struct jtrail *t, const struct event *ev)
{
	struct device *d = device_find(j, t->index, ev->device.dev);

	if (!d) {
		d = join_alloc(sizeof(*d));
		d->key.dev = ev->device.dev;
		d->key.trail = t->index;
		HASH_ADD(hh, j->devices, key, sizeof(d->key), d);
	}
	d->root = ev->device.parent;
	if (ev->tail_len)
		d->name = join_intern(j, ev->tail, ev->tail_len);
}

/* ---- what happened lately -------------------------------------------------------- */

void parts_block(struct join *j, struct jtrail *t, const struct event *ev)
{
	const struct ev_block *e = &ev->block;

	if (!j->blks)
		j->blks = join_alloc(JOIN_BLKS * sizeof(*j->blks));
	j->blks[j->nr_blks++ % JOIN_BLKS] = (struct blk){
		.queue = event_axis(ev, e->queue_ns), .start = event_axis(ev, e->start_ns),
		.insert = event_axis(ev, e->insert_ns), .issue = event_axis(ev, e->issue_ns),
		.done = event_axis(ev, ev->ns), .dev = root_of(j, t->index, e->dev),
		.ino = e->ino ? e->ino : AT_PLACE(e->sector), .trail = t->index, .tid = e->queue_tid, .op = e->op,
	};
}

void parts_commit(struct join *j, struct jtrail *t, const struct event *ev)
{
	if (!j->commits)
		j->commits = join_alloc(JOIN_COMMITS * sizeof(*j->commits));
	j->commits[j->nr_commits++ % JOIN_COMMITS] = (struct commit){
		event_axis(ev, ev->commit.begin_ns), event_axis(ev, ev->ns),
		root_of(j, t->index, ev->commit.dev), t->index, ev->commit.waiters, ev->tid };
}

static void label(struct labelled *iv, uint32_t *n, int64_t begin, int64_t end,
		  enum tl_part_name part)
{
	if (begin && end > begin && *n < MAX_IV)
		iv[(*n)++] = (struct labelled){ begin, end, part };
}

/* A request's life: device, queue, before it was a request. */
static void label_blk(struct labelled *iv, uint32_t *n, const struct blk *b)
{
	int64_t in = b->insert ? b->insert : b->start ? b->start : b->issue;
	bool flush = (b->op & 0xff) == AT_OP_FLUSH;

	label(iv, n, b->issue ? b->issue : in, b->done, flush ? TL_PART_FLUSH : TL_PART_DEVICE);
	if (b->issue)
		label(iv, n, in, b->issue, TL_PART_QUEUED);
	/* From the first bio to the request: throttled, or no tag was free. */
	label(iv, n, b->queue, b->start && b->start < in ? b->start : in, TL_PART_BEFORE);
	if (b->start && b->start < in)
		label(iv, n, b->start, in, TL_PART_QUEUED);
}

static bool is_write(const struct blk *b)
{
	return (b->op & 0xff) == AT_OP_WRITE;
}

/*
 * XFS writes its log from whichever thread comes first, for all that wait.  A disk
 * with commits of jbd2 has a thread for that and needs no such guess.
 */
static bool is_log_write(const struct blk *b)
{
	uint32_t flags = b->op >> 8;

	return is_write(b) && flags & AT_REQ_META &&
	       flags & (AT_REQ_FLUSH_SEQ | AT_REQ_FUA | AT_REQ_PREFLUSH);
}

static bool has_jbd2(const struct join *j, uint32_t nc, uint32_t trail, uint64_t dev)
{
	for (uint32_t i = 0; i < nc; i++)
		if (j->commits[i].trail == trail && j->commits[i].dev == dev)
			return true;
	return false;
}

void parts_of_sync(struct join *j, struct jtrail *t, const struct event *ev, struct tl_parts *p)
{
	static struct labelled iv[MAX_IV];
	int64_t begin = event_axis(ev, ev->sync.begin_ns), end = event_axis(ev, ev->ns);
	uint64_t dev = root_of(j, t->index, ev->sync.dev);
	uint32_t nb = j->nr_blks < JOIN_BLKS ? j->nr_blks : JOIN_BLKS;
	uint32_t nc = j->nr_commits < JOIN_COMMITS ? j->nr_commits : JOIN_COMMITS;
	const struct device *d = device_find(j, t->index, dev);
	uint32_t n = 0, tids[16], nr_tids = 0, nr_places = 0;
	uint64_t places[MAX_PLACES];
	bool jbd2 = has_jbd2(j, nc, t->index, dev);

	if (!d)
		d = device_find(j, t->index, ev->sync.dev);
	memset(p, 0, sizeof(*p));
	p->ns = end > begin ? end - begin : 0;
	p->dev = dev;
	p->device = d ? d->name : NULL;
	p->seen = t->covered[AT_COVER_BLOCK] || j->nr_blks;

	for (uint32_t i = 0; i < nc; i++) {
		const struct commit *c = &j->commits[(j->nr_commits - 1 - i) % JOIN_COMMITS];

		if (c->end + 1000 * JOIN_MS < begin)
			break;
		if (c->trail != t->index || c->dev != dev || c->end <= begin || c->begin >= end)
			continue;
		label(iv, &n, c->begin, c->end, TL_PART_SHARED);
		if (c->waiters > p->waiters)
			p->waiters = c->waiters;
		if (nr_tids < 16 && c->tid)
			tids[nr_tids++] = c->tid;
	}
	for (uint32_t i = 0; i < nb; i++) {
		const struct blk *b = &j->blks[(j->nr_blks - 1 - i) % JOIN_BLKS];
		bool own, flush = (b->op & 0xff) == AT_OP_FLUSH;

		/* In the order of completion, give or take what CPUs reorder. */
		if (b->done + 1000 * JOIN_MS < begin)
			break;
		if (b->trail != t->index || b->dev != dev || b->done <= begin)
			continue;
		own = (b->tid && b->tid == ev->tid) || (b->ino && b->ino == ev->sync.ino);
		for (uint32_t k = 0; k < nr_tids && !own; k++)
			own = b->tid == tids[k];
		if (b->tid && b->tid == ev->tid && b->ino & AT_PLACE(0) && nr_places < MAX_PLACES)
			places[nr_places++] = b->ino;
		/* Flushes are issued by the block layer's own worker for whoever waits. */
		if (own || flush || (!jbd2 && is_log_write(b)))
			label_blk(iv, &n, b);
	}
	/* To write a block of metadata one waits until whoever writes it has done so. */
	for (uint32_t i = 0; i < nb && nr_places; i++) {
		const struct blk *b = &j->blks[(j->nr_blks - 1 - i) % JOIN_BLKS];

		if (b->done + 1000 * JOIN_MS < begin)
			break;
		if (b->trail != t->index || b->dev != dev || b->done <= begin || !is_write(b))
			continue;
		for (uint32_t k = 0; k < nr_places; k++)
			if (b->ino == places[k]) {
				label_blk(iv, &n, b);
				break;
			}
	}
	parts_union(iv, n, begin, end, p->part);
}

void parts_add(struct tl_parts *to, const struct tl_parts *p)
{
	to->ns += p->ns;
	for (int i = 0; i < TL_NR_PARTS; i++)
		to->part[i] += p->part[i];
	to->dev = p->dev;
	to->device = p->device;
	to->seen = p->seen;
	if (p->waiters > to->waiters)
		to->waiters = p->waiters;
}

/* "loop0: flush, shared by 3": the device and what most of the time went to. */
const char *parts_culprit(struct join *j, const struct tl_parts *p)
{
	char text[128];
	int best = TL_PART_UNEXPLAINED, n;

	if (!p->ns)
		return NULL;
	for (int i = 0; i < TL_NR_PARTS; i++)
		if (p->part[i] > p->part[best])
			best = i;
	if (!p->device && best == TL_PART_UNEXPLAINED)
		return NULL;
	n = snprintf(text, sizeof(text), "%s", p->device ? p->device : "disk");
	if (best != TL_PART_UNEXPLAINED)
		n += snprintf(text + n, sizeof(text) - (size_t)n, ": %s", tl_part_names[best]);
	if (p->waiters > 1)
		n += snprintf(text + n, sizeof(text) - (size_t)n, ", shared by %u", p->waiters);
	return join_intern(j, text, (size_t)n);
}
