/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * make_clock.h - two clocks whose offset is known because it was made up, the requests
 * between them, and what those say at best.
 */
#ifndef MAKE_CLOCK_H
#define MAKE_CLOCK_H

#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "clock.h"

#define US		1000.0
#define SEC		1000000000LL
#define MAX_PROOFS	800000
#define MAX_CHANGES	6

struct made {
	double	 offset, ppm;		/* at t = 0, and its drift */
	struct { int64_t at; double step, ppm; } change[MAX_CHANGES];	/* from there on so much more, drifting so much more */
	double	 wander, period;	/* the slope goes up and down by that, in so many s */
	double	 there, back;		/* fastest way, us */
	double	 noise;			/* mean of what comes on top, us */
	bool	 heavy;			/* it has no variance */
	double	 rate;			/* round trips a second */
	double	 pause;			/* s without any after each second */
	int64_t	 length;		/* ns */
};

struct made_proof { double t, y; bool most; };
static struct made_proof made_proof[MAX_PROOFS];
static uint32_t made_nr;
static uint64_t made_state;

static double made_uniform(void)
{
	made_state ^= made_state << 13;
	made_state ^= made_state >> 7;
	made_state ^= made_state << 17;
	return (double)(made_state >> 11) / 9007199254740992.0;
}

static double made_delay(const struct made *m, double fastest)
{
	double more = m->heavy ? pow(1 - made_uniform(), -1 / 1.2) - 1 : -log(1 - made_uniform());

	return (fastest + m->noise * more) * US;
}

static double truth(const struct made *m, int64_t t)
{
	double y = m->offset + m->ppm * 1e-6 * (double)t;

	for (int i = 0; i < MAX_CHANGES; i++)
		if (m->change[i].at && t >= m->change[i].at)
			y += m->change[i].step + m->change[i].ppm * 1e-6 * (double)(t - m->change[i].at);
	if (m->wander > 0)
		y += m->wander * m->period * 1e9 / (2 * M_PI) * sin((double)t / 1e9 / m->period * 2 * M_PI);
	return y;
}

static int made_by_time(const void *a, const void *b)
{
	const struct made_proof *x = a, *y = b;

	return x->t < y->t ? -1 : x->t > y->t;
}

static struct clock *made_clock(const struct made *m, uint64_t seed, uint32_t limit)
{
	struct clock *c = clock_new();
	double t = 0;

	made_state = seed * 0x9e3779b97f4a7c15ull + 1;
	made_nr = 0;
	assert_non_null(c);
	if (limit)
		clock_limit(c, limit);
	while ((t += -log(1 - made_uniform()) / m->rate * 1e9) < (double)m->length && made_nr < MAX_PROOFS) {
		double since = fmod(t / 1e9, m->pause + 1);
		int64_t t1, arrived, left, t4;
		double t2, t3;

		if (since > 1)
			t += (m->pause + 1 - since) * 1e9;
		if (t >= (double)m->length)
			break;
		/* Received when their clock, at that moment of ours, shows it. */
		t1 = (int64_t)t;
		arrived = t1 + (int64_t)made_delay(m, m->there);
		left = arrived + (int64_t)((100 - 200 * log(1 - made_uniform())) * US);
		t4 = left + (int64_t)made_delay(m, m->back);
		t2 = (double)arrived + truth(m, arrived);
		t3 = (double)left + truth(m, left);
		made_proof[made_nr++] = (struct made_proof){ (double)t1, t2 - (double)t1, true };
		made_proof[made_nr++] = (struct made_proof){ (double)t4, t3 - (double)t4, false };
		clock_at_most(c, t1, (int64_t)ceil(t2 - (double)t1) + 1);
		clock_at_least(c, t4, (int64_t)floor(t3 - (double)t4) - 1);
	}
	clock_fit(c);
	qsort(made_proof, made_nr, sizeof(*made_proof), made_by_time);
	return c;
}

static double made_half(const struct clock *c, int64_t t)
{
	struct clock_band b;

	assert_true(clock_at(c, t, &b));
	return (double)(b.hi - b.lo) / 2;
}

static void made_holds(const struct clock *c, const struct made *m)
{
	struct clock_band b;

	for (int64_t t = 0; t < m->length; t += m->length / 5000) {
		assert_true(clock_at(c, t, &b));
		if (truth(m, t) < (double)b.lo || truth(m, t) > (double)b.hi)
			fail_msg("at %lld of %lld: %.0f is not within %lld..%lld", (long long)t,
				 (long long)m->length, truth(m, t), (long long)b.lo, (long long)b.hi);
	}
}

/* ---- the best that can be said ------------------------------------------------------ */

/*
 * Of the lines that satisfy all proofs of from..to (and go through a gate), the lowest and
 * the highest at t.  By trying slopes, section by section; nothing here is shared with
 * what is tested.
 */
struct best { double lo, hi; };
struct best_gate { double t; struct best at; };
static struct made_proof best_hull[2][MAX_PROOFS];
static uint32_t best_nr[2];

