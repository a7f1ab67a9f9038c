/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_follower.c - a copy that was seen on a follower: whoever waits for it (acks=all) waited until
 * the leader had heard of it, and nobody else did.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "join_feed.h"

static const struct bat one = { 1, 4, 1, 0xa, 1, 0, 0, 1000, 0 };

/* Appended at 1003, answered, read a second later; the follower's own append ends at `copied`. */
static struct feed *fed(int16_t asked, uint64_t copied, uint64_t answered_ms)
{
	struct feed *f = feed_new();
	struct event ev;

	producer(f, 0, 1000000);
	probe(f);
	written(f, 1001, &one);
	ev = at(&f->probe, AT_EV_ARRIVAL, 1002);
	ev.arrival.arrived_ns = ev.arrival.begin_ns = 1002 * MS;
	ev.arrival.pid = 9;
	ev.arrival.conn = one.conn;
	ev.arrival.corr = one.corr;
	ev.arrival.size = 150;
	ev.arrival.peer_port = 40000 + one.conn;
	ev.arrival.acks = asked;
	ev.arrival.batches = 1;
	give_text(f, ev, "tester");
	ev = at(&f->probe, AT_EV_ARRIVAL_BATCH, 1002);
	ev.arrival_batch.conn = one.conn;
	ev.arrival_batch.corr = one.corr;
	ev.arrival_batch.topic = one.topic;
	ev.arrival_batch.crc = one.crc;
	ev.arrival_batch.count = one.count;
	ev.arrival_batch.first_ts_ms = one.created;
	ev.arrival_batch.producer_id = ev.arrival_batch.base_sequence = -1;
	give(f, ev);
	appended(f, 1003, 1004, 50, &one, 10);
	if (answered_ms < copied)
		answered(f, answered_ms, &one);
	ev = at(&f->probe, AT_EV_APPEND, copied);
	ev.tid = 70;
	ev.append.begin_ns = (copied - 1) * MS;
	ev.append.ret = 100;
	ev.append.pid = 10;
	ev.append.flags = AT_BATCH_FOLLOWER;
	ev.append.topic = one.topic;
	ev.append.crc = one.crc;
	ev.append.count = one.count;
	ev.append.first_ts_ms = ev.append.max_ts_ms = one.created;
	ev.append.base_offset = 10;
	ev.append.producer_id = ev.append.base_sequence = -1;
	give(f, ev);
	if (answered_ms >= copied)
		answered(f, answered_ms, &one);
	replied(f, 2005, &one, 0, 10);
	acks(f, 2005, 1, 0, 0, 2, 10, 1, 1000, 1000);
	feed_end(f);
	assert_int_equal(f->nr, 1);
	assert_null(unsound(f->out[0]));
	return f;
}

static void test_waited(void **state)
{
	struct feed *f = fed(-1, 1900, 1901);

	(void)state;
	assert_int_equal(f->out[0]->nr_replicas, 1);
	assert_int_equal(phase_ms(f->out[0], TL_PHASE_REPLICATION), 896);
	assert_int_equal(f->out[0]->verdict.cause, TL_CAUSE_FOLLOWER);
	feed_free(f);
}

static void test_not_asked(void **state)
{
	struct feed *f = fed(1, 1900, 1901);

	(void)state;
	assert_int_equal(f->out[0]->nr_replicas, 1);
	assert_int_equal(phase_ms(f->out[0], TL_PHASE_REPLICATION), 0);
	assert_int_not_equal(f->out[0]->verdict.cause, TL_CAUSE_FOLLOWER);
	feed_free(f);
}

static void test_out_of_sync(void **state)
{
	struct feed *f = fed(-1, 1900, 1010);

	(void)state;
	assert_int_equal(f->out[0]->nr_replicas, 1);
	assert_int_equal(phase_ms(f->out[0], TL_PHASE_REPLICATION), 0);
	assert_int_equal(phase_ms(f->out[0], TL_PHASE_RESPONSE), 995);
	assert_int_not_equal(f->out[0]->verdict.cause, TL_CAUSE_FOLLOWER);
	feed_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_waited),
		cmocka_unit_test(test_not_asked),
		cmocka_unit_test(test_out_of_sync),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
