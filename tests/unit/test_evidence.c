/* SPDX-License-Identifier: BSD-2-Clause */
/* test_evidence.c - a cause is named only for what shows it; what shows nothing is unknown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "join_feed.h"

#define TIMED_OUT (-192)

static void state(struct feed *f, uint64_t ms, int32_t broker, const char *text)
{
	struct event ev = at(&f->client, AT_EV_BROKER_STATE, ms);

	ev.broker_state.inst = 1;
	ev.broker_state.broker = broker;
	give_text(f, ev, text);
}

static struct feed *begun(void)
{
	struct feed *f = feed_new();

	topic(f, &f->client, 1, "orders");
	instance(f, 900, 0, 1000000);
	return f;
}

/* To another host, not to itself. */
static void far_connection(struct feed *f, uint64_t ms, uint32_t conn)
{
	struct event ev = at(&f->client, AT_EV_CONN, ms);

	ev.conn.conn = conn;
	ev.conn.inst = 1;
	ev.conn.broker = 1;
	ev.conn.connect_ns = (ms - 1) * MS;
	ev.conn.peer_lo = 1;
	ev.conn.local_lo = 2;
	ev.conn.peer_port = 9092;
	ev.conn.local_port = (uint32_t)(40000 + conn);
	give(f, ev);
}

static void tcp(struct feed *f, uint64_t ms, uint32_t conn, uint32_t unacked, uint32_t retransmits)
{
	struct event ev = at(&f->client, AT_EV_TCP, ms);

	ev.tcp.conn = conn;
	ev.tcp.unacked = unacked;
	ev.tcp.retransmits = retransmits;
	ev.tcp.overdue_ns = 1000 * MS;
	give(f, ev);
}

static void test_connect_refused(void **unused)
{
	struct feed *f = begun();

	(void)unused;
	state(f, 901, -1, "nowhere:9092/TRY_CONNECT");
	state(f, 902, -1, "nowhere:9092/CONNECT");
	state(f, 905, -1, "nowhere:9092/DOWN");
	acks(f, 6100, 1, -1, TIMED_OUT, 0, -1, 3, 1000, 1010);
	feed_end(f);
	assert_int_equal(f->nr, 1);
	assert_null(unsound(f->out[0]));
	assert_int_equal(f->out[0]->verdict.cause, TL_CAUSE_UNREACHABLE);
	assert_null(strstr(f->out[0]->verdict.text, "probe"));
	feed_free(f);
}

/* Still connecting, nothing failed: nothing is known. */
static void test_never_up(void **unused)
{
	struct feed *f = begun();

	(void)unused;
	state(f, 901, -1, "somewhere:9092/TRY_CONNECT");
	acks(f, 6100, 1, -1, TIMED_OUT, 0, -1, 3, 1000, 1010);
	feed_end(f);
	assert_int_equal(f->nr, 1);
	assert_int_equal(f->out[0]->verdict.cause, TL_CAUSE_UNKNOWN);
	feed_free(f);
}

/* The broker closed an idle connection; the library did not connect again. */
static void down_after(struct feed *f, uint32_t how)
{
	struct event ev = at(&f->client, AT_EV_CONN_END, 2000);
	struct bat b = { 1, 4, 1, 0xabc, 5, 0, 0, 1000, 0 };

	state(f, 940, 1, "b:9092/UP");
	far_connection(f, 950, 1);
	written(f, 1006, &b);
	replied(f, 1010, &b, 0, 10);
	acks(f, 1010, 1, 0, 0, 2, 10, 5, 1000, 1000);
	ev.conn_end.conn = 1;
	ev.conn_end.how = how;
	give(f, ev);
	state(f, 2001, 1, "b:9092/DOWN");
}

static void test_down(void **unused)
{
	static const struct { uint32_t how; bool refused; enum tl_cause cause; } is[] = {
		{ AT_END_EOF, false, TL_CAUSE_UNKNOWN }, { AT_END_EOF, true, TL_CAUSE_UNREACHABLE },
		{ AT_END_ERROR, false, TL_CAUSE_UNREACHABLE },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(is) / sizeof(*is); i++) {
		struct feed *f = begun();

		down_after(f, is[i].how);
		if (is[i].refused) {
			state(f, 2100, 1, "b:9092/TRY_CONNECT");
			state(f, 2101, 1, "b:9092/CONNECT");
			state(f, 2102, 1, "b:9092/DOWN");
		}
		acks(f, 9000, 1, 0, TIMED_OUT, 0, -1, 2, 3000, 3001);
		feed_end(f);
		assert_int_equal(f->nr, 2);
		assert_null(unsound(f->out[1]));
		assert_int_equal(f->out[1]->verdict.cause, is[i].cause);
		feed_free(f);
	}
}

static void test_auth(void **unused)
{
	struct feed *f = begun();

	(void)unused;
	down_after(f, AT_END_EOF);
	state(f, 2100, 1, "b:9092/CONNECT");
	state(f, 2101, 1, "b:9092/SSL_HANDSHAKE");
	state(f, 2150, 1, "b:9092/DOWN");
	acks(f, 9000, 1, 0, TIMED_OUT, 0, -1, 2, 3000, 3001);
	feed_end(f);
	assert_int_equal(f->out[1]->verdict.cause, TL_CAUSE_AUTH);
	feed_free(f);
}

