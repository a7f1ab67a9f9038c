/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include "join_int.h"
#include "sync_parts.h"

#define MAX_PLACES 16u
#define MAX_TIDS 16u
#define WOKEN_NS 200000		/* from a request's completion to that its waiter is woken */

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

/* ---- labels ----------------------------------------------------------------------- */

void label(struct labels *l, int64_t begin, int64_t end, enum tl_part_name part)
{
	if (begin && end > begin && l->nr < MAX_IV)
		l->iv[l->nr++] = (struct labelled){ begin, end, part };
}

/* A request's life: device, queue, before it was a request. */
void label_blk(struct labels *l, const struct blk *b)
{
	int64_t in = b->insert ? b->insert : b->start ? b->start : b->issue;
	bool flush = (b->op & 0xff) == AT_OP_FLUSH;

	label(l, b->issue ? b->issue : in, b->done, flush ? TL_PART_FLUSH : TL_PART_DEVICE);
	if (b->issue)
		label(l, in, b->issue, TL_PART_QUEUED);
	/* From the first bio to the request: throttled, or no tag was free. */
	label(l, b->queue, b->start && b->start < in ? b->start : in, TL_PART_BEFORE);
	if (b->start && b->start < in)
		label(l, b->start, in, TL_PART_QUEUED);
}

static bool is_nap(const struct pause *p)
{
	return p->why != AT_PAUSE_JOURNAL;
}

/* Awake whenever no sleep is told. */
void label_cpu(struct labels *l, const struct pause *p, uint32_t nr, int64_t begin, int64_t end)
{
	for (uint32_t i = 0; i < nr; i++) {
		if (!is_nap(&p[i]))
			continue;
		label(l, begin, p[i].begin, TL_PART_CPU);
		begin = p[i].end;
	}
	label(l, begin, end, TL_PART_CPU);
}

/* Sleeps that were counted and not told (short ones, or recycled) are not to pass for being awake. */
void parts_settle(struct tl_parts *p, const struct pause *pause, uint32_t nr, int64_t slept)
{
	for (uint32_t i = 0; i < nr; i++)
		if (is_nap(&pause[i]))
			slept -= pause[i].end - pause[i].begin;
	if (slept > p->part[TL_PART_CPU])
		slept = p->part[TL_PART_CPU];
	if (slept > 0) {
		p->part[TL_PART_CPU] -= slept;
		p->part[TL_PART_UNEXPLAINED] += slept;
	}
}

/* The device's name and what it is. */
void parts_on(struct join *j, uint32_t trail, uint64_t dev, struct tl_parts *p)
{
	const struct device *d = device_find(j, trail, device_root(j, trail, dev)), *own = device_find(j, trail, dev);

	p->dev = device_root(j, trail, dev);
	if (!d)
		d = own;
	p->device = d ? d->name : NULL;
	p->stacked = (d && d->stacked) || (own && own->stacked);
}

/* ---- whose a request is ----------------------------------------------------------- */

static bool is_write(const struct blk *b)
{
	return (b->op & 0xff) == AT_OP_WRITE;
}

static bool is_flush(const struct blk *b)
{
	return (b->op & 0xff) == AT_OP_FLUSH;
}

/* Numbers of inodes are those of one file system: two partitions of a disk have the same ones. */
bool blk_of_file(const struct blk *b, uint64_t dev, uint64_t ino)
{
	return b->ino == ino && ino && (!b->fs || b->fs == (major(dev) << 20 | minor(dev)));
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
		if (j->commits[i].trail == trail && j->commits[i].dev == dev && !j->commits[i].xfs)
			return true;
	return false;
}

/* ---- a sync ------------------------------------------------------------------------ */

/*
 * Asleep until its own pages are written, or for being too dirty, a thread waits for
 * no one's commit and no one's flush, whatever else the disk is busy with.
 */
static bool for_own(const struct pause *p)
{
	return p->why == AT_PAUSE_PAGE || p->why == AT_PAUSE_DIRTY;
}

