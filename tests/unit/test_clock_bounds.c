/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Clocks and networks of many kinds, made up: the true offset lies within the stated band
 * always, and the band is at most twice as wide as the best that the same proofs allow.
 */
#include "make_clock.h"

struct kind { const char *name; struct made m; uint32_t seeds; };

static uint32_t times = 1;

/* Who knows when it changed sees what lies in between. */
static void between_changes(const struct made *m, int64_t t, double *from, double *to)
{
	*from = 0;
	*to = (double)m->length;
	for (int i = 0; i < MAX_CHANGES; i++) {
		double at = (double)m->change[i].at;

		if (at > 0 && at <= (double)t)
			*from = fmax(*from, at);
		else if (at > 0)
			*to = fmin(*to, at);
	}
}

/* For who sees that it changed, but neither when nor how: either side may be right, by what that far around says. */
static double best_either(double t, double reach)
{
	struct best all = { INFINITY, -INFINITY }, b;

	if (best_lines(t - reach, t, t, 0, NULL, &b))
		best_join(&all, b);
	if (best_lines(t, t + reach, t, 0, NULL, &b))
		best_join(&all, b);
	return all.hi >= all.lo ? (all.hi - all.lo) / 2 : INFINITY;
}

static double best_half(const struct made *m, int64_t at, double half)
{
	double from, to, t = (double)at, best, length = (double)m->length;
	struct best b;

	between_changes(m, at, &from, &to);
	best = best_even(from, to, t);
	if (half <= 2 * best + 100)
		return best;
	/* It is not known that the drift is even: see clock.h. */
	best = best_honest(from, to, t);
	if (!m->change[0].at || half <= 2 * best + 100)
		return best;
	best = fmax(best, best_once(0, length, 0, t));
	if (half <= 2 * best + 100)
		return best;
	for (int i = 0; i < MAX_CHANGES; i++)
		if (m->change[i].at && llabs(m->change[i].at - at) < 5 * SEC)
			best = fmax(best, best_either(t, 5e9));
	if (!best_lines(0, length, t, 0, NULL, &b))
		best = fmax(best, best_either(t, length));
	return best;
}

static void try(const struct kind *k, uint32_t limit, bool widths)
{
	double even_sum = 0, worst = 0;
	uint32_t nr = 0, wide = 0;

	for (uint64_t seed = 1; seed <= k->seeds * times; seed++) {
		struct clock *c = made_clock(&k->m, seed, limit);

		if (made_nr < 8) {
			clock_free(c);
			continue;
		}
		made_holds(c, &k->m);
		for (int i = 0; i <= 20 && widths; i++) {
			int64_t t = i && i < 20 ? k->m.length / 20 * i : k->m.length / 100 * (i ? 99 : 1);
			double half = made_half(c, t), best = best_half(&k->m, t, half), from, to;

			between_changes(&k->m, t, &from, &to);
			even_sum += half / best_even(from, to, (double)t);
			wide += half > 2 * best_even(from, to, (double)t) + 100;
			worst = fmax(worst, half / best);
			nr++;
			if (half > 2 * best + 100)
				fail_msg("%s, seed %llu, at %.3f s: %.0f ns, best is %.0f", k->name,
					 (unsigned long long)seed, (double)t / 1e9, half, best);
		}
		clock_free(c);
	}
	if (nr)
		print_message("%-44s %.2f x the best on average for who knows that it is even, %.2f at most, "
			      "%u of %u above 2\n", k->name, even_sum / nr, worst, wide, nr);
}

#define LAN	.offset = 77e6, .there = 25, .back = 25, .noise = 40, .rate = 80, .length = 60 * SEC
#define JITTER	.offset = -3e12, .there = 3, .back = 3, .noise = 200, .rate = 60, .length = 60 * SEC
#define SPARSE	.offset = 1e6, .there = 100, .back = 100, .noise = 1000, .rate = 0.3, .length = 400 * SEC

static void test_even(void **arg)
{
	static const struct kind kinds[] = {
		{ "fast", { LAN, .ppm = 200 }, 6 },
		{ "loopback", { .offset = 1e9, .ppm = -35, .there = 3, .back = 3, .noise = 20, .rate = 60, .length = 60 * SEC }, 6 },
		{ "jitter 70 times the fastest way", { JITTER, .ppm = -200 }, 6 },
		{ "the same, 20/s, 10 minutes", { .ppm = 150, .there = 3, .back = 3, .noise = 200, .rate = 20, .length = 600 * SEC }, 1 },
		{ "jitter 700 times, 5/s", { .there = 3, .back = 3, .noise = 2000, .rate = 5, .length = 120 * SEC }, 4 },
		{ "sparse, 0.3/s", { SPARSE, .ppm = 100 }, 6 },
		{ "sparse, an hour", { .ppm = -60, .there = 100, .back = 100, .noise = 1000, .rate = 0.3, .length = 3600 * SEC }, 2 },
		{ "3000/s", { .ppm = 10, .there = 5, .back = 5, .noise = 100, .rate = 3000, .length = 30 * SEC }, 1 },
		{ "one way 180 times as slow", { .ppm = 35, .there = 50, .back = 9000, .noise = 500, .rate = 100, .length = 40 * SEC }, 4 },
		{ "the other way", { .ppm = -80, .there = 4000, .back = 60, .noise = 500, .rate = 100, .length = 40 * SEC }, 4 },
		{ "heavy tail", { .ppm = 200, .there = 20, .back = 20, .noise = 100, .heavy = true, .rate = 50, .length = 60 * SEC }, 6 },
		{ "heavy tail, sparse", { .ppm = 150, .there = 20, .back = 20, .noise = 300, .heavy = true, .rate = 2, .length = 300 * SEC }, 4 },
		{ "bursts each 20 s", { .ppm = -120, .there = 30, .back = 30, .noise = 100, .rate = 200, .pause = 19, .length = 300 * SEC }, 2 },
		{ "bursts each minute, heavy tail", { .ppm = 200, .there = 10, .back = 40, .noise = 100, .heavy = true, .rate = 50, .pause = 59, .length = 1000 * SEC }, 2 },
		{ "wanders within a minute", { .ppm = 200, .wander = CLOCK_WANDER / 2, .period = 60, .there = 10, .back = 10, .noise = 50, .rate = 100, .length = 300 * SEC }, 1 },
		{ "wanders slowly, 3/s", { .ppm = -200, .wander = CLOCK_WANDER / 2, .period = 1000, .there = 10, .back = 10, .noise = 50, .rate = 3, .length = 2000 * SEC }, 1 },
	};

	(void)arg;
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		try(&kinds[i], 0, true);
}

