/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_index_stall.c - an append that waits behind its write, for an index: that is the append's time,
 * and of those behind it; what the thread waits for in its sync, or behind the answer, is not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "join_feed.h"

static const struct bat ahead = { 1, 4, 1, 0xa, 1, 0, 0, 1000, 0 };
static const struct bat behind = { 1, 5, 1, 0xb, 1, 0, 0, 1001, 0 };

enum { HANDLER = 50 };

static void paused_for(struct feed *f, uint64_t begin, uint64_t end, uint32_t why, bool fault)
{
	struct event ev = at(&f->probe, AT_EV_PAUSE, end);

	ev.tid = HANDLER;
	ev.pause.begin_ns = begin * MS;
	ev.pause.dev = 7;
	ev.pause.pid = 9;
	ev.pause.why = why;
	ev.pause.fault = fault;
	ev.pause.transaction = why == AT_PAUSE_JOURNAL ? 77 : 0;
	give(f, ev);
}

static void paused(struct feed *f, uint64_t begin, uint64_t end)
{
	paused_for(f, begin, end, AT_PAUSE_JOURNAL, true);
}

/* The first is appended at 1003, and answered at 1210; what was sent behind it is read then. */
static struct feed *fed_of(uint64_t pause, uint64_t until, uint64_t sync_end, bool fault)
{
	struct feed *f = feed_new();

	producer(f, 0, 1000000);
	probe(f);
	written(f, 1001, &ahead);
	arrived(f, 1002, 1002, &ahead);
	written(f, 1002, &behind);
	appended(f, 1003, 1004, HANDLER, &ahead, 10);
	if (until < 1210)
		paused_for(f, pause, until, AT_PAUSE_JOURNAL, fault);
	if (sync_end)
		synced(f, 1004, sync_end, HANDLER, FILE_SEGMENT, AT_CALL_FSYNC);
	answered(f, 1210, &ahead);
	replied(f, 1211, &ahead, 0, 10);
	acks(f, 1211, 1, 0, 0, 2, 10, 1, 1000, 1000);
	if (until > 1210)
		paused(f, pause, until);
	arrived(f, 1003, 1212, &behind);
	appended(f, 1213, 1214, HANDLER, &behind, 11);
	answered(f, 1215, &behind);
	replied(f, 1216, &behind, 0, 11);
	acks(f, 1216, 1, 0, 0, 2, 11, 1, 1001, 1001);
	feed_end(f);
	assert_int_equal(f->nr, 2);
	assert_null(unsound(f->out[0]));
	assert_null(unsound(f->out[1]));
	return f;
}

static struct feed *fed(uint64_t pause, uint64_t until, uint64_t sync_end)
{
	return fed_of(pause, until, sync_end, true);
}

/* In a call of its own, which need be none for this batch; or so late that something else was done before. */
static void test_another_wait(void **state)
{
	struct feed *f = fed_of(1005, 1205, 0, false);

	(void)state;
	assert_int_equal(phase_ms(f->out[0], TL_PHASE_APPEND), 1);
	assert_int_equal(f->out[0]->verdict.cause, TL_CAUSE_BROKER_SIDE);
	feed_free(f);
	f = fed_of(1055, 1205, 0, true);
	assert_int_equal(phase_ms(f->out[0], TL_PHASE_APPEND), 1);
	assert_int_equal(f->out[0]->verdict.cause, TL_CAUSE_BROKER_SIDE);
	feed_free(f);
}

static void test_index(void **state)
{
	struct feed *f = fed(1005, 1205, 0);

	(void)state;
	assert_int_equal(phase_ms(f->out[0], TL_PHASE_APPEND), 202);
	assert_int_equal(phase_of(f->out[0], TL_PHASE_APPEND)->parts->part[TL_PART_SHARED] / MS, 200);
	assert_int_equal(f->out[0]->verdict.cause, TL_CAUSE_APPEND_STALL);
	assert_int_equal(f->out[0]->attempts[0].append_end_ns / MS, 1004);
	assert_int_equal(phase_of(f->out[1], TL_PHASE_BEHIND)->cause, TL_CAUSE_APPEND_STALL);
	assert_int_equal(f->out[1]->verdict.cause, TL_CAUSE_APPEND_STALL);
	feed_free(f);
}

static void test_sync(void **state)
{
	struct feed *f = fed(1005, 1205, 1206);

	(void)state;
	assert_int_equal(phase_ms(f->out[0], TL_PHASE_APPEND), 1);
	assert_int_equal(f->out[0]->verdict.cause, TL_CAUSE_LEADER_FSYNC);
	assert_int_equal(f->out[1]->verdict.cause, TL_CAUSE_LEADER_FSYNC);
	feed_free(f);
}

static void test_behind_the_answer(void **state)
{
	struct feed *f = fed(1005, 1211, 0);

	(void)state;
	assert_int_equal(phase_ms(f->out[0], TL_PHASE_APPEND), 1);
	assert_int_equal(f->out[0]->verdict.cause, TL_CAUSE_BROKER_SIDE);
	feed_free(f);
}

/* Throttled again and again, with a wait for the journal before; a sync behind it, and what lies in that, is apart. */
static void test_throttled(void **state)
{
	struct feed *f = feed_new();
	const struct tl_parts *parts;

	(void)state;
	producer(f, 0, 1000000);
	probe(f);
	written(f, 1001, &ahead);
	arrived(f, 1002, 1002, &ahead);
	appended(f, 1003, 1004, HANDLER, &ahead, 10);
	paused_for(f, 1004, 1010, AT_PAUSE_JOURNAL, true);
	for (uint64_t ms = 1010; ms < 1130; ms += 40)
		paused_for(f, ms, ms + 39, AT_PAUSE_DIRTY, true);
	paused_for(f, 1141, 1399, AT_PAUSE_PAGE, false);
	synced(f, 1140, 1400, HANDLER, FILE_SEGMENT, AT_CALL_FSYNC);
	answered(f, 1401, &ahead);
	paused_for(f, 1402, 1900, AT_PAUSE_DIRTY, true);
	replied(f, 1901, &ahead, 0, 10);
	acks(f, 1901, 1, 0, 0, 1, 10, 1, 1000, 1000);
	feed_end(f);
	assert_int_equal(f->nr, 1);
	assert_null(unsound(f->out[0]));
	assert_int_equal(phase_ms(f->out[0], TL_PHASE_APPEND), 137);
	parts = phase_of(f->out[0], TL_PHASE_APPEND)->parts;
	assert_int_equal(parts->part[TL_PART_DIRTY] / MS, 3 * 39);
	assert_int_equal(phase_ms(f->out[0], TL_PHASE_FSYNC), 260);
	feed_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_index),
		cmocka_unit_test(test_another_wait),
		cmocka_unit_test(test_sync),
		cmocka_unit_test(test_throttled),
		cmocka_unit_test(test_behind_the_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