static void label_others(struct labels *l, const struct labelled *iv, const struct pause *p, uint32_t nr)
{
	int64_t begin = iv->begin;

	for (uint32_t i = 0; i < nr; i++) {
		if (!for_own(&p[i]) || p[i].end <= begin || p[i].begin >= iv->end)
			continue;
		label(l, begin, p[i].begin, iv->part);
		begin = p[i].end;
	}
	label(l, begin, iv->end, iv->part);
}

static void label_blk_of_others(struct labels *l, const struct blk *b, const struct pause *p, uint32_t nr)
{
	static struct labels one;

	one.nr = 0;
	label_blk(&one, b);
	for (uint32_t i = 0; i < one.nr; i++)
		label_others(l, &one.iv[i], p, nr);
}

static bool is_held(const struct blk *b)
{
	return b->op >> 8 & AT_REQ_HELD;
}

/*
 * A limit of the cgroup lets go of a bio when it is queued.  It was asked for earlier:
 * at the latest when the thread that needs it fell asleep.
 */
static void label_held(struct labels *l, const struct blk *b, const struct pause *p, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		if (is_nap(&p[i]) && p[i].begin < b->queue && p[i].end > b->queue)
			label(l, p[i].begin, b->queue, TL_PART_BEFORE);
}

/*
 * Nor does a held request of metadata tell whose it is where no commit does.  But a
 * thread that slept for I/O when it was let go of, and was woken right behind it
 * with nothing else of the disk between, had waited for it.
 */
static bool woke(const struct blk *b, int64_t next_done, const struct pause *p, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		if (p[i].why == AT_PAUSE_IO && p[i].begin < b->queue && p[i].end >= b->done &&
		    p[i].end < b->done + WOKEN_NS && p[i].end < next_done)
			return true;
	return false;
}

/*
 * Asleep for I/O right after it looked up a block of metadata that another is writing,
 * it waits until that is done.
 */
static void label_awaited(struct labels *l, const struct blk *b, const struct pause *p, uint32_t nr)
{
	static struct labels one;

	for (uint32_t i = 0; i < nr; i++) {
		if (!p[i].place || p[i].place != b->ino || b->done <= p[i].begin || !is_write(b))
			continue;
		one.nr = 0;
		label_blk(&one, b);
		for (uint32_t k = 0; k < one.nr; k++)
			label(l, one.iv[k].begin > p[i].begin ? one.iv[k].begin : p[i].begin,
			      one.iv[k].end < p[i].end ? one.iv[k].end : p[i].end, one.iv[k].part);
	}
}

static void label_pauses(struct labels *l, const struct pause *p, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		switch (p[i].why) {
		case AT_PAUSE_LOG:
			label(l, p[i].begin, p[i].end, TL_PART_SHARED);
			break;
		case AT_PAUSE_PAGE:
			label(l, p[i].begin, p[i].end, TL_PART_WRITEBACK);
			break;
		case AT_PAUSE_LOCK:
			label(l, p[i].begin, p[i].end, TL_PART_LOCK);
			break;
		case AT_PAUSE_JOURNAL:
			label(l, p[i].begin, p[i].end, TL_PART_HANDLE);
			break;
		}
}

/* The requests of a loop device's file on the disk beneath. */
static void parts_beneath(struct join *j, uint32_t trail, uint64_t dev, int64_t begin, int64_t end, struct tl_parts *p)
{
	static struct labels l;
	const struct device *top = device_find(j, trail, dev), *d;
	uint32_t nb = j->nr_blks < JOIN_BLKS ? j->nr_blks : JOIN_BLKS;
	int64_t part[TL_NR_PARTS];
	uint64_t below;

	if (!top || !top->below)
		return;
	l.nr = 0;
	below = device_root(j, trail, top->below);
	for (uint32_t i = 0; i < nb; i++) {
		const struct blk *b = &j->blks[(j->nr_blks - 1 - i) % JOIN_BLKS];

		if (b->done + JOIN_LATE < begin)
			break;
		if (b->trail == trail && b->dev == below && b->done > begin && b->ino == top->below_ino &&
		    b->fs == top->below_fs)
			label(&l, b->queue ? b->queue : b->issue, b->done, TL_PART_DEVICE);
	}
	parts_union(l.iv, l.nr, begin, end, part);
	if (!part[TL_PART_DEVICE])
		return;
	d = device_find(j, trail, below);
	p->below_ns = part[TL_PART_DEVICE];
	p->below = d ? d->name : NULL;
}

