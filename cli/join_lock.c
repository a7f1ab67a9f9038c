/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join_lock.c - a partition's log takes one append at a time: who held it, one after
 * the other, and whom a request waited for before it could append.
 *
 * The probe tells who woke a thread before its append.  When that thread had just
 * finished an append or a sync of the same partition, it is the one that was waited
 * for: that is known, and so on to whoever had woken that one.  Without it, a request
 * that waits while others hold the log, until one of them hands it over, waits for
 * them: that is inferred.
 */
#include <stdlib.h>
#include "join_int.h"

#define HANDOVER	(5 * JOIN_MS)	/* from the end of one append to the next one's begin */

void chain_put(struct chain *c)
{
	if (!c || --c->refs)
		return;
	chain_put(c->by.why);
	free(c);
}

struct chain *chain_get(struct chain *c)
{
	if (c)
		c->refs++;
	return c;
}

/* ---- who held it ------------------------------------------------------------------- */

static struct plog *plog_get(struct join *j, const struct jtrail *t, struct topic *topic,
			     int32_t partition, bool make)
{
	struct part_key key = { topic, t->index, partition };
	struct plog *p;

	HASH_FIND(hh, j->plogs, &key, sizeof(key), p);
	if (p || !make)
		return p;
	p = join_alloc(sizeof(*p));
	p->key = key;
	HASH_ADD(hh, j->plogs, key, sizeof(p->key), p);
	return p;
}

void plogs_free(struct join *j)
{
	struct plog *p, *tmp;

	HASH_ITER(hh, j->plogs, p, tmp) {
		for (uint32_t i = 0; i < p->nr && i < JOIN_HOLDS; i++)
			chain_put(p->ring[i].why);
		HASH_DEL(j->plogs, p);
		free(p);
	}
}

/* The number of the hold in the partition's history, from 1; 0 when it is forgotten. */
static struct hold *hold_nr(struct plog *p, uint32_t nr)
{
	return nr && nr <= p->nr && p->nr - nr < JOIN_HOLDS ? &p->ring[(nr - 1) % JOIN_HOLDS] : NULL;
}

void plog_sync(struct join *j, const struct jtrail *t, const struct bthread *th, uint32_t tid,
	       int64_t begin, int64_t end, const struct tl_parts *parts)
{
	struct plog *p = plog_get(j, t, th->topic, th->partition, false);
	struct hold *h = p ? hold_nr(p, p->nr) : NULL;
	bool longer;

	if (!h || h->tid != tid || end < h->end)
		return;
	/* What it waited for the longest. */
	longer = end - begin > h->fsync + h->append;
	h->end = end;
	h->fsync += end - begin;
	if (!h->culprit || longer)
		h->culprit = parts_culprit(j, parts);
}

/* ---- who was waited for ------------------------------------------------------------- */

/* One more of those who held it, for [from, to) of the wait; the longest is the one to name. */
static void chain_add(struct chain *c, const struct hold *h, int64_t from, int64_t to)
{
	int64_t b = h->begin > from ? h->begin : from, e = h->end < to ? h->end : to;
	double part = h->end > h->begin ? (double)(e - b) / (double)(h->end - h->begin) : 0;

	if (e <= b)
		return;
	c->nr++;
	c->held += e - b;
	c->fsync += (int64_t)(part * (double)h->fsync);
	c->append += (int64_t)(part * (double)h->append);
	if (e - b > c->longest) {
		c->longest = e - b;
		c->by = *h;
	}
}

static struct chain *chain_keep(const struct chain *c, const struct plog *p, struct jtrail *t)
{
	struct chain *kept = join_alloc(sizeof(*kept));

	*kept = *c;
	kept->trail = t;
	kept->topic = p->key.topic;
	kept->partition = p->key.partition;
	kept->locked = true;
	kept->refs = 1;
	chain_get(kept->by.why);
	return kept;
}

/*
 * The last thread that woke this one, before its append at `begin`, had just finished
 * with the same log, and held it while this one slept.
 */
static uint32_t woken_by(struct plog *p, const struct bthread *th, int64_t from, int64_t begin)
{
	int64_t asleep = th->wake.woken - th->wake.sleep;

	if (!th->wake.woken || th->wake.woken > begin || th->wake.woken < from)
		return 0;
	for (uint32_t nr = p->nr; hold_nr(p, nr); nr--) {
		const struct hold *h = hold_nr(p, nr);

		if (h->tid != th->wake.waker || h->begin > th->wake.after)
			continue;
		/* The last of what it had done, and not long ago. */
		if (h->begin != th->wake.after || th->wake.woken - h->end > HANDOVER || h->end > th->wake.woken ||
		    h->end <= asleep || h->end <= from)
			return 0;
		return nr;
	}
	return 0;
}

/*
 * Whoever woke it appends to the same log, but not just then: it may have had the log once more, for a moment,
 * as each does that sees to the high watermark after its append.
 */
static bool passed_on(struct plog *p, const struct bthread *th)
{
	const struct hold *h;

	for (uint32_t nr = p->nr; (h = hold_nr(p, nr)); nr--)
		if (h->tid == th->wake.waker)
			return h->begin == th->wake.after && h->end <= th->wake.woken;
	return false;
}

