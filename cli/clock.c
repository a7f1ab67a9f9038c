/* SPDX-License-Identifier: BSD-2-Clause */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "clock_lines.h"

#define WINDOW_MIN	5000000000LL	/* stretches that are tried: 5, 10, … 640 s */
#define NR_WINDOWS	8
#define GAP_WANDER	1e-6		/* between two knots, and beyond the last */
#define GAP_PROOFS	16u		/* a contradiction is looked for among so many at least */
#define MARGIN		1.5		/* what a band is widened by: clocks are not quite even */
#define TOO_GOOD	0.4		/* of the shortest way there and back: no honest band is narrower */

/* The band at one moment; straight between two knots. */
struct knot {
	int64_t	 t;
	double	 lo, hi;
	double	 fall, rise;		/* the slopes that are possible there */
};

/* Somewhere between two proofs that no line satisfies: indices of the last surely before, the first surely after. */
struct gap { uint32_t before, after; };

struct clock {
	struct proof *proof;
	uint32_t nr, room, max;
	struct knot *knot;
	uint32_t nr_knots, knot_room;
	struct gap *gap;
	uint32_t nr_gaps;
	bool	 failed;		/* out of memory: knows nothing */
};

struct clock *clock_new(void)
{
	struct clock *c = calloc(1, sizeof(*c));

	if (c)
		c->max = CLOCK_PROOFS;
	return c;
}

void clock_free(struct clock *c)
{
	if (!c)
		return;
	free(c->proof);
	free(c->knot);
	free(c->gap);
	free(c);
}

/* ---- proofs ------------------------------------------------------------------ */

static int by_time(const void *a, const void *b)
{
	const struct proof *x = a, *y = b;

	return x->t < y->t ? -1 : x->t > y->t;
}

/* Of two neighbours of a kind the tighter one stays. */
static void thin(struct clock *c)
{
	struct proof *held[2] = { NULL, NULL };
	uint32_t n = 0;

	qsort(c->proof, c->nr, sizeof(*c->proof), by_time);
	for (uint32_t i = 0; i < c->nr; i++) {
		struct proof *p = &c->proof[i], *h = held[p->most];

		if (h) {
			if (p->most ? p->offset < h->offset : p->offset > h->offset)
				*h = *p;
			held[p->most] = NULL;
		} else {
			c->proof[n] = *p;
			held[p->most] = &c->proof[n++];
		}
	}
	c->nr = n;
	qsort(c->proof, c->nr, sizeof(*c->proof), by_time);
}

static void add(struct clock *c, int64_t t, int64_t offset, bool most)
{
	if (c->nr >= c->max)
		thin(c);
	if (c->nr == c->room) {
		uint32_t room = c->room ? 2 * c->room : 64;
		struct proof *p = realloc(c->proof, room * sizeof(*p));

		if (!p) {
			c->failed = true;
			return;
		}
		c->proof = p;
		c->room = room;
	}
	c->proof[c->nr++] = (struct proof){ t, offset, most };
}

void clock_limit(struct clock *c, uint32_t proofs)
{
	c->max = proofs > 16 ? proofs : 16;
}

void clock_at_most(struct clock *c, int64_t ours, int64_t offset)
{
	add(c, ours, offset, true);
}

void clock_at_least(struct clock *c, int64_t ours, int64_t offset)
{
	add(c, ours, offset, false);
}

/* ---- lines ------------------------------------------------------------------------- */

static enum lines_fit fit(struct clock *c, uint32_t from, uint32_t to, int64_t t, struct lines *l)
{
	enum lines_fit how = lines_fit(l, &c->proof[from], to - from + 1, t);

	c->failed |= how == FIT_NO_MEMORY;
	return how;
}

static bool feasible(struct clock *c, uint32_t from, uint32_t to)
{
	struct lines l;
	bool ok = fit(c, from, to, c->proof[from].t, &l) != FIT_NONE;

	lines_free(&l);
	return ok;
}

/* All feasible lines of from..to, at `t`. */
static bool band_of(struct clock *c, uint32_t from, uint32_t to, int64_t t, struct knot *k)
{
	struct lines l;
	bool ok = fit(c, from, to, t, &l) == FIT_BAND;

	if (ok) {
		struct lines_band b = lines_band(&l);

		*k = (struct knot){ t, b.lo, b.hi, l.fall, l.rise };
	}
	lines_free(&l);
	return ok;
}

/* ---- where the clock was stopped or set ------------------------------------------ */

/* The last index for which from..index is feasible. */
static uint32_t feasible_to(struct clock *c, uint32_t from, uint32_t to)
{
	uint32_t good = from;

	while (good < to) {
		uint32_t mid = good + (to - good + 1) / 2;

		if (feasible(c, from, mid))
			good = mid;
		else
			to = mid - 1;
	}
	return good;
}

