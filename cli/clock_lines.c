/* SPDX-License-Identifier: BSD-2-Clause */
#include <math.h>
#include <stdlib.h>
#include "clock.h"
#include "clock_lines.h"

#define STEPS		60		/* of a search for a slope */

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

/* The highest and the lowest line of that slope, at t = 0. */
static double top(const struct lines *l, double slope)
{
	double y = INFINITY;

	for (uint32_t i = 0; i < l->nr_most; i++)
		y = fmin(y, l->most[i].y - slope * l->most[i].t);
	return y + l->slack;
}

static double bottom(const struct lines *l, double slope)
{
	double y = -INFINITY;

	for (uint32_t i = 0; i < l->nr_least; i++)
		y = fmax(y, l->least[i].y - slope * l->least[i].t);
	return y - l->slack;
}

static double room(const struct lines *l, double slope)
{
	return top(l, slope) - bottom(l, slope);
}

static double minus_bottom(const struct lines *l, double slope)
{
	return -bottom(l, slope);
}

/* Where a concave function of the slope is greatest. */
static double greatest(double (*f)(const struct lines *, double), const struct lines *l,
		       double from, double to)
{
	for (int i = 0; i < STEPS; i++) {
		double a = from + (to - from) / 3, b = to - (to - from) / 3;

		if (f(l, a) < f(l, b))
			from = a;
		else
			to = b;
	}
	return (from + to) / 2;
}

/* The last feasible slope on the way from one that is to one that may not be. */
static double edge(const struct lines *l, double in, double out)
{
	if (room(l, out) >= 0)
		return out;
	for (int i = 0; i < STEPS; i++) {
		double mid = (in + out) / 2;

		if (room(l, mid) >= 0)
			in = mid;
		else
			out = mid;
	}
	return in;
}

enum lines_fit lines_fit(struct lines *l, const struct proof *proof, uint32_t nr, int64_t t)
{
	struct point *p = malloc(2 * (size_t)nr * sizeof(*p));
	double best;

	*l = (struct lines){ .most = p, .least = p ? p + nr : NULL,
			     .fall = -CLOCK_MAX_DRIFT, .rise = CLOCK_MAX_DRIFT };
	if (!p)
		return FIT_NO_MEMORY;
	l->slack = CLOCK_WANDER / 2 * (double)(proof[nr - 1].t - proof[0].t);
	for (uint32_t i = 0; i < nr; i++) {
		struct point at = { (double)(proof[i].t - t), (double)proof[i].offset };

		if (proof[i].most)
			hull_add(l->most, &l->nr_most, at, 1);
		else
			hull_add(l->least, &l->nr_least, at, -1);
	}
	if (!l->nr_most || !l->nr_least)
		return FIT_HALF;
	best = greatest(room, l, l->fall, l->rise);
	if (room(l, best) < 0)
		return FIT_NONE;
	l->fall = edge(l, best, l->fall);
	l->rise = edge(l, best, l->rise);
	return FIT_BAND;
}

struct lines_band lines_band(const struct lines *l)
{
	return (struct lines_band){
		bottom(l, greatest(minus_bottom, l, l->fall, l->rise)) - l->slack,
		top(l, greatest(top, l, l->fall, l->rise)) + l->slack };
}

void lines_free(struct lines *l)
{
	free(l->most);
}
