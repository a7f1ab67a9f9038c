/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clock_knots.c - the band of a stretch, frame by frame: what is possible there for a
 * clock whose drift may have changed once, who knows where, within the frame and a reach
 * on both sides of it.
 *
 * A change at `s` leaves a line that satisfies all proofs before, and one that satisfies
 * all behind, and both meet at s.  So the one is among the lines of its side that go
 * through the gate that the other side leaves open at s.  The band is what any such pair
 * reaches, for changes all along a grid, and what a single line does.
 */
#include <math.h>
#include <stdlib.h>
#include "clock_frame.h"

#define SEC		1000000000LL
#define REACH_MIN	(20 * SEC)
#define REACH_MAX	(320 * SEC)
#define REACH_PROOFS	2048.0		/* of each kind: a reach has as many, */
#define REACH_SILENCES	4		/* and is longer than the usual silence */
#define STEP_MIN	(WINDOW_MIN / 4)
#define ENDS		4		/* no change is looked for in this part of a reach at both ends */
#define STEPS		32		/* knots in a reach */
#define SPLITS		24		/* looked at where it may have changed */
#define FAR_MOST	8		/* reaches: so far is looked for when it did */
#define CLOSEST		(SEC / 2)	/* the shortest reach */
#define MORE_CHANGED	0.3		/* of what a change of drift leaves: so much is given on either side to steps */

/* ---- knots ------------------------------------------------------------------------ */

static void knot_slopes(struct knot *k, const struct lines *l)
{
	k->fall = fmin(k->fall, l->fall);
	k->rise = fmax(k->rise, l->rise);
}

/* What lines that the clock may follow on that side of at[s] leave there. */
static void reach(struct frame *f, const struct lines *l, uint32_t s, bool behind)
{
	int64_t far = f->at[f->nr - 1].t - f->at[0].t;

	far = (far < f->reach ? far : f->reach) / 4;
	for (uint32_t i = behind ? s : 0; i < (behind ? f->nr : s + 1); i++) {
		struct at_time *a = &f->at[i];

		if (!a->is_knot)
			continue;
		knot_reach(&a->k, lines_at(l, from_zero(f, a->t)));
		if (llabs(a->t - f->at[s].t) >= far)
			knot_slopes(&a->k, l);
	}
}

static bool may_change(const struct frame *f, uint32_t i)
{
	int64_t span = f->at[f->nr - 1].t - f->at[0].t, ends = (span < f->reach ? span : f->reach) / ENDS;
	const struct at_time *a = &f->at[i];

	if (a->before != FIT_BAND || a->behind != FIT_BAND)
		return false;
	if (f->changed)
		return a->t >= f->old && a->t <= f->new;
	return a->t >= f->at[0].t + ends && a->t <= f->at[f->nr - 1].t - ends;
}

static void through_gate(struct frame *f, struct lines *l, uint32_t s, struct lines_band gate, bool behind)
{
	struct lines_gate g = lines_shut(l, from_zero(f, f->at[s].t), gate);

	if (lines_fit(l, from_zero(f, f->at[s].t)) == FIT_BAND) {
		reach(f, l, s, behind);
		f->at[s].slope[behind] = (struct lines_band){ l->fall, l->rise };
	}
	lines_open(l, &g);
}

/* ---- passes ----------------------------------------------------------------------- */

/* From the end to the beginning; the first time it leaves gates, the second time it goes through those of the other way. */
static void pass_back(struct frame *f, bool gates)
{
	struct clock *c = f->c;
	uint32_t p = f->to + 1;
	struct lines l;

	lines_begin(&l, c->point[1], c->point[0], -1);
	for (uint32_t i = f->nr; i--; ) {
		struct at_time *a = &f->at[i];
		double t = from_zero(f, a->t);

		while (p > f->from && c->proof[p - 1].t >= a->t) {
			p--;
			lines_add(&l, seen(f, &c->proof[p]), c->proof[p].most);
		}
		if (gates) {
			if (may_change(f, i))
				through_gate(f, &l, i, a->old, true);
			continue;
		}
		a->behind = lines_fit(&l, t);
		if (a->behind == FIT_BAND)
			a->new = lines_at(&l, t);
	}
}

