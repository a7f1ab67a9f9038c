/* SPDX-License-Identifier: BSD-2-Clause */
/* test_join.c - which events belong to which batch, and how batches end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "join_feed.h"

#define TIMED_OUT (-192)

static struct feed *begun(void)
{
	struct feed *f = feed_new();

	producer(f, 0, 1000000);
	return f;
}

static void test_acked(void **state)
{
	struct feed *f = begun();
	struct bat b = { 1, 4, 1, 0xabc, 5, 0, 0, 1000, 0 };

	(void)state;
	written(f, 1006, &b);
	replied(f, 1010, &b, 0, 40);
	acks(f, 1010, 1, 0, 0, 2, 40, 5, 1000, 1000);
	feed_end(f);
	assert_int_equal(f->nr, 1);
	assert_int_equal(f->out[0]->outcome, TL_OUTCOME_ACKED);
	assert_string_equal(f->out[0]->topic, "orders");
	assert_int_equal(f->out[0]->base_offset, 40);
	assert_int_equal(f->out[0]->crc, 0xabc);
	assert_int_equal(f->out[0]->in_log, TL_IN_LOG_UNKNOWN);
	assert_int_equal(f->out[0]->resend, TL_RESEND_DUPLICATES);
	assert_string_equal(f->out[0]->producer.client_id, "tester");
	assert_null(unsound(f->out[0]));
	feed_free(f);
}

static void test_folded_acks_are_split(void **state)
{
	struct feed *f = begun();
	struct bat b[3] = {
		{ 1, 4, 1, 0xa, 5, 0, 0, 1000, 1002 }, { 1, 5, 1, 0xb, 2, 0, 0, 1010, 1011 },
		{ 1, 6, 1, 0xc, 9, 0, 0, 1020, 1025 },
	};

	(void)state;
	for (int i = 0; i < 3; i++)
		written(f, 1030, &b[i]);
	replied(f, 1050, &b[0], 0, 40);
	replied(f, 1050, &b[1], 0, 45);
	replied(f, 1050, &b[2], 0, 47);
	acks(f, 1050, 1, 0, 0, 2, 40, 16, 1000, 1025);
	feed_end(f);
	assert_int_equal(f->nr, 3);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(f->out[i]->outcome, TL_OUTCOME_ACKED);
		assert_int_equal(f->out[i]->crc, b[i].crc);
		assert_int_equal(f->out[i]->created_first_ns, b[i].created * (int64_t)MS);
		assert_null(unsound(f->out[i]));
	}
	feed_free(f);
}

static void test_restated_events_count_once(void **state)
{
	struct feed *f = begun();
	struct event ev;
	struct bat b = { 1, 4, 1, 0xabc, 5, 0, 0, 1000, 0 };

	(void)state;
	written(f, 1006, &b);
	written(f, 1006, &b);
	replied(f, 1010, &b, 0, 40);
	replied(f, 1010, &b, 0, 40);
	acks(f, 1010, 1, 0, 0, 2, 40, 5, 1000, 1000);
	ev = at(&f->client, AT_EV_BATCH, 1006);		/* when it is told already */
	ev.batch.conn = 1;
	ev.batch.corr = 4;
	ev.batch.topic = 1;
	ev.batch.crc = 0xabc;
	ev.batch.count = 5;
	ev.batch.flags = AT_BATCH_RESTATED;
	give(f, ev);
	feed_end(f);
	assert_int_equal(f->nr, 1);
	assert_int_equal(f->out[0]->nr_attempts, 1);
	feed_free(f);
}

