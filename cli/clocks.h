/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clocks.h - the clocks of the hosts that trails come from, learned from requests that
 * a client's trail and a probe's both saw.
 *
 * One pass over the events before the join's own, made only when there are trails of
 * more than one host.  Batches are matched by their identity, so it does not matter how
 * far the wall clocks are apart.
 */
#ifndef ACKTRAIL_CLOCKS_H
#define ACKTRAIL_CLOCKS_H

#include "clock.h"
#include "reader.h"

struct clocks;

/* What --clock-offset says: trails of that host (or path) are so much ahead of the first trail's. */
struct clock_given { const char *host; int64_t ns; };

/*
 * Learns, then moves the trails of other hosts on the reader's axis by what was learned
 * or given (struct trail's to_axis_ns), and rewinds it.  NULL: nothing to learn.
 */
struct clocks *clocks_learn(struct reader *r, const struct clock_given *given, unsigned nr_given);
void clocks_free(struct clocks *c);

/* What ties trail `from` to the clock of trail `to`; NULL: nothing. */
struct clock *clocks_tie(const struct clocks *c, const struct trail *from, const struct trail *to);

/* A time of `from`, axis, on the clock of `to`, axis, by that tie; false when only one side is bounded. */
bool clocks_place(struct clock *tie, const struct trail *from, const struct trail *to,
		  int64_t *axis_ns, int64_t *bound);

/* Two trails of one boot: no correction. */
bool clocks_same(const struct trail *a, const struct trail *b);

#endif