/* Suspended, set, or set by so little that nothing contradicts (the shortest way there and back is 50 us). */
static void test_steps(void **arg)
{
	static const double steps[] = { -3e11, 2e9, -5e6, 3e5, -9e4, 6e4, -5e4, 4.5e4, 4e4, -3.5e4, 3e4, -2e4, 1e4 };

	(void)arg;
	for (unsigned i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		struct kind k = { "a step", { LAN, .ppm = -70, .change = { { 24400 * SEC / 1000, steps[i], 0 } } }, 6 };
		struct kind both = { "a step, and another drift", { LAN, .ppm = 120, .change = { { 37 * SEC, steps[i], -30 } } }, 4 };

		print_message("%8.0f us: ", steps[i] / 1000);
		try(&k, 0, true);
		print_message("%8.0f us: ", steps[i] / 1000);
		try(&both, 0, true);
	}
}

static void test_drift_changes(void **arg)
{
	static const struct kind kinds[] = {
		{ "90 ppm", { LAN, .ppm = -40, .change = { { 30 * SEC, 0, 90 } } }, 6 },
		{ "10 ppm", { LAN, .ppm = -40, .change = { { 35 * SEC, 0, -10 } } }, 6 },
		{ "3 ppm", { LAN, .ppm = 40, .change = { { 30 * SEC, 0, 3 } } }, 6 },
		{ "1.5 ppm, unseen", { LAN, .ppm = 200, .change = { { 30 * SEC, 0, 1.5 } } }, 6 },
		{ "0.5 ppm, unseen, 200 s", { .there = 25, .back = 25, .noise = 40, .rate = 20, .length = 200 * SEC, .change = { { 90 * SEC, 0, -0.5 } } }, 4 },
		{ "5 ppm, jitter", { JITTER, .ppm = -40, .change = { { 22 * SEC, 0, 5 } } }, 6 },
		{ "1 ppm, jitter", { JITTER, .ppm = -40, .change = { { 22 * SEC, 0, 1 } } }, 6 },
		{ "20 ppm, sparse", { SPARSE, .change = { { 180 * SEC, 0, 20 } } }, 6 },
		{ "5 ppm, sparse", { SPARSE, .change = { { 220 * SEC, 0, 5 } } }, 6 },
		{ "2 ppm, sparse", { SPARSE, .change = { { 220 * SEC, 0, 2 } } }, 6 },
		{ "each 20 s", { .there = 25, .back = 25, .noise = 40, .rate = 80, .length = 120 * SEC, .change = { { 20 * SEC, 0, 3 },
			{ 40 * SEC, 0, -5 }, { 60 * SEC, 0, 4 }, { 80 * SEC, 0, -2 }, { 100 * SEC, 0, 3 } } }, 4 },
		{ "each 50 s", { .there = 25, .back = 25, .noise = 40, .rate = 80, .length = 240 * SEC, .change = { { 50 * SEC, 0, 1 },
			{ 100 * SEC, 0, -1.5 }, { 150 * SEC, 0, 1 }, { 200 * SEC, 0, -1 } } }, 2 },
		{ "two steps within 3 s", { LAN, .change = { { 25 * SEC, 5e5, 0 }, { 28 * SEC, -2e5, 10 } } }, 6 },
	};

	(void)arg;
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		try(&kinds[i], 0, true);
}

/* As a daemon corrects it, all the time: beyond what is promised, but the truth is to be within. */
static void test_slewed(void **arg)
{
	static const struct { double ppm, period; } slews[] = { { 1, 60 }, { 0.3, 60 }, { 0.3, 300 }, { 10, 300 }, { 100, 600 } };

	(void)arg;
	for (unsigned i = 0; i < sizeof(slews) / sizeof(*slews); i++) {
		struct kind k = { "slewed", { LAN, .wander = slews[i].ppm * 1e-6, .period = slews[i].period }, 2 };

		k.m.length = 300 * SEC;
		try(&k, 0, false);
	}
}

/* Of all that is told only so much is kept. */
static void test_kept(void **arg)
{
	static const struct kind kinds[] = {
		{ "kept: few, even", { .ppm = 200, .there = 25, .back = 25, .noise = 40, .rate = 200, .length = 120 * SEC }, 1 },
		{ "kept: few, jitter", { JITTER, .ppm = 200 }, 4 },
		{ "kept: few, a step", { LAN, .ppm = -200, .change = { { 24 * SEC, 3e6, 30 } } }, 4 },
		{ "kept: few, a drift that changed", { LAN, .change = { { 30 * SEC, 0, 40 } } }, 4 },
	};

	(void)arg;
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		try(&kinds[i], 1024, true);
}

/* By hand more of them: test_clock_bounds TIMES. */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_even),
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_drift_changes),
		cmocka_unit_test(test_slewed),
		cmocka_unit_test(test_kept),
	};

	if (argc > 1)
		times = (uint32_t)atoi(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