void parts_of_sync(struct join *j, struct jtrail *t, const struct event *ev, struct tl_parts *p)
{
	static struct labels l;
	static struct pause pause[MAX_PAUSES];
	int64_t begin = event_axis(ev, ev->sync.begin_ns), end = event_axis(ev, ev->ns);
	uint32_t nb = j->nr_blks < JOIN_BLKS ? j->nr_blks : JOIN_BLKS;
	uint32_t nc = j->nr_commits < JOIN_COMMITS ? j->nr_commits : JOIN_COMMITS;
	uint32_t tids[MAX_TIDS], nr_tids = 0, nr_places = 0, np;
	int64_t commit_begin = INT64_MAX, next_done = INT64_MAX;
	uint64_t places[MAX_PLACES], dev;
	bool jbd2;

	memset(p, 0, sizeof(*p));
	l.nr = 0;
	parts_on(j, t->index, ev->sync.dev, p);
	dev = p->dev;
	jbd2 = has_jbd2(j, nc, t->index, dev);
	p->ns = end > begin ? end - begin : 0;
	p->seen = t->covered[AT_COVER_BLOCK] || j->nr_blks;
	np = pauses_of(j, t->index, ev->tid, begin, end, pause, MAX_PAUSES);

	for (uint32_t i = 0; i < nc; i++) {
		const struct commit *c = &j->commits[(j->nr_commits - 1 - i) % JOIN_COMMITS];
		uint32_t before = l.nr;

		if (c->end + JOIN_LATE < begin)
			break;
		if (c->trail != t->index || c->dev != dev || c->end <= begin || c->begin >= end)
			continue;
		/* Which buffers of XFS's log it needs only its own sleep for the log tells. */
		if (!c->xfs)
			label_others(&l, &(struct labelled){ c->begin, c->end, TL_PART_SHARED }, pause, np);
		else
			for (uint32_t k = 0; k < np; k++)
				if (pause[k].why == AT_PAUSE_LOG && c->end > pause[k].begin && c->begin < pause[k].end)
					label(&l, c->begin, c->end, TL_PART_SHARED);
		if (l.nr == before)
			continue;
		if (c->waiters > p->waiters)
			p->waiters = c->waiters;
		if (c->begin < commit_begin)
			commit_begin = c->begin;
		if (nr_tids < MAX_TIDS && c->tid && !c->xfs)
			tids[nr_tids++] = c->tid;
	}
	for (uint32_t i = 0; i < nb; i++) {
		const struct blk *b = &j->blks[(j->nr_blks - 1 - i) % JOIN_BLKS];
		bool others = false, own;

		/* In the order of completion, give or take what CPUs reorder. */
		if (b->done + JOIN_LATE < begin)
			break;
		if (b->trail != t->index || b->dev != dev || b->done <= begin)
			continue;
		for (uint32_t k = 0; k < nr_tids && !others; k++)
			others = b->tid == tids[k];
		if (b->tid && b->tid == ev->tid && b->ino & AT_PLACE(0) && nr_places < MAX_PLACES)
			places[nr_places++] = b->ino;
		/* Held back, it is queued by a worker, and of the journal by its kind alone. */
		others = others || (is_held(b) && b->op >> 8 & AT_REQ_META && b->queue > commit_begin);
		own = (b->tid && b->tid == ev->tid) || blk_of_file(b, ev->sync.dev, ev->sync.ino) ||
		      (is_held(b) && !b->fs && woke(b, next_done, pause, np));
		next_done = b->done;
		if (is_held(b) && (others || own))
			label_held(&l, b, pause, np);
		if (own)
			label_blk(&l, b);
		/* Flushes are issued by the block layer's own worker for whoever waits. */
		else if (others || is_flush(b) || (!jbd2 && is_log_write(b)))
			label_blk_of_others(&l, b, pause, np);
		else if (!jbd2)		/* which puts metadata into its commits */
			label_awaited(&l, b, pause, np);
	}
	/* To write a block of metadata one waits until whoever writes it has done so. */
	for (uint32_t i = 0; i < nb && nr_places; i++) {
		const struct blk *b = &j->blks[(j->nr_blks - 1 - i) % JOIN_BLKS];

		if (b->done + JOIN_LATE < begin)
			break;
		if (b->trail != t->index || b->dev != dev || b->done <= begin || !is_write(b))
			continue;
		for (uint32_t k = 0; k < nr_places; k++)
			if (b->ino == places[k]) {
				label_blk(&l, b);
				break;
			}
	}
	label_pauses(&l, pause, np);
	if (ev->sync.flags & AT_SYNC_NAPS && np < MAX_PAUSES)
		label_cpu(&l, pause, np, begin, end);
	parts_union(l.iv, l.nr, begin, end, p->part);
	if (ev->sync.flags & AT_SYNC_NAPS)
		parts_settle(p, pause, np, (int64_t)ev->sync.slept_ns);
	/* What is missing may be the commit, or the request, that it slept for. */
	if (may_lack(t, AT_EV_COMMIT) || may_lack(t, AT_EV_BLOCK)) {
		p->part[TL_PART_UNEXPLAINED] += p->part[TL_PART_LOCK];
		p->part[TL_PART_LOCK] = 0;
	}
	parts_beneath(j, t->index, dev, begin, end, p);
	parts_share(j, t, ev->sync.pid, begin, end, p);
}

