/* SPDX-License-Identifier: BSD-2-Clause */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "clock_int.h"

#define GAP_WANDER	1e-6		/* where nothing is said for long, and beyond the last */
#define CELL_MIN	26		/* 2^26 ns are 67 ms: of such a cell all that matters is kept, */
#define CELL_MAX	33		/* and of this one, 9 s, at worst */
#define FAR		(INT64_MAX / 8)	/* ns: no clock shows that */
#define FEW		16u		/* proofs are too few to tell */
#define PIECES		8		/* of a bridge */
#define LONG		(5 * WINDOW_MIN)

struct clock *clock_new(void)
{
	struct clock *c = calloc(1, sizeof(*c));

	if (c) {
		c->max = CLOCK_PROOFS;
		c->cell = CELL_MIN;
	}
	return c;
}

void clock_free(struct clock *c)
{
	if (!c)
		return;
	free(c->proof);
	free(c->knot);
	free(c->theirs);
	free(c);
}

/* ---- proofs ------------------------------------------------------------------ */

static int by_time(const void *a, const void *b)
{
	const struct proof *x = a, *y = b;

	return x->t < y->t ? -1 : x->t > y->t;
}

/* They come nearly in order. */
static void sort(struct clock *c)
{
	uint64_t moves = 0;

	for (uint32_t i = 1; i < c->nr; i++) {
		struct proof p = c->proof[i];
		uint32_t k = i;

		for (; k && c->proof[k - 1].t > p.t; k--)
			c->proof[k] = c->proof[k - 1];
		c->proof[k] = p;
		moves += i - k;
		if (moves > 16ull * c->nr) {
			qsort(c->proof, c->nr, sizeof(*c->proof), by_time);
			return;
		}
	}
}

/* Of two neighbours of a kind the tighter one stays. */
static void thin_more(struct clock *c)
{
	struct proof *held[2] = { NULL, NULL };
	uint32_t n = 0;

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
	sort(c);
}

/* Of each cell of time what matters to a line across it: nothing is lost to lines that are much longer. */
static void thin_cells(struct clock *c)
{
	uint32_t n = 0, i = 0;

	while (i < c->nr) {
		uint32_t nr = 0, kept;

		while (i + nr < c->nr && nr < LINES_BLOCK &&
		       c->proof[i + nr].t >> c->cell == c->proof[i].t >> c->cell)
			nr++;
		kept = lines_matter(&c->proof[i], nr);
		memmove(&c->proof[n], &c->proof[i], kept * sizeof(*c->proof));
		n += kept;
		i += nr;
	}
	c->nr = n;
}

static void thin(struct clock *c)
{
	sort(c);
	thin_cells(c);
	while (c->nr > c->max / 4 * 3 && c->cell < CELL_MAX) {
		c->cell++;
		thin_cells(c);
	}
	if (c->nr > c->max / 4 * 3)
		thin_more(c);
}

