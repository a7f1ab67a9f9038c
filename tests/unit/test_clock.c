/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two clocks whose offset is known because it was made up: the stated band must hold
 * it always, and be no wider than twice what the same proofs allow at best to who knows
 * that it drifts evenly.
 */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <cmocka.h>
#include "clock.h"

#define US	1000.0
#define SEC	1000000000LL

struct made {
	double	 offset, ppm;		/* at t = 0, and its drift */
	int64_t	 step_at;		/* from here on ... */
	double	 step, step_ppm;	/* ... so much more, and drifting so much more */
	double	 there, back;		/* fastest way, us */
	double	 noise;			/* mean of what comes on top, us */
	double	 rate;			/* round trips a second */
	int64_t	 length;		/* ns */
};

static uint64_t state;

static double uniform(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (double)(state >> 11) / 9007199254740992.0;
}

static double delay(double fastest, double noise)
{
	return (fastest - noise * log(1 - uniform())) * US;
}

static double truth(const struct made *m, int64_t t)
{
	double y = m->offset + m->ppm * 1e-6 * (double)t;

	if (m->step_at && t >= m->step_at)
		y += m->step + m->step_ppm * 1e-6 * (double)(t - m->step_at);
	return y;
}

#define MAX 200000
static int64_t at[2][MAX];
static double off[2][MAX];
static int nr[2];

static struct clock *run(const struct made *m, uint64_t seed)
{
	struct clock *c = clock_new();
	double t = 0;

	state = seed * 0x9e3779b97f4a7c15ull + 1;
	nr[0] = nr[1] = 0;
	assert_non_null(c);
	while ((t += -log(1 - uniform()) / m->rate * 1e9) < (double)m->length && nr[0] < MAX) {
		int64_t t1 = (int64_t)t;
		/* Received when their clock, at that moment of ours, shows it. */
		double there = delay(m->there, m->noise), work = delay(100, 200), back = delay(m->back, m->noise);
		int64_t arrived = t1 + (int64_t)there, left = arrived + (int64_t)work, t4 = left + (int64_t)back;
		double t2 = (double)arrived + truth(m, arrived), t3 = (double)left + truth(m, left);

		at[0][nr[0]] = t1;
		off[0][nr[0]++] = t2 - (double)t1;
		at[1][nr[1]] = t4;
		off[1][nr[1]++] = t3 - (double)t4;
		clock_at_most(c, t1, (int64_t)ceil(t2 - (double)t1) + 1);
		clock_at_least(c, t4, (int64_t)floor(t3 - (double)t4) - 1);
	}
	clock_fit(c);
	return c;
}

/* Half of what the lines leave that all proofs allow, by trying slopes one by one. */
static double best_half(int64_t t, double around)
{
	double least = 1e18, most = -1e18;

	for (int i = -400; i <= 400; i++) {
		double slope = around * 1e-6 + i * 2.5e-9, hi = 1e18, lo = -1e18;

		for (int k = 0; k < nr[0]; k++)
			hi = fmin(hi, off[0][k] - slope * (double)(at[0][k] - t));
		for (int k = 0; k < nr[1]; k++)
			lo = fmax(lo, off[1][k] - slope * (double)(at[1][k] - t));
		if (lo > hi)
			continue;
		least = fmin(least, lo);
		most = fmax(most, hi);
	}
	return (most - least) / 2;
}

static double half(const struct clock *c, int64_t t)
{
	struct clock_band b;

	assert_true(clock_at(c, t, &b));
	return (double)(b.hi - b.lo) / 2;
}

static void holds(const struct clock *c, const struct made *m)
{
	struct clock_band b;

	for (int64_t t = 0; t < m->length; t += m->length / 5000) {
		assert_true(clock_at(c, t, &b));
		if (truth(m, t) < (double)b.lo || truth(m, t) > (double)b.hi)
			fail_msg("at %lld of %lld: %.0f is not within %lld..%lld", (long long)t,
				 (long long)m->length, truth(m, t), (long long)b.lo, (long long)b.hi);
	}
}

static void test_even_drift(void **arg)
{
	static const double ppms[] = { 0, 0.5, -20, 200, -200 };

	(void)arg;
	for (unsigned p = 0; p < 5; p++)
		for (uint64_t seed = 1; seed <= 6; seed++) {
			struct made m = { .offset = (double)seed * 1e12 - 3e12, .ppm = ppms[p], .there = 3, .back = 3,
					  .noise = seed % 2 ? 20 : 200, .rate = 20.0 * (double)seed,
					  .length = 60 * SEC };
			struct clock *c = run(&m, seed);

			holds(c, &m);
			/*
			 * Where jitter is far above the fastest way, lines that hardly fit might
			 * as well be a drift that changed: these are not trusted.
			 */
			for (int64_t t = 10 * SEC; t < m.length; t += 10 * SEC)
				assert_true(half(c, t) <= (m.noise > 10 * m.there ? 5 : 2) *
							  best_half(t, m.ppm) + 100);
			clock_free(c);
		}
}