void parts_add(struct tl_parts *to, const struct tl_parts *p)
{
	to->ns += p->ns;
	for (int i = 0; i < TL_NR_PARTS; i++)
		to->part[i] += p->part[i];
	to->dev = p->dev;
	to->device = p->device;
	to->seen = p->seen;
	to->stacked = p->stacked;
	to->below_ns += p->below_ns;
	if (p->below)
		to->below = p->below;
	if (p->waiters > to->waiters)
		to->waiters = p->waiters;
	if (p->other_pid && (!to->other_pid || p->other_share > to->other_share)) {
		to->other_pid = p->other_pid;
		to->other = p->other;
		to->other_share = p->other_share;
	}
}

/* "loop0: flush, shared by 3": the device and what most of the time went to. */
const char *parts_culprit(struct join *j, const struct tl_parts *p)
{
	char text[192];
	int best = TL_PART_UNEXPLAINED, n;

	if (!p->ns)
		return NULL;
	for (int i = 0; i < TL_NR_PARTS; i++)
		if (p->part[i] > p->part[best])
			best = i;
	if (!p->device && best == TL_PART_UNEXPLAINED)
		return NULL;
	if (best == TL_PART_LOCK || best == TL_PART_CPU)	/* no fault of the device */
		return tl_part_names[best];
	n = snprintf(text, sizeof(text), "%s", p->device ? p->device : "disk");
	if (p->below)
		n += snprintf(text + n, sizeof(text) - (size_t)n, " on %.40s", p->below);
	if (best != TL_PART_UNEXPLAINED)
		n += snprintf(text + n, sizeof(text) - (size_t)n, ": %s", tl_part_names[best]);
	if (p->waiters > 1)
		n += snprintf(text + n, sizeof(text) - (size_t)n, ", shared by %u", p->waiters);
	if (p->other_pid)
		n += snprintf(text + n, sizeof(text) - (size_t)n, ", shared with %s[%u]: %.0f%% of its requests",
			      p->other, p->other_pid, 100 * p->other_share);
	return join_intern(j, text, (size_t)n);
}
