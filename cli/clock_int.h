/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clock_int.h - what the parts of a clock share: its proofs (clock.c), where they
 * contradict each other (clock_gaps.c), the band in between (clock_knots.c, clock_steps.c).
 */
#ifndef ACKTRAIL_CLOCK_INT_H
#define ACKTRAIL_CLOCK_INT_H

#include "clock.h"
#include "clock_lines.h"

#define WINDOW_MIN	5000000000LL	/* no change is looked for within less */

/* The band at one moment; straight between two knots, save for a kink. */
struct knot {
	int64_t	 t;
	double	 lo, hi;
	double	 fall, rise;		/* the slopes that are possible there */
	double	 kink;			/* how much the slope may change before the next */
};

/*
 * Somewhere between two proofs that no line satisfies: indices of the last surely before,
 * the first surely after; the stretches on both sides are from..before and after..to.
 */
struct gap { uint32_t before, after, from, to; };

struct clock {
	struct proof *proof;
	uint32_t nr, room, max;
	int	 cell;			/* log2 of ns: thinned by such cells */
	uint64_t told;			/* proofs, before any were left out */
	struct knot *knot;
	uint32_t nr_knots, knot_room;
	int64_t	*theirs;		/* what their clock shows at each knot */
	uint32_t asked;			/* the knot behind what was last asked for */
	struct gap *gap;
	uint32_t nr_gaps;
	struct point *point[2];		/* room for hulls: most, least */
	bool	 failed;		/* out of memory: knows nothing */
};

uint32_t clock_index(const struct clock *c, int64_t t);		/* the first that is not before t */

/* The lines that from..to leave, as seen from that time and offset; until the next are asked for. */
enum lines_fit clock_lines(struct clock *c, uint32_t from, uint32_t to, int64_t zero, int64_t base, struct lines *l);

/* Of from..to: the last index up to which, the first from which, a line satisfies all. */
uint32_t clock_feasible_to(struct clock *c, uint32_t from, uint32_t to);
uint32_t clock_feasible_from(struct clock *c, uint32_t from, uint32_t to);
void clock_find_gaps(struct clock *c);

void clock_add_knot(struct clock *c, const struct knot *k);

/* Knots for the proofs from..to, between which nothing contradicts within WINDOW_MIN. */
void clock_stretch(struct clock *c, uint32_t from, uint32_t to);

#endif