static void pass_on(struct frame *f)
{
	struct clock *c = f->c;
	uint32_t p = f->from;
	struct lines l;

	lines_begin(&l, c->point[1], c->point[0], 1);
	for (uint32_t i = 0; i < f->nr; i++) {
		struct at_time *a = &f->at[i];
		double t = from_zero(f, a->t);

		for (; p <= f->to && c->proof[p].t <= a->t; p++)
			lines_add(&l, seen(f, &c->proof[p]), c->proof[p].most);
		a->before = lines_fit(&l, t);
		if (a->before == FIT_BAND)
			a->old = lines_at(&l, t);
		if (i + 1 == f->nr) {
			for (uint32_t k = 0; k < f->nr && a->before == FIT_BAND && !f->changed; k++) {
				f->at[k].even = lines_at(&l, from_zero(f, f->at[k].t));
				knot_reach(&f->at[k].k, f->at[k].even);
				knot_slopes(&f->at[k].k, &l);
			}
		} else if (may_change(f, i)) {
			through_gate(f, &l, i, a->new, false);
		}
	}
}

/* How much the drift may change on the way to the next knot. */
static double kink(const struct frame *f, uint32_t i)
{
	double most = 0;
	uint32_t last = i;

	while (last + 1 < f->nr && (last == i || (!f->at[last].is_knot && f->at[last].t < f->end)))
		last++;
	do {
		const struct lines_band *old = &f->at[i].slope[0], *new = &f->at[i].slope[1];

		most = fmax(most, fmax(new->hi - old->lo, old->hi - new->lo));
	} while (i++ != last);
	return most;
}

/* Nothing far enough tells the slope there: as at the nearest knot where something does. */
static void borrow_slopes(struct frame *f, struct knot *k)
{
	const struct knot *nearest = NULL;

	for (uint32_t i = 0; i < f->nr; i++) {
		const struct knot *o = &f->at[i].k;

		if (f->at[i].is_knot && o->fall <= o->rise &&
		    (!nearest || llabs(o->t - k->t) < llabs(nearest->t - k->t)))
			nearest = o;
	}
	k->fall = nearest ? nearest->fall : -CLOCK_MAX_DRIFT;
	k->rise = nearest ? nearest->rise : CLOCK_MAX_DRIFT;
}

static void add_knots(struct frame *f)
{
	for (uint32_t i = 0; i < f->nr; i++) {
		struct knot k = f->at[i].k;

		if (!f->at[i].is_knot || k.lo > k.hi)
			continue;
		if (k.fall > k.rise)
			borrow_slopes(f, &k);
		k.lo += (double)f->base;
		k.hi += (double)f->base;
		k.kink = kink(f, i);
		clock_add_knot(f->c, &k);
	}
}

/* ---- grids ------------------------------------------------------------------------ */

/* What one frame is to tell: begin..end of the stretch from..to, which is `whole` ns long. */
struct span { uint32_t from, to; int64_t begin, end, reach, whole; bool last; };

static void grid_add(struct frame *f, int64_t t, bool is_knot)
{
	struct at_time *a = &f->at[f->nr];

	if (f->nr == GRID_MAX || (f->nr && a[-1].t >= t))
		return;
	*a = (struct at_time){ .t = t, .is_knot = is_knot };
	knot_clear(&a->k, t);
	f->nr++;
}

static int64_t step(const struct frame *f, const struct span *s)
{
	int64_t wide = s->whole < f->reach ? s->whole : f->reach;

	return wide / STEPS > STEP_MIN ? wide / STEPS : STEP_MIN;
}

/* Knots from `begin` on to `end`, where the next frame begins: what is between two knots one frame tells. */
static void make_grid(struct frame *f, const struct span *s)
{
	int64_t begin = s->begin, end = s->end, wide = f->reach / 8;
	int64_t first = f->c->proof[f->from].t, behind = f->c->proof[f->to].t;

	f->nr = 0;
	if (first < begin)
		grid_add(f, first, false);
	for (int64_t t = begin - f->reach; t < begin; t += wide)
		if (t > first)
			grid_add(f, t, false);
	for (int64_t t = begin; t == begin || t + step(f, s) / 2 < end; t += step(f, s))
		grid_add(f, t, true);
	grid_add(f, s->last ? end : end - 1, true);
	for (int64_t t = end + wide; t < behind; t += wide)
		grid_add(f, t, false);
	if (behind > end)
		grid_add(f, behind, false);
}

/* ---- a change that contradicts ---------------------------------------------------- */

static void side(struct frame *f, uint32_t from, uint32_t to, struct knot *k)
{
	struct lines l;

	if (clock_lines(f->c, from, to, f->zero, f->base, &l) != FIT_BAND)
		return;
	knot_reach(k, lines_at(&l, from_zero(f, k->t)));
	knot_slopes(k, &l);
}

static int by_time(const void *a, const void *b)
{
	const struct at_time *x = a, *y = b;

	return x->t < y->t ? -1 : x->t > y->t ? 1 : y->is_knot - x->is_knot;
}