static void best_add(bool most, double t, double y)
{
	struct made_proof *h = best_hull[most];
	uint32_t n = best_nr[most];
	double sign = most ? 1 : -1;

	for (; n > 1; n--)
		if (sign * ((h[n - 1].t - h[n - 2].t) * (y - h[n - 2].y) -
			    (h[n - 1].y - h[n - 2].y) * (t - h[n - 2].t)) > 0)
			break;
	h[n] = (struct made_proof){ t, y, most };
	best_nr[most] = n + 1;
}

static double best_edge(bool most, double slope, double slack)
{
	double y = most ? INFINITY : -INFINITY;

	for (uint32_t i = 0; i < best_nr[most]; i++) {
		double at = best_hull[most][i].y - slope * best_hull[most][i].t;

		y = most ? fmin(y, at) : fmax(y, at);
	}
	return most ? y + slack : y - slack;
}

enum best_what { BEST_ROOM, BEST_HIGH, BEST_LOW };

static double best_value(enum best_what what, double slope, double slack)
{
	if (what == BEST_ROOM)
		return best_edge(true, slope, slack) - best_edge(false, slope, slack);
	return what == BEST_HIGH ? best_edge(true, slope, slack) : -best_edge(false, slope, slack);
}

/* Where that is greatest: all three are concave. */
static double best_slope(enum best_what what, double from, double to, double slack)
{
	for (int i = 0; i < 90; i++) {
		double a = from + (to - from) * 0.382, b = from + (to - from) * 0.618;

		if (best_value(what, a, slack) < best_value(what, b, slack))
			from = a;
		else
			to = b;
	}
	return (from + to) / 2;
}

static double best_last(double in, double out, double slack)
{
	for (int i = 0; i < 50; i++) {
		double mid = (in + out) / 2;

		if (best_value(BEST_ROOM, mid, slack) >= 0)
			in = mid;
		else
			out = mid;
	}
	return in;
}

static bool best_lines(double from, double to, double t, double slack, const struct best_gate *gate, struct best *b)
{
	double in, fall, rise;

	best_nr[0] = best_nr[1] = 0;
	if (gate && gate->t < t)
		for (int most = 0; most < 2; most++)
			best_add(most, gate->t - t, most ? gate->at.hi : gate->at.lo);
	for (uint32_t i = 0; i < made_nr; i++)
		if (made_proof[i].t >= from && made_proof[i].t <= to)
			best_add(made_proof[i].most, made_proof[i].t - t, made_proof[i].y);
	if (gate && gate->t >= t)
		for (int most = 0; most < 2; most++)
			best_add(most, gate->t - t, most ? gate->at.hi : gate->at.lo);
	if (!best_nr[0] || !best_nr[1])
		return false;
	in = best_slope(BEST_ROOM, -CLOCK_MAX_DRIFT, CLOCK_MAX_DRIFT, slack);
	if (best_value(BEST_ROOM, in, slack) < 0)
		return false;
	fall = best_last(in, -CLOCK_MAX_DRIFT, slack);
	rise = best_last(in, CLOCK_MAX_DRIFT, slack);
	b->hi = best_edge(true, best_slope(BEST_HIGH, fall, rise, slack), slack) + slack;
	b->lo = best_edge(false, best_slope(BEST_LOW, fall, rise, slack), slack) - slack;
	return true;
}

static void best_join(struct best *b, struct best more)
{
	b->lo = fmin(b->lo, more.lo);
	b->hi = fmax(b->hi, more.hi);
}

/* For who knows that the drift is even from..to: half the width. */
static double best_even(double from, double to, double t)
{
	struct best b;

	return best_lines(from, to, t, 0, NULL, &b) ? (b.hi - b.lo) / 2 : INFINITY;
}

/*
 * For who is honest: knows not whether the drift changed once from..to (not near the
 * ends), nor when, and that it wanders.  All pairs of lines that meet: the one among
 * those that satisfy what is before, the other what is behind.
 */
static double best_once(double from, double to, double ends, double t)
{
	struct best all = { INFINITY, -INFINITY }, b;
	double slack = CLOCK_WANDER / 2 * (to - from);

	if (best_lines(from, to, t, slack, NULL, &b))
		best_join(&all, b);
	for (int i = 0; i <= 48; i++) {
		struct best_gate gate = { .t = from + ends + (to - from - 2 * ends) / 48 * i };
		bool before = t <= gate.t;

		if (best_lines(before ? gate.t : from, before ? to : gate.t, gate.t, slack, NULL, &gate.at) &&
		    best_lines(before ? from : gate.t, before ? gate.t : to, t, slack, &gate, &b))
			best_join(&all, b);
	}
	return all.hi >= all.lo ? (all.hi - all.lo) / 2 : INFINITY;
}

/* The same for who supposes no second change within so far of t, and knows what came before `from`, and after `to`. */
static double best_honest(double from, double to, double t)
{
	double best = INFINITY;

	for (double reach = 10e9; reach <= 320e9; reach *= 2) {
		double a = fmax(from, t - reach), b = fmin(to, t + reach);

		best = fmin(best, best_once(a, b, (b - a) / 8, t));
	}
	return best;
}

#endif
