/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_idemp.c - an idempotent producer that recovers: what waits for another broker's
 * answer does so where the next epoch shows it, and what is purged after a fatal error
 * was not given up by the app.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "join_feed.h"

#define TOO_LARGE	10
#define OUT_OF_ORDER	45
#define PURGE_QUEUE	(-152)

static const struct bat stuck = { 2, 4, 1, 0xab0, 1, 1, 1, 1000, 0 };
static const struct bat refused = { 1, 4, 1, 0xab1, 1, 0, 1, 1100, 0 };
static const struct bat waits = { 1, 5, 1, 0xab2, 1, 0, 1, 1200, 0 };

static void asked(struct feed *f, uint64_t ms, uint32_t conn, uint32_t corr, int16_t api)
{
	struct event ev = at(&f->client, AT_EV_REQUEST, ms);

	ev.request.begin_ns = ev.ns;
	ev.request.conn = conn;
	ev.request.corr = corr;
	ev.request.api = api;
	give_text(f, ev, "tester");
	ev = at(&f->client, AT_EV_RESPONSE, ms + 1);
	ev.response.conn = conn;
	ev.response.corr = corr;
	give(f, ev);
}

static void written_in(struct feed *f, uint64_t ms, const struct bat *b, int16_t epoch)
{
	struct event ev = at(&f->client, AT_EV_BATCH, ms);

	ev.batch.begin_ns = ev.ns;
	ev.batch.conn = b->conn;
	ev.batch.corr = b->corr;
	ev.batch.topic = b->topic;
	ev.batch.partition = b->partition;
	ev.batch.crc = b->crc;
	ev.batch.count = b->count;
	ev.batch.bytes = 100;
	ev.batch.first_ts_ms = ev.batch.max_ts_ms = b->created;
	ev.batch.producer_id = 7;
	ev.batch.base_sequence = b->seq;
	ev.batch.epoch = epoch;
	give(f, ev);
	ev = at(&f->client, AT_EV_REQUEST, ms);
	ev.request.begin_ns = ev.ns;
	ev.request.conn = b->conn;
	ev.request.corr = b->corr;
	ev.request.size = 150;
	ev.request.acks = -1;
	ev.request.batches = 1;
	give_text(f, ev, "tester");
}

/* A batch to broker 2 is on its way, and one to broker 1 is refused at 1110. */
static struct feed *begun(int16_t error)
{
	struct feed *f = feed_new();
	struct event ev;

	producer(f, AT_INST_IDEMPOTENT, 5);
	ev = at(&f->client, AT_EV_CONN, 950);
	ev.conn.conn = 2;
	ev.conn.inst = 1;
	ev.conn.broker = 2;
	ev.conn.connect_ns = ev.ns;
	give(f, ev);
	asked(f, 960, 1, 1, KAFKA_INIT_PRODUCER_ID);
	written_in(f, 1005, &stuck, 0);
	written_in(f, 1105, &refused, 0);
	replied(f, 1110, &refused, error, 0);
	acks(f, 1110, 1, 0, error, 0, -1, 1, 1100, 1100);
	return f;
}

static const struct tl_batch *row_of(const struct feed *f, const struct bat *b)
{
	for (uint32_t i = 0; i < f->nr; i++)
		if (f->out[i]->crc == b->crc)
			return f->out[i];
	return NULL;
}

/* Broker 2 answers at 4000, and what waited goes out, in that epoch; the whole is told. */
static const struct tl_batch *went_on(struct feed *f, int16_t epoch)
{
	replied(f, 4000, &stuck, 0, 9);
	acks(f, 4000, 1, 1, 0, 2, 9, 1, 1000, 1000);
	written_in(f, 4001, &waits, epoch);
	replied(f, 4003, &waits, 0, 50);
	acks(f, 4003, 1, 0, 0, 2, 50, 1, 1200, 1200);
	feed_end(f);
	assert_non_null(row_of(f, &waits));
	return row_of(f, &waits);
}