static void grid_more(struct frame *f, const struct span *s, int64_t t)
{
	if (f->nr == GRID_MAX)
		return;
	f->at[f->nr] = (struct at_time){ .t = t, .is_knot = t >= s->begin && t < s->end + s->last };
	knot_clear(&f->at[f->nr++].k, t);
}

/* More of it where the change is. */
static void split_grid(struct frame *f, const struct span *s)
{
	int64_t old = f->old, new = f->new;
	uint32_t n = 0;

	make_grid(f, s);
	grid_more(f, s, old);
	for (int i = 0; i <= SPLITS; i++)
		grid_more(f, s, old + 1 + (new - old - 2) / SPLITS * i);
	grid_more(f, s, new - 1);
	grid_more(f, s, new);
	qsort(f->at, f->nr, sizeof(*f->at), by_time);
	for (uint32_t i = 0; i < f->nr; i++)
		if (!n || f->at[n - 1].t != f->at[i].t)
			f->at[n++] = f->at[i];
	f->nr = n;
}

/* The best that the lines of one side leave anywhere on that side. */
static double narrowest(const struct frame *f)
{
	double least = INFINITY;

	for (uint32_t i = 0; i < f->nr; i++) {
		const struct at_time *a = &f->at[i];

		if (a->before == FIT_BAND && a->t <= f->old)
			least = fmin(least, a->old.hi - a->old.lo);
		if (a->behind == FIT_BAND && a->t >= f->new)
			least = fmin(least, a->new.hi - a->new.lo);
	}
	return least;
}

/*
 * What two lines leave that meet, widened towards what a step would leave: by much if they
 * hardly do.
 */
static void allow(struct knot *k, const struct knot *step, double side)
{
	double wide = k->hi - k->lo, more = wide < side / 2 ? side / 2 : MORE_CHANGED * wide;

	k->lo = fmin(k->lo, fmax(k->lo - more, step->lo));
	k->hi = fmax(k->hi, fmin(k->hi + more, step->hi));
}

/*
 * Somewhere between these two proofs: before it there is one line, behind it another, and
 * in between either; if the two may meet, what is possible when they do.
 */
struct change { uint32_t first, last; };

static void split(struct frame *f, const struct span *s, struct change ch)
{
	struct clock *c = f->c;
	double side_best;

	f->old = c->proof[ch.first].t;
	f->new = c->proof[ch.last].t;
	f->changed = true;
	split_grid(f, s);
	pass_back(f, false);
	pass_on(f);
	pass_back(f, true);
	side_best = narrowest(f);
	for (uint32_t i = 0; i < f->nr; i++) {
		struct knot k;

		if (!f->at[i].is_knot)
			continue;
		knot_clear(&k, f->at[i].t);
		if (k.t <= f->old) {
			side(f, f->from, ch.first, &k);
		} else if (k.t >= f->new) {
			side(f, ch.last, f->to, &k);
		} else {
			/* From one time of the grid to the next it may be this or that. */
			uint32_t p = clock_index(c, f->at[i - 1].t + 1), q = clock_index(c, f->at[i + 1].t);

			side(f, f->from, p > ch.first ? p - 1 : ch.first, &k);
			side(f, q < ch.last ? q : ch.last, f->to, &k);
		}
		if (f->at[i].k.lo <= f->at[i].k.hi)
			allow(&f->at[i].k, &k, side_best);
		else
			f->at[i].k = k;
	}
}

/* ---- frames ----------------------------------------------------------------------- */

static bool look(struct frame *f, const struct span *s, int64_t reach)
{
	f->reach = reach;
	f->from = clock_index(f->c, s->begin - reach);
	f->to = clock_index(f->c, s->end + reach + 1);
	f->from = f->from < s->from ? s->from : f->from;
	f->to = f->to > s->to ? s->to : f->to ? f->to - 1 : 0;
	if (f->from > f->to)
		return false;
	f->base = f->c->proof[f->from].offset;
	return true;
}

static void even(struct frame *f, const struct span *s)
{
	make_grid(f, s);
	pass_back(f, false);
	if (f->at[0].behind != FIT_BAND)
		return;
	pass_on(f);
	pass_back(f, true);
	clock_allow_steps(f);
	add_knots(f);
}

/* The farther one looks, the sooner lines of one side contradict. */
static void closer(struct frame *f, const struct span *s, struct change *ch)
{
	const struct proof *p = f->c->proof;

	for (int64_t far = 4 * s->reach; far <= FAR_MOST * s->reach && p[ch->last].t - p[ch->first].t > s->reach / 4;
	     far *= 2) {
		struct change more;

		look(f, s, far);
		more.first = clock_feasible_from(f->c, f->from, f->to) - 1;
		more.last = clock_feasible_to(f->c, f->from, f->to) + 1;
		if (more.first > more.last)
			return;
		ch->first = more.first > ch->first ? more.first : ch->first;
		ch->last = more.last < ch->last ? more.last : ch->last;
	}
}

