/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_half.c - what a probe alone tells of a client that no shim could reach: what held
 * its requests, and what does not look like it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "join_feed.h"

static const struct bat first = { 1, 1, 1, 0xa1, 5, 0, 0, 900, 0 };
static const struct bat second = { 1, 2, 1, 0xa2, 5, 0, 0, 900, 0 };
static const struct bat third = { 1, 3, 1, 0xa3, 5, 0, 0, 900, 0 };
static const struct bat aside = { 2, 1, 1, 0xb1, 5, 0, 0, 900, 0 };

static struct feed *begun(void)
{
	struct feed *f = feed_new();

	probe(f);
	return f;
}

/* As arrived(), with what that leaves out. */
static void came(struct feed *f, uint64_t first_ms, uint64_t arrived_ms, uint64_t read_ms, int16_t acks, const struct bat *b)
{
	struct event ev = at(&f->probe, AT_EV_ARRIVAL, read_ms);

	ev.arrival.first_ns = first_ms * MS;
	ev.arrival.arrived_ns = arrived_ms * MS;
	ev.arrival.pid = 9;
	ev.arrival.conn = b->conn;
	ev.arrival.corr = b->corr;
	ev.arrival.peer_lo = 0xffff7f000001;
	ev.arrival.peer_port = 40000 + b->conn;
	ev.arrival.acks = acks;
	ev.arrival.batches = 1;
	give_text(f, ev, "unreachable");
	ev = at(&f->probe, AT_EV_ARRIVAL_BATCH, read_ms);
	ev.arrival_batch.conn = b->conn;
	ev.arrival_batch.corr = b->corr;
	ev.arrival_batch.topic = b->topic;
	ev.arrival_batch.crc = b->crc;
	ev.arrival_batch.count = b->count;
	ev.arrival_batch.first_ts_ms = b->created;
	ev.arrival_batch.producer_id = ev.arrival_batch.base_sequence = -1;
	give(f, ev);
}

static void throttled(struct feed *f, uint64_t ms, uint32_t throttle_ms, const struct bat *b)
{
	struct event ev = at(&f->probe, AT_EV_ANSWER, ms);

	ev.answer.begin_ns = ev.ns;
	ev.answer.conn = b->conn;
	ev.answer.corr = b->corr;
	ev.answer.throttle_ms = throttle_ms;
	give(f, ev);
}

/* Read, appended and answered within 3 ms. */
static void quickly(struct feed *f, uint64_t arrived_ms, uint64_t read_ms, const struct bat *b, int64_t offset)
{
	came(f, arrived_ms, arrived_ms, read_ms, 1, b);
	appended(f, read_ms + 1, read_ms + 2, 4, b, offset);
	answered(f, read_ms + 3, b);
}

static struct tl_batch *row(struct feed *f, const struct bat *b)
{
	for (uint32_t i = 0; i < f->nr; i++)
		if (f->out[i]->crc == b->crc)
			return f->out[i];
	fail_msg("no row with CRC %x", b->crc);
	return NULL;
}

static const struct tl_phase *phase(const struct tl_batch *b, enum tl_phase_name name)
{
	for (uint32_t i = 0; i < b->nr_phases; i++)
		if (b->phases[i].name == name)
			return &b->phases[i];
	return NULL;
}

static void test_who(void **unused)
{
	struct feed *f = begun();
	struct tl_batch *b;

	(void)unused;
	quickly(f, 1000, 1001, &first, 10);
	feed_end(f);
	b = row(f, &first);
	assert_int_equal(b->producer.peer_port, 40001);
	assert_int_equal(b->producer.peer_lo, 0xffff7f000001);
	assert_int_equal(b->verdict.cause, TL_CAUSE_HEALTHY);
	feed_free(f);
}

/* Nobody answers the first: it is over with its sync, and until then held the second. */
static void test_no_acks(void **unused)
{
	struct feed *f = begun();
	struct tl_batch *b;

	(void)unused;
	came(f, 1000, 1000, 1001, 0, &first);
	appended(f, 1002, 1003, 4, &first, 10);
	synced(f, 1003, 2003, 4, FILE_SEGMENT, AT_CALL_FSYNC);
	quickly(f, 1010, 2004, &second, 15);
	quickly(f, 5000, 5001, &third, 20);
	feed_end(f);
	b = row(f, &first);
	assert_int_equal(b->end_ns, 2003 * MS);
	assert_int_equal(b->verdict.cause, TL_CAUSE_LEADER_FSYNC);
	b = row(f, &second);
	assert_non_null(phase(b, TL_PHASE_BEHIND));
	assert_int_equal(b->verdict.cause, TL_CAUSE_LEADER_FSYNC);
	b = row(f, &third);
	assert_null(phase(b, TL_PHASE_BEHIND));
	assert_int_equal(b->verdict.cause, TL_CAUSE_HEALTHY);
	feed_free(f);
}