/* Idempotent: rebuilt identically after the connection is lost. */
static void test_retry(void **state)
{
	struct feed *f = begun();
	struct bat b = { 1, 4, 1, 0xabc, 5, 0, 10, 1000, 0 }, again = b;

	(void)state;
	again.conn = 2;
	again.corr = 9;
	written(f, 1006, &b);
	connection_end(f, 1500, 1);
	connection(f, 1600, 2);
	written(f, 1700, &again);
	replied(f, 1710, &again, 0, 40);
	acks(f, 1710, 1, 0, 0, 2, 40, 5, 1000, 1000);
	feed_end(f);
	assert_int_equal(f->nr, 1);
	assert_int_equal(f->out[0]->nr_attempts, 2);
	assert_int_equal(f->out[0]->counted, 1);
	assert_int_equal(f->out[0]->attempts[0].ended_ns, 1500 * (int64_t)MS);
	assert_false(f->out[0]->attempts[0].answered);
	assert_true(f->out[0]->attempts[1].answered);
	assert_null(unsound(f->out[0]));
	assert_true(phase_of(f->out[0], TL_PHASE_BROKER_DOWN) != NULL);
	assert_int_equal(phase_of(f->out[0], TL_PHASE_BROKER_SIDE)->attempt, 1);
	feed_free(f);
}

/* A retry that the broker has already: DUPLICATE_SEQUENCE is a success. */
static void test_duplicate_sequence(void **state)
{
	struct feed *f = begun();
	struct bat b = { 1, 4, 1, 0xabc, 5, 0, 10, 1000, 0 };

	(void)state;
	written(f, 1006, &b);
	replied(f, 1010, &b, 46, -1);
	acks(f, 1010, 1, 0, 0, 2, -1, 5, 1000, 1000);
	feed_end(f);
	assert_int_equal(f->nr, 1);
	assert_int_equal(f->out[0]->outcome, TL_OUTCOME_ACKED);
	feed_free(f);
}

static void test_never_sent(void **state)
{
	struct feed *f = begun();

	(void)state;
	acks(f, 7000, 1, 3, TIMED_OUT, 0, -1, 12, 1000, 1900);
	feed_end(f);
	assert_int_equal(f->nr, 1);
	assert_int_equal(f->out[0]->outcome, TL_OUTCOME_EXPIRED);
	assert_false(f->out[0]->sent);
	assert_false(f->out[0]->has_crc);
	assert_int_equal(f->out[0]->count, 12);
	assert_int_equal(f->out[0]->in_log, TL_IN_LOG_NO);
	assert_int_equal(f->out[0]->resend, TL_RESEND_SAFE);
	assert_string_equal(f->out[0]->expired_by, "message.timeout.ms");
	assert_null(unsound(f->out[0]));
	feed_free(f);
}

/* Sent and expired; nobody looked at the broker: may be there. */
static void test_expired_without_probe(void **state)
{
	struct feed *f = begun();
	struct bat b[2] = { { 1, 4, 1, 0xa, 5, 0, 0, 1000, 0 }, { 1, 5, 1, 0xb, 3, 0, 0, 1100, 0 } };

	(void)state;
	written(f, 1006, &b[0]);
	written(f, 1106, &b[1]);
	acks(f, 6500, 1, 0, TIMED_OUT, 1, -1, 8, 1000, 1100);
	feed_end(f);
	assert_int_equal(f->nr, 2);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(f->out[i]->outcome, TL_OUTCOME_EXPIRED);
		assert_int_equal(f->out[i]->crc, b[i].crc);
		assert_int_equal(f->out[i]->in_log, TL_IN_LOG_UNKNOWN);
		assert_int_equal(f->out[i]->resend, TL_RESEND_MAY_DUPLICATE);
		assert_int_equal(f->out[i]->verdict.cause, TL_CAUSE_BROKER_SIDE);
		assert_null(unsound(f->out[i]));
	}
	feed_free(f);
}

