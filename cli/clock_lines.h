/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clock_lines.h - lines that no proof contradicts: a clock that drifts evenly is one of
 * them.  A linear program in two variables, the offset at a moment and the drift.
 */
#ifndef ACKTRAIL_CLOCK_LINES_H
#define ACKTRAIL_CLOCK_LINES_H

#include <stdbool.h>
#include <stdint.h>

struct proof {
	int64_t	 t, offset;
	bool	 most;			/* offset <= that; else >= */
};

/* What a stretch of proofs says, as seen from one moment: only hulls matter to a line. */
struct point { double t, y; };
struct lines {
	struct point *most, *least;	/* lower hull of the ones, upper hull of the others */
	uint32_t nr_most, nr_least;
	double	 fall, rise;		/* slopes of feasible lines */
	double	 slack;			/* how far the clock may be from an even drift */
};

/* Where all those lines are at that moment. */
struct lines_band { double lo, hi; };

/*
 * The lines that `nr` proofs in the order of time leave, as seen at `t`; to be freed in any
 * case.  FIT_NONE: no line; FIT_HALF: one side is not bounded.
 */
enum lines_fit { FIT_NO_MEMORY, FIT_NONE, FIT_HALF, FIT_BAND };
enum lines_fit lines_fit(struct lines *l, const struct proof *proof, uint32_t nr, int64_t t);
struct lines_band lines_band(const struct lines *l);
void lines_free(struct lines *l);

#endif
