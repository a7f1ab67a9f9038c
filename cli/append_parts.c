/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * append_parts.c - what an append waited for: a write to the page cache that took
 * long slept, and each sleep says why.
 */
#include <string.h>
#include "join_int.h"
#include "sync_parts.h"

/*
 * In a handle of the journal a thread sleeps for the commit that has the block, or the
 * transaction, that it needs.  Without sleeps to go by, all of the handle is taken for it.
 */
static void label_handle(struct labels *l, const struct pause *handle, const struct pause *p, uint32_t nr, bool naps)
{
	label(l, handle->begin, handle->end, handle->transaction && !naps ? TL_PART_SHARED : TL_PART_HANDLE);
	for (uint32_t i = 0; i < nr && handle->transaction; i++) {
		int64_t begin = p[i].begin > handle->begin ? p[i].begin : handle->begin;
		int64_t end = p[i].end < handle->end ? p[i].end : handle->end;

		if (p[i].why == AT_PAUSE_IO || p[i].why == AT_PAUSE_LOCK)
			label(l, begin, end, TL_PART_SHARED);
	}
}

/* How many syncs the transactions had that its handles waited for. */
static uint32_t sharers(const struct join *j, uint32_t trail, uint64_t dev, const struct pause *p, uint32_t nr)
{
	uint32_t nc = j->nr_commits < JOIN_COMMITS ? j->nr_commits : JOIN_COMMITS, most = 0;

	for (uint32_t i = 0; i < nr; i++)
		for (uint32_t k = 0; k < nc && p[i].transaction; k++) {
			const struct commit *c = &j->commits[k];

			if (c->trail == trail && c->dev == dev && !c->xfs && c->transaction == p[i].transaction &&
			    c->waiters > most)
				most = c->waiters;
		}
	return most;
}

void parts_of_append(struct join *j, struct jtrail *t, const struct event *ev, struct tl_parts *p)
{
	static struct labels l;
	static struct pause pause[MAX_PAUSES];
	const struct file *f = file_get(j, t, ev->append.file);
	int64_t begin = event_axis(ev, ev->append.begin_ns), end = event_axis(ev, ev->ns);
	uint32_t nb = j->nr_blks < JOIN_BLKS ? j->nr_blks : JOIN_BLKS, np;
	bool naps = ev->append.flags & AT_BATCH_NAPS;

	memset(p, 0, sizeof(*p));
	/* To copy some bytes takes microseconds: nothing to look for. */
	if (!f || !ev->append.begin_ns || end - begin < JOIN_MS)
		return;
	l.nr = 0;
	p->ns = end - begin;
	p->seen = naps || t->covered[AT_COVER_BLOCK];
	parts_on(j, t->index, f->dev, p);
	np = pauses_of(j, t->index, ev->tid, begin, end, pause, MAX_PAUSES);
	for (uint32_t i = 0; i < np; i++)
		switch (pause[i].why) {
		case AT_PAUSE_DIRTY:
			label(&l, pause[i].begin, pause[i].end, TL_PART_DIRTY);
			break;
		case AT_PAUSE_PAGE:
			label(&l, pause[i].begin, pause[i].end, TL_PART_STABLE);
			break;
		case AT_PAUSE_LOG:
			label(&l, pause[i].begin, pause[i].end, TL_PART_SHARED);
			break;
		case AT_PAUSE_LOCK:
			label(&l, pause[i].begin, pause[i].end, TL_PART_LOCK);
			break;
		case AT_PAUSE_JOURNAL:
			label_handle(&l, &pause[i], pause, np, naps);
			break;
		}
	for (uint32_t i = 0; i < nb; i++) {
		const struct blk *b = &j->blks[(j->nr_blks - 1 - i) % JOIN_BLKS];

		if (b->done + JOIN_LATE < begin)
			break;
		if (b->trail != t->index || b->dev != p->dev || b->done <= begin || !b->tid || b->tid != ev->tid)
			continue;
		if ((b->op & 0xff) == AT_OP_READ)
			label(&l, b->queue ? b->queue : b->issue, b->done, TL_PART_READ);
		else
			label_blk(&l, b);
	}
	if (naps && np < MAX_PAUSES)
		label_cpu(&l, pause, np, begin, end);
	parts_union(l.iv, l.nr, begin, end, p->part);
	if (naps)
		parts_settle(p, pause, np, (int64_t)ev->append.slept_ns);
	p->waiters = sharers(j, t->index, p->dev, pause, np);
	parts_share(j, t, ev->append.pid, begin, end, p);
}
