/* SPDX-License-Identifier: BSD-2-Clause */
/* test_requests.c - requests of every API, a row each; and what a cold start went by. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "join_feed.h"
#include "requests.h"

static struct request row[16];
static uint32_t nr_rows;
static struct trail client;
static struct requests *rs;

static void take(void *arg, const struct request *r)
{
	(void)arg;
	assert_true(nr_rows < 16);
	row[nr_rows++] = *r;
}

static struct event request(struct trail *t, uint64_t ms, uint32_t corr, int16_t api)
{
	struct event ev = at(t, AT_EV_REQUEST, ms);

	ev.request.begin_ns = ev.ns;
	ev.request.conn = 1;
	ev.request.corr = corr;
	ev.request.api = api;
	ev.request.version = 3;
	ev.request.acks = -1;
	ev.request.size = 100;
	ev.tail = "tester";
	ev.tail_len = 6;
	return ev;
}

static struct event response(struct trail *t, uint64_t ms, uint32_t corr, int16_t api, int16_t error)
{
	struct event ev = at(t, AT_EV_RESPONSE, ms);

	ev.response.conn = 1;
	ev.response.corr = corr;
	ev.response.api = api;
	ev.response.error = error;
	ev.response.size = 40;
	return ev;
}

static struct event given_up(uint64_t ms, int32_t api, int32_t err)
{
	struct event ev = at(&client, AT_EV_LIB_RESPONSE, ms);

	ev.lib_response.inst = 1;
	ev.lib_response.broker = 1;
	ev.lib_response.api = api;
	ev.lib_response.err = err;
	return ev;
}

static void feed(struct event ev)
{
	requests_event(rs, &ev);
}

static int begin(void **unused)
{
	struct event ev = at(&client, AT_EV_CONN, 1);

	(void)unused;
	nr_rows = 0;
	rs = requests_new(take, NULL);
	ev.conn.conn = 1;
	ev.conn.inst = 1;
	ev.conn.broker = 1;
	feed(ev);
	return 0;
}

static int end(void **unused)
{
	(void)unused;
	requests_free(rs);
	return 0;
}

/* The answers come in another order; the rows in that of sending. */
static void test_order(void **unused)
{
	(void)unused;
	feed(request(&client, 10, 1, KAFKA_API_VERSIONS));
	feed(request(&client, 20, 2, KAFKA_METADATA));
	feed(response(&client, 25, 2, KAFKA_METADATA, 3));
	assert_int_equal(nr_rows, 0);
	feed(response(&client, 40, 1, KAFKA_API_VERSIONS, 0));
	assert_int_equal(nr_rows, 2);
	assert_int_equal(row[0].corr, 1);
	assert_int_equal(row[0].end, REQUEST_ANSWERED);
	assert_int_equal(row[0].end_ns - row[0].sent_ns, 30 * MS);
	assert_int_equal(row[1].api, KAFKA_METADATA);
	assert_int_equal(row[1].error, 3);
	assert_int_equal(row[1].broker, 1);
	assert_string_equal(row[1].client_id, "tester");
	assert_string_equal(kafka_api_name(row[1].api), "Metadata");
	/* Restated: told already. */
	feed(request(&client, 20, 2, KAFKA_METADATA));
	requests_end(rs);
	assert_int_equal(nr_rows, 2);
}

/* An OffsetCommit that the library gave up on; a later one was never written. */
static void test_timed_out(void **unused)
{
	(void)unused;
	feed(request(&client, 10, 1, KAFKA_OFFSET_COMMIT));
	feed(given_up(60010, KAFKA_OFFSET_COMMIT, -185));
	feed(given_up(60011, KAFKA_OFFSET_COMMIT, -185));
	assert_int_equal(nr_rows, 2);
	assert_int_equal(row[0].end, REQUEST_TIMED_OUT);
	assert_int_equal(row[0].end_ns - row[0].sent_ns, 60000 * (int64_t)MS);
	assert_int_equal(row[1].end, REQUEST_UNSENT);
	assert_false(row[1].has_corr);
}

static void test_closed(void **unused)
{
	struct event ev = at(&client, AT_EV_CONN_END, 500);

	(void)unused;
	feed(request(&client, 10, 1, KAFKA_FETCH));
	ev.conn_end.conn = 1;
	ev.conn_end.how = AT_END_EOF;
	feed(ev);
	/* The library's own word on the same request is no second row. */
	feed(given_up(501, KAFKA_FETCH, -195));
	requests_end(rs);
	assert_int_equal(nr_rows, 1);
	assert_int_equal(row[0].end, REQUEST_CLOSED);
	assert_int_equal(row[0].end_ns, 500 * MS);
}

static void test_open_and_unasked(void **unused)
{
	struct event ev = request(&client, 10, 1, KAFKA_PRODUCE);

	(void)unused;
	ev.request.acks = 0;
	feed(ev);
	feed(request(&client, 20, 2, KAFKA_FETCH));
	requests_end(rs);
	assert_int_equal(nr_rows, 2);
	assert_int_equal(row[0].end, REQUEST_NO_ANSWER);
	assert_int_equal(row[1].end, REQUEST_OPEN);
	assert_int_equal(row[1].end_ns, 0);
}

/* Its writing was recycled: the answer says when it was sent, and what it was. */
static void test_answer_alone(void **unused)
{
	struct event ev = response(&client, 90, 7, KAFKA_HEARTBEAT, 27);

	(void)unused;
	ev.response.sent_ns = 50 * MS;
	feed(ev);
	assert_int_equal(nr_rows, 1);
	assert_int_equal(row[0].sent_ns, 50 * MS);
	assert_int_equal(row[0].api, KAFKA_HEARTBEAT);
}

/* A second until the first Produce: the batch was late for the start, and it says of what. */
static void test_cold_start(void **unused)
{
	struct feed *f = feed_new();
	struct bat b = { 1, 9, 1, 0xabc, 1, 0, 0, 1000, 0 };

	(void)unused;
	topic(f, &f->client, 1, "orders");
	instance(f, 990, 0, 1000000);
	connection(f, 1010, 1);
	give(f, request(&f->client, 1011, 1, KAFKA_API_VERSIONS));
	give(f, response(&f->client, 1711, 1, KAFKA_API_VERSIONS, 0));
	give(f, request(&f->client, 1711, 2, KAFKA_METADATA));
	give(f, response(&f->client, 2011, 2, KAFKA_METADATA, 0));
	written(f, 2012, &b);
	replied(f, 2015, &b, 0, 0);
	acks(f, 2015, 1, 0, 0, 2, 0, 1, 1000, 1000);
	feed_end(f);
	assert_int_equal(f->nr, 1);
	assert_null(unsound(f->out[0]));
	assert_int_equal(f->out[0]->verdict.cause, TL_CAUSE_COLD_START);
	assert_true(phase_ms(f->out[0], TL_PHASE_BROKER_DOWN) > 990);
	assert_non_null(strstr(f->out[0]->verdict.text, "ApiVersions 700 ms, Metadata 300 ms"));
	feed_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_order, begin, end),
		cmocka_unit_test_setup_teardown(test_timed_out, begin, end),
		cmocka_unit_test_setup_teardown(test_closed, begin, end),
		cmocka_unit_test_setup_teardown(test_open_and_unasked, begin, end),
		cmocka_unit_test_setup_teardown(test_answer_alone, begin, end),
		cmocka_unit_test(test_cold_start),
	};

	(void)feed_unused;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
