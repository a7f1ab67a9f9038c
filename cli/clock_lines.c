/* SPDX-License-Identifier: BSD-2-Clause */
#include <math.h>
#include "clock.h"
#include "clock_lines.h"

#define TURNS		200		/* of Newton's method, far more than hulls of that size need */
#define NOTHING		1e-3		/* ns: an error of computing */

/* ---- hulls ---------------------------------------------------------------------- */

static double cross(struct point a, struct point b, struct point c)
{
	return (b.t - a.t) * (c.y - a.y) - (b.y - a.y) * (c.t - a.t);
}

static void hull_add(struct point *h, uint32_t *nr, struct point p, int sign)
{
	while (*nr >= 2 && sign * cross(h[*nr - 2], h[*nr - 1], p) <= 0)
		--*nr;
	h[(*nr)++] = p;
}

void lines_begin(struct lines *l, struct point *most, struct point *least, int dir)
{
	*l = (struct lines){ .most = most, .least = least, .dir = dir,
			     .fall = -CLOCK_MAX_DRIFT, .rise = CLOCK_MAX_DRIFT };
}

void lines_add(struct lines *l, struct point p, bool most)
{
	if (!l->nr_most && !l->nr_least)
		l->begin = p.t;
	if (most)
		hull_add(l->most, &l->nr_most, p, l->dir);
	else
		hull_add(l->least, &l->nr_least, p, -l->dir);
}

/* Where a line of that slope touches: along a hull its height has one turning point. */
static struct point touch(const struct point *h, uint32_t nr, double slope, int sign)
{
	uint32_t lo = 0, hi = nr - 1;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		double d = h[mid + 1].y - h[mid].y - slope * (h[mid + 1].t - h[mid].t);

		if (sign * d < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return h[lo];
}

/* ---- slopes --------------------------------------------------------------------- */

/*
 * The last feasible slope as one comes from `slope`: the room between the two hulls is a
 * concave function of it, so Newton's method neither oversteps nor runs for long.
 */
static bool last_slope(const struct lines *l, double *slope)
{
	int way = *slope > 0 ? -1 : 1;

	for (int i = 0; i < TURNS; i++) {
		struct point a = touch(l->most, l->nr_most, *slope, 1), b = touch(l->least, l->nr_least, *slope, -1);
		double more = b.t - a.t, room = a.y - b.y + *slope * more + 2 * l->slack;

		if (room >= -NOTHING)
			return true;
		if (way * more <= 0)
			return false;
		*slope -= room / more;
		if (fabs(*slope) > CLOCK_MAX_DRIFT)
			return false;
	}
	return true;
}

enum lines_fit lines_fit(struct lines *l, double until)
{
	l->fall = -CLOCK_MAX_DRIFT;
	l->rise = CLOCK_MAX_DRIFT;
	l->slack = CLOCK_WANDER / 2 * fabs(until - l->begin);
	if (!l->nr_most || !l->nr_least)
		return FIT_HALF;
	if (!last_slope(l, &l->fall) || !last_slope(l, &l->rise))
		return FIT_NONE;
	if (l->fall > l->rise)
		l->fall = l->rise = (l->fall + l->rise) / 2;
	return FIT_BAND;
}

/* The slope with which a line comes nearest to a hull at `t`. */
static double best_slope(const struct lines *l, const struct point *h, uint32_t nr, double t, int sign)
{
	uint32_t lo = 0, hi = nr;
	double slope;

	while (lo < hi) {		/* the first point at t or behind */
		uint32_t mid = lo + (hi - lo) / 2;

		if (l->dir * (h[mid].t - t) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!lo || lo == nr)
		return (l->dir * sign > 0) == !lo ? l->fall : l->rise;
	slope = (h[lo].y - h[lo - 1].y) / (h[lo].t - h[lo - 1].t);
	return slope < l->fall ? l->fall : slope > l->rise ? l->rise : slope;
}

struct lines_band lines_at(const struct lines *l, double t)
{
	double up = best_slope(l, l->most, l->nr_most, t, 1), down = best_slope(l, l->least, l->nr_least, t, -1);
	struct point a = touch(l->most, l->nr_most, up, 1), b = touch(l->least, l->nr_least, down, -1);

	return (struct lines_band){ b.y + down * (t - b.t) - 2 * l->slack, a.y + up * (t - a.t) + 2 * l->slack };
}

/* ---- gates ---------------------------------------------------------------------- */

/* Of a hull that a point is added to only the place is lost where that point comes to lie. */
static struct point shut(struct point *h, uint32_t *nr, struct point p, int sign)
{
	struct point lost;

	while (*nr >= 2 && sign * cross(h[*nr - 2], h[*nr - 1], p) <= 0)
		--*nr;
	lost = h[*nr];
	h[(*nr)++] = p;
	return lost;
}

struct lines_gate lines_shut(struct lines *l, double t, struct lines_band gate)
{
	struct lines_gate g = { .nr_most = l->nr_most, .nr_least = l->nr_least };

	if (!l->nr_most && !l->nr_least)
		l->begin = t;
	g.most = shut(l->most, &l->nr_most, (struct point){ t, gate.hi }, l->dir);
	g.least = shut(l->least, &l->nr_least, (struct point){ t, gate.lo }, -l->dir);
	return g;
}

void lines_open(struct lines *l, const struct lines_gate *g)
{
	l->most[l->nr_most - 1] = g->most;
	l->least[l->nr_least - 1] = g->least;
	l->nr_most = g->nr_most;
	l->nr_least = g->nr_least;
}

/* ---- fewer proofs ----------------------------------------------------------------- */

uint32_t lines_matter(struct proof *proof, uint32_t nr)
{
	struct point hull[2][LINES_BLOCK];
	uint32_t n[2] = { 0, 0 }, at[2] = { 0, 0 }, kept = 0;

	for (uint32_t i = 0; i < nr; i++) {
		struct point p = { (double)(proof[i].t - proof[0].t), (double)(proof[i].offset - proof[0].offset) };

		hull_add(hull[proof[i].most], &n[proof[i].most], p, proof[i].most ? 1 : -1);
	}
	for (uint32_t i = 0; i < nr; i++) {
		bool most = proof[i].most;
		const struct point *p = &hull[most][at[most]];

		if (at[most] == n[most] || p->t != (double)(proof[i].t - proof[0].t) ||
		    p->y != (double)(proof[i].offset - proof[0].offset))
			continue;
		at[most]++;
		proof[kept++] = proof[i];
	}
	return kept;
}
