/* SPDX-License-Identifier: BSD-2-Clause */
/* tally.c - sums of a trail's account pages. */
#include <string.h>

#include "tally.h"

static uint64_t add(struct tally *a, const struct at_cell *cell)
{
	uint64_t any = 0;

	for (unsigned i = 0; i < AT_NR_COUNTS; i++) {
		a->n[i] += cell->n[i];
		any |= cell->n[i];
	}
	return any;
}

bool tally_of(const struct trail *t, uint32_t account, struct tally *a)
{
	/* An older writer's account ended with the stripes. */
	uint32_t nr = t->header.more_off ? AT_NR_ACCOUNTS : AT_NR_INSTANCES;
	uint64_t later = t->account.nr_instances > nr ? t->account.nr_instances - nr : 0, any = 0;
	const struct at_more *more = &t->more.more[account];

	memset(a, 0, sizeof(*a));
	if (account >= nr)
		return false;
	for (unsigned i = 0; account < AT_NR_INSTANCES && i < AT_NR_STRIPES; i++)
		any |= add(a, &t->account.cell[account][i]);
	any |= add(a, &more->own);
	a->unseen = more->before.n[AT_UNSEEN];
	for (unsigned i = AT_ACKED; i <= AT_DROPPED; i++)
		a->before += more->before.n[i];
	a->instances = 1 + (account + 1 == nr && later < UINT32_MAX ? (uint32_t)later : 0);
	a->partial = t->header.on_ns || t->header.off_ns;
	/* Nobody looks at what was open when it was turned off for good. */
	if (trail_stopped(t) && tally_rest(a) > 0)
		a->unseen += (uint64_t)tally_rest(a);
	return any || a->before;
}
