/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_hidden.c - the client alone, its wire out of sight: attempts from the order of the
 * library's own words, and whom TCP's word blames.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "join_feed.h"

#define TIMED_OUT (-192)
#define REQUEST_TIMED_OUT (-185)
#define DESTROY_BROKER (-137)

static struct feed *begun(void)
{
	struct feed *f = feed_new();
	struct event ev = at(&f->client, AT_EV_CONN, 950);

	topic(f, &f->client, 1, "orders");
	instance(f, 900, 0, 1000000);
	ev.conn.conn = 1;
	ev.conn.inst = 1;
	ev.conn.broker = 1;
	ev.conn.connect_ns = 949 * MS;
	ev.conn.peer_lo = 1;
	ev.conn.local_lo = 2;
	ev.conn.flags = AT_CONN_TLS;
	give(f, ev);
	return f;
}

static void sent(struct feed *f, uint64_t ms, int api, uint32_t corr)
{
	struct event ev = at(&f->client, AT_EV_LIB_REQUEST, ms);

	ev.lib_request.inst = 1;
	ev.lib_request.conn = 1;
	ev.lib_request.broker = 1;
	ev.lib_request.corr = corr;
	ev.lib_request.api = api;
	ev.lib_request.size = 200;
	give(f, ev);
}

static void over(struct feed *f, uint64_t ms, int api, int32_t err)
{
	struct event ev = at(&f->client, AT_EV_LIB_RESPONSE, ms);

	ev.lib_response.inst = 1;
	ev.lib_response.broker = 1;
	ev.lib_response.api = api;
	ev.lib_response.err = err;
	ev.lib_response.size = err ? 0 : 60;
	give(f, ev);
}

static void tcp(struct feed *f, uint64_t ms, uint32_t unacked, uint32_t retransmits)
{
	struct event ev = at(&f->client, AT_EV_TCP, ms);

	ev.tcp.conn = 1;
	ev.tcp.unacked = unacked;
	ev.tcp.retransmits = retransmits;
	give(f, ev);
}

static void expired(struct feed *f, uint64_t ms, uint32_t persisted, uint32_t count, uint64_t first, uint64_t last)
{
	struct event ev = at(&f->client, AT_EV_ACKS, ms);

	ev.acks.inst = 1;
	ev.acks.topic = 1;
	ev.acks.err = TIMED_OUT;
	ev.acks.broker = persisted ? 1 : -1;
	ev.acks.persisted = persisted;
	ev.acks.count = count;
	ev.acks.created_first_ns = first * MS;
	ev.acks.created_last_ns = last * MS;
	ev.acks.last_ns = ev.ns;
	ev.acks.first_ts_ms = ev.acks.last_ts_ms = -1;
	ev.acks.first_offset = ev.acks.last_offset = -1001;
	give(f, ev);
}

static void whole(const struct tl_batch *b)
{
	int64_t at = b->created_first_ns;

	for (uint32_t i = 0; i < b->nr_phases; i++) {
		assert_int_equal(b->phases[i].begin_ns, at);
		at += b->phases[i].ns;
		if (b->phases[i].attempt)
			assert_true(b->phases[i].known <= TL_KNOWN_INFERRED);
	}
	assert_int_equal(at, b->end_ns);
}

/* Two in flight, another kind of request between them: each has its own answer. */
static void test_acked(void **unused)
{
	struct feed *f = begun();
	struct bat b = { 9, 9, 1, 0xabc, 3, 0, 0, 1020, 1022 };

	(void)unused;
	probe(f);
	sent(f, 1006, KAFKA_PRODUCE, 4);
	sent(f, 1010, KAFKA_METADATA, 5);
	sent(f, 1026, KAFKA_PRODUCE, 6);
	appended(f, 1030, 1031, 4, &b, 7);
	over(f, 1040, KAFKA_PRODUCE, 0);
	acks(f, 1040, 1, 0, 0, 2, 5, 2, 1000, 1002);
	over(f, 1041, KAFKA_METADATA, 0);
	over(f, 1400, KAFKA_PRODUCE, 0);
	acks(f, 1401, 1, 0, 0, 2, 7, 3, 1020, 1022);
	feed_end(f);
	assert_int_equal(f->nr, 2);
	for (uint32_t i = 0; i < 2; i++) {
		const struct tl_batch *t = f->out[i];

		assert_int_equal(t->nr_attempts, 1);
		assert_true(t->attempts[0].inferred);
		assert_int_equal(t->attempts[0].corr_id, i ? 6 : 4);
		assert_int_equal(t->attempts[0].write_end_ns, (i ? 1026 : 1006) * MS);
		assert_int_equal(t->attempts[0].response_read_ns, (i ? 1400 : 1040) * MS);
		whole(t);
	}
	/* The probe's append at the place that the second was told: its own, without a CRC. */
	assert_int_equal(f->out[1]->join, TL_JOIN_OFFSET);
	assert_int_equal(f->out[1]->in_log, TL_IN_LOG_YES);
	assert_int_equal(f->out[1]->attempts[0].append_begin_ns, 1030 * MS);
	assert_int_equal(f->out[0]->join, TL_JOIN_NONE);
	feed_free(f);
}

