/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sync_seen.c - what the probe saw lately beneath syncs and appends: devices, block
 * requests, commits of journals, sleeps.
 */
#include <stdio.h>
#include <string.h>
#include "join_int.h"
#include "sync_parts.h"

/* ---- devices ------------------------------------------------------------------ */

struct device *device_find(struct join *j, uint32_t trail, uint64_t dev)
{
	struct device *d, like;

	memset(&like, 0, sizeof(like));
	like.key.dev = dev;
	like.key.trail = trail;
	HASH_FIND(hh, j->devices, &like.key, sizeof(like.key), d);
	return d;
}

/* A partition's requests are seen on its whole disk, those of dm on the one disk beneath. */
uint64_t device_root(struct join *j, uint32_t trail, uint64_t dev)
{
	for (int i = 0; i < 4; i++) {
		const struct device *d = device_find(j, trail, dev);

		if (!d || !d->root)
			break;
		dev = d->root;
	}
	return dev;
}

void parts_device(struct join *j, struct jtrail *t, const struct event *ev)
{
	const struct ev_device *e = &ev->device;
	struct device *d = device_find(j, t->index, e->dev);
	char name[160];

	if (!d) {
		d = join_alloc(sizeof(*d));
		d->key.dev = e->dev;
		d->key.trail = t->index;
		HASH_ADD(hh, j->devices, key, sizeof(d->key), d);
	}
	d->root = e->parent;
	d->stacked = e->stacked;
	if (e->stacked && e->below_ino) {	/* a loop device: requests of its own, and its file's beneath */
		d->below = e->below;
		d->below_ino = e->below_ino;
		d->below_fs = e->below_fs;
	} else if (e->stacked && e->below) {
		d->root = e->below;
	}
	if (ev->tail_len && j->several_brokers) {
		int n = snprintf(name, sizeof(name), "%.*s@%s", (int)ev->tail_len, ev->tail, t->host);

		d->name = join_intern(j, name, (size_t)n < sizeof(name) ? (size_t)n : sizeof(name) - 1);
	} else if (ev->tail_len) {
		d->name = join_intern(j, ev->tail, ev->tail_len);
	}
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
		.done = event_axis(ev, ev->ns), .dev = device_root(j, t->index, e->dev),
		.ino = e->ino ? e->ino : AT_PLACE(e->sector), .fs = e->ino_fs, .trail = t->index,
		.tid = e->queue_tid, .op = e->op,
	};
}

void parts_commit(struct join *j, struct jtrail *t, const struct event *ev)
{
	if (!j->commits)
		j->commits = join_alloc(JOIN_COMMITS * sizeof(*j->commits));
	j->commits[j->nr_commits++ % JOIN_COMMITS] = (struct commit){
		.begin = event_axis(ev, ev->commit.begin_ns), .end = event_axis(ev, ev->ns),
		.dev = device_root(j, t->index, ev->commit.dev), .transaction = ev->commit.transaction,
		.trail = t->index, .waiters = ev->commit.waiters, .tid = ev->tid, .xfs = ev->commit.how == 1,
		.fs = ev->commit.dev, .by_pid = ev->commit.by_pid, .by_tid = ev->commit.by_tid,
	};
}

void parts_pause(struct join *j, struct jtrail *t, const struct event *ev)
{
	if (!j->pauses)
		j->pauses = join_alloc(JOIN_PAUSES * sizeof(*j->pauses));
	j->pauses[j->nr_pauses++ % JOIN_PAUSES] = (struct pause){
		.begin = event_axis(ev, ev->pause.begin_ns), .end = event_axis(ev, ev->ns),
		.transaction = ev->pause.transaction, .trail = t->index, .tid = ev->tid, .why = ev->pause.why,
		.fs = ev->pause.dev, .journal_tid = ev->pause.journal_tid,
		.place = ev->pause.why == AT_PAUSE_IO && ev->pause.ino & AT_PLACE(0) ? ev->pause.ino : 0,
	};
}

/* The sleeps and handles of a thread within begin..end, the first one first; at most max. */
uint32_t pauses_of(const struct join *j, uint32_t trail, uint32_t tid, int64_t begin, int64_t end,
		   struct pause *to, uint32_t max)
{
	uint32_t n = 0, nr = j->nr_pauses < JOIN_PAUSES ? j->nr_pauses : JOIN_PAUSES;

	for (uint32_t i = 0; i < nr && n < max; i++) {
		const struct pause *p = &j->pauses[(j->nr_pauses - 1 - i) % JOIN_PAUSES];

		if (p->end + JOIN_LATE < begin)
			break;
		if (p->trail != trail || p->tid != tid || p->end <= begin || p->begin >= end)
			continue;
		to[n] = *p;
		if (to[n].begin < begin)
			to[n].begin = begin;
		if (to[n].end > end)
			to[n].end = end;
		n++;
	}
	for (uint32_t i = 0; i < n / 2; i++) {
		struct pause swap = to[i];

		to[i] = to[n - 1 - i];
		to[n - 1 - i] = swap;
	}
	return n;
}
