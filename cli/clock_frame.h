/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clock_frame.h - some seconds of a clock, seen with what is in reach on both sides.
 */
#ifndef ACKTRAIL_CLOCK_FRAME_H
#define ACKTRAIL_CLOCK_FRAME_H

#include <math.h>
#include "clock_int.h"

#define GRID_MAX	160

struct at_time {
	int64_t	 t;
	enum lines_fit before, behind;	/* what all proofs until then leave, and all since */
	struct lines_band old, new;	/* where such lines are there */
	struct lines_band even;		/* where the lines are that satisfy all in reach */
	struct lines_band slope[2];	/* how a change there would leave the drift before, and behind */
	bool	 is_knot;
	struct knot k;
};

struct frame {
	struct clock *c;
	uint32_t from, to;		/* the proofs in reach */
	int64_t	 zero;			/* times are seen from here, */
	int64_t	 base;			/* offsets from here */
	int64_t	 reach, end;
	bool	 changed;		/* no line satisfies all: it did, between these */
	int64_t	 old, new;
	uint32_t nr;
	struct at_time at[GRID_MAX];
};

static inline struct point seen(const struct frame *f, const struct proof *p)
{
	return (struct point){ (double)(p->t - f->zero), (double)(p->offset - f->base) };
}

static inline double from_zero(const struct frame *f, int64_t t)
{
	return (double)(t - f->zero);
}

static inline void knot_clear(struct knot *k, int64_t t)
{
	*k = (struct knot){ t, INFINITY, -INFINITY, INFINITY, -INFINITY, 0 };
}

static inline void knot_reach(struct knot *k, struct lines_band b)
{
	k->lo = fmin(k->lo, b.lo);
	k->hi = fmax(k->hi, b.hi);
}

/*
 * The same knots, should the clock have been set in reach of them so little that a single
 * line still satisfies all.
 */
void clock_allow_steps(struct frame *f);

#endif