/*
 * Who held it from..to, where nobody tells.  Nothing less will do: others did most of the
 * time, and the last one handed over just before it went on.
 */
static bool add_inferred(struct plog *p, struct chain *c, int64_t from, int64_t to, bool handed_over)
{
	struct chain more = *c;
	int64_t last = 0;
	struct hold *h;

	if (to - from < JOIN_MS)
		return false;
	for (uint32_t nr = p->nr; (h = hold_nr(p, nr)) && h->end > from; nr--) {
		chain_add(&more, h, from, to);
		if (h->begin < to && h->end > last)
			last = h->end;
	}
	if ((more.held - c->held) * 5 < (to - from) * 4 || (handed_over && to - last > HANDOVER))
		return false;
	*c = more;
	c->known = TL_KNOWN_INFERRED;
	return true;
}

static struct chain *wait_inferred(struct plog *p, struct jtrail *t, int64_t from, int64_t to, bool handed_over)
{
	struct chain c = { .ns = to - from };

	return add_inferred(p, &c, from, to, handed_over) ? chain_keep(&c, p, t) : NULL;
}

/*
 * Until it was woken, and as far back as one is known to have waited for the other.  A
 * timer may have had one of them look just then; before that who held it is inferred,
 * and what it slept for when nobody did is not known.
 */
static struct chain *wait_known(struct plog *p, struct jtrail *t, const struct bthread *th, uint32_t by, int64_t from)
{
	int64_t to = th->wake.woken, begin = to - th->wake.sleep, first = to;
	struct chain c = { .known = TL_KNOWN_EXACT };
	struct hold *h;

	if (begin < from)
		begin = from;
	for (; (h = hold_nr(p, by)) && h->end > begin; by = h->by) {
		chain_add(&c, h, begin, to);
		first = h->begin > begin ? h->begin : begin;
	}
	if (add_inferred(p, &c, begin, first, true))
		first = begin;
	c.ns = to - first;
	return c.ns < JOIN_MS ? NULL : chain_keep(&c, p, t);
}

/* Its append went on until then. */
void plog_pause(struct join *j, const struct jtrail *t, const struct bthread *th, int64_t end)
{
	struct plog *p = th->topic ? plog_get(j, t, th->topic, th->partition, false) : NULL;
	struct hold *h = p ? hold_nr(p, p->nr) : NULL;

	if (!h || h->tid != th->key.id || h->begin != th->begin_ns || h->fsync || end <= h->end)
		return;
	h->append += end - h->end;
	h->end = end;
}

struct chain *lock_wait(struct join *j, const struct jbatch *jb, struct jtrail *t, int64_t from, int64_t to,
			bool handed_over)
{
	struct plog *p = jb->topic ? plog_get(j, t, jb->topic, jb->b.partition, false) : NULL;

	return p ? wait_inferred(p, t, from, to, handed_over) : NULL;
}

void wake_event(struct join *j, struct jtrail *t, const struct event *ev)
{
	struct bthread *th = bthread_get(j, t, ev->tid), *waker;
	struct key2 key = { t->index, ev->wake.waker };

	HASH_FIND(hh, j->threads, &key, sizeof(key), waker);
	th->wake.after = waker ? waker->begin_ns : 0;
	th->wake.woken = event_axis(ev, ev->ns);
	th->wake.sleep = (int64_t)ev->wake.sleep_ns;
	th->wake.waker = ev->wake.waker;
}

/*
 * An append: whom it waited for since `from` (its request was read), and now it holds
 * the log itself.  Of a write of many batches the first one tells.
 */
struct chain *plog_append(struct join *j, struct jtrail *t, const struct jbatch *jb, struct bthread *th,
			  int64_t from, const struct tl_attempt *a, struct chain *why)
{
	int64_t begin = th->begin_ns, end = th->end_ns;
	struct plog *p = plog_get(j, t, jb->topic, jb->b.partition, true);
	struct hold *last = hold_nr(p, p->nr), *h;
	uint32_t by = woken_by(p, th, from, begin);
	struct chain *c = NULL;
	int64_t since = from;

	if (last && last->tid == th->key.id && last->begin == begin)
		return NULL;
	if (by)
		c = wait_known(p, t, th, by, from);
	if (!by && from) {
		/* Until then it waited for something else; what it did before that sleep is not told. */
		if (th->wake.woken > since && th->wake.woken <= begin && !passed_on(p, th) &&
		    2 * th->wake.sleep >= th->wake.woken - from)
			since = th->wake.woken;
		c = wait_inferred(p, t, since, begin, true);
	}
	th->wake.woken = 0;
	h = &p->ring[p->nr++ % JOIN_HOLDS];
	__builtin_prefetch(&p->ring[p->nr % JOIN_HOLDS].why, 1);	/* written the next time, and long unused */
	chain_put(h->why);
	*h = (struct hold){ .begin = begin, .end = end, .append = end - begin, .tid = th->key.id, .by = by,
			    .crc = jb->b.crc, .offset = a->base_offset, .why = chain_get(why) };
	if (!why && a->append.ns)
		h->culprit = parts_culprit(j, &a->append);
	return c;
}