/* Made at 1200, it goes out when broker 2 has answered, at 4000. */
static enum tl_cause waited(int16_t epoch, int64_t *ms, enum tl_known *known)
{
	struct feed *f = begun(TOO_LARGE);
	const struct tl_batch *b = went_on(f, epoch);
	enum tl_cause cause = b->verdict.cause;

	*ms = phase_ms(b, TL_PHASE_BROKER_DOWN);
	*known = b->verdict.causes[0].known;
	assert_null(unsound(b));
	feed_free(f);
	return cause;
}

static void test_next_epoch(void **unused)
{
	enum tl_known known;
	int64_t ms;

	(void)unused;
	assert_int_equal(waited(1, &ms, &known), TL_CAUSE_IDEMPOTENCE);
	assert_int_equal(ms, 4001 - 1205);
	assert_int_equal(known, TL_KNOWN_INFERRED);
}

/* In the same epoch: nothing says what it waited for. */
static void test_same_epoch(void **unused)
{
	enum tl_known known;
	int64_t ms;

	(void)unused;
	assert_int_not_equal(waited(0, &ms, &known), TL_CAUSE_IDEMPOTENCE);
}

static enum tl_cause purged(int16_t error)
{
	struct feed *f = begun(error);
	enum tl_cause cause = TL_CAUSE_UNKNOWN;

	acks(f, 1112, 1, 0, PURGE_QUEUE, 0, -1, 3, 1106, 1109);
	feed_end(f);
	for (uint32_t i = 0; i < f->nr; i++)
		if (f->out[i]->outcome == TL_OUTCOME_PURGED)
			cause = f->out[i]->verdict.cause;
	feed_free(f);
	return cause;
}

static void test_fatal(void **unused)
{
	(void)unused;
	assert_int_equal(purged(OUT_OF_ORDER), TL_CAUSE_IDEMPOTENCE);
	assert_int_equal(purged(TOO_LARGE), TL_CAUSE_APP_ENDED);
}

struct flight { uint32_t batches, count; uint32_t flags; enum at_type lost; bool answered, resolved; };

/* So many batches of so many messages are on their way from 1010 to 1510; one more could have gone at 1105. */
static int64_t behind(struct flight in)
{
	const struct bat next = { 1, 20, 1, 0xacf, 1, 0, 100, 1100, 0 };
	struct feed *f = feed_new();
	int64_t ms = -1;

	f->client.account.lost[in.lost] = in.lost != 0;
	producer(f, in.flags, 5);
	asked(f, 960, 1, 1, KAFKA_INIT_PRODUCER_ID);
	for (uint32_t i = 0; i < in.batches; i++)
		written_in(f, 1010, &(struct bat){ 1, 4 + i, 1, 0xac0 + i, in.count, 0, 10 + i, 1005, 0 }, 0);
	for (uint32_t i = 0; i < in.batches; i++) {
		const struct bat b = { 1, 4 + i, 1, 0xac0 + i, in.count, 0, 10 + i, 1005, 0 };

		if (in.answered)
			replied(f, 1510, &b, 0, 20 + i * in.count);
		if (in.resolved)
			acks(f, 1510, 1, 0, 0, 2, 20 + i * in.count, in.count, 1005, 1005);
	}
	written_in(f, 1510, &next, 0);
	replied(f, 1520, &next, 0, 90);
	acks(f, 1520, 1, 0, 0, 2, 90, 1, 1100, 1100);
	feed_end(f);
	for (uint32_t i = 0; i < f->nr; i++)
		if (f->out[i]->crc == next.crc) {
			assert_null(unsound(f->out[i]));
			ms = phase_ms(f->out[i], TL_PHASE_WINDOW);
		}
	feed_free(f);
	return ms;
}