/* Expired, and appended all the same, seconds later. */
static void test_expired_but_in_log(void **state)
{
	struct feed *f = begun();
	struct bat b = { 1, 4, 1, 0xa, 5, 0, 0, 1000, 0 };

	(void)state;
	probe(f);
	written(f, 1006, &b);
	acks(f, 6500, 1, 0, TIMED_OUT, 1, -1, 5, 1000, 1000);
	arrived(f, 1007, 9000, &b);
	appended(f, 9001, 9002, 50, &b, 77);
	answered(f, 9003, &b);
	feed_end(f);
	assert_int_equal(f->nr, 1);
	assert_int_equal(f->out[0]->outcome, TL_OUTCOME_EXPIRED);
	assert_int_equal(f->out[0]->in_log, TL_IN_LOG_YES);
	assert_int_equal(f->out[0]->resend, TL_RESEND_DUPLICATES);
	assert_int_equal(f->out[0]->base_offset, 77);
	assert_null(unsound(f->out[0]));
	feed_free(f);
}

/* "no" wants proof: all attempts over on the broker, all of it watched, nothing lost. */
static void proof_case(bool ended, bool lossless, enum tl_in_log expected)
{
	struct feed *f = begun();
	struct bat a = { 1, 3, 1, 0xf, 1, 0, 0, 990, 0 }, b = { 1, 4, 1, 0xa, 5, 0, 0, 1000, 0 };

	f->probe.lost = lossless ? 0 : 1;
	probe(f);
	written(f, 996, &a);
	arrived(f, 997, 997, &a);
	appended(f, 998, 999, 50, &a, 76);
	answered(f, 1000, &a);
	replied(f, 1000, &a, 0, 76);
	acks(f, 1000, 1, 0, 0, 2, 76, 1, 990, 990);
	written(f, 1006, &b);
	acks(f, 6500, 1, 0, TIMED_OUT, 1, -1, 5, 1000, 1000);
	connection_end(f, 6501, 1);
	if (ended)
		arrival_ended(f, 6600, 1);
	feed_end(f);
	assert_int_equal(f->nr, 2);
	assert_int_equal(f->out[1]->crc, 0xa);
	assert_int_equal(f->out[1]->in_log, expected);
	feed_free(f);
}

static void test_no_wants_proof(void **state)
{
	(void)state;
	proof_case(true, true, TL_IN_LOG_NO);
	proof_case(false, true, TL_IN_LOG_UNKNOWN);
	proof_case(true, false, TL_IN_LOG_UNKNOWN);
}

/*
 * Without idempotence a retry regroups: two batches given up, one that takes their
 * messages, and that one is in the log.  Nobody may be told that they are not.
 */
static void test_regrouped(void **state)
{
	struct feed *f = begun();
	struct bat a = { 1, 4, 1, 0xa, 1, 0, 0, 1000, 0 }, b = { 1, 5, 1, 0xb, 1, 0, 0, 1100, 0 };
	struct bat both = { 2, 6, 1, 0xc, 2, 0, 0, 1000, 1100 };

	(void)state;
	written(f, 1006, &a);
	written(f, 1106, &b);
	connection_end(f, 3000, 1);
	connection(f, 3010, 2);
	written(f, 3110, &both);
	replied(f, 3120, &both, 0, 5);
	acks(f, 3120, 1, 0, 0, 2, 5, 2, 1000, 1100);
	feed_end(f);
	assert_int_equal(f->nr, 3);
	assert_int_equal(f->out[0]->crc, 0xc);
	assert_false(f->out[0]->moved);
	assert_int_equal(f->out[0]->outcome, TL_OUTCOME_ACKED);
	assert_int_equal(phase_ms(f->out[0], TL_PHASE_UNKNOWN), 0);
	assert_null(unsound(f->out[0]));
	for (int i = 1; i < 3; i++) {
		assert_true(f->out[i]->moved);
		assert_int_not_equal(f->out[i]->resend, TL_RESEND_SAFE);
		assert_null(unsound(f->out[i]));
	}
	feed_free(f);
}