static uint32_t feasible_from(struct clock *c, uint32_t from, uint32_t to)
{
	uint32_t good = to;

	while (from < good) {
		uint32_t mid = from + (good - from) / 2;

		if (feasible(c, mid, to))
			good = mid;
		else
			from = mid + 1;
	}
	return good;
}

static void add_gap(struct clock *c, uint32_t before, uint32_t after)
{
	struct gap *g = realloc(c->gap, (c->nr_gaps + 1) * sizeof(*g));

	if (!g) {
		c->failed = true;
		return;
	}
	c->gap = g;
	g[c->nr_gaps++] = (struct gap){ before, after };
}

static uint32_t index_at(const struct clock *c, int64_t t)	/* the first that is not before t */
{
	uint32_t lo = 0, hi = c->nr;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (c->proof[mid].t < t)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/*
 * A stretch begins where the one before it ended.  What lies between the last proof
 * that contradicts the new side and the first that contradicts the old one may belong
 * to either.
 */
static void find_gaps(struct clock *c)
{
	uint32_t from = 0;

	while (from < c->nr && !c->failed) {
		uint32_t to = index_at(c, c->proof[from].t + WINDOW_MIN + 1) - 1, last, more, back;

		if (to < from + GAP_PROOFS)
			to = from + GAP_PROOFS < c->nr ? from + GAP_PROOFS : c->nr - 1;
		last = feasible_to(c, from, to);
		if (last == to) {
			if (to == c->nr - 1)
				return;
			/* Half of it again, so that nothing hides at a border. */
			from += (to - from + 1) / 2;
			continue;
		}
		more = last + 1 + (last - from) / 4 + 8;
		if (more > c->nr - 1)
			more = c->nr - 1;
		more = feasible_to(c, last + 1, more);
		back = feasible_from(c, from, more);
		add_gap(c, back > from ? back - 1 : from, last + 1);
		from = last + 1;
	}
}

/* ---- knots ----------------------------------------------------------------------- */

static void add_knot(struct clock *c, const struct knot *k)
{
	if (c->nr_knots == c->knot_room) {
		uint32_t room = c->knot_room ? 2 * c->knot_room : 64;
		struct knot *p = realloc(c->knot, room * sizeof(*p));

		if (!p) {
			c->failed = true;
			return;
		}
		c->knot = p;
		c->knot_room = room;
	}
	c->knot[c->nr_knots++] = *k;
}

static void widen(struct knot *k)
{
	double middle = (k->lo + k->hi) / 2, half = (k->hi - k->lo) / 2 * MARGIN;

	k->lo = middle - half;
	k->hi = middle + half;
}

/* The shortest way there and back among neighbours, ns. */
static double shortest(const struct clock *c, uint32_t from, uint32_t to, double slope)
{
	double least = INFINITY;

	for (uint32_t i = from; i < to; i++) {
		const struct proof *a = &c->proof[i], *b = a + 1;
		double gap = (double)(b->offset - a->offset) - slope * (double)(b->t - a->t);

		if (a->most != b->most)
			least = fmin(least, a->most ? -gap : gap);
	}
	return least;
}

/*
 * The narrowest band at `t` that a window within from..to gives.  Windows grow until no
 * line fits, or one that hardly does: the clock did not drift evenly that long, and
 * the window before may have had a bit of that in it, too.
 */
static bool narrowest(struct clock *c, uint32_t from, uint32_t to, int64_t t, struct knot *best)
{
	uint32_t was_from = UINT32_MAX, was_to = UINT32_MAX;
	struct knot found[NR_WINDOWS];
	int nr = 0;

	for (int i = 0; i < NR_WINDOWS; i++) {
		int64_t half = (WINDOW_MIN << i) / 2;
		uint32_t a = index_at(c, t - half), b = index_at(c, t + half + 1);
		struct knot *k = &found[nr];

		a = a < from ? from : a;
		b = b > to + 1 ? to : b ? b - 1 : 0;
		if (a > b || (a == was_from && b == was_to))
			continue;
		was_from = a;
		was_to = b;
		if (!band_of(c, a, b, t, k)) {
			if (!nr)
				continue;
			nr -= nr > 1;
			break;
		}
		nr++;
		if (k->hi - k->lo >= TOO_GOOD * shortest(c, a, b, (k->fall + k->rise) / 2))
			continue;
		nr -= nr > 2 ? 2 : nr - 1;
		break;
	}
	/* Few and far between: all that there are. */
	if (!nr)
		nr = band_of(c, from, to, t, found);
	for (int i = 0; i < nr; i++)
		if (!i || found[i].hi - found[i].lo < best->hi - best->lo)
			*best = found[i];
	if (nr)
		widen(best);
	return nr;
}

static void stretch(struct clock *c, uint32_t from, uint32_t to)
{
	int64_t end = c->proof[to].t, step = WINDOW_MIN / 4;
	uint32_t i = from;
	struct knot k;

	while (!c->failed) {
		int64_t t = c->proof[i].t;

		if (narrowest(c, from, to, t, &k))
			add_knot(c, &k);
		if (t == end)
			return;
		i = index_at(c, t + step);
		if (i > to)
			i = to;
	}
}

/* The band of one knot at another time, should its line go on. */
static struct knot onward(const struct knot *k, int64_t t)
{
	double dt = (double)(t - k->t), slow = k->fall - GAP_WANDER, fast = k->rise + GAP_WANDER;
	struct knot n = *k;

	n.t = t;
	n.lo += dt > 0 ? slow * dt : fast * dt;
	n.hi += dt > 0 ? fast * dt : slow * dt;
	return n;
}

static struct knot either(struct knot a, struct knot b)
{
	a.lo = fmin(a.lo, b.lo);
	a.hi = fmax(a.hi, b.hi);
	return a;
}

/*
 * Between two stretches, before the knot `at`: the one went on until some moment, and
 * then the other began.
 */
static void bridge(struct clock *c, uint32_t at)
{
	struct knot a = c->knot[at - 1], b = c->knot[at];

	if (b.t - a.t < 3)
		return;
	add_knot(c, &b);
	add_knot(c, &b);
	if (c->failed)
		return;
	memmove(&c->knot[at + 2], &c->knot[at], (c->nr_knots - at - 2) * sizeof(*c->knot));
	c->knot[at] = either(onward(&a, a.t + 1), onward(&b, a.t + 1));
	c->knot[at + 1] = either(onward(&a, b.t - 1), onward(&b, b.t - 1));
}

void clock_fit(struct clock *c)
{
	uint32_t from = 0;

	c->nr_knots = c->nr_gaps = 0;
	if (!c->nr || c->failed)
		return;
	qsort(c->proof, c->nr, sizeof(*c->proof), by_time);
	find_gaps(c);
	for (uint32_t i = 0; i <= c->nr_gaps && !c->failed; i++) {
		bool last = i == c->nr_gaps;
		uint32_t knots = c->nr_knots;

		stretch(c, from, last ? c->nr - 1 : c->gap[i].before);
		if (i && knots && c->nr_knots > knots)
			bridge(c, knots);
		if (!last)
			from = c->gap[i].after;
	}
}

/* ---- questions --------------------------------------------------------------------- */

bool clock_at(const struct clock *c, int64_t ours, struct clock_band *band)
{
	uint32_t lo = 0, hi = c->nr_knots;
	const struct knot *a, *b;
	double part, pad;

	if (!hi || c->failed)
		return false;
	while (lo < hi) {		/* the first knot behind it */
		uint32_t mid = lo + (hi - lo) / 2;

		if (c->knot[mid].t <= ours)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!lo || lo == c->nr_knots) {
		struct knot k = onward(&c->knot[lo ? lo - 1 : 0], ours);

		*band = (struct clock_band){ (int64_t)floor(k.lo), (int64_t)ceil(k.hi) };
		return true;
	}
	a = &c->knot[lo - 1];
	b = &c->knot[lo];
	part = (double)(ours - a->t) / (double)(b->t - a->t);
	/* Its drift changed somewhere between the two. */
	pad = fabs(a->fall + a->rise - b->fall - b->rise) / 2;
	if (b->t - a->t > WINDOW_MIN)
		pad += GAP_WANDER;
	pad *= fmin((double)(ours - a->t), (double)(b->t - ours));
	band->lo = (int64_t)floor(a->lo + (b->lo - a->lo) * part - pad);
	band->hi = (int64_t)ceil(a->hi + (b->hi - a->hi) * part + pad);
	return true;
}

bool clock_middle(const struct clock *c, int64_t *offset)
{
	const struct knot *k = c->nr_knots && !c->failed ? &c->knot[c->nr_knots / 2] : NULL;

	if (k)
		*offset = (int64_t)((k->lo + k->hi) / 2);
	return k;
}

bool clock_ours(const struct clock *c, int64_t theirs, int64_t *ours, int64_t *bound)
{
	struct clock_band b;
	int64_t at, last;

	if (!clock_middle(c, &at))
		return false;
	at = theirs - at;
	/* The offset is asked for at a time that depends on it: it changes slowly. */
	for (int i = 0; i < 4; i++) {
		last = at;
		if (!clock_at(c, at, &b))
			return false;
		at = theirs - (b.lo + (b.hi - b.lo) / 2);
		if (at == last)
			break;
	}
	*ours = at;
	*bound = (b.hi - b.lo + 1) / 2;
	return true;
}