/* Deaf for as long as the answer said, and nothing else was seen of the broker; or read on before. */
static enum tl_cause quota(uint32_t throttle_ms, uint64_t read_ms)
{
	struct feed *f = begun();
	enum tl_cause cause;

	came(f, 1000, 1000, 1001, 1, &first);
	appended(f, 1002, 1003, 4, &first, 10);
	throttled(f, 1004, throttle_ms, &first);
	quickly(f, 1010, read_ms, &second, 15);
	feed_end(f);
	cause = row(f, &second)->verdict.cause;
	feed_free(f);
	return cause;
}

static void test_quota(void **unused)
{
	(void)unused;
	assert_int_equal(quota(1000, 2004), TL_CAUSE_QUOTA);
	assert_int_equal(quota(0, 2004), TL_CAUSE_PAUSED);
	/* It read on long before: no quota then, whatever those bytes were. */
	assert_int_not_equal(quota(60000, 2004), TL_CAUSE_QUOTA);
	/* The quota was over soon, and still nothing was read. */
	assert_int_not_equal(quota(100, 2004), TL_CAUSE_QUOTA);
}

/* With acks=0 no answer can say that there is a quota: silence is no proof of a pause. */
static void test_no_acks_quota(void **unused)
{
	struct feed *f = begun();

	(void)unused;
	came(f, 1000, 1000, 1001, 0, &first);
	appended(f, 1002, 1003, 4, &first, 10);
	came(f, 1010, 1010, 2004, 0, &second);
	appended(f, 2005, 2006, 4, &second, 15);
	feed_end(f);
	assert_int_equal(row(f, &second)->verdict.cause, TL_CAUSE_BROKER_SIDE);
	feed_free(f);
}

/* Its bytes came over a second: the broker had nothing to do meanwhile, or its buffer was full. */
static enum tl_cause slow_bytes(bool busy)
{
	struct feed *f = begun();
	enum tl_cause cause;

	if (busy) {
		came(f, 1000, 1000, 1001, 1, &first);
		appended(f, 1002, 1003, 4, &first, 10);
		synced(f, 1003, 2090, 4, FILE_SEGMENT, AT_CALL_FSYNC);
		answered(f, 2091, &first);
	} else {
		quickly(f, 1000, 1001, &first, 10);
	}
	came(f, 1100, 2095, 2096, 1, &second);
	appended(f, 2097, 2098, 4, &second, 15);
	answered(f, 2099, &second);
	feed_end(f);
	cause = row(f, &second)->verdict.cause;
	feed_free(f);
	return cause;
}

static void test_network(void **unused)
{
	(void)unused;
	assert_int_equal(slow_bytes(false), TL_CAUSE_NETWORK);
	assert_int_equal(slow_bytes(true), TL_CAUSE_LEADER_FSYNC);
}

/* Behind one whose append took most of ITS time: not what held this one for two seconds. */
static void test_small_stall(void **unused)
{
	struct feed *f = begun();

	(void)unused;
	quickly(f, 900, 901, &aside, 5);
	came(f, 1000, 1000, 3000, 1, &first);
	appended(f, 3001, 3009, 4, &first, 10);
	answered(f, 3010, &first);
	quickly(f, 1005, 3011, &second, 15);
	feed_end(f);
	assert_int_equal(row(f, &first)->verdict.cause, TL_CAUSE_PAUSED);
	assert_int_equal(row(f, &second)->verdict.cause, TL_CAUSE_PAUSED);
	feed_free(f);
}

/* One request, two batches: each waits for the other's sync, in the queue or for the answer. */
static void two_batches(int16_t acks)
{
	struct bat same = second;
	struct feed *f = begun();
	struct event ev;

	same.corr = first.corr;
	same.partition = 1;
	came(f, 1000, 1000, 1001, acks, &first);
	ev = at(&f->probe, AT_EV_ARRIVAL_BATCH, 1001);
	ev.arrival_batch.conn = same.conn;
	ev.arrival_batch.corr = same.corr;
	ev.arrival_batch.topic = same.topic;
	ev.arrival_batch.partition = same.partition;
	ev.arrival_batch.crc = same.crc;
	ev.arrival_batch.count = same.count;
	ev.arrival_batch.index = 1;
	ev.arrival_batch.first_ts_ms = same.created;
	ev.arrival_batch.producer_id = ev.arrival_batch.base_sequence = -1;
	give(f, ev);
	appended(f, 1002, 1003, 4, &first, 10);
	synced(f, 1003, 3903, 4, FILE_SEGMENT, AT_CALL_FSYNC);
	appended(f, 3904, 3905, 4, &same, 15);
	if (acks)
		answered(f, 3906, &first);
	feed_end(f);
	assert_int_equal(f->nr, 2);
	assert_int_equal(row(f, &first)->verdict.cause, TL_CAUSE_LEADER_FSYNC);
	assert_non_null(phase(row(f, &first), TL_PHASE_FSYNC));
	assert_int_equal(row(f, &same)->verdict.cause, TL_CAUSE_LEADER_FSYNC);
	assert_null(phase(row(f, &same), TL_PHASE_FSYNC));
	assert_int_equal(phase(row(f, &same), TL_PHASE_QUEUE)->cause, TL_CAUSE_LEADER_FSYNC);
	feed_free(f);
}