/* A batch's messages may expire in several scans: it is one row, when the last did. */
static void test_expired_in_parts(void **state)
{
	struct feed *f = begun();
	struct bat b = { 1, 4, 1, 0xa, 10, 0, 0, 1000, 1900 };

	(void)state;
	written(f, 1950, &b);
	acks(f, 6500, 1, 0, TIMED_OUT, 1, -1, 4, 1000, 1300);
	acks(f, 7500, 1, 0, TIMED_OUT, 1, -1, 6, 1400, 1900);
	feed_end(f);
	assert_int_equal(f->nr, 1);
	assert_int_equal(f->out[0]->messages, 10);
	assert_int_equal(f->out[0]->created_first_ns, 1000 * (int64_t)MS);
	assert_int_equal(f->out[0]->resolved_ns, 7500 * (int64_t)MS);
	assert_null(unsound(f->out[0]));
	feed_free(f);
}

/* Identical batches in two partitions, and twice in one. */
static void test_same_crc(void **state)
{
	struct feed *f = begun();
	struct bat p0 = { 1, 4, 1, 0xabc, 5, 0, 0, 1000, 0 }, p1 = { 1, 5, 1, 0xabc, 5, 1, 0, 1000, 0 };
	struct bat twin = { 1, 6, 1, 0xabc, 5, 0, 0, 1000, 0 };

	(void)state;
	probe(f);
	written(f, 1006, &p0);
	written(f, 1006, &p1);
	written(f, 1006, &twin);
	arrived(f, 1007, 1007, &p0);
	appended(f, 1008, 1009, 50, &p0, 10);
	answered(f, 1010, &p0);
	arrived(f, 1007, 1011, &p1);
	appended(f, 1012, 1013, 51, &p1, 20);
	answered(f, 1014, &p1);
	arrived(f, 1007, 1015, &twin);
	appended(f, 1016, 1017, 52, &twin, 15);
	answered(f, 1018, &twin);
	replied(f, 1019, &p0, 0, 10);
	replied(f, 1019, &p1, 0, 20);
	replied(f, 1019, &twin, 0, 15);
	acks(f, 1019, 1, 0, 0, 2, 10, 10, 1000, 1000);
	acks(f, 1020, 1, 1, 0, 2, 20, 5, 1000, 1000);
	feed_end(f);
	assert_int_equal(f->nr, 3);
	for (int i = 0; i < 3; i++) {
		const struct tl_batch *b = f->out[i];

		assert_int_equal(b->outcome, TL_OUTCOME_ACKED);
		assert_int_equal(b->in_log, TL_IN_LOG_YES);
		assert_int_equal(b->nr_attempts, 1);
		assert_int_equal(b->join, TL_JOIN_CRC);
		assert_int_equal(b->attempts[0].append_begin_ns / (int64_t)MS,
				 b->base_offset == 10 ? 1008 : b->base_offset == 15 ? 1016 : 1012);
		assert_int_equal(b->partition, b->base_offset == 20);
		assert_null(unsound(b));
	}
	feed_free(f);
}

/* The broker recompressed it: another CRC in the log, found by its offset. */
static void test_by_offset(void **state)
{
	struct feed *f = begun();
	struct bat b = { 1, 4, 1, 0xabc, 5, 0, 0, 1000, 0 }, other = b;

	(void)state;
	probe(f);
	other.crc = 0xdef;
	written(f, 1006, &b);
	arrived(f, 1007, 1007, &b);
	appended(f, 1008, 1009, 50, &other, 10);
	answered(f, 1010, &b);
	replied(f, 1011, &b, 0, 10);
	acks(f, 1011, 1, 0, 0, 2, 10, 5, 1000, 1000);
	feed_end(f);
	assert_int_equal(f->nr, 1);
	assert_int_equal(f->out[0]->join, TL_JOIN_OFFSET);
	assert_int_equal(f->out[0]->in_log, TL_IN_LOG_YES);
	assert_int_equal(f->out[0]->crc, 0xabc);
	feed_free(f);
}