/* librdkafka counts a partition's messages in flight, and takes them for requests. */
static void test_messages_in_flight(void **unused)
{
	const uint32_t idempotent = AT_INST_IDEMPOTENT;

	(void)unused;
	assert_int_equal(behind((struct flight){ 1, 5, idempotent, 0, true, true }), 405);
	assert_int_equal(behind((struct flight){ 1, 4, idempotent, 0, true, true }), 0);
	assert_int_equal(behind((struct flight){ 3, 2, idempotent, 0, true, true }), 405);
	assert_int_equal(behind((struct flight){ 2, 2, idempotent, 0, true, true }), 0);
	assert_int_equal(behind((struct flight){ 1, 5, 0, 0, true, true }), 0);
	/* With the answer or the ack alone it is known as well when they were back; not where events were lost. */
	assert_int_equal(behind((struct flight){ 1, 5, idempotent, 0, true, false }), 405);
	assert_int_equal(behind((struct flight){ 1, 5, idempotent, 0, false, true }), 405);
	assert_int_equal(behind((struct flight){ 1, 5, idempotent, AT_EV_RESPONSE, true, true }), 0);
	assert_int_equal(behind((struct flight){ 1, 5, idempotent, AT_EV_BATCH, true, true }), 0);
}

/* Made at 1200, it went out at 4000, and nothing says why; that the producer was given an id was not seen. */
static enum tl_cause after_start(bool batch_seen)
{
	const struct bat first = { 1, 4, 1, 0xad0, 1, 0, 1, 1000, 0 }, late = { 1, 5, 1, 0xad1, 1, 0, 2, 1200, 0 };
	struct feed *f = feed_new();
	enum tl_cause cause;

	producer(f, AT_INST_IDEMPOTENT, 5);
	f->client.account.lost[AT_EV_RESPONSE] = 1;
	if (batch_seen)
		written_in(f, 1005, &first, 0);
	else
		acks(f, 1010, 1, 0, 0, 2, 9, 1, 1000, 1000);
	written_in(f, 4000, &late, 0);
	replied(f, 4010, &late, 0, 10);
	acks(f, 4010, 1, 0, 0, 2, 10, 1, 1200, 1200);
	feed_end(f);
	assert_non_null(row_of(f, &late));
	cause = row_of(f, &late)->verdict.cause;
	feed_free(f);
	return cause;
}

/* What was sent had an id: its start is over, whatever was lost of it. */
static void test_id_not_seen(void **unused)
{
	(void)unused;
	assert_int_equal(after_start(true), TL_CAUSE_UNKNOWN);
	assert_int_equal(after_start(false), TL_CAUSE_UNKNOWN);
}

/* Five more seem to be under way, since their answers were lost: with room it would not have been sent, either. */
static void test_drain_before_window(void **unused)
{
	struct feed *f = begun(TOO_LARGE);

	(void)unused;
	f->client.account.lost[AT_EV_RESPONSE] = 5;
	for (uint32_t i = 0; i < 5; i++)
		written_in(f, 1112, &(struct bat){ 1, 6 + i, 1, 0xae0 + i, 1, 2, 1 + i, 1100, 0 }, 0);
	assert_int_equal(went_on(f, 1)->verdict.cause, TL_CAUSE_IDEMPOTENCE);
	feed_free(f);
}

/* The broker's answer was lost, and the library hands its error on. */
static void test_refusal_not_seen(void **unused)
{
	struct feed *f = feed_new();
	const struct bat b = { 1, 4, 1, 0xaf0, 1, 0, 1, 1000, 0 };

	(void)unused;
	producer(f, 0, 5);
	f->client.account.lost[AT_EV_REPLY] = 1;
	written_in(f, 1005, &b, 0);
	acks(f, 4000, 1, 0, TOO_LARGE, 1, -1, 1, 1000, 1000);
	feed_end(f);
	assert_non_null(row_of(f, &b));
	assert_int_equal(row_of(f, &b)->verdict.cause, TL_CAUSE_BROKER_ERROR);
	assert_non_null(strstr(row_of(f, &b)->verdict.text, "broker error 10 "));
	feed_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_next_epoch), cmocka_unit_test(test_same_epoch), cmocka_unit_test(test_fatal),
		cmocka_unit_test(test_messages_in_flight), cmocka_unit_test(test_id_not_seen),
		cmocka_unit_test(test_drain_before_window), cmocka_unit_test(test_refusal_not_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
