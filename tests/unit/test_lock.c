/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_lock.c - whom an append waited for: another's append and sync of the same log, by the
 * last sleep before it, which the probe tells, or inferred.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "join_feed.h"

static const struct bat first = { 1, 4, 1, 0xa, 1, 0, 0, 1000, 0 };
static const struct bat behind = { 2, 5, 1, 0xb, 1, 0, 0, 1003, 0 };

enum { HOLDER = 50, WAITER = 51, STRANGER = 60 };

/*
 * The first is appended and synced from 1003 to 1405; the other, of another connection, is read
 * at 1010 and appended at 1406, its thread woken at 1405 after so much sleep.
 */
static const struct tl_phase *queued(struct feed *f, uint32_t waker, uint64_t sleep_ns)
{
	struct event ev = at(&f->probe, AT_EV_WAKE, 1405);

	producer(f, 0, 1000000);
	connection(f, 960, 2);
	probe(f);
	written(f, 1001, &first);
	arrived(f, 1002, 1002, &first);
	appended(f, 1003, 1004, HOLDER, &first, 10);
	written(f, 1009, &behind);
	arrived(f, 1010, 1010, &behind);
	flushed(f, 1005, 1400);
	synced(f, 1004, 1402, HOLDER, FILE_SEGMENT, AT_CALL_FSYNC);
	synced(f, 1402, 1405, HOLDER, FILE_INDEX, AT_CALL_MSYNC);
	ev.tid = WAITER;
	ev.wake.pid = 9;
	ev.wake.waker = waker;
	ev.wake.sleep_ns = sleep_ns;
	if (waker)
		give(f, ev);
	appended(f, 1406, 1407, WAITER, &behind, 11);
	answered(f, 1406, &first);
	answered(f, 1408, &behind);
	replied(f, 1407, &first, 0, 10);
	acks(f, 1407, 1, 0, 0, 2, 10, 1, 1000, 1000);
	replied(f, 1409, &behind, 0, 11);
	acks(f, 1409, 1, 0, 0, 2, 11, 1, 1003, 1003);
	feed_end(f);
	assert_int_equal(f->nr, 2);
	assert_null(unsound(f->out[1]));
	assert_int_equal(f->out[1]->crc, 0xb);
	assert_int_equal(phase_ms(f->out[1], TL_PHASE_QUEUE), 396);
	return phase_of(f->out[1], TL_PHASE_QUEUE);
}

static void waited(struct feed *f, const struct tl_phase *p, enum tl_known known)
{
	assert_int_equal(p->cause, TL_CAUSE_LOG_LOCK);
	assert_int_equal(p->behind, TL_CAUSE_LEADER_FSYNC);
	assert_int_equal(p->known, known);
	assert_non_null(strstr(p->culprit, "the append at offset 10 of"));
	assert_int_equal(f->out[1]->verdict.cause, TL_CAUSE_LEADER_FSYNC);
	feed_free(f);
}

/* Woken by who had it: that is known. */
static void test_woken(void **state)
{
	struct feed *f = feed_new();

	(void)state;
	waited(f, queued(f, HOLDER, 394 * MS), TL_KNOWN_EXACT);
}

/* Nothing tells; others had it nearly all the time, and the last handed it over. */
static void test_untold(void **state)
{
	struct feed *f = feed_new();

	(void)state;
	waited(f, queued(f, 0, 0), TL_KNOWN_INFERRED);
}

/* Who waits for a lock of the JVM looks again and again: the last sleep may be as short as can be. */
static void test_looked_again(void **state)
{
	struct feed *f = feed_new();

	(void)state;
	waited(f, queued(f, STRANGER, MS / 40), TL_KNOWN_INFERRED);
}

/* It slept all the time, and somebody else ended that: it waited for something else. */
static void test_other_sleep(void **state)
{
	struct feed *f = feed_new();
	const struct tl_phase *p = queued(f, STRANGER, 394 * MS);

	(void)state;
	assert_int_equal(p->cause, TL_CAUSE_UNKNOWN);
	assert_int_equal(f->out[1]->verdict.cause, TL_CAUSE_BROKER_SIDE);
	feed_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_woken),
		cmocka_unit_test(test_untold),
		cmocka_unit_test(test_looked_again),
		cmocka_unit_test(test_other_sleep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