/* A producer that nobody witnessed is a row of the broker's half. */
static void test_broker_only(void **state)
{
	struct feed *f = begun();
	struct bat b = { 1, 4, 1, 0xabc, 5, 0, 0, 1000, 0 };

	(void)state;
	probe(f);
	arrived(f, 1007, 1007, &b);
	appended(f, 1008, 1009, 50, &b, 10);
	answered(f, 1010, &b);
	feed_end(f);
	assert_int_equal(f->nr, 1);
	assert_int_equal(f->out[0]->outcome, TL_OUTCOME_BROKER_ONLY);
	assert_int_equal(f->out[0]->in_log, TL_IN_LOG_YES);
	assert_int_equal(f->out[0]->base_offset, 10);
	assert_null(unsound(f->out[0]));
	feed_free(f);
}

/* The broker's half may be read first when clocks differ a little. */
static void test_broker_first(void **state)
{
	struct feed *f = begun();
	struct bat b = { 1, 4, 1, 0xabc, 5, 0, 0, 1000, 0 };

	(void)state;
	probe(f);
	arrived(f, 1005, 1005, &b);
	appended(f, 1005, 1005, 50, &b, 10);
	written(f, 1006, &b);
	answered(f, 1007, &b);
	replied(f, 1008, &b, 0, 10);
	acks(f, 1008, 1, 0, 0, 2, 10, 5, 1000, 1000);
	feed_end(f);
	assert_int_equal(f->nr, 1);
	assert_int_equal(f->out[0]->outcome, TL_OUTCOME_ACKED);
	assert_int_equal(f->out[0]->in_log, TL_IN_LOG_YES);
	assert_null(unsound(f->out[0]));
	feed_free(f);
}

/* Static librdkafka: no interceptors, the reply alone says how it ended. */
static void test_wire_alone(void **state)
{
	struct feed *f = feed_new();
	struct bat b = { 1, 4, 1, 0xabc, 5, 0, 0, 1000, 0 };

	(void)state;
	topic(f, &f->client, 1, "orders");
	written(f, 1006, &b);
	replied(f, 1010, &b, 0, 40);
	feed_end(f);
	assert_int_equal(f->nr, 1);
	assert_int_equal(f->out[0]->outcome, TL_OUTCOME_ACKED);
	assert_int_equal(f->out[0]->base_offset, 40);
	assert_null(unsound(f->out[0]));
	feed_free(f);
}

static void test_lost_open_dropped(void **state)
{
	static const struct { bool gone, destroyed; enum tl_outcome is; } cases[] = {
		{ true, false, TL_OUTCOME_LOST }, { false, false, TL_OUTCOME_OPEN },
		{ false, true, TL_OUTCOME_DROPPED },
	};

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct feed *f = begun();
		struct bat b = { 1, 4, 1, 0xabc, 5, 0, 0, 1000, 0 };

		f->client.gone = cases[i].gone;
		written(f, 1006, &b);
		if (cases[i].destroyed) {
			struct event ev = at(&f->client, AT_EV_INSTANCE_END, 2000);

			ev.instance_end.inst = 1;
			ev.instance_end.how = 1;
			ev.instance_end.open = 5;
			give(f, ev);
		}
		feed_end(f);
		assert_int_equal(f->nr, 1);
		assert_int_equal(f->out[0]->outcome, cases[i].is);
		assert_null(unsound(f->out[0]));
		feed_free(f);
	}
}

static void test_callback(void **state)
{
	struct feed *f = feed_new();
	struct bat b = { 1, 4, 1, 0xabc, 5, 0, 0, 1000, 0 };

	(void)state;
	producer(f, AT_INST_DR_MSG_CB, 1000000);
	written(f, 1006, &b);
	replied(f, 1010, &b, 0, 40);
	acks(f, 1010, 1, 0, 0, 2, 40, 5, 1000, 1000);
	called_back(f, 3000, 3010, 1, 0, 0, 5);
	feed_end(f);
	assert_int_equal(f->nr, 1);
	assert_int_equal(f->out[0]->acked_ns, 1010 * (int64_t)MS);
	assert_int_equal(f->out[0]->resolved_ns, 3010 * (int64_t)MS);
	assert_int_equal(phase_ms(f->out[0], TL_PHASE_CALLBACK), 2000);
	assert_int_equal(f->out[0]->verdict.cause, TL_CAUSE_APP_NOT_POLLING);
	assert_null(unsound(f->out[0]));
	feed_free(f);
}

