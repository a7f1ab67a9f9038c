/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clock_gaps.c - where a clock was stopped or set, or its drift changed so much that it
 * shows within seconds.
 */
#include <stdlib.h>
#include "clock_int.h"

#define WIDEST		(4 * WINDOW_MIN)
#define GAP_PROOFS	16u		/* a contradiction is looked for among so many at least */

static bool feasible(struct clock *c, uint32_t from, uint32_t to)
{
	struct lines l;

	return clock_lines(c, from, to, c->proof[from].t, c->proof[from].offset, &l) != FIT_NONE;
}

uint32_t clock_feasible_to(struct clock *c, uint32_t from, uint32_t to)
{
	uint32_t good = from;

	if (feasible(c, from, to))
		return to;
	while (good + 1 < to) {
		uint32_t mid = good + (to - good) / 2;

		if (feasible(c, from, mid))
			good = mid;
		else
			to = mid;
	}
	return good;
}

uint32_t clock_feasible_from(struct clock *c, uint32_t from, uint32_t to)
{
	uint32_t good = to;

	if (feasible(c, from, to))
		return from;
	while (from + 1 < good) {
		uint32_t mid = from + (good - from) / 2;

		if (feasible(c, mid, to))
			good = mid;
		else
			from = mid;
	}
	return good;
}

static void add_gap(struct clock *c, struct gap gap)
{
	struct gap *g = realloc(c->gap, (c->nr_gaps + 1) * sizeof(*g));

	if (!g) {
		c->failed = true;
		return;
	}
	c->gap = g;
	if (c->nr_gaps)
		g[c->nr_gaps - 1].to = gap.before;
	g[c->nr_gaps++] = gap;
}

/*
 * A stretch begins where the one before it ended.  What lies between the last proof
 * that contradicts the new side and the first that contradicts the old one may belong
 * to either: the more one sees on either side, the less that is, as long as it is one
 * change.
 */
static void close_in(struct clock *c, uint32_t begin, uint32_t from, uint32_t last)
{
	struct gap g = { from, last + 1, begin, c->nr - 1 };
	int64_t t = c->proof[last].t;

	for (int64_t wide = WINDOW_MIN; wide <= WIDEST; wide *= 2) {
		uint32_t a = clock_index(c, t - wide), b = clock_index(c, t + wide), before, after;

		a = a < begin ? begin : a < from ? a : from;
		b = b < last + 1 + GAP_PROOFS ? last + 1 + GAP_PROOFS : b;
		b = clock_feasible_to(c, last + 1, b < c->nr ? b : c->nr - 1);
		before = clock_feasible_from(c, a, b);
		after = clock_feasible_to(c, a, b) + 1;
		if (before > after)
			break;
		g.before = before - 1 > g.before ? before - 1 : g.before;
		g.after = after < g.after ? after : g.after;
	}
	add_gap(c, g);
}

void clock_find_gaps(struct clock *c)
{
	uint32_t begin = 0, from = 0;

	while (from < c->nr && !c->failed) {
		uint32_t to = clock_index(c, c->proof[from].t + WINDOW_MIN + 1) - 1, last;

		if (to < from + GAP_PROOFS)
			to = from + GAP_PROOFS < c->nr ? from + GAP_PROOFS : c->nr - 1;
		last = clock_feasible_to(c, from, to);
		if (last < to) {
			close_in(c, begin, from, last);
			begin = from = c->gap[c->nr_gaps - 1].after;
		} else if (to < c->nr - 1) {
			/* Half of it again, so that nothing hides at a border. */
			from += (to - from + 1) / 2;
		} else {
			return;
		}
	}
}
