/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_late.c - a broker that lags behind: it reads and appends what its client gave up
 * long ago, whose messages went on in another batch.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "join_feed.h"

static const struct bat first = { 1, 4, 1, 0xa, 2, 0, 0, 1000, 1100 };
static const struct bat taker = { 2, 5, 1, 0xc, 3, 0, 0, 1000, 1200 };

/* The taker is acknowledged at 3130; the first was read and not appended yet, or not read. */
static struct feed *regrouped(bool read)
{
	struct feed *f = feed_new();

	producer(f, 0, 1000000);
	probe(f);
	written(f, 1106, &first);
	connection_end(f, 3000, 1);
	connection(f, 3010, 2);
	written(f, 3110, &taker);
	if (read)
		arrived(f, 1107, 3112, &first);
	arrived(f, 3111, 3113, &taker);
	appended(f, 3114, 3115, 50, &taker, 10);
	synced(f, 3115, 3116, 50, FILE_SEGMENT, 0);
	answered(f, 3120, &taker);
	replied(f, 3121, &taker, 0, 10);
	acks(f, 3130, 1, 0, 0, 2, 10, 3, 1000, 1200);
	return f;
}

/* A sign that time went on. */
static void later(struct feed *f, uint64_t ms)
{
	struct event ev = at(&f->probe, AT_EV_WAKE, ms);

	ev.wake.pid = 9;
	give(f, ev);
}

static void test_appended_late(void **state)
{
	struct feed *f = regrouped(true);

	(void)state;
	later(f, 20000);
	appended(f, 20001, 20002, 51, &first, 13);
	arrival_ended(f, 20100, 1);
	later(f, 90000);
	assert_int_equal(f->nr, 2);		/* nothing is waited for any more */
	feed_end(f);
	assert_int_equal(f->nr, 2);		/* and no third: both have a client */
	assert_int_equal(f->out[0]->crc, 0xc);
	assert_int_equal(f->out[0]->outcome, TL_OUTCOME_ACKED);
	assert_int_equal(f->out[1]->crc, 0xa);
	assert_true(f->out[1]->moved);
	assert_int_equal(f->out[1]->in_log, TL_IN_LOG_YES);
	assert_int_equal(f->out[1]->attempts[0].base_offset, 13);
	assert_null(unsound(f->out[0]));
	assert_null(unsound(f->out[1]));
	feed_free(f);
}

/* Never read, and its connection was closed at both ends: the rows need not wait for more. */
static void test_never_read(void **state)
{
	struct feed *f = regrouped(false);

	(void)state;
	arrival_ended(f, 4000, 1);
	later(f, 90000);
	assert_int_equal(f->nr, 2);
	assert_true(f->out[1]->moved);
	assert_int_equal(f->out[1]->in_log, TL_IN_LOG_UNKNOWN);
	feed_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_appended_late),
		cmocka_unit_test(test_never_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