static void add(struct clock *c, int64_t t, int64_t offset, bool most)
{
	/* A trail may tell nonsense. */
	if (t < -FAR || t > FAR || offset < -FAR || offset > FAR)
		return;
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
	c->told++;
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

/* ---- what the parts share ----------------------------------------------------------- */

uint32_t clock_index(const struct clock *c, int64_t t)
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

enum lines_fit clock_lines(struct clock *c, uint32_t from, uint32_t to, int64_t zero, int64_t base, struct lines *l)
{
	lines_begin(l, c->point[1], c->point[0], 1);
	for (uint32_t i = from; i <= to; i++) {
		const struct proof *p = &c->proof[i];

		lines_add(l, (struct point){ (double)(p->t - zero), (double)(p->offset - base) }, p->most);
	}
	return lines_fit(l, (double)(c->proof[to].t - zero));
}

void clock_add_knot(struct clock *c, const struct knot *k)
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

/* ---- bridges ------------------------------------------------------------------------ */

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

/* What some seconds of one side leave at a moment in between; unless they cannot tell, then where it would go on. */
static void side(struct clock *c, uint32_t from, uint32_t to, const struct knot *end, struct knot *k)
{
	struct lines l;
	struct lines_band b;

	switch (clock_lines(c, from, to, k->t, c->proof[from].offset, &l)) {
	case FIT_NONE:		/* it is not that side any more */
		return;
	case FIT_HALF:
		*k = either(*k, onward(end, k->t));
		return;
	case FIT_BAND:
		b = lines_at(&l, 0);
		k->lo = fmin(k->lo, b.lo + (double)c->proof[from].offset);
		k->hi = fmax(k->hi, b.hi + (double)c->proof[from].offset);
	}
}

/*
 * Between two stretches, before the knot `at`: the one went on until some moment, and
 * then the other began.
 */
static void bridge(struct clock *c, uint32_t at, const struct gap *g)
{
	struct knot a = c->knot[at - 1], b = c->knot[at];
	int64_t length = b.t - a.t - 2, t[PIECES + 3];

	if (length < PIECES)
		return;
	for (int i = 0; i <= PIECES; i++)
		clock_add_knot(c, &b);
	if (c->failed)
		return;
	memmove(&c->knot[at + PIECES + 1], &c->knot[at], (c->nr_knots - at - PIECES - 1) * sizeof(*c->knot));
	t[0] = a.t;
	t[PIECES + 2] = b.t;
	for (int i = 0; i <= PIECES; i++)
		t[i + 1] = a.t + 1 + (int64_t)((double)length / PIECES * i);
	for (int i = 1; i <= PIECES + 1; i++) {
		/* From one of these moments to the next it may be this or that. */
		uint32_t old = clock_index(c, t[i - 1] + 1), new = clock_index(c, t[i + 1]);
		uint32_t from = clock_index(c, t[i] - WINDOW_MIN), to = clock_index(c, t[i] + WINDOW_MIN);
		struct knot k = { .t = t[i], .lo = INFINITY, .hi = -INFINITY,
				  .fall = fmin(a.fall, b.fall), .rise = fmax(a.rise, b.rise) };

		old = old > g->before ? old - 1 : g->before;
		new = new < g->after ? new : g->after;
		from = old - from < FEW ? old - (old < FEW ? old : FEW) : from;
		to = to < new + FEW ? new + FEW : to;
		side(c, from > g->from ? from : g->from, old, &a, &k);
		side(c, new, to < g->to ? to : g->to, &b, &k);
		if (k.lo > k.hi)
			k = either(onward(&a, k.t), onward(&b, k.t));
		k.kink = 0;
		c->knot[at + i - 1] = k;
	}
}

/* ---- questions --------------------------------------------------------------------- */

/* Of what a damaged trail tells nothing may overflow. */
static int64_t whole(double ns)
{
	const double most = (double)(INT64_MAX / 4);

	return (int64_t)(ns > most ? most : ns > -most ? ns : -most);
}

/* The first knot behind it. */
static uint32_t behind(const struct clock *c, int64_t ours)
{
	uint32_t lo = 0, hi = c->nr_knots;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (c->knot[mid].t <= ours)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Between that knot and the one before, or beyond all. */
static struct clock_band band(const struct clock *c, uint32_t next, int64_t ours)
{
	const struct knot *a, *b;
	double part, pad;

	if (!next || next == c->nr_knots) {
		struct knot k = onward(&c->knot[next ? next - 1 : 0], ours);

		return (struct clock_band){ whole(floor(k.lo)), whole(ceil(k.hi)) };
	}
	a = &c->knot[next - 1];
	b = a + 1;
	part = (double)(ours - a->t) / (double)(b->t - a->t);
	/* As far from straight as a kink takes it that is just there. */
	pad = a->kink;
	if (b->t - a->t > LONG)
		pad = fmax(pad, fmax(b->rise - a->fall, a->rise - b->fall)) + GAP_WANDER;
	pad *= part * (double)(b->t - ours);
	return (struct clock_band){ whole(floor(a->lo + (b->lo - a->lo) * part - pad)),
				    whole(ceil(a->hi + (b->hi - a->hi) * part + pad)) };
}

bool clock_at(const struct clock *c, int64_t ours, struct clock_band *b)
{
	if (!c->nr_knots || c->failed)
		return false;
	*b = band(c, behind(c, ours), ours);
	return true;
}

static int64_t middle(const struct knot *k)
{
	return whole((k->lo + k->hi) / 2);
}

bool clock_middle(const struct clock *c, int64_t *offset)
{
	if (!c->nr_knots || c->failed)
		return false;
	*offset = middle(&c->knot[c->nr_knots / 2]);
	return true;
}

/* The first knot that is behind it on their clock.  One asks for times that are near each other. */
static uint32_t behind_theirs(struct clock *c, int64_t theirs)
{
	uint32_t lo = 0, hi = c->nr_knots;

	if ((!c->asked || c->theirs[c->asked - 1] <= theirs) && (c->asked == hi || c->theirs[c->asked] > theirs))
		return c->asked;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (c->theirs[mid] <= theirs)
			lo = mid + 1;
		else
			hi = mid;
	}
	return c->asked = lo;
}

bool clock_ours(struct clock *c, int64_t theirs, int64_t *ours, int64_t *bound)
{
	const struct knot *k;
	struct clock_band b;
	uint32_t next;
	double part;

	if (!c->nr_knots || c->failed || theirs < -INT64_MAX / 4 || theirs > INT64_MAX / 4)
		return false;
	next = behind_theirs(c, theirs);
	k = &c->knot[next ? next - 1 : 0];
	part = (double)(theirs - c->theirs[next ? next - 1 : 0]);
	if (!next || next == c->nr_knots)
		part /= 1 + (k->fall + k->rise) / 2;
	else
		part *= (double)(k[1].t - k->t) / (double)(c->theirs[next] - c->theirs[next - 1]);
	b = band(c, next, k->t + whole(part));
	*ours = theirs - (b.lo + (b.hi - b.lo) / 2);
	*bound = (b.hi - b.lo + 1) / 2;
	return true;
}

/* What their clock shows at each knot, in the middle of what is possible. */
static void find_theirs(struct clock *c)
{
	c->theirs = malloc((c->nr_knots ? c->nr_knots : 1) * sizeof(*c->theirs));
	c->failed |= !c->theirs;
	for (uint32_t i = 0; i < c->nr_knots && !c->failed; i++)
		c->theirs[i] = c->knot[i].t + middle(&c->knot[i]);
}

/* ---- the whole ---------------------------------------------------------------------- */

void clock_fit(struct clock *c)
{
	uint32_t from = 0;

	c->nr_knots = c->nr_gaps = 0;
	if (!c->nr || c->failed)
		return;
	/* One more of each: a gate. */
	c->point[0] = malloc(2 * ((size_t)c->nr + 1) * sizeof(**c->point));
	if (!c->point[0]) {
		c->failed = true;
		return;
	}
	c->point[1] = c->point[0] + c->nr + 1;
	sort(c);
	clock_find_gaps(c);
	for (uint32_t i = 0; i <= c->nr_gaps && !c->failed; i++) {
		bool last = i == c->nr_gaps;
		uint32_t knots = c->nr_knots;

		clock_stretch(c, from, last ? c->nr - 1 : c->gap[i].before);
		if (i && knots && c->nr_knots > knots)
			bridge(c, knots, &c->gap[i - 1]);
		if (!last)
			from = c->gap[i].after;
	}
	find_theirs(c);
	free(c->gap);
	free(c->point[0]);
	free(c->proof);
	c->gap = NULL;
	c->point[0] = NULL;
	c->proof = NULL;
	c->nr = c->room = 0;
}