static void test_two_batches(void **unused)
{
	(void)unused;
	two_batches(1);
	two_batches(0);
}

/* Two lay in the queue when it was stopped, and one handler took both; another's arrival is the proof. */
static void test_stopped_in_queue(void **unused)
{
	static const struct bat unread = { 3, 1, 1, 0xc1, 5, 0, 0, 900, 0 };
	struct feed *f = begun();

	(void)unused;
	quickly(f, 900, 901, &aside, 5);
	came(f, 1000, 1000, 1001, 1, &first);
	came(f, 1001, 1001, 1002, 1, &(struct bat){ 4, 1, 1, 0xd1, 5, 0, 0, 900, 0 });
	appended(f, 3100, 3101, 4, &first, 10);
	appended(f, 3102, 3103, 4, &(struct bat){ 4, 1, 1, 0xd1, 5, 0, 0, 900, 0 }, 15);
	came(f, 1100, 1100, 3103, 1, &unread);
	answered(f, 3104, &first);
	answered(f, 3104, &(struct bat){ 4, 1, 1, 0xd1, 5, 0, 0, 900, 0 });
	appended(f, 3105, 3106, 5, &unread, 20);
	answered(f, 3107, &unread);
	feed_end(f);
	assert_int_equal(row(f, &unread)->verdict.cause, TL_CAUSE_PAUSED);
	assert_int_equal(row(f, &first)->verdict.cause, TL_CAUSE_PAUSED);
	assert_int_equal(row(f, &(struct bat){ .crc = 0xd1 })->verdict.cause, TL_CAUSE_PAUSED);
	feed_free(f);
}

/* A client that gives each request the same CorrId. */
static void test_same_corr(void **unused)
{
	struct bat again = second;
	struct feed *f = begun();

	(void)unused;
	again.corr = first.corr;
	quickly(f, 1000, 1001, &first, 10);
	quickly(f, 2000, 2001, &again, 15);
	feed_end(f);
	assert_int_equal(f->nr, 2);
	assert_int_equal(row(f, &again)->nr_attempts, 1);
	assert_true(row(f, &again)->attempts[0].append_end_ns && row(f, &again)->attempts[0].read_ns);
	assert_int_equal(row(f, &again)->verdict.cause, TL_CAUSE_HEALTHY);
	feed_free(f);
}

/* The reader hands out a name before its chunk, though it was learned a minute later. */
static void test_early_name(void **unused)
{
	struct feed *f = begun();
	struct event ev = at(&f->probe, AT_EV_FILE, 61000);

	(void)unused;
	quickly(f, 900, 901, &aside, 5);
	came(f, 1000, 1000, 1001, 0, &first);
	ev.file.file = 9;
	ev.file.partition = -1;
	give_text(f, ev, "/log/later");
	appended(f, 1400, 1401, 4, &first, 10);
	feed_end(f);
	assert_int_equal(f->nr, 2);
	assert_int_equal(row(f, &first)->end_ns, 1401 * MS);
	assert_int_equal(row(f, &first)->verdict.cause, TL_CAUSE_BROKER_SIDE);
	feed_free(f);
}

/* Answered and never appended, or of unknown arrival: quick, as far as that goes. */
static void test_not_whole(void **unused)
{
	struct feed *f = begun();

	(void)unused;
	came(f, 1000, 1000, 1001, 1, &first);
	answered(f, 1002, &first);
	quickly(f, 0, 2001, &second, 15);
	feed_end(f);
	assert_int_equal(row(f, &first)->in_log, TL_IN_LOG_UNKNOWN);
	assert_int_equal(row(f, &first)->resend, TL_RESEND_MAY_DUPLICATE);
	assert_int_equal(row(f, &first)->verdict.cause, TL_CAUSE_UNKNOWN);
	assert_int_equal(row(f, &second)->verdict.cause, TL_CAUSE_UNKNOWN);
	feed_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who),
		cmocka_unit_test(test_no_acks),
		cmocka_unit_test(test_quota),
		cmocka_unit_test(test_no_acks_quota),
		cmocka_unit_test(test_network),
		cmocka_unit_test(test_small_stall),
		cmocka_unit_test(test_two_batches),
		cmocka_unit_test(test_stopped_in_queue),
		cmocka_unit_test(test_same_corr),
		cmocka_unit_test(test_early_name),
		cmocka_unit_test(test_not_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
