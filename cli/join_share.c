/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join_share.c - who else a disk was busy for, while a sync or an append waited for it.
 * To have been there is no guilt: it is said how much of the disk's work was whose, and
 * no more.
 */
#include <string.h>
#include "join_int.h"
#include "sync_parts.h"

#define SHARE_NS	(20 * JOIN_MS)	/* shorter waits are not worth the look */
#define SHARE_MIN	4u		/* requests, of which something can be said */
#define MAX_SHARERS	32u

struct sharer { uint32_t pid, nr; const char *comm; };

static bool starts(const char *s, const char *with)
{
	return !strncmp(s, with, strlen(with));
}

/* The process that a request was queued by, or whose sync made the journal queue it; 0 the kernel's own. */
static uint32_t owner(const struct join *j, const struct blk *b, const char **comm)
{
	uint32_t nc = j->nr_commits < JOIN_COMMITS ? j->nr_commits : JOIN_COMMITS;
	const struct tname *n = b->tid ? tname_find(j, b->trail, b->tid, b->done) : NULL;

	if (!n || !n->comm || starts(n->comm, "kworker/") || starts(n->comm, "kswapd"))
		return 0;
	*comm = n->comm;
	if (!starts(n->comm, "jbd2/"))
		return n->pid;
	for (uint32_t i = 0; i < nc; i++) {
		const struct commit *c = &j->commits[(j->nr_commits - 1 - i) % JOIN_COMMITS];

		if (c->end + JOIN_LATE < b->done)
			break;
		if (c->trail != b->trail || c->tid != b->tid || c->begin > b->issue || c->end < b->done || !c->by_pid)
			continue;
		n = tname_find(j, c->trail, c->by_tid, c->end);
		*comm = n && n->comm ? n->comm : "?";
		return c->by_pid;
	}
	return 0;
}

/* Of the requests that the disk had on the way begin..end: most of them one other process's? */
void parts_share(struct join *j, const struct jtrail *t, uint32_t own_pid, int64_t begin, int64_t end,
		 struct tl_parts *p)
{
	uint32_t nb = j->nr_blks < JOIN_BLKS ? j->nr_blks : JOIN_BLKS, all = 0, nr = 0, best = 0;
	struct sharer who[MAX_SHARERS];

	if (end - begin < SHARE_NS)
		return;
	for (uint32_t i = 0; i < nb; i++) {
		const struct blk *b = &j->blks[(j->nr_blks - 1 - i) % JOIN_BLKS];
		const char *comm = NULL;
		uint32_t pid, k = 0;

		if (b->done + JOIN_LATE < begin)
			break;
		if (b->trail != t->index || b->dev != p->dev || b->done <= begin || !b->issue || b->issue >= end)
			continue;
		if ((b->op & 0xff) == AT_OP_FLUSH && !b->tid)	/* the block layer's, for whoever waits */
			continue;
		all++;
		pid = owner(j, b, &comm);
		if (!pid || pid == own_pid)
			continue;
		while (k < nr && who[k].pid != pid)
			k++;
		if (k == nr && nr < MAX_SHARERS)
			who[nr++] = (struct sharer){ .pid = pid };
		if (k == nr)
			continue;
		who[k].nr++;
		who[k].comm = comm;
		if (who[k].nr > who[best].nr)
			best = k;
	}
	if (!nr || all < SHARE_MIN || 2 * who[best].nr < all)
		return;
	p->other_pid = who[best].pid;
	p->other = who[best].comm;
	p->other_share = (double)who[best].nr / (double)all;
}
