/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_wire_alone.c - a client whose library says nothing, as Kafka's Java producer: what its
 * sockets show of a batch that was given up, and what they do not show is not made up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "join_feed.h"

#define LOCALHOST	0xffff7f000001

/* Both ends on one host. */
static void connected(struct feed *f, uint64_t ms, uint32_t conn)
{
	struct event ev = at(&f->client, AT_EV_CONN, ms);

	ev.conn.conn = conn;
	ev.conn.broker = -1;
	ev.conn.connect_ns = ev.ns;
	ev.conn.local_port = 40000 + conn;
	ev.conn.peer_port = 9092;
	ev.conn.local_lo = ev.conn.peer_lo = LOCALHOST;
	give(f, ev);
}

static struct feed *begun(void)
{
	struct feed *f = feed_new();

	topic(f, &f->client, 1, "orders");
	connected(f, 900, 1);
	return f;
}

/* Batches that are answered at once: the first, which is nothing to go by, and one that lingered 6 ms. */
static void warmed_up(struct feed *f)
{
	struct bat a = { 1, 1, 1, 0xa1, 1, 0, 1, 910, 0 }, b = { 1, 2, 1, 0xa2, 1, 0, 2, 950, 0 };

	written(f, 920, &a);
	replied(f, 922, &a, 0, 0);
	written(f, 956, &b);
	replied(f, 958, &b, 0, 1);
}

static void ended(struct feed *f, uint64_t ms)
{
	give(f, at(&f->client, AT_EV_END, ms));
	feed_end(f);
}

static const struct tl_batch *row_of(struct feed *f, uint32_t crc)
{
	for (uint32_t i = 0; i < f->nr; i++)
		if (f->out[i]->crc == crc) {
			assert_null(unsound(f->out[i]));
			assert_true(f->out[i]->wire_alone);
			return f->out[i];
		}
	fail_msg("no row of %x", crc);
	return NULL;
}

/* Its connection was closed without an answer, and the next batch was sent instead: it was given up. */
static void test_passed_over(void **state)
{
	struct feed *f = begun();
	struct bat a = { 1, 4, 1, 0xaa, 1, 0, 5, 1000, 0 }, b = { 2, 5, 1, 0xbb, 1, 0, 9, 5030, 0 };
	const struct tl_batch *row;

	(void)state;
	warmed_up(f);
	written(f, 1006, &a);
	connection_end(f, 5000, 1);
	connected(f, 5010, 2);
	written(f, 5036, &b);
	replied(f, 5040, &b, 0, 7);
	ended(f, 60000);
	row = row_of(f, 0xaa);
	assert_int_equal(row->outcome, TL_OUTCOME_EXPIRED);
	assert_null(row->expired_by);		/* whose timeout it was nobody said */
	assert_int_equal(row->end_ns, 5036 * MS);
	assert_int_equal(row->verdict.cause, TL_CAUSE_BROKER_SIDE);
	assert_int_equal(row_of(f, 0xbb)->outcome, TL_OUTCOME_ACKED);
	feed_free(f);
}

/* The same batch again is none that is passed over. */
static void test_sent_again(void **state)
{
	struct feed *f = begun();
	struct bat a = { 1, 4, 1, 0xaa, 1, 0, 5, 1000, 0 }, again = { 2, 5, 1, 0xaa, 1, 0, 5, 1000, 0 };
	const struct tl_batch *row;

	(void)state;
	warmed_up(f);
	written(f, 1006, &a);
	connection_end(f, 5000, 1);
	connected(f, 5010, 2);
	written(f, 5036, &again);
	replied(f, 5040, &again, 0, 7);
	ended(f, 60000);
	row = row_of(f, 0xaa);
	assert_int_equal(row->outcome, TL_OUTCOME_ACKED);
	assert_int_equal(row->nr_attempts, 2);
	assert_int_equal(row->verdict.cause, TL_CAUSE_BROKER_SIDE);
	feed_free(f);
}