/* Given up, sent again, given up again, and expired in a scan: two attempts, both TCP's word. */
static void test_expired(void **unused)
{
	(void)unused;
	for (int stuck = 0; stuck < 3; stuck++) {
		struct feed *f = begun();

		sent(f, 1006, KAFKA_PRODUCE, 4);
		for (uint64_t ms = 1400; ms < 5000 && stuck < 2; ms += 1000)
			tcp(f, ms, stuck ? 700 : 0, stuck ? 2 : 0);
		over(f, 3000, KAFKA_PRODUCE, REQUEST_TIMED_OUT);
		sent(f, 3002, KAFKA_PRODUCE, 5);
		over(f, 5000, KAFKA_PRODUCE, REQUEST_TIMED_OUT);
		/* Another batch's answer just before the scan has nothing to do with it. */
		sent(f, 5001, KAFKA_PRODUCE, 6);
		over(f, 5999, KAFKA_PRODUCE, 0);
		expired(f, 6000, 1, 5, 1000, 1004);
		feed_end(f);
		assert_int_equal(f->out[0]->nr_attempts, 2);
		assert_int_equal(f->out[0]->attempts[1].corr_id, 5);
		assert_int_equal(f->out[0]->attempts[1].ended_ns, 5000 * MS);
		assert_false(f->out[0]->attempts[1].answered);
		whole(f->out[0]);
		assert_int_equal(f->out[0]->verdict.cause, stuck == 2 ? TL_CAUSE_UNKNOWN :
				 stuck ? TL_CAUSE_NETWORK : TL_CAUSE_BROKER_SIDE);
		feed_free(f);
	}
}

/* Never sent, says the library: requests of others are not its own. */
static void test_never_sent(void **unused)
{
	struct feed *f = begun();

	(void)unused;
	sent(f, 1006, KAFKA_PRODUCE, 4);
	over(f, 3000, KAFKA_PRODUCE, REQUEST_TIMED_OUT);
	expired(f, 6000, 0, 5, 1001, 1002);
	feed_end(f);
	assert_int_equal(f->out[0]->nr_attempts, 0);
	assert_false(f->out[0]->sent);
	feed_free(f);
}

/* The same of what lay with a broker that was given up: that may have got it. */
static void test_broker_given_up(void **unused)
{
	(void)unused;
	for (int older = 0; older < 2; older++) {
		struct feed *f = begun();
		uint64_t made = older ? 1001 : 1010;

		sent(f, 1006, KAFKA_PRODUCE, 4);
		over(f, 3000, KAFKA_PRODUCE, DESTROY_BROKER);
		expired(f, 6000, 0, 5, made, made + 1);
		feed_end(f);
		assert_int_equal(f->out[0]->in_log, older ? TL_IN_LOG_UNKNOWN : TL_IN_LOG_NO);
		assert_int_equal(f->out[0]->resend, older ? TL_RESEND_MAY_DUPLICATE : TL_RESEND_SAFE);
		feed_free(f);
	}
}