/* The broker wrote its answer at once; the client read it 4 s later. */
static void late_reading(struct feed *f, bool far, bool looked)
{
	struct bat b = { 1, 4, 1, 0xabc, 5, 0, 0, 1000, 0 }, other = { 1, 5, 1, 0xabd, 5, 0, 0, 4000, 0 };

	if (far)
		far_connection(f, 950, 1);
	else
		connection(f, 950, 1);
	probe(f);
	written(f, 1006, &b);
	arrived(f, 1007, 1008, &b);
	appended(f, 1009, 1010, 4, &b, 10);
	answered(f, 1012, &b);
	if (looked) {
		other.partition = 1;
		written(f, 4006, &other);
	}
	replied(f, 5000, &b, 0, 10);
	acks(f, 5000, 1, 0, 0, 2, 10, 5, 1000, 1000);
	feed_end(f);
}

static void test_response(void **unused)
{
	static const struct { bool far, looked; enum tl_cause cause; } is[] = {
		/* On one host it lay there, and no thread of the client did anything. */
		{ false, false, TL_CAUSE_STARVED }, { false, true, TL_CAUSE_UNKNOWN },
		{ true, false, TL_CAUSE_UNKNOWN }, { true, true, TL_CAUSE_NETWORK },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(is) / sizeof(*is); i++) {
		struct feed *f = begun();

		late_reading(f, is[i].far, is[i].looked);
		assert_true(phase_ms(f->out[0], TL_PHASE_RESPONSE) > 3900);
		assert_int_equal(f->out[0]->verdict.cause, is[i].cause);
		if (is[i].cause == TL_CAUSE_UNKNOWN)
			assert_non_null(strstr(f->out[0]->verdict.text, "client's reading"));
		assert_null(strstr(f->out[0]->verdict.text, "run the probe"));
		feed_free(f);
	}
}

/* The client alone: TCP says which side. */
static void test_tcp(void **unused)
{
	(void)unused;
	for (int stuck = 0; stuck < 2; stuck++) {
		struct feed *f = begun();
		struct bat b = { 1, 4, 1, 0xabc, 5, 0, 0, 1000, 0 };

		far_connection(f, 950, 1);
		written(f, 1006, &b);
		for (uint64_t ms = 2100; ms < 5000; ms += 1000)
			tcp(f, ms, 1, stuck ? 900 : 0, stuck ? 3 : 0);
		acks(f, 6100, 1, 0, TIMED_OUT, 1, -1, 5, 1000, 1000);
		feed_end(f);
		assert_int_equal(f->out[0]->verdict.cause, stuck ? TL_CAUSE_NETWORK : TL_CAUSE_BROKER_SIDE);
		if (!stuck)
			assert_non_null(strstr(f->out[0]->verdict.text, "run the probe on that broker's host"));
		feed_free(f);
	}
}

/* Nothing was acknowledged: by the network, or by what had forgotten the connection while it was idle, as far as is known. */
static void test_maybe_idle(void **unused)
{
	(void)unused;
	for (int lost = 0; lost < 2; lost++) {
		struct feed *f = begun();
		struct bat b = { 1, 4, 1, 0xabc, 5, 0, 0, 41000, 0 };

		far_connection(f, 950, 1);
		f->client.account.lost[AT_EV_RESPONSE] = (uint64_t)lost;
		written(f, 41006, &b);
		for (uint64_t ms = 42100; ms < 45000; ms += 1000)
			tcp(f, ms, 1, 900, 3);
		acks(f, 46100, 1, 0, TIMED_OUT, 1, -1, 5, 41000, 41000);
		feed_end(f);
		assert_int_equal(f->out[0]->verdict.cause, lost ? TL_CAUSE_UNKNOWN : TL_CAUSE_NETWORK);
		feed_free(f);
	}
}

/*
 * The other end took no more, by its TCP's word, and then not even what was on its way: the kernel sends that
 * again without counting it.  That is no network.
 */
static void test_window_shut(void **unused)
{
	struct feed *f = begun();
	struct bat b = { 1, 4, 1, 0xabc, 5, 0, 0, 1000, 0 };

	(void)unused;
	far_connection(f, 950, 1);
	written(f, 1006, &b);
	for (uint64_t ms = 2100; ms < 5000; ms += 1000) {
		struct event ev = at(&f->client, AT_EV_TCP, ms);

		ev.tcp.conn = 1;
		ev.tcp.unsent = 5000;
		ev.tcp.unacked = ms > 3000 ? 900 : 0;
		ev.tcp.backoff = (uint32_t)(ms / 1000);
		ev.tcp.overdue_ns = (ms - 1006) * MS;
		give(f, ev);
	}
	acks(f, 6100, 1, 0, TIMED_OUT, 1, -1, 5, 1000, 1000);
	feed_end(f);
	assert_int_equal(f->out[0]->verdict.cause, TL_CAUSE_BROKER_SIDE);
	feed_free(f);
}