/* Never answered until the app ended: what it waited for is the cause; of one just sent that the app ended. */
static void test_lost(void **state)
{
	struct feed *f = begun();
	struct bat a = { 1, 4, 1, 0xaa, 1, 0, 5, 1000, 0 }, b = { 1, 5, 1, 0xbb, 1, 0, 6, 9980, 0 };

	(void)state;
	warmed_up(f);
	written(f, 1006, &a);
	written(f, 9986, &b);
	ended(f, 10000);
	assert_int_equal(row_of(f, 0xaa)->outcome, TL_OUTCOME_LOST);
	assert_int_equal(row_of(f, 0xaa)->verdict.cause, TL_CAUSE_BROKER_SIDE);
	assert_int_equal(row_of(f, 0xbb)->outcome, TL_OUTCOME_LOST);
	assert_int_equal(row_of(f, 0xbb)->verdict.cause, TL_CAUSE_APP_ENDED);
	feed_free(f);
}

/* Each request is given up at once, and its connection closed a little later: a broker that would have answered is not to blame. */
static void test_given_up_at_once(void **state)
{
	struct feed *f = begun();
	struct bat a = { 1, 4, 1, 0xaa, 1, 0, 5, 1000, 0 }, b = { 5, 9, 1, 0xbb, 1, 0, 6, 1100, 0 };
	const struct tl_batch *row;

	(void)state;
	warmed_up(f);
	for (uint32_t i = 0; i < 4; i++) {
		a.conn = 1 + i;
		a.corr = 4 + i;
		written(f, 1006 + 900 * i, &a);
		connection_end(f, 1007 + 150 + 900 * i, a.conn);
		connected(f, 1200 + 900 * i, a.conn + 1);
	}
	a.conn++;
	a.corr++;
	written(f, 9600, &a);
	written(f, 9601, &b);
	replied(f, 9602, &a, 0, 7);
	replied(f, 9603, &b, 0, 8);
	ended(f, 60000);
	/* The one behind it waits for that. */
	assert_true(phase_ms(row_of(f, 0xbb), TL_PHASE_RETRY) > 7000);
	row = row_of(f, 0xaa);
	assert_int_equal(row->nr_attempts, 5);
	assert_int_equal(row->verdict.cause, TL_CAUSE_UNKNOWN);
	assert_non_null(strstr(row->verdict.text, "request.timeout.ms"));
	feed_free(f);
}

/* Sent more often than there is room to tell one by one: what is left of its life is not the last phase's. */
static void test_sent_often(void **state)
{
	struct feed *f = begun();
	struct bat a = { 1, 4, 1, 0xaa, 1, 0, 5, 1000, 0 };
	const struct tl_batch *row;

	(void)state;
	warmed_up(f);
	for (uint32_t i = 0; i < TL_MAX_PHASES; i++, a.conn++, a.corr++) {
		written(f, 1006 + 900 * i, &a);
		connection_end(f, 1036 + 900 * i, a.conn);
		connected(f, 1036 + 900 * i, a.conn + 1);
	}
	written(f, 250000, &a);
	replied(f, 250002, &a, 0, 7);
	ended(f, 260000);
	row = row_of(f, 0xaa);
	assert_int_equal(row->nr_phases, TL_MAX_PHASES);
	assert_int_equal(row->verdict.cause, TL_CAUSE_UNKNOWN);
	assert_true(phase_ms(row, TL_PHASE_BROKER_SIDE) <= 30 * TL_MAX_PHASES);
	assert_true(phase_ms(row, TL_PHASE_RETRY) > 200000);
	feed_free(f);
}

/* How long a batch may linger is nowhere said: not ten times as long as others. */
static void test_linger(void **state)
{
	struct feed *f = begun();
	struct bat a = { 1, 4, 1, 0xaa, 1, 0, 5, 1000, 0 }, b = { 1, 5, 1, 0xbb, 1, 0, 6, 2000, 0 };

	(void)state;
	warmed_up(f);
	written(f, 1008, &a);
	replied(f, 1010, &a, 0, 7);
	written(f, 2200, &b);
	replied(f, 2202, &b, 0, 8);
	ended(f, 60000);
	assert_int_equal(phase_ms(row_of(f, 0xaa), TL_PHASE_LINGER), 8);
	assert_int_equal(phase_ms(row_of(f, 0xbb), TL_PHASE_LINGER), 0);
	assert_int_equal(row_of(f, 0xbb)->verdict.cause, TL_CAUSE_UNKNOWN);
	feed_free(f);
}