/* An append with its timestamps and count was it; of two such ones nobody knows. */
static void test_claimed(void **unused)
{
	(void)unused;
	for (int twice = 0; twice < 2; twice++) {
		struct feed *f = begun();
		struct bat b = { 9, 9, 1, 0xabc, 5, 0, 0, 1000, 1004 }, other = b;
		const struct tl_batch *row = NULL;

		other.crc = 0xdef;
		probe(f);
		sent(f, 1006, KAFKA_PRODUCE, 4);
		appended(f, 1010, 1011, 4, &b, 7);
		if (twice)
			appended(f, 1012, 1013, 4, &other, 12);
		over(f, 5000, KAFKA_PRODUCE, REQUEST_TIMED_OUT);
		expired(f, 6000, 1, 5, 1000, 1004);
		feed_end(f);
		for (uint32_t i = 0; i < f->nr; i++)
			if (f->out[i]->client)
				row = f->out[i];
		assert_non_null(row);
		assert_int_equal(f->nr, twice ? 3 : 1);
		assert_int_equal(row->join, twice ? TL_JOIN_NONE : TL_JOIN_TIMESTAMPS);
		assert_int_equal(row->in_log == TL_IN_LOG_YES, !twice);
		whole(row);
		feed_free(f);
	}
}

/* Used again after a minute, and nothing is acknowledged: something between forgot it. */
static void test_idle(void **unused)
{
	struct feed *f = begun();

	(void)unused;
	sent(f, 1006, KAFKA_PRODUCE, 4);
	over(f, 1010, KAFKA_PRODUCE, 0);
	acks(f, 1010, 1, 0, 0, 2, 5, 1, 1000, 1000);
	sent(f, 61006, KAFKA_PRODUCE, 5);
	for (uint64_t ms = 61400; ms < 66000; ms += 1000)
		tcp(f, ms, 700, 2);
	over(f, 66000, KAFKA_PRODUCE, REQUEST_TIMED_OUT);
	expired(f, 66001, 1, 1, 61000, 61000);
	feed_end(f);
	assert_int_equal(f->nr, 2);
	assert_int_equal(f->out[1]->verdict.cause, TL_CAUSE_IDLE);
	assert_true(f->out[1]->verdict.share > 0.9);
	feed_free(f);
}

/* In plain text the broker says for how long it reads no further. */
static void test_quota(void **unused)
{
	struct feed *f = begun();
	struct bat a = { 1, 4, 1, 0xabc, 5, 0, 0, 1000, 0 }, b = { 1, 5, 1, 0xabd, 5, 0, 0, 1100, 0 };
	struct event ev = at(&f->client, AT_EV_RESPONSE, 1010);

	(void)unused;
	written(f, 1006, &a);
	ev.response.conn = a.conn;
	ev.response.corr = a.corr;
	ev.response.throttle_ms = 3000;
	give(f, ev);
	acks(f, 1010, 1, 0, 0, 2, 10, 5, 1000, 1000);
	written(f, 1106, &b);
	replied(f, 4015, &b, 0, 15);
	acks(f, 4015, 1, 0, 0, 2, 15, 5, 1100, 1100);
	feed_end(f);
	assert_int_equal(f->out[1]->verdict.cause, TL_CAUSE_QUOTA);
	feed_free(f);
}

static void state(struct feed *f, uint64_t ms, const char *text)
{
	struct event ev = at(&f->client, AT_EV_BROKER_STATE, ms);

	ev.broker_state.inst = 1;
	ev.broker_state.broker = 1;
	give_text(f, ev, text);
}

/* A SYN that nobody answers says so before connecting is given up; one that is under way does not. */
static void test_nobody_answers(void **unused)
{
	(void)unused;
	for (int yet = 0; yet < 2; yet++) {
		struct feed *f = begun();
		uint64_t made = yet ? 5500 : 1000;

		state(f, 960, "b:9092/UP");
		sent(f, 970, KAFKA_PRODUCE, 4);
		over(f, 975, KAFKA_PRODUCE, 0);
		acks(f, 975, 1, 0, 0, 2, 5, 1, 965, 965);
		state(f, 990, "b:9092/DOWN");
		state(f, made, "b:9092/CONNECT");
		acks(f, 6000, 1, 0, TIMED_OUT, 0, -1, 5, made, made);
		feed_end(f);
		assert_int_equal(f->out[1]->verdict.cause, yet ? TL_CAUSE_UNKNOWN : TL_CAUSE_UNREACHABLE);
		feed_free(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_acked), cmocka_unit_test(test_expired),
		cmocka_unit_test(test_never_sent), cmocka_unit_test(test_claimed),
		cmocka_unit_test(test_idle), cmocka_unit_test(test_quota),
		cmocka_unit_test(test_nobody_answers), cmocka_unit_test(test_broker_given_up),
	};

	(void)feed_unused;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