/* A fold of callbacks may begin before the acks of its later messages. */
static void test_callback_before_acks(void **state)
{
	struct feed *f = feed_new();
	struct bat a = { 1, 4, 1, 0xa, 5, 0, 0, 1000, 0 }, b = { 1, 5, 1, 0xb, 5, 0, 0, 1010, 0 };

	(void)state;
	producer(f, AT_INST_DR_MSG_CB, 1000000);
	written(f, 1006, &a);
	written(f, 1016, &b);
	replied(f, 1020, &a, 0, 40);
	acks(f, 1020, 1, 0, 0, 2, 40, 5, 1000, 1000);
	called_back(f, 1021, 3005, 1, 0, 0, 10);
	replied(f, 3000, &b, 0, 45);
	acks(f, 3000, 1, 0, 0, 2, 45, 5, 1010, 1010);
	feed_end(f);
	assert_int_equal(f->nr, 2);
	assert_int_equal(f->out[0]->callback_ns, 1021 * (int64_t)MS);
	assert_int_equal(f->out[1]->callback_ns, 3005 * (int64_t)MS);
	for (int i = 0; i < 2; i++)
		assert_null(unsound(f->out[i]));
	feed_free(f);
}

/* The callbacks of what expired first are not those of what expired last. */
static void test_callback_in_parts(void **state)
{
	struct feed *f = feed_new();
	struct bat b = { 1, 4, 1, 0xa, 10, 0, 0, 1000, 1900 };

	(void)state;
	producer(f, AT_INST_DR_MSG_CB, 1000000);
	written(f, 1950, &b);
	acks(f, 6500, 1, 0, TIMED_OUT, 1, -1, 4, 1000, 1300);
	called_back(f, 6501, 6502, 1, 0, TIMED_OUT, 4);
	acks(f, 7500, 1, 0, TIMED_OUT, 1, -1, 6, 1400, 1900);
	called_back(f, 7501, 7502, 1, 0, TIMED_OUT, 6);
	acks(f, 9000, 1, 0, TIMED_OUT, 0, -1, 3, 4000, 4002);
	called_back(f, 9001, 9002, 1, 0, TIMED_OUT, 3);
	feed_end(f);
	assert_int_equal(f->nr, 2);
	assert_int_equal(f->out[0]->callback_ns, 7502 * (int64_t)MS);
	assert_int_equal(f->out[1]->callback_ns, 9002 * (int64_t)MS);
	assert_int_equal(phase_ms(f->out[0], TL_PHASE_CALLBACK), 2);
	feed_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_acked),
		cmocka_unit_test(test_folded_acks_are_split),
		cmocka_unit_test(test_restated_events_count_once),
		cmocka_unit_test(test_retry),
		cmocka_unit_test(test_duplicate_sequence),
		cmocka_unit_test(test_never_sent),
		cmocka_unit_test(test_expired_without_probe),
		cmocka_unit_test(test_expired_but_in_log),
		cmocka_unit_test(test_no_wants_proof),
		cmocka_unit_test(test_regrouped),
		cmocka_unit_test(test_expired_in_parts),
		cmocka_unit_test(test_same_crc),
		cmocka_unit_test(test_by_offset),
		cmocka_unit_test(test_broker_only),
		cmocka_unit_test(test_broker_first),
		cmocka_unit_test(test_wire_alone),
		cmocka_unit_test(test_lost_open_dropped),
		cmocka_unit_test(test_callback),
		cmocka_unit_test(test_callback_before_acks),
		cmocka_unit_test(test_callback_in_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