/* All that wait long linger. */
static void test_long_linger(void **state)
{
	struct feed *f = begun();
	struct bat b = { 1, 4, 1, 0xb0, 9, 0, 5, 1000, 0 };

	(void)state;
	for (uint32_t i = 0; i < 3; i++, b.crc++, b.corr++, b.seq += 9) {
		b.created = 1000 + 2000 * i;
		written(f, 2900 + 2000 * i, &b);
		replied(f, 2905 + 2000 * i, &b, 0, 9 * i);
	}
	ended(f, 60000);
	/* The first may have waited for the start. */
	assert_int_equal(row_of(f, 0xb0)->verdict.cause, TL_CAUSE_UNKNOWN);
	assert_int_equal(row_of(f, 0xb1)->verdict.cause, TL_CAUSE_LINGER);
	assert_int_equal(row_of(f, 0xb2)->verdict.cause, TL_CAUSE_LINGER);
	feed_free(f);
}

/* Never more than two in flight, and the third is sent as soon as the first is answered. */
static void test_room(void **state)
{
	struct feed *f = begun();
	struct bat a = { 1, 4, 1, 0xaa, 1, 0, 5, 1000, 0 }, b = { 1, 5, 1, 0xbb, 1, 0, 6, 1100, 0 },
		   c = { 1, 6, 1, 0xcc, 9, 0, 7, 1130, 1990 };
	const struct tl_batch *row;

	(void)state;
	warmed_up(f);
	written(f, 1006, &a);
	written(f, 1106, &b);
	replied(f, 2006, &a, 0, 7);
	written(f, 2006, &c);
	replied(f, 2106, &b, 0, 8);
	replied(f, 3006, &c, 0, 9);
	ended(f, 60000);
	row = row_of(f, 0xcc);
	assert_int_equal(phase_ms(row, TL_PHASE_WINDOW), 2006 - 1130);
	assert_null(phase_of(row, TL_PHASE_LINGER));
	feed_free(f);
}

/* No answer ever made room: as much was in flight until the connection was closed. */
static void test_no_room(void **state)
{
	struct feed *f = begun();
	struct bat a = { 1, 4, 1, 0xaa, 1, 0, 5, 1000, 0 }, b = { 1, 5, 1, 0xbb, 1, 0, 6, 1100, 0 },
		   c = { 2, 6, 1, 0xcc, 9, 0, 7, 1130, 4990 };

	(void)state;
	warmed_up(f);
	written(f, 1006, &a);
	written(f, 1106, &b);
	connection_end(f, 5000, 1);
	connected(f, 5010, 2);
	written(f, 5012, &c);
	replied(f, 5014, &c, 0, 9);
	ended(f, 60000);
	assert_int_equal(phase_ms(row_of(f, 0xcc), TL_PHASE_WINDOW), 5000 - 1130);
	feed_free(f);
}

/* The broker had answered what its client gave up: that it is without a connection then is not the broker's doing. */
static void test_answered_unread(void **state)
{
	struct feed *f = begun();
	struct bat a = { 1, 4, 1, 0xaa, 1, 0, 5, 1000, 0 }, b = { 2, 5, 1, 0xbb, 1, 0, 6, 5001, 0 };

	(void)state;
	probe(f);
	warmed_up(f);
	written(f, 1006, &a);
	arrived(f, 1006, 1007, &a);
	appended(f, 1008, 1009, 50, &a, 7);
	answered(f, 1010, &a);
	connection_end(f, 5000, 1);
	connected(f, 9000, 2);
	written(f, 9006, &b);
	replied(f, 9008, &b, 0, 8);
	ended(f, 60000);
	assert_true(phase_ms(row_of(f, 0xbb), TL_PHASE_BROKER_DOWN) > 3900);
	assert_int_equal(row_of(f, 0xbb)->verdict.cause, TL_CAUSE_UNKNOWN);
	feed_free(f);
}

static void asked(struct feed *f, uint64_t ms, uint64_t until, uint32_t corr, int16_t api)
{
	struct event ev = at(&f->client, AT_EV_REQUEST, ms);

	ev.request.begin_ns = ev.ns;
	ev.request.conn = 1;
	ev.request.corr = corr;
	ev.request.api = api;
	give_text(f, ev, "tester");
	ev = at(&f->client, AT_EV_RESPONSE, until);
	ev.response.conn = 1;
	ev.response.corr = corr;
	give(f, ev);
}

