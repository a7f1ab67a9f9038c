/* SPDX-License-Identifier: BSD-2-Clause */
/* test_health.c - the slow-disk alarms, on samples written by hand: one every 3 s. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include "health.h"

#define SEC 1000000000LL

struct disk {
	struct health h;
	int64_t	 ns;
	uint64_t ios, busy_ms, flushes, flush_ms;
};

static struct disk *disk(bool rotational)
{
	struct disk *d = calloc(1, sizeof(*d));

	d->h.rotational = rotational;
	d->ns = 1000 * SEC;
	health_add(&d->h, d->ns, 0, 0, 0, 0, 0);
	return d;
}

/* n samples of `ios` completed and `busy_ms` each. */
static const struct health_sample *run(struct disk *d, unsigned n, uint64_t ios, uint64_t busy_ms)
{
	const struct health_sample *s = NULL;

	while (n--) {
		d->ns += 3 * SEC;
		d->ios += ios;
		d->busy_ms += busy_ms;
		s = health_add(&d->h, d->ns, d->ios / 2, d->ios - d->ios / 2, d->busy_ms, d->flushes, d->flush_ms);
		assert_non_null(s);
	}
	return s;
}

static const struct health_alarm *alarm_of(const struct disk *d, enum health_alarm_id id, unsigned nth)
{
	for (unsigned i = 0; i < d->h.nr_alarms; i++)
		if (d->h.alarm[i].id == id && !nth--)
			return &d->h.alarm[i];
	return NULL;
}

static void test_svctm(void **state)
{
	struct disk *d = disk(false);
	const struct health_sample *s;

	(void)state;
	s = run(d, 1, 100, 1500);
	assert_int_equal(s->svctm_ns, 15000000);
	assert_int_equal(s->length_ns, 3 * SEC);
	/* No I/O, and busy without completing any: 0. */
	assert_int_equal(run(d, 1, 0, 0)->svctm_ns, 0);
	assert_int_equal(run(d, 1, 0, 3000)->svctm_ns, 0);
	/* Flushes are no reads or writes. */
	d->flushes += 10;
	d->flush_ms += 2000;
	s = run(d, 1, 1, 1);
	assert_int_equal(s->svctm_ns, 1000000);
	assert_int_equal(s->flush_ns, 200000000);
	/* Counters that begin again: no sample. */
	assert_null(health_add(&d->h, d->ns + 3 * SEC, 0, 0, 0, 0, 0));
	free(d);
}

static void test_short_rule(void **state)
{
	struct disk *d = disk(true);
	const struct health_alarm *a;
	int64_t seventh;

	(void)state;
	run(d, 20, 100, 100);
	run(d, 6, 2, 2000);
	assert_int_equal(d->h.nr_alarms, 0);
	seventh = d->ns + 3 * SEC;
	run(d, 1, 2, 2000);
	a = alarm_of(d, HEALTH_12033, 0);
	assert_non_null(a);
	assert_int_equal(a->raised_ns, seventh);
	assert_true(a->rule[HEALTH_SHORT]);
	assert_int_equal(a->cleared_ns, 0);
	/* It holds as long as seven of the last ten are slow: three more samples; then 90 s. */
	run(d, 3 + 29, 100, 100);
	assert_int_equal(a->cleared_ns, 0);
	run(d, 1, 100, 100);
	assert_int_equal(a->cleared_ns, seventh + (9 + 90) * SEC);
	assert_null(alarm_of(d, HEALTH_12180, 0));
	/* Raised again: another alarm. */
	run(d, 7, 2, 2000);
	assert_non_null(alarm_of(d, HEALTH_12033, 1));
	free(d);
}

/* Seven slow ones that lie further apart than 30 s hold are none. */
static void test_spread(void **state)
{
	struct disk *d = disk(true);

	(void)state;
	for (int i = 0; i < 6; i++) {
		run(d, 1, 2, 2000);
		run(d, 1, 100, 100);
	}
	assert_int_equal(d->h.nr_alarms, 0);
	free(d);
}

/* HDD and SSD differ. */
static void test_long_rule(void **state)
{
	(void)state;
	for (int rotational = 0; rotational < 2; rotational++) {
		struct disk *d = disk(rotational);
		const struct health_alarm *a;

		run(d, 49, 100, 2500);		/* 25 ms */
		assert_int_equal(d->h.nr_alarms, 0);
		run(d, 1, 100, 2500);
		a = alarm_of(d, HEALTH_12033, 0);
		assert_int_equal(a != NULL, !rotational);
		if (a) {
			assert_int_equal(a->raised_ns, d->ns);
			assert_false(a->rule[HEALTH_SHORT]);
			/* 50 of 100 while the window slides over healthy ones: 50 samples more. */
			run(d, 50 + 299, 100, 100);
			assert_int_equal(a->cleared_ns, 0);
			run(d, 1, 100, 100);
			assert_int_equal(a->cleared_ns, a->raised_ns + 150 * SEC + 900 * SEC);
		}
		run(d, 50, 10, 1600);		/* 160 ms */
		assert_non_null(alarm_of(d, HEALTH_12033, !rotational));
		assert_null(alarm_of(d, HEALTH_12180, 0));
		free(d);
	}
}

static void test_12180(void **state)
{
	struct disk *ssd = disk(false), *hdd = disk(true);

	(void)state;
	run(ssd, 7, 1, 3000);
	run(hdd, 7, 1, 3000);
	assert_non_null(alarm_of(ssd, HEALTH_12180, 0));
	assert_null(alarm_of(hdd, HEALTH_12180, 0));
	run(hdd, 43, 1, 3000);		/* half of 300 s above 1 s */
	assert_non_null(alarm_of(hdd, HEALTH_12180, 0));
	assert_true(alarm_of(hdd, HEALTH_12180, 0)->rule[HEALTH_LONG]);
	free(ssd);
	free(hdd);
}

/* Nothing to do is healthy for ever; busy and nothing done is infinitely slow after 300 s. */
static void test_nothing_completed(void **state)
{
	struct disk *idle = disk(false), *hung = disk(false);
	const struct health_alarm *a;

	(void)state;
	run(idle, 300, 0, 0);
	assert_int_equal(idle->h.nr_alarms, 0);
	run(hung, 99, 0, 3000);
	assert_int_equal(hung->h.nr_alarms, 0);
	run(hung, 1, 0, 3000);
	a = alarm_of(hung, HEALTH_12033, 0);
	assert_non_null(a);
	assert_true(a->rule[HEALTH_LONG]);
	assert_non_null(alarm_of(hung, HEALTH_12180, 0));
	free(idle);
	free(hung);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_svctm), cmocka_unit_test(test_short_rule), cmocka_unit_test(test_spread),
		cmocka_unit_test(test_long_rule), cmocka_unit_test(test_12180),
		cmocka_unit_test(test_nothing_completed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
