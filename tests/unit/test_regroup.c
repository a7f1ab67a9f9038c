/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_regroup.c - messages that are refused and regrouped with each retry: each of their
 * attempts is told, in whatever batch it was, and no more than there is room for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "join_feed.h"

#define NOT_ENOUGH_REPLICAS 19

/*
 * One message at 1000, and maybe one more with each of `times` retries, 100 ms after the refusal
 * before: all that was refused goes in one batch.  Then they expire.
 */
static struct feed *refused(uint32_t times, bool more)
{
	struct feed *f = feed_new();
	uint64_t ms = 1005;

	producer(f, 0, 1000000);
	for (uint32_t i = 0; i < times; i++, ms += 120) {
		struct bat b = { 1, 4 + i, 1, 0xab0, 1, 0, 0, 1000, 1000 };

		if (more) {
			b.crc += i;
			b.count += i;
			b.created_last = (int64_t)(ms - 5);
		}

		written(f, ms, &b);
		replied(f, ms + 20, &b, NOT_ENOUGH_REPLICAS, -1);
	}
	acks(f, ms - 50, 1, 0, -192, 1, -1, more ? times : 1, 1000, more ? ms - 125 : 1000);
	feed_end(f);
	return f;
}

static const struct tl_batch *last_row(struct feed *f)
{
	for (uint32_t i = 0; i < f->nr; i++) {
		assert_null(unsound(f->out[i]));
		if (!f->out[i]->moved)
			return f->out[i];
	}
	fail_msg("no row");
	return NULL;
}

static void test_each_told(void **unused)
{
	struct feed *f = refused(40, true);
	const struct tl_batch *b = last_row(f);
	uint32_t sent = 0;

	(void)unused;
	for (uint32_t i = 0; i < b->nr_phases; i++) {
		sent += b->phases[i].name == TL_PHASE_BROKER_SIDE;
		if (b->phases[i].name == TL_PHASE_RETRY)
			assert_int_equal(b->phases[i].cause, TL_CAUSE_BROKER_ERROR);
	}
	assert_int_equal(sent, 40);
	assert_int_equal(phase_ms(b, TL_PHASE_UNKNOWN), 0);
	assert_int_equal(phase_ms(b, TL_PHASE_BROKER_SIDE), 40 * 20);
	assert_int_equal(b->verdict.cause, TL_CAUSE_BROKER_ERROR);
	feed_free(f);
}

static void told_in_short(bool more)
{
	struct feed *f = refused(300, more);
	const struct tl_batch *b = last_row(f);
	int64_t longest = 0;

	for (uint32_t i = 0; i < b->nr_phases; i++)
		if (b->phases[i].ns > longest) {
			longest = b->phases[i].ns;
			assert_true(longest < 200 * (int64_t)MS || b->phases[i].name == TL_PHASE_RETRY);
			assert_true(b->phases[i].name != TL_PHASE_RETRY || b->phases[i].cause == TL_CAUSE_BROKER_ERROR);
		}
	assert_true(longest > 20000 * (int64_t)MS);
	assert_int_equal(b->verdict.cause, TL_CAUSE_BROKER_ERROR);
	feed_free(f);
}

/* What has no room is the wait for the next attempt, not whatever came last. */
static void test_too_many(void **unused)
{
	(void)unused;
	told_in_short(true);
	told_in_short(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_told), cmocka_unit_test(test_too_many),
	};

	(void)feed_unused;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