/* What it asks before its first Produce is its start. */
static void test_cold_start(void **state)
{
	struct feed *f = begun();
	struct bat a = { 1, 4, 1, 0xaa, 1, 0, 5, 1000, 0 };

	(void)state;
	asked(f, 1001, 1300, 3, KAFKA_INIT_PRODUCER_ID);
	written(f, 1310, &a);
	replied(f, 1312, &a, 0, 7);
	ended(f, 60000);
	assert_int_equal(row_of(f, 0xaa)->verdict.cause, TL_CAUSE_COLD_START);
	feed_free(f);
}

/* A proxy on the client's host: that it takes the bytes says nothing of the broker, on no connection to it. */
static void test_relayed(void **state)
{
	struct feed *f = begun();
	struct bat a = { 1, 4, 1, 0xaa, 1, 0, 5, 1000, 0 }, b = { 2, 5, 1, 0xbb, 1, 0, 6, 5020, 0 },
		   c = { 3, 6, 1, 0xcc, 1, 0, 7, 9020, 0 };
	struct bat there = a;

	(void)state;
	probe(f);
	warmed_up(f);
	there.conn = 77;		/* the proxy's own connection has another port */
	written(f, 1006, &a);
	arrived(f, 1006, 1007, &there);
	appended(f, 1008, 1009, 50, &there, 7);
	answered(f, 1010, &there);
	replied(f, 1011, &a, 0, 7);
	connection_end(f, 4000, 1);
	connected(f, 5010, 2);
	written(f, 5026, &b);
	connection_end(f, 9000, 2);
	connected(f, 9010, 3);
	written(f, 9026, &c);
	replied(f, 9028, &c, 0, 8);
	ended(f, 60000);
	assert_int_equal(row_of(f, 0xbb)->outcome, TL_OUTCOME_EXPIRED);
	assert_int_equal(row_of(f, 0xbb)->verdict.cause, TL_CAUSE_UNKNOWN);
	feed_free(f);
}

/* The broker answered, and the client that wrote on that connection again never read it. */
static void test_answer_not_there(void **state)
{
	struct feed *f = begun();
	struct bat a = { 1, 4, 1, 0xaa, 1, 0, 5, 1000, 0 }, b = { 1, 5, 1, 0xbb, 1, 0, 6, 1100, 0 },
		   c = { 2, 6, 1, 0xcc, 1, 0, 7, 5020, 0 };
	struct bat there = a;

	(void)state;
	probe(f);
	warmed_up(f);
	there.conn = 77;
	written(f, 1006, &a);
	arrived(f, 1006, 1007, &there);
	appended(f, 1008, 1009, 50, &there, 7);
	answered(f, 1010, &there);
	written(f, 1106, &b);
	connection_end(f, 5000, 1);
	connected(f, 5010, 2);
	written(f, 5026, &c);
	replied(f, 5028, &c, 0, 8);
	ended(f, 60000);
	assert_int_equal(row_of(f, 0xaa)->verdict.cause, TL_CAUSE_NETWORK);
	/* Of the other it is not known where it lay. */
	assert_int_equal(row_of(f, 0xbb)->verdict.cause, TL_CAUSE_UNKNOWN);
	feed_free(f);
}

/* The one ahead of it is told first, unanswered, and what held that holds this one. */
static void test_behind_unanswered(void **state)
{
	struct feed *f = begun();
	struct bat a = { 1, 4, 1, 0xaa, 1, 0, 5, 1000, 0 }, b = { 1, 5, 1, 0xbb, 1, 0, 6, 1100, 0 };

	(void)state;
	probe(f);
	warmed_up(f);
	written(f, 1006, &a);
	arrived(f, 1006, 1007, &a);
	appended(f, 1008, 1009, 50, &a, 7);
	written(f, 1106, &b);
	synced(f, 1010, 4900, 50, FILE_SEGMENT, AT_CALL_FSYNC);
	ended(f, 5000);
	assert_int_equal(row_of(f, 0xaa)->verdict.cause, TL_CAUSE_LEADER_FSYNC);
	assert_int_equal(row_of(f, 0xbb)->verdict.cause, TL_CAUSE_LEADER_FSYNC);
	feed_free(f);
}

