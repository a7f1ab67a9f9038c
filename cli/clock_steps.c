/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clock_steps.c - a clock that was set by so little that nothing contradicts.
 */
#include <string.h>
#include "clock_frame.h"

#define MORE		0.25		/* of the narrowest band: so much is given on either side to steps */
#define CHANCE		(-9.0)		/* log10 of what is not taken for chance */

/* How far a proof lies from the middle of what a single line leaves. */
static double from_middle(const struct frame *f, const struct proof *p)
{
	const struct at_time *a = &f->at[0], *b = &f->at[f->nr - 1];
	double old = (a->even.lo + a->even.hi) / 2, new = (b->even.lo + b->even.hi) / 2, y = seen(f, p).y - old;

	if (b->t > a->t)
		y -= (new - old) * (double)(p->t - a->t) / (double)(b->t - a->t);
	return p->most ? y : -y;
}

/* The nearest proofs of both kinds before, and not before, each time of the grid. */
struct nearest { double before[2], behind[2]; };

static void find_nearest(const struct frame *f, struct nearest *n)
{
	uint32_t p = f->from;

	for (uint32_t i = 0; i < f->nr; i++) {
		n[i] = (struct nearest){ { INFINITY, INFINITY }, { INFINITY, INFINITY } };
		if (i)
			memcpy(n[i].before, n[i - 1].before, sizeof(n[i].before));
		for (; p <= f->to && f->c->proof[p].t < f->at[i].t; p++) {
			const struct proof *x = &f->c->proof[p];

			n[i].before[x->most] = fmin(n[i].before[x->most], from_middle(f, x));
		}
	}
	p = f->to + 1;
	for (uint32_t i = f->nr; i--; ) {
		if (i + 1 < f->nr)
			memcpy(n[i].behind, n[i + 1].behind, sizeof(n[i].behind));
		for (; p > f->from && f->c->proof[p - 1].t >= f->at[i].t; p--) {
			const struct proof *x = &f->c->proof[p - 1];

			n[i].behind[x->most] = fmin(n[i].behind[x->most], from_middle(f, x));
		}
	}
}

/*
 * Are so many of a kind on one side of a cell of the grid nearer than any on the other as
 * chance does not make it?
 */
static bool no_chance(const struct frame *f, uint32_t cell, bool most, bool behind, double than)
{
	double all = 0, here = 0, nearer = 0;

	for (uint32_t i = f->from; i <= f->to; i++) {
		const struct proof *p = &f->c->proof[i];
		bool before = p->t < f->at[cell].t;

		if (p->most != most || (!before && p->t < f->at[cell + 1].t))
			continue;
		all++;
		if (before == behind)
			continue;
		here++;
		nearer += from_middle(f, p) < than;
	}
	return nearer && nearer * log10(here / all) < CHANCE;
}

/*
 * A clock that is set by less than the shortest way there and back may leave lines that
 * satisfy all proofs and miss it on both sides.  These proofs show it: before the step
 * the ones of one kind come near, behind it the others.
 */
static bool step_in(const struct frame *f)
{
	struct nearest n[GRID_MAX];
	uint32_t cell = 0;
	double best = 0;
	bool up = false;

	find_nearest(f, n);
	for (uint32_t i = 0; i + 1 < f->nr; i++) {
		double most = n[i + 1].behind[true] - n[i].before[true],
		       least = n[i].before[false] - n[i + 1].behind[false];

		if (isfinite(most) && isfinite(least) &&
		    (fmin(most, least) > best || fmin(-most, -least) > best)) {
			up = most > 0;
			best = fmin(fabs(most), fabs(least));
			cell = i;
		}
	}
	return best > 0 && no_chance(f, cell, up, false, n[cell + 1].behind[up]) &&
	       no_chance(f, cell, !up, true, n[cell].before[!up]);
}

/* What the lines of either side leave there, as seen from another moment. */
static struct lines_band either(const struct at_time *a, const struct at_time *from)
{
	double by = (from->even.lo + from->even.hi - a->even.lo - a->even.hi) / 2;
	struct lines_band b = { INFINITY, -INFINITY };

	if (a->before == FIT_BAND && a->behind == FIT_BAND)
		b = (struct lines_band){ fmin(a->old.lo, a->new.lo) + by, fmax(a->old.hi, a->new.hi) + by };
	return b;
}

/*
 * Either side alone may be right; and where it was set, from one time of the grid to the
 * next this or that one.  Where it costs little there is no need to ask.
 */
void clock_allow_steps(struct frame *f)
{
	bool sure = step_in(f);

	for (uint32_t i = 0; i < f->nr; i++) {
		struct at_time *a = &f->at[i];
		struct lines_band b = either(a, a);
		double more = MORE * (a->even.hi - a->even.lo);

		if (!sure)
			b = (struct lines_band){ fmax(b.lo, a->even.lo - more), fmin(b.hi, a->even.hi + more) };
		knot_reach(&a->k, b);
		if (sure && i)
			knot_reach(&a->k, either(a - 1, a));
		if (sure && i + 1 < f->nr)
			knot_reach(&a->k, either(a + 1, a));
	}
}
