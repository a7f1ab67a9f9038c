/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_handlers.c - a request that lay until a handler was done with another one: that none
 * was free is said only where no other is known to have stood idle.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "join_feed.h"

static const struct bat synced_one = { 1, 4, 1, 0xa, 1, 0, 0, 1000, 0 };
static const struct bat queued_one = { 2, 5, 1, 0xb, 1, 1, 0, 1003, 0 };
static const struct bat earlier = { 3, 6, 1, 0xc, 1, 2, 0, 980, 0 };
static const struct bat read_too = { 4, 7, 1, 0xd, 1, 3, 0, 1001, 0 };

enum { BUSY = 50, OTHER = 51 };

/* Until its answer the other handler was at a batch of another partition. */
static void other_handler(struct feed *f, bool answer)
{
	written(f, 981, &earlier);
	arrived(f, 982, 982, &earlier);
	appended(f, 983, 984, OTHER, &earlier, 30);
	if (!answer)
		return;
	answered(f, 985, &earlier);
	replied(f, 986, &earlier, 0, 30);
	acks(f, 986, 1, 2, 0, 2, 30, 1, 980, 980);
}

/* One is appended and synced from 1003 to 1405; the other is read at 1010, and the same thread appends it at 1406. */
static const struct tl_phase *queued(struct feed *f)
{
	written(f, 1001, &synced_one);
	arrived(f, 1002, 1002, &synced_one);
	appended(f, 1003, 1004, BUSY, &synced_one, 10);
	written(f, 1009, &queued_one);
	arrived(f, 1010, 1010, &queued_one);
	flushed(f, 1005, 1400);
	synced(f, 1004, 1405, BUSY, FILE_SEGMENT, AT_CALL_FSYNC);
	answered(f, 1405, &synced_one);
	appended(f, 1406, 1407, BUSY, &queued_one, 20);
	answered(f, 1408, &queued_one);
	replied(f, 1407, &synced_one, 0, 10);
	acks(f, 1407, 1, 0, 0, 2, 10, 1, 1000, 1000);
	replied(f, 1409, &queued_one, 0, 20);
	acks(f, 1409, 1, 1, 0, 2, 20, 1, 1003, 1003);
	feed_end(f);
	for (uint32_t i = 0; i < f->nr; i++) {
		assert_null(unsound(f->out[i]));
		if (f->out[i]->crc == queued_one.crc)
			return phase_of(f->out[i], TL_PHASE_QUEUE);
	}
	return NULL;
}

static struct feed *begin(void)
{
	struct feed *f = feed_new();

	topic(f, &f->client, 1, "orders");
	instance(f, 900, 0, 1000000);
	for (uint32_t conn = 1; conn <= 4; conn++)
		connection(f, 950 + conn, conn);
	probe(f);
	return f;
}

static void test_only_one(void **state)
{
	struct feed *f = begin();
	const struct tl_phase *p = queued(f);

	(void)state;
	assert_int_equal(p->ns / MS, 396);
	assert_int_equal(p->cause, TL_CAUSE_LEADER_FSYNC);
	assert_int_equal(p->known, TL_KNOWN_INFERRED);
	feed_free(f);
}

static void test_another_was_free(void **state)
{
	struct feed *f = begin();

	(void)state;
	other_handler(f, true);
	assert_int_equal(queued(f)->cause, TL_CAUSE_UNKNOWN);
	feed_free(f);
}

static void test_another_was_busy(void **state)
{
	struct feed *f = begin();

	(void)state;
	other_handler(f, false);
	assert_int_equal(queued(f)->cause, TL_CAUSE_LEADER_FSYNC);
	feed_free(f);
}

/* It may be the one at the request that nobody is known to be at. */
static void test_another_may_have_been_busy(void **state)
{
	struct feed *f = begin();

	(void)state;
	other_handler(f, true);
	written(f, 1001, &read_too);
	arrived(f, 1002, 1002, &read_too);
	assert_int_equal(queued(f)->cause, TL_CAUSE_LEADER_FSYNC);
	feed_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_one),
		cmocka_unit_test(test_another_was_free),
		cmocka_unit_test(test_another_was_busy),
		cmocka_unit_test(test_another_may_have_been_busy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