/*
 * One look is farther than the reach: a change that hardly contradicts within it hides
 * anywhere in it.  And where it is more than one change, a bit of the second might hide,
 * or none of them is one but the drift changes all the time: then closer.
 */
static void frame(struct clock *c, const struct span *of)
{
	struct frame f = { .c = c, .end = of->end, .zero = of->begin };
	struct span s = *of;
	struct change ch;
	struct lines l;

	if (!look(&f, &s, 2 * s.reach))
		return;
	if (clock_lines(c, f.from, f.to, f.zero, f.base, &l) != FIT_NONE) {
		if (look(&f, &s, s.reach))
			even(&f, &s);
		return;
	}
	ch.first = clock_feasible_from(c, f.from, f.to) - 1;
	ch.last = clock_feasible_to(c, f.from, f.to) + 1;
	if (ch.first > ch.last) {
		struct span a = s, b = s;

		a.reach = b.reach = s.reach / 2;
		a.end = b.begin = s.begin + (s.end - s.begin) / 2;
		a.last = false;
		if (a.reach < CLOSEST)
			return;
		frame(c, &a);
		frame(c, &b);
		return;
	}
	closer(&f, &s, &ch);
	if (c->proof[ch.first].t >= s.end)
		s.to = ch.first;
	else if (c->proof[ch.last].t <= s.begin)
		s.from = ch.last;
	if (!look(&f, &s, s.reach))
		return;
	if (s.to != of->to || s.from != of->from) {
		even(&f, &s);
		return;
	}
	/* What makes the difference stays in sight. */
	f.from = f.from < ch.first ? f.from : ch.first;
	f.to = f.to > ch.last ? f.to : ch.last;
	split(&f, &s, ch);
	add_knots(&f);
}

/* Of the proofs of a stretch. */
struct pace {
	double	 shortest;		/* way there and back among neighbours, ns */
	double	 silence;		/* without a proof around a moment, on average, ns */
};

static struct pace pace_of(struct clock *c, uint32_t from, uint32_t to)
{
	double slope, span = (double)(c->proof[to].t - c->proof[from].t);
	struct pace p = { .shortest = INFINITY };
	struct lines l;

	/* If one line does not tell the drift, the beginning does, nearly. */
	if (clock_lines(c, from, to, c->proof[from].t, c->proof[from].offset, &l) != FIT_BAND)
		clock_lines(c, from, clock_feasible_to(c, from, to), c->proof[from].t, c->proof[from].offset, &l);
	slope = (l.fall + l.rise) / 2;
	for (uint32_t i = from; i < to; i++) {
		const struct proof *x = &c->proof[i], *y = x + 1;
		double dt = (double)(y->t - x->t), gap = (double)(y->offset - x->offset) - slope * dt;

		if (x->most != y->most && dt < (double)SEC)
			p.shortest = fmin(p.shortest, fmax(x->most ? -gap : gap, 0));
		p.silence += dt * dt / span;
	}
	return p;
}

/* As far as it takes to see fast ways on both sides, but no farther than an uneven drift matters. */
static int64_t reach_of(struct clock *c, uint32_t from, uint32_t to)
{
	double span = (double)(c->proof[to].t - c->proof[from].t), told = (double)c->told / c->nr * (to - from + 1);
	struct pace p = pace_of(c, from, to);
	double reach = fmin(2 * REACH_PROOFS * span / told, p.shortest / (20 * CLOCK_WANDER));

	reach = fmax(reach, REACH_SILENCES * p.silence);
	return reach > (double)REACH_MAX ? REACH_MAX : reach > (double)REACH_MIN ? (int64_t)reach : REACH_MIN;
}

void clock_stretch(struct clock *c, uint32_t from, uint32_t to)
{
	int64_t end = c->proof[to].t, reach = reach_of(c, from, to), length;
	struct span s = { .from = from, .to = to, .reach = reach };

	s.begin = c->proof[from].t;
	s.whole = end - s.begin;
	length = s.whole <= 2 * reach ? s.whole : reach / 4;
	while (!c->failed && !s.last) {
		uint32_t next = clock_index(c, s.begin);

		/* In between nothing is said. */
		if (c->proof[next].t - s.begin > length)
			s.begin = c->proof[next].t;
		s.last = end - s.begin <= length;
		s.end = s.last ? end : s.begin + length;
		frame(c, &s);
		s.begin = s.end;
	}
}
