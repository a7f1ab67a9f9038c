/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_twins.c - two clients send the same bytes to a partition, with the same CorrId, in
 * the same ms: which request is whose.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "join_feed.h"

static const struct bat ours = { 1, 47, 1, 0xab1, 5, 0, 0, 1000, 0 };
static const struct bat twin = { 2, 47, 1, 0xab1, 5, 0, 0, 1000, 0 };	/* of a client without a shim */

static void stranger(struct feed *f, uint64_t ms, const char *client_id, uint64_t offset)
{
	struct event ev = at(&f->probe, AT_EV_ARRIVAL, ms);

	ev.arrival.arrived_ns = ev.arrival.begin_ns = ev.ns;
	ev.arrival.pid = 9;
	ev.arrival.conn = twin.conn;
	ev.arrival.corr = twin.corr;
	ev.arrival.size = 550;
	ev.arrival.peer_port = 50000;
	ev.arrival.acks = -1;
	ev.arrival.batches = 1;
	give_text(f, ev, client_id);
	ev = at(&f->probe, AT_EV_ARRIVAL_BATCH, ms);
	ev.arrival_batch.conn = twin.conn;
	ev.arrival_batch.corr = twin.corr;
	ev.arrival_batch.topic = twin.topic;
	ev.arrival_batch.crc = twin.crc;
	ev.arrival_batch.count = twin.count;
	ev.arrival_batch.first_ts_ms = twin.created;
	ev.arrival_batch.producer_id = ev.arrival_batch.base_sequence = -1;
	give(f, ev);
	appended(f, ms + 1, ms + 2, 5, &twin, (int64_t)offset);
	answered(f, ms + 3, &twin);
}

/* The other's was read at `theirs`; ours was written at 1005. */
static void told_apart(uint64_t theirs, const char *client_id)
{
	struct feed *f = feed_new();
	uint32_t rows = 0;

	producer(f, 0, 1000000);
	probe(f);
	if (theirs < 1005)
		stranger(f, theirs, client_id, 20);
	written(f, 1005, &ours);
	if (theirs == 1005)
		stranger(f, theirs, client_id, 20);
	arrived(f, 1006, 1006, &ours);
	appended(f, 1010, 1011, 4, &ours, 25);
	answered(f, 1012, &ours);
	replied(f, 1013, &ours, 0, 25);
	acks(f, 1013, 1, 0, 0, 2, 25, 5, 1000, 1000);
	feed_end(f);
	for (uint32_t i = 0; i < f->nr; i++) {
		const struct tl_batch *b = f->out[i];

		if (!b->client)
			continue;
		rows++;
		assert_null(unsound(b));
		assert_int_equal(b->outcome, TL_OUTCOME_ACKED);
		assert_int_equal(b->base_offset, 25);
		assert_int_equal(b->attempts[0].read_ns, 1006 * MS);
		assert_int_equal(b->attempts[0].append_begin_ns, 1010 * MS);
	}
	assert_int_equal(rows, 1);
	assert_int_equal(f->nr, 2);
	feed_free(f);
}

static void test_before(void **unused)
{
	(void)unused;
	told_apart(1001, "tester");	/* as the client calls itself: it was read before ours was written */
	told_apart(1001, "strange");
}

static void test_meanwhile(void **unused)
{
	(void)unused;
	told_apart(1005, "strange");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_before), cmocka_unit_test(test_meanwhile),
	};

	(void)feed_unused;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