/* One way slower than the other cannot be seen, only allowed for. */
static void test_asymmetric_delay(void **arg)
{
	(void)arg;
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct made m = { .offset = -5e9, .ppm = 35, .there = seed % 2 ? 50 : 4000, .back = seed % 2 ? 9000 : 60,
				  .noise = 500, .rate = 100, .length = 40 * SEC };
		struct clock *c = run(&m, seed);

		holds(c, &m);
		assert_true(half(c, 20 * SEC) >= fabs(m.there - m.back) / 2 * US);
		assert_true(half(c, 20 * SEC) <= 2 * best_half(20 * SEC, m.ppm) + 100);
		clock_free(c);
	}
}

/* A host was suspended, or its drift changed: both sides stay right, and so does the middle. */
static void test_steps(void **arg)
{
	static const double steps[] = { 1e4, -1e5, 3e6, -2e9, 3e11 }, ppms[] = { 0, 0, 30, -150, 200 };

	(void)arg;
	for (unsigned p = 0; p < 5; p++)
		for (uint64_t seed = 1; seed <= 8; seed++) {
			struct made m = { .offset = 77e6, .ppm = 15, .step_at = 23 * SEC + (int64_t)seed * 777777777, .step = steps[p],
					  .step_ppm = ppms[p], .there = 20, .back = 30, .noise = 50,
					  .rate = 25.0 * (double)seed, .length = 60 * SEC };
			struct clock *c = run(&m, seed);

			holds(c, &m);
			/* Away from it no wider than without it. */
			assert_true(half(c, 10 * SEC) < 5 * 25 * US);
			assert_true(half(c, 50 * SEC) < 5 * 25 * US);
			clock_free(c);
		}
}

static void test_drift_changes(void **arg)
{
	(void)arg;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct made m = { .offset = 1e6, .ppm = -40, .step_at = 30 * SEC, .step_ppm = seed % 2 ? 90 : 3,
				  .there = 25, .back = 25, .noise = 40, .rate = 80, .length = 60 * SEC };
		struct clock *c = run(&m, seed);

		holds(c, &m);
		clock_free(c);
	}
}

static void test_sparse(void **arg)
{
	(void)arg;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct made m = { .offset = 1e6, .ppm = 100, .there = 100, .back = 100, .noise = 1000, .rate = 0.3,
				  .length = 400 * SEC };
		struct clock *c = run(&m, seed);

		if (nr[0] > 2)
			holds(c, &m);
		clock_free(c);
	}
}

static void test_one_side_is_no_band(void **arg)
{
	struct clock *c = clock_new();
	struct clock_band b;
	int64_t ours, bound;

	(void)arg;
	for (int i = 0; i < 100; i++)
		clock_at_most(c, i * SEC, 5000);
	clock_fit(c);
	assert_false(clock_at(c, 50 * SEC, &b));
	assert_false(clock_ours(c, 50 * SEC, &ours, &bound));
	clock_free(c);
	c = clock_new();
	clock_fit(c);
	assert_false(clock_at(c, 0, &b));
	clock_free(c);
}

static void test_there_and_back(void **arg)
{
	struct made m = { .offset = 123456789, .ppm = 180, .there = 10, .back = 10, .noise = 30, .rate = 100,
			  .length = 30 * SEC };
	struct clock *c = run(&m, 3);

	(void)arg;
	for (int64_t t = 0; t < m.length; t += SEC / 3) {
		int64_t ours, bound, before = 0;

		assert_true(clock_ours(c, t + (int64_t)truth(&m, t), &ours, &bound));
		assert_true(llabs(ours - t) <= bound + 2);
		assert_true(ours > before);		/* never backwards */
		before = ours;
	}
	clock_free(c);
}

/* More proofs than are kept. */
static void test_thinned(void **arg)
{
	struct made m = { .offset = 4e6, .ppm = 20, .there = 5, .back = 5, .noise = 100, .rate = 12000, .length = 30 * SEC };
	struct clock *c = clock_new();

	(void)arg;
	clock_free(c);
	c = run(&m, 9);
	assert_true(nr[0] == MAX);
	m.length = at[0][MAX - 1];
	holds(c, &m);
	assert_true(half(c, m.length / 2) < 2 * 5 * US);
	clock_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_even_drift),
		cmocka_unit_test(test_asymmetric_delay),
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_drift_changes),
		cmocka_unit_test(test_sparse),
		cmocka_unit_test(test_one_side_is_no_band),
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_thinned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
