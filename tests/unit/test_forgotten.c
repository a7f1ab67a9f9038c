/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_forgotten.c - Kafka's default: nothing is ever synced, so whether a batch reached the disk is not
 * known for long; what held it is, and does not get lost meanwhile on a connection with many requests.
 * Nor behind a batch that expired on a connection which its broker keeps open. And one stop of a process
 * is one, however many of its threads tell of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "join_feed.h"
#include "join_int.h"

#define LATER	1500u

static struct bat batch(uint32_t nr, uint64_t created)
{
	return (struct bat){ 1, nr, 1, 0x1000 + nr, 1, 0, 0, created, 0 };
}

static void quickly(struct feed *f, uint64_t ms, const struct bat *b, int64_t offset)
{
	written(f, ms, b);
	arrived(f, ms, ms, b);
	appended(f, ms, ms + 1, 50, b, offset);
	answered(f, ms + 1, b);
	replied(f, ms + 2, b, 0, offset);
	acks(f, ms + 2, 1, 0, 0, 2, offset, 1, b->created, b->created);
}

/* A journal holds the first, the second lies behind it, and then come many. */
static void many_behind(struct feed *f)
{
	struct bat slow = batch(1, 1000), held = batch(2, 1001);
	struct event ev;

	/* The first one's append waits for a journal, and the second lies behind it. */
	written(f, 1001, &slow);
	arrived(f, 1002, 1002, &slow);
	written(f, 1002, &held);
	ev = at(&f->probe, AT_EV_PAUSE, 3003);
	ev.tid = 50;
	ev.pause.begin_ns = 1003 * MS;
	ev.pause.dev = 7;
	ev.pause.pid = 9;
	ev.pause.why = AT_PAUSE_JOURNAL;
	ev.pause.transaction = 77;
	give(f, ev);
	ev = at(&f->probe, AT_EV_COMMIT, 3003);
	ev.commit.begin_ns = 900 * MS;
	ev.commit.dev = 7;
	ev.commit.transaction = 77;
	give(f, ev);
	appended(f, 1003, 3003, 50, &slow, 10);
	answered(f, 3004, &slow);
	replied(f, 3005, &slow, 0, 10);
	acks(f, 3005, 1, 0, 0, 2, 10, 1, 1000, 1000);
	arrived(f, 1003, 3005, &held);
	appended(f, 3006, 3007, 50, &held, 11);
	answered(f, 3008, &held);
	replied(f, 3009, &held, 0, 11);
	acks(f, 3009, 1, 0, 0, 2, 11, 1, 1001, 1001);
	for (uint32_t i = 0; i < LATER; i++) {
		struct bat b = batch(3 + i, 3010 + 4 * i);

		quickly(f, 3010 + 4 * i, &b, 12 + i);
	}
}

static void assert_remembered(const struct tl_batch *held)
{
	assert_int_equal(held->crc, batch(2, 1001).crc);
	assert_non_null(phase_of(held, TL_PHASE_BEHIND));
	assert_int_equal(phase_of(held, TL_PHASE_BEHIND)->cause, TL_CAUSE_APPEND_STALL);
	assert_int_equal(held->verdict.cause, TL_CAUSE_APPEND_STALL);
	assert_null(unsound(held));
}

static void test_default(void **state)
{
	struct feed *f = feed_new();

	(void)state;
	producer(f, 0, 1000000);
	probe(f);
	many_behind(f);
	feed_end(f);
	assert_int_equal(f->nr, LATER + 2);
	assert_remembered(f->out[1]);
	feed_free(f);
}

/* Whether the first is in the log is not known before that connection ends on the broker, and so long none is told. */
static void half_open(struct feed *f, const struct bat *lost, bool closed)
{
	struct bat first = { 2, 1, 1, 0xdea1, 1, 0, 0, 960, 0 };

	producer(f, 0, 1000000);
	connection(f, 951, 2);
	probe(f);
	/* So CRCs of this partition survive. */
	quickly(f, 965, &first, 9);
	written(f, 970, lost);
	connection_end(f, 999, 2);
	acks(f, 999, 1, 0, -192, 1, -1, 1, 955, 955);
	many_behind(f);
	assert_int_equal(f->nr, 1);
	if (closed)
		arrival_ended(f, 9500, 2);
	feed_end(f);
	assert_int_equal(f->nr, LATER + 4);
	assert_int_equal(f->out[1]->crc, lost->crc);
	assert_int_equal(f->out[1]->in_log, closed ? TL_IN_LOG_NO : TL_IN_LOG_UNKNOWN);
	assert_remembered(f->out[3]);
	for (uint32_t i = 1; i < f->nr; i++)
		assert_true(f->out[i - 1]->resolved_ns <= f->out[i]->resolved_ns);
}

static void test_half_open(void **state)
{
	const struct bat lost = { 2, 2, 1, 0xdea0, 1, 0, 0, 955, 0 };

	(void)state;
	for (int closed = 0; closed < 2; closed++) {
		struct feed *f = feed_new();

		half_open(f, &lost, closed);
		feed_free(f);
	}
}

static void test_one_stop(void **state)
{
	struct spans s = { 0 };

	(void)state;
	spans_add(&s, 10 * MS, 20 * MS);
	spans_add(&s, 100 * MS, 500 * MS);
	spans_add(&s, 60 * MS, 500 * MS);
	spans_add(&s, 90 * MS, 501 * MS);
	assert_int_equal(spans_within(&s, 0, 1000 * MS) / MS, 10 + 441);
	/* Also where there are more than are kept. */
	for (uint32_t i = 0; i < 3 * JOIN_SPANS; i++)
		spans_add(&s, (1000 + 10 * i) * MS, (1005 + 10 * i) * MS);
	spans_add(&s, 1000 * MS, (1005 + 30 * JOIN_SPANS) * MS);
	assert_int_equal(spans_within(&s, 0, INT64_MAX) / MS, 5 + 30 * JOIN_SPANS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_default),
		cmocka_unit_test(test_half_open),
		cmocka_unit_test(test_one_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