static void batch_only(struct feed *f, uint64_t ms, const struct bat *b)
{
	struct event ev = at(&f->client, AT_EV_BATCH, ms);

	ev.batch.begin_ns = ev.ns;
	ev.batch.conn = b->conn;
	ev.batch.corr = b->corr;
	ev.batch.topic = b->topic;
	ev.batch.partition = b->partition;
	ev.batch.crc = b->crc;
	ev.batch.count = b->count;
	ev.batch.first_ts_ms = b->created;
	ev.batch.max_ts_ms = b->created_last ? b->created_last : b->created;
	ev.batch.producer_id = ev.batch.base_sequence = -1;
	give(f, ev);
}

static void without_acks(struct feed *f, uint64_t ms, const struct bat *b)
{
	struct event ev = at(&f->client, AT_EV_REQUEST, ms);

	batch_only(f, ms, b);
	ev.request.begin_ns = ev.ns;
	ev.request.conn = b->conn;
	ev.request.corr = b->corr;
	ev.request.size = 100 * b->count + 50;
	ev.request.batches = 1;
	give_text(f, ev, "tester");
}

/* acks=0: nobody answers, and nothing is lost for that; each is told once it is written. */
static void test_no_acks(void **state)
{
	struct feed *f = begun();

	(void)state;
	for (uint32_t i = 0; i < 100; i++) {
		struct bat b = { 1, 1 + i, 1, 0xaa00 + i, 1, 0, 0, 1000 + 10 * i, 1015 + 10 * i };

		without_acks(f, 1020 + 10 * i, &b);
		assert_int_equal(f->nr, 1 + i);
	}
	ended(f, 60000);
	assert_int_equal(f->nr, 100);
	for (uint32_t i = 0; i < 100; i++) {
		const struct tl_batch *row = row_of(f, 0xaa00 + i);

		assert_int_equal(row->outcome, TL_OUTCOME_ACKED);
		assert_int_equal(row->end_ns, (1020 + 10 * i) * MS);
		assert_int_equal(row->verdict.cause, TL_CAUSE_HEALTHY);
	}
	feed_free(f);
}

/* Its connection ended while it was written: it is done with once it is written again. */
static void test_no_acks_again(void **state)
{
	struct feed *f = begun();
	struct bat a = { 1, 1, 1, 0xaa, 1, 0, 0, 1000, 0 }, again = { 2, 2, 1, 0xaa, 1, 0, 0, 1000, 0 };

	(void)state;
	batch_only(f, 1005, &a);
	connection_end(f, 1100, 1);
	connected(f, 1110, 2);
	without_acks(f, 1120, &again);
	ended(f, 60000);
	assert_int_equal(f->nr, 1);
	assert_int_equal(row_of(f, 0xaa)->outcome, TL_OUTCOME_ACKED);
	assert_int_equal(row_of(f, 0xaa)->nr_attempts, 2);
	assert_int_equal(row_of(f, 0xaa)->end_ns, 1120 * MS);
	feed_free(f);
}

/* Its broker may read it later: that is the same row's, and no longer life. */
static void test_no_acks_probed(void **state)
{
	struct feed *f = begun();
	struct bat a = { 1, 1, 1, 0xaa, 1, 0, 0, 1000, 0 };
	const struct tl_batch *row;

	(void)state;
	probe(f);
	without_acks(f, 1005, &a);
	arrived(f, 1006, 1700, &a);
	appended(f, 1701, 1702, 4, &a, 10);
	ended(f, 60000);
	assert_int_equal(f->nr, 1);
	row = row_of(f, 0xaa);
	assert_int_equal(row->outcome, TL_OUTCOME_ACKED);
	assert_int_equal(row->end_ns, 1005 * MS);
	assert_int_equal(row->attempts[0].append_end_ns, 1702 * MS);
	assert_int_equal(row->in_log, TL_IN_LOG_YES);
	assert_int_equal(row->base_offset, 10);
	feed_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_passed_over), cmocka_unit_test(test_sent_again), cmocka_unit_test(test_lost),
		cmocka_unit_test(test_given_up_at_once), cmocka_unit_test(test_sent_often), cmocka_unit_test(test_linger),
		cmocka_unit_test(test_long_linger), cmocka_unit_test(test_room), cmocka_unit_test(test_cold_start),
		cmocka_unit_test(test_relayed), cmocka_unit_test(test_answer_not_there), cmocka_unit_test(test_behind_unanswered),
		cmocka_unit_test(test_no_room), cmocka_unit_test(test_answered_unread), cmocka_unit_test(test_no_acks),
		cmocka_unit_test(test_no_acks_again), cmocka_unit_test(test_no_acks_probed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
