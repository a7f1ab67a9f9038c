/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clock_lines.h - lines that no proof contradicts: a clock that drifts evenly is one of
 * them.  A linear program in two variables, the offset at a moment and the drift; of the
 * proofs only hulls matter, and these grow at one end.
 */
#ifndef ACKTRAIL_CLOCK_LINES_H
#define ACKTRAIL_CLOCK_LINES_H

#include <stdbool.h>
#include <stdint.h>

struct proof {
	int64_t	 t, offset;
	bool	 most;			/* offset <= that; else >= */
};

struct point { double t, y; };
struct lines {
	struct point *most, *least;	/* lower hull of the ones, upper hull of the others */
	uint32_t nr_most, nr_least;
	int	 dir;			/* 1: points come in the order of time, -1: the other way round */
	double	 begin;			/* the first one's time */
	double	 slack;			/* how far the clock may be from an even drift */
	double	 fall, rise;		/* slopes of feasible lines */
};

/* `most` and `least` have room for all that is going to be added. */
void lines_begin(struct lines *l, struct point *most, struct point *least, int dir);
void lines_add(struct lines *l, struct point p, bool most);

/* FIT_NONE: no line; FIT_HALF: one side is not bounded. */
enum lines_fit { FIT_NONE, FIT_HALF, FIT_BAND };
enum lines_fit lines_fit(struct lines *l, double until);

/* Where those lines are at a moment. */
struct lines_band { double lo, hi; };
struct lines_band lines_at(const struct lines *l, double t);

/* Lines that also go through a gate behind the last point; to be taken away before another is added. */
struct lines_gate { uint32_t nr_most, nr_least; struct point most, least; };
struct lines_gate lines_shut(struct lines *l, double t, struct lines_band gate);
void lines_open(struct lines *l, const struct lines_gate *g);

/* Of proofs in the order of time those stay that matter to lines over all of them; how many. */
#define LINES_BLOCK	64u
uint32_t lines_matter(struct proof *proof, uint32_t nr);

#endif
