/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_twins.c - two clients send the same bytes to a partition, with the same CorrId, in
 * the same ms, or from the same port: which request is whose.
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

/* ---- whose connection it is, by its address ------------------------------------------------ */

#define LOCALHOST	0xffff7f000001

/* From port 40000 of this host. */
static void connected(struct feed *f, uint32_t conn, uint32_t port, int32_t broker)
{
	struct event ev = at(&f->client, AT_EV_CONN, 950);

	ev.conn.conn = conn;
	ev.conn.inst = 1;
	ev.conn.broker = broker;
	ev.conn.connect_ns = ev.ns;
	ev.conn.local_lo = ev.conn.peer_lo = LOCALHOST;
	ev.conn.local_port = 40000;
	ev.conn.peer_port = port;
	give(f, ev);
}

/* To port 9093; which batches it carries could not be read. */
static void unread(struct feed *f, uint64_t ms, uint32_t corr)
{
	struct event ev = at(&f->probe, AT_EV_ARRIVAL, ms);

	ev.arrival.arrived_ns = ev.arrival.begin_ns = ev.ns;
	ev.arrival.pid = 9;
	ev.arrival.conn = 7;
	ev.arrival.corr = corr;
	ev.arrival.size = 550;
	ev.arrival.peer_lo = LOCALHOST;
	ev.arrival.peer_port = 40000;
	ev.arrival.local_port = 9093;
	ev.arrival.acks = -1;
	give_text(f, ev, "tester");
}

static struct feed *begun(void)
{
	struct feed *f = feed_new();

	topic(f, &f->client, 1, "orders");
	instance(f, 900, 0, 1000000);
	return f;
}

static const struct bat one = { 1, 5, 1, 0xa1, 5, 0, 0, 1000, 0 }, other = { 2, 5, 1, 0xa2, 5, 0, 0, 1000, 0 };

static bool probe_saw(struct feed *f, uint32_t crc)
{
	for (uint32_t i = 0; i < f->nr; i++)
		if (f->out[i]->crc == crc)
			return f->out[i]->attempts[0].read_ns != 0;
	fail_msg("no row of %x", crc);
	return false;
}

static void loopback(const char *boot_id, bool seen)
{
	struct feed *f = begun();

	strcpy(f->client.header.boot_id, "one");
	strcpy(f->probe.header.boot_id, boot_id);
	f->probe.axis_exact = false;
	probe(f);
	connected(f, 1, 9093, 1);
	written(f, 1005, &one);
	unread(f, 1006, 5);
	feed_end(f);
	assert_int_equal(probe_saw(f, one.crc), seen);
	feed_free(f);
}

/* Each host has a port 40000 on its loopback. */
static void test_loopback(void **unused)
{
	(void)unused;
	loopback("one", true);
	loopback("two", false);
}

/* One port towards two brokers: is it the first's, or the other's, that the probe saw? */
static void two_brokers(uint32_t port, int32_t broker, uint32_t other_port, int32_t other_broker, bool first, bool second)
{
	struct feed *f = begun();

	probe(f);
	connected(f, 1, port, broker);
	connected(f, 2, other_port, other_broker);
	written(f, 1005, &one);
	written(f, 1005, &other);
	unread(f, 1006, 5);
	feed_end(f);
	assert_int_equal(probe_saw(f, one.crc), first);
	assert_int_equal(probe_saw(f, other.crc), second);
	feed_free(f);
}

static void test_two_brokers(void **unused)
{
	(void)unused;
	two_brokers(9092, -1, 9093, -1, false, true);
	two_brokers(9093, -1, 9092, -1, true, false);
	two_brokers(9093, 2, 9093, 1, false, true);
	two_brokers(9093, 1, 9093, 2, true, false);
	two_brokers(9093, -1, 9093, -1, false, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_before), cmocka_unit_test(test_meanwhile), cmocka_unit_test(test_loopback),
		cmocka_unit_test(test_two_brokers),
	};

	(void)feed_unused;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
