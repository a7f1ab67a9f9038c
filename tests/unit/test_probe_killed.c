/* SPDX-License-Identifier: BSD-2-Clause */
/* test_probe_killed.c - after a probe was killed nothing is said of what it saw, nor of what it did not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "join_feed.h"

#define TIMED_OUT (-192)

static struct tl_batch *batch(const struct feed *f, uint32_t crc)
{
	for (uint32_t i = 0; i < f->nr; i++)
		if (f->out[i]->crc == crc)
			return f->out[i];
	fail_msg("no row with CRC %x", crc);
	return NULL;
}

/*
 * One that it saw, one that it saw arrive only, one that took 2 s and one that expired
 * after its last event; to a broker on another host.
 */
static struct feed *story(uint64_t newest_ms, bool live)
{
	static const struct bat first = { 1, 4, 1, 0xa1, 5, 0, 0, 1000, 0 }, half = { 1, 5, 1, 0xa2, 5, 0, 0, 1100, 0 };
	static const struct bat late = { 1, 6, 1, 0xa3, 5, 0, 0, 9000, 0 }, lost = { 1, 7, 1, 0xa4, 5, 0, 0, 12000, 0 };
	struct feed *f = feed_new();
	struct event ev = at(&f->client, AT_EV_CONN, 950);

	topic(f, &f->client, 1, "orders");
	instance(f, 900, 0, 1000000);
	ev.conn.conn = ev.conn.inst = ev.conn.broker = 1;
	ev.conn.connect_ns = 949 * MS;
	ev.conn.peer_lo = 1;
	ev.conn.local_lo = 2;
	ev.conn.local_port = 40001;
	ev.conn.peer_port = 9092;
	give(f, ev);
	f->probe.newest_ns = newest_ms * MS;
	f->probe.live = live;
	f->probe.gone = !live;
	probe(f);
	written(f, 1006, &first);
	arrived(f, 1007, 1007, &first);
	appended(f, 1008, 1009, 4, &first, 10);
	answered(f, 1010, &first);
	replied(f, 1011, &first, 0, 10);
	acks(f, 1011, 1, 0, 0, 2, 10, 5, 1000, 1000);
	written(f, 1106, &half);
	arrived(f, 1107, 1107, &half);
	replied(f, 1111, &half, 0, 15);
	acks(f, 1111, 1, 0, 0, 2, 15, 5, 1100, 1100);
	written(f, 9006, &late);
	replied(f, 11000, &late, 0, 20);
	acks(f, 11000, 1, 0, 0, 2, 20, 5, 9000, 9000);
	written(f, 12006, &lost);
	connection_end(f, 16000, 1);
	acks(f, 17000, 1, 0, TIMED_OUT, 1, -1, 5, 12000, 12000);
	feed_end(f);
	for (uint32_t i = 0; i < f->nr; i++)
		assert_null(unsound(f->out[i]));
	return f;
}

static void test_after(void **unused)
{
	static const uint32_t after[] = { 0xa3, 0xa4 };
	struct feed *f = story(1107, false);

	(void)unused;
	assert_true(batch(f, 0xa1)->probed);
	for (int i = 0; i < 2; i++) {
		const struct tl_batch *b = batch(f, after[i]);

		assert_false(b->probed);
		assert_int_equal(b->verdict.cause, TL_CAUSE_UNKNOWN);
		assert_null(strstr(b->verdict.text, "the probe saw"));
		assert_non_null(strstr(b->verdict.text, "run the probe"));
	}
	feed_free(f);
}

/* The same with a probe that was there: by its trail, which goes on, or as it still runs. */
static void test_there(void **unused)
{
	(void)unused;
	for (int live = 0; live < 2; live++) {
		struct feed *f = story(live ? 1107 : 18000, live);

		assert_true(batch(f, 0xa3)->probed);
		assert_true(batch(f, 0xa4)->probed);
		feed_free(f);
	}
}

/* That a batch is not in the log takes a probe to the end. */
static void test_no_proof(void **unused)
{
	static const struct bat b = { 1, 4, 1, 0xa1, 5, 0, 0, 1000, 0 };

	(void)unused;
	for (int killed = 0; killed < 2; killed++) {
		struct feed *f = feed_new();

		producer(f, 0, 1000000);
		f->probe.newest_ns = (killed ? 1500 : 9000) * MS;
		f->probe.gone = true;
		probe(f);
		written(f, 1006, &b);
		arrived(f, 1007, 1007, &b);
		answered(f, 1400, &b);
		replied(f, 3000, &b, 19, -1);		/* refused: NOT_ENOUGH_REPLICAS */
		acks(f, 3000, 1, 0, 19, 0, -1, 5, 1000, 1000);
		feed_end(f);
		assert_int_equal(batch(f, 0xa1)->in_log, killed ? TL_IN_LOG_UNKNOWN : TL_IN_LOG_NO);
		feed_free(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_after), cmocka_unit_test(test_there), cmocka_unit_test(test_no_proof),
	};

	(void)feed_unused;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