/*
 * Two seconds on the way, it seems: over a connection that is older than the probe the broker may have been at a
 * request that nobody saw it read, over a newer one not.
 */
static void test_probe_came_later(void **unused)
{
	(void)unused;
	for (int older = 0; older < 2; older++) {
		struct feed *f = begun();
		struct bat b = { 1, 4, 1, 0xabc, 5, 0, 0, 1000, 0 };
		struct event ev;

		far_connection(f, 950, 1);
		probe(f);
		ev = at(&f->probe, AT_EV_COVERAGE, older ? 960 : 940);
		ev.coverage.what = AT_COVER_REQUEST;
		ev.coverage.on = 1;
		give(f, ev);
		written(f, 1006, &b);
		arrived(f, 3000, 3001, &b);
		appended(f, 3002, 3003, 4, &b, 10);
		answered(f, 3004, &b);
		replied(f, 3005, &b, 0, 10);
		acks(f, 3005, 1, 0, 0, 2, 10, 5, 1000, 1000);
		feed_end(f);
		assert_int_equal(f->out[0]->verdict.cause, older ? TL_CAUSE_UNKNOWN : TL_CAUSE_NETWORK);
		feed_free(f);
	}
}

/* A probe was there: it is not asked for again. */
static void test_probed(void **unused)
{
	struct feed *f = begun();
	struct bat b = { 1, 4, 1, 0xabc, 5, 0, 0, 1000, 0 };

	(void)unused;
	connection(f, 950, 1);
	probe(f);
	written(f, 1006, &b);
	arrived(f, 1007, 1008, &b);
	appended(f, 3000, 3001, 4, &b, 10);
	answered(f, 3003, &b);
	replied(f, 3004, &b, 0, 10);
	acks(f, 3004, 1, 0, 0, 2, 10, 5, 1000, 1000);
	feed_end(f);
	assert_true(f->out[0]->probed);
	assert_int_equal(f->out[0]->verdict.cause, TL_CAUSE_BROKER_SIDE);
	assert_null(strstr(f->out[0]->verdict.text, "run the probe"));
	feed_free(f);
}

/*
 * The broker was quick with the request before; the next was never acknowledged by its TCP, and the client
 * gave the connection up.  It is the network's until the end, or until another connection carries it.
 */
static void test_black_hole(void **unused)
{
	(void)unused;
	for (int again = 0; again < 2; again++) {
		const struct bat before = { 1, 4, 1, 0xabb, 5, 0, 0, 3985, 0 };
		const struct bat lost = { 1, 5, 1, 0xabc, 1, 0, 0, 4000, 0 };
		const struct bat other = { 1, 6, 1, 0xabd, 1, 0, 0, 4010, 0 };
		const struct bat both = { 2, 7, 1, 0xabe, 2, 0, 0, 4000, 4010 };
		struct feed *f = begun();
		const struct tl_batch *b = NULL;

		far_connection(f, 950, 1);
		state(f, 951, 1, "broker:9092/UP");
		probe(f);
		written(f, 3991, &before);
		arrived(f, 3992, 3992, &before);
		appended(f, 3993, 3994, 4, &before, 10);
		written(f, 4006, &lost);
		written(f, 4016, &other);
		answered(f, 4020, &before);
		replied(f, 4021, &before, 0, 10);
		acks(f, 4021, 1, 0, 0, 2, 10, 5, 3985, 3985);
		tcp(f, 5000, 1, 900, 2);
		tcp(f, 6000, 1, 900, 3);
		connection_end(f, 6010, 1);
		state(f, 6010, 1, "broker:9092/DOWN");
		if (again) {
			far_connection(f, 6020, 2);
			state(f, 6020, 1, "broker:9092/UP");
			written(f, 6030, &both);
			arrived(f, 6031, 6031, &both);
			appended(f, 6032, 6033, 4, &both, 15);
			answered(f, 6034, &both);
			replied(f, 6035, &both, 0, 15);
			acks(f, 6035, 1, 0, 0, 2, 15, 2, 4000, 4010);
		} else {
			acks(f, 9100, 1, 0, TIMED_OUT, 1, -1, 2, 4000, 4010);
		}
		feed_end(f);
		for (uint32_t i = 0; i < f->nr; i++) {
			assert_null(unsound(f->out[i]));
			if (f->out[i]->crc == (again ? both.crc : lost.crc))
				b = f->out[i];
		}
		assert_non_null(b);
		assert_int_equal(b->verdict.cause, TL_CAUSE_NETWORK);
		assert_true(b->verdict.share > 0.9);
		feed_free(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_connect_refused), cmocka_unit_test(test_never_up),
		cmocka_unit_test(test_down), cmocka_unit_test(test_auth),
		cmocka_unit_test(test_response), cmocka_unit_test(test_tcp),
		cmocka_unit_test(test_maybe_idle), cmocka_unit_test(test_window_shut), cmocka_unit_test(test_probe_came_later),
		cmocka_unit_test(test_probed), cmocka_unit_test(test_black_hole),
	};

	(void)feed_unused;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
