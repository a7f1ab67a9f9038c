/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two clocks whose offset is known because it was made up: the stated band must hold
 * it always, and be no wider than twice what the same proofs allow at best.
 */
#include "make_clock.h"

/* No wider than twice what is possible. */
static void test_width(const struct clock *c, const struct made *m, int64_t t)
{
	double best = best_even(0, (double)m->length, (double)t), half = made_half(c, t);

	/*
	 * Where jitter is far above the fastest way, a drift that changed unseen might be
	 * further off than that: then it is what such a change leaves that counts.
	 */
	if (half > 2 * best + 100)
		best = best_honest(0, (double)m->length, (double)t);
	if (half > 2 * best + 100)
		fail_msg("at %lld: %.0f ns, best is %.0f", (long long)t, half, best);
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
			struct clock *c = made_clock(&m, seed, 0);

			made_holds(c, &m);
			for (int64_t t = 0; t < m.length; t += 5 * SEC)
				test_width(c, &m, t);
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
		struct clock *c = made_clock(&m, seed, 0);

		made_holds(c, &m);
		assert_true(made_half(c, 20 * SEC) >= fabs(m.there - m.back) / 2 * US);
		for (int64_t t = 0; t < m.length; t += 5 * SEC)
			test_width(c, &m, t);
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
			struct made m = { .offset = 77e6, .ppm = 15, 
					  .change = { { 23 * SEC + (int64_t)seed * 777777777, steps[p], ppms[p] } },
					  .there = 20, .back = 30, .noise = 50,
					  .rate = 25.0 * (double)seed, .length = 60 * SEC };
			struct clock *c = made_clock(&m, seed, 0);

			made_holds(c, &m);
			/* Away from it no wider than without it. */
			assert_true(made_half(c, 10 * SEC) < 5 * 25 * US);
			assert_true(made_half(c, 50 * SEC) < 5 * 25 * US);
			clock_free(c);
		}
}

static void test_drift_changes(void **arg)
{
	(void)arg;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct made m = { .offset = 1e6, .ppm = -40, .change = { { 30 * SEC, 0, seed % 2 ? 90 : 3 } },
				  .there = 25, .back = 25, .noise = 40, .rate = 80, .length = 60 * SEC };
		struct clock *c = made_clock(&m, seed, 0);

		made_holds(c, &m);
		clock_free(c);
	}
}

static void test_sparse(void **arg)
{
	(void)arg;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct made m = { .offset = 1e6, .ppm = 100, .there = 100, .back = 100, .noise = 1000, .rate = 0.3,
				  .length = 400 * SEC };
		struct clock *c = made_clock(&m, seed, 0);

		if (made_nr > 4)
			made_holds(c, &m);
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
	struct clock *c = made_clock(&m, 3, 0);

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
	struct clock *c = made_clock(&m, 9, 0);

	(void)arg;
	assert_true(made_nr > 2 * CLOCK_PROOFS);
	made_holds(c, &m);
	assert_true(made_half(c, m.length / 2) < 2 * 5 * US);
	clock_free(c);
	/* And very few of them, while it drifts by far more than the delays. */
	m.ppm = 200;
	m.rate = 100;
	m.length = 300 * SEC;
	c = made_clock(&m, 10, 1024);
	made_holds(c, &m);
	for (int64_t t = 0; t < m.length; t += 15 * SEC)
		test_width(c, &m, t);
	clock_free(c);
}

/* What a damaged trail may tell: nothing is known then, but it comes to an end. */
static void test_nonsense(void **arg)
{
	(void)arg;
	for (uint64_t seed = 1; seed <= 300; seed++) {
		struct clock *c = clock_new();
		struct clock_band b;
		int64_t ours, bound;

		made_state = seed * 0x9e3779b97f4a7c15ull;
		for (int i = (int)(seed % 97); i >= 0; i--) {
			double wide = pow(2, 63 * made_uniform()), far = pow(2, 63 * made_uniform());

			(i % 2 ? clock_at_most : clock_at_least)(c, (int64_t)(wide * (made_uniform() - 0.5)),
								 (int64_t)(far * (made_uniform() - 0.5)));
		}
		clock_fit(c);
		if (clock_at(c, 0, &b))
			assert_true(b.lo <= b.hi);
		clock_ours(c, 0, &ours, &bound);
		clock_free(c);
	}
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
		cmocka_unit_test(test_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
