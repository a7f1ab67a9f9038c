/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_quiet.c - the broker had a request for two seconds and nothing is known of it:
 * its process stood still, or its handlers were busy, only where something shows it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "join_feed.h"

static const struct bat before = { 1, 4, 1, 0xab0, 5, 0, 0, 980, 0 };
static const struct bat late = { 1, 5, 1, 0xab1, 5, 0, 0, 1000, 0 };
static const struct bat other = { 2, 9, 1, 0xab2, 5, 1, 0, 1000, 0 };

static struct feed *begun(void)
{
	struct feed *f = feed_new();

	producer(f, 0, 1000000);
	connection(f, 950, 2);
	probe(f);
	written(f, 981, &before);
	arrived(f, 982, 982, &before);
	appended(f, 983, 984, 4, &before, 10);
	answered(f, 985, &before);
	replied(f, 986, &before, 0, 10);
	acks(f, 986, 1, 0, 0, 2, 10, 5, 980, 980);
	return f;
}

static enum tl_cause ended(struct feed *f, uint32_t tid)
{
	enum tl_cause cause = TL_CAUSE_UNKNOWN;

	appended(f, 3011, 3012, tid, &late, 15);
	answered(f, 3013, &late);
	replied(f, 3014, &late, 0, 15);
	acks(f, 3014, 1, 0, 0, 2, 15, 5, 1000, 1000);
	feed_end(f);
	for (uint32_t i = 0; i < f->nr; i++)
		if (f->out[i]->crc == late.crc)
			cause = f->out[i]->verdict.cause;
	feed_free(f);
	return cause;
}

/* Arrived at 1006, read at 3010. */
static void test_paused(void **unused)
{
	struct feed *f = begun();

	(void)unused;
	written(f, 1005, &late);
	arrived(f, 1006, 3010, &late);
	assert_int_equal(ended(f, 4), TL_CAUSE_PAUSED);
}

/* The same, but another connection's request was read meanwhile: the process ran. */
static void test_alive(void **unused)
{
	struct feed *f = begun();

	(void)unused;
	written(f, 1005, &late);
	written(f, 2000, &other);
	arrived(f, 2001, 2001, &other);
	arrived(f, 1006, 3010, &late);
	assert_int_equal(ended(f, 4), TL_CAUSE_BROKER_SIDE);
}

/* Read at once, appended at 3011 by the thread that had another's append until then, or by one that had not. */
static enum tl_cause queued(uint32_t tid)
{
	struct feed *f = begun();

	written(f, 1000, &other);
	arrived(f, 1001, 1001, &other);
	written(f, 1005, &late);
	arrived(f, 1006, 1006, &late);
	appended(f, 3000, 3009, 4, &other, 30);
	return ended(f, tid);
}

static void test_busy(void **unused)
{
	(void)unused;
	assert_int_equal(queued(4), TL_CAUSE_BROKER_BUSY);
	assert_int_equal(queued(5), TL_CAUSE_BROKER_SIDE);
}

/*
 * Read at once, and its log is held by another's append and sync until 3008.  Then its thread is woken by one
 * that had appended to that log long before, and had it once more for a moment; or by one that never did.
 */
static enum tl_cause handed_on(uint32_t waker, uint64_t slept_ms)
{
	static const struct bat holds = { 2, 9, 1, 0xad0, 5, 0, 0, 1000, 0 };
	struct feed *f = begun();
	struct event ev;

	written(f, 1000, &holds);
	arrived(f, 1001, 1001, &holds);
	written(f, 1005, &late);
	arrived(f, 1006, 1006, &late);
	appended(f, 1002, 1003, 5, &holds, 30);
	synced(f, 1003, 3008, 5, FILE_SEGMENT, AT_CALL_FSYNC);
	ev = at(&f->probe, AT_EV_WAKE, 3009);
	ev.tid = 6;
	ev.wake.waker = waker;
	ev.wake.sleep_ns = slept_ms * MS;
	give(f, ev);
	return ended(f, 6);
}

static void test_handed_on(void **unused)
{
	(void)unused;
	assert_int_equal(handed_on(4, 2000), TL_CAUSE_LEADER_FSYNC);	/* thread 4 made the append before all that */
	assert_int_equal(handed_on(8, 2000), TL_CAUSE_BROKER_SIDE);
	/* The last of its sleeps says nothing of what was before it. */
	assert_int_equal(handed_on(8, 1), TL_CAUSE_LEADER_FSYNC);
}

/* Read at once; its thread rolls the segment from 1010 to `until`, and for the rest nothing tells; or it did that for another. */
static enum tl_cause rolled(uint64_t until, bool own)
{
	struct feed *f = begun();

	written(f, 1000, &other);
	arrived(f, 1001, 1001, &other);
	written(f, 1005, &late);
	arrived(f, 1006, 1006, &late);
	synced(f, 1010, until, 4, FILE_INDEX, AT_CALL_FSYNC);
	if (!own) {
		appended(f, until, until + 1, 4, &other, 30);
		answered(f, until + 2, &other);
	}
	return ended(f, 4);
}

static void test_rolled(void **unused)
{
	(void)unused;
	assert_int_equal(rolled(2800, true), TL_CAUSE_LEADER_FSYNC);
	assert_int_equal(rolled(3010, true), TL_CAUSE_LEADER_FSYNC);
	assert_int_equal(rolled(1900, true), TL_CAUSE_BROKER_SIDE);
	assert_int_not_equal(rolled(2800, false), TL_CAUSE_LEADER_FSYNC);
}

/*
 * It stood still with one in its receive buffer, which had no room for `late`: that came in once
 * the first was answered, and waited for the third, all of it worked off quickly.
 */
static enum tl_cause backlog(bool still)
{
	static const struct bat first = { 1, 5, 1, 0xac0, 5, 0, 0, 1000, 0 };
	static const struct bat third = { 1, 6, 1, 0xac1, 5, 0, 0, 2850, 0 };
	static const struct bat last = { 1, 7, 1, 0xac2, 5, 0, 0, 2860, 0 };
	enum tl_cause cause = TL_CAUSE_UNKNOWN;
	struct feed *f = begun();

	written(f, 1005, &first);
	if (!still) {
		written(f, 2000, &other);
		arrived(f, 2001, 2001, &other);
	}
	written(f, 2855, &third);
	written(f, 2865, &last);
	arrived(f, 1006, 3010, &first);
	appended(f, 3011, 3012, 4, &first, 15);
	answered(f, 3080, &first);
	arrived(f, 2856, 3081, &third);
	appended(f, 3082, 3083, 4, &third, 20);
	answered(f, 3290, &third);
	arrived(f, 3291, 3300, &last);
	appended(f, 3301, 3302, 4, &last, 25);
	answered(f, 3303, &last);
	replied(f, 3304, &last, 0, 25);
	acks(f, 3304, 1, 0, 0, 2, 15, 15, 1000, 2860);
	feed_end(f);
	for (uint32_t i = 0; i < f->nr; i++)
		if (f->out[i]->crc == last.crc)
			cause = f->out[i]->verdict.cause;
	feed_free(f);
	return cause;
}

static void test_backlog(void **unused)
{
	(void)unused;
	assert_int_equal(backlog(true), TL_CAUSE_PAUSED);
	assert_int_equal(backlog(false), TL_CAUSE_BROKER_SIDE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paused), cmocka_unit_test(test_alive), cmocka_unit_test(test_busy),
		cmocka_unit_test(test_backlog), cmocka_unit_test(test_rolled), cmocka_unit_test(test_handed_on),
	};

	(void)feed_unused;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
