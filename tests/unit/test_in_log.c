/* SPDX-License-Identifier: BSD-2-Clause */
/* test_in_log.c - that a batch is not in the log, and what looks like proof of it and is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "join_feed.h"

#define TIMED_OUT (-192)

/*
 * Two batches were under way to a broker that the library gave up: it says that they were
 * never sent, and of both in one breath, and of what was queued behind them.  What was not
 * written whole no broker has, though.
 */
static void test_broker_given_up(void **unused)
{
	struct bat a = { 1, 4, 1, 0xa, 2, 0, 0, 1000, 1001 }, b = { 1, 5, 1, 0xb, 3, 0, 0, 1010, 1012 };

	(void)unused;
	for (int queued = 0; queued < 4; queued++) {
		struct feed *f = feed_new();
		const struct tl_batch *row = NULL;
		/* Both; both and one more; one more that was made later; one that was written in part and one more. */
		uint32_t nr = queued < 2 ? 5 + (uint32_t)queued : queued == 2 ? 1 : 4;

		producer(f, 0, 1000000);
		if (queued < 3) {
			written(f, 1006, &a);
			written(f, 1016, &b);
		} else {
			written_in_part(f, 1016, &b);
		}
		connection_end(f, 3000, 1);
		acks(f, 6500, 1, 0, TIMED_OUT, 0, -1, nr, queued == 2 ? 1500 : queued == 3 ? 1010 : 1000, queued ? 1500 : 1012);
		feed_end(f);
		for (uint32_t i = 0; i < f->nr; i++)
			if (!f->out[i]->has_crc)
				row = f->out[i];
		assert_non_null(row);
		assert_int_equal(row->count, nr);
		assert_int_equal(row->in_log, queued >= 2 ? TL_IN_LOG_NO : TL_IN_LOG_UNKNOWN);
		assert_int_equal(row->resend, queued >= 2 ? TL_RESEND_SAFE : TL_RESEND_MAY_DUPLICATE);
		feed_free(f);
	}
}

static enum tl_in_log in_log(const struct feed *f, uint32_t crc)
{
	for (uint32_t i = 0; i < f->nr; i++)
		if (f->out[i]->client && f->out[i]->crc == crc)
			return f->out[i]->in_log;
	fail_msg("no row with CRC %x", crc);
	return TL_IN_LOG_UNKNOWN;
}

/* A probe, and one batch that is acknowledged; appended as it is, or under another CRC. */
static struct feed *probed(bool kept)
{
	struct feed *f = feed_new();
	struct bat a = { 1, 4, 1, 0xa, 2, 0, 0, 1000, 0 }, stamped = a;

	stamped.crc = 0xaa;
	producer(f, 0, 1000000);
	probe(f);
	written(f, 1006, &a);
	arrived(f, 1007, 1007, &a);
	appended(f, 1008, 1009, 50, kept ? &a : &stamped, 10);
	answered(f, 1010, &a);
	replied(f, 1011, &a, 0, 10);
	acks(f, 1011, 1, 0, 0, 2, 10, 2, 1000, 1000);
	return f;
}

/*
 * A topic with LogAppendTime, or a broker that compresses anew: the log has another CRC than the
 * client.  What was read may be there then; what was not read is not.
 */
static void test_other_crc(void **unused)
{
	struct bat b = { 1, 5, 1, 0xb, 3, 0, 0, 2000, 0 }, stamped = b;

	(void)unused;
	stamped.crc = 0xbb;
	for (int kept = 0; kept < 2; kept++)
		for (int read = 0; read < 2; read++) {
			struct feed *f = probed(kept);

			written(f, 2006, &b);
			if (read)
				arrived(f, 2007, 2007, &b);
			if (read && !kept)
				appended(f, 2008, 2009, 50, &stamped, 12);
			acks(f, 7500, 1, 0, TIMED_OUT, 1, -1, 3, 2000, 2000);
			connection_end(f, 7501, 1);
			if (read)
				answered(f, 7600, &b);
			arrival_ended(f, 7601, 1);
			feed_end(f);
			assert_int_equal(in_log(f, 0xb), read && !kept ? TL_IN_LOG_UNKNOWN : TL_IN_LOG_NO);
			feed_free(f);
		}
}

/* Not every error is a refusal: some are told of what was appended. */
static void test_errors(void **unused)
{
	static const struct { int16_t code; bool refused[2]; } errors[] = {	/* without its CRC, with */
		{ 7, { false, false } }, { 20, { false, false } }, { 6, { false, true } }, { 3, { false, true } },
		{ 56, { false, true } }, { -1, { false, true } }, { 19, { true, true } }, { 10, { true, true } },
	};
	struct bat b = { 1, 5, 1, 0xb, 3, 0, 0, 2000, 0 };

	(void)unused;
	for (unsigned i = 0; i < sizeof(errors) / sizeof(*errors); i++)
		for (int kept = 0; kept < 2; kept++) {
			struct feed *f = probed(kept);

			written(f, 2006, &b);
			arrived(f, 2007, 2007, &b);
			answered(f, 2010, &b);
			replied(f, 2011, &b, errors[i].code, -1);
			acks(f, 7500, 1, 0, TIMED_OUT, 1, -1, 3, 2000, 2000);
			feed_end(f);
			assert_int_equal(in_log(f, 0xb), errors[i].refused[kept] ? TL_IN_LOG_NO : TL_IN_LOG_UNKNOWN);
			feed_free(f);
		}
}

/* One that was sent at 2006 and never read, to a broker whose probe's rings began anew. */
static enum tl_in_log recycled(uint64_t held_ms, bool lasting, bool slow)
{
	struct bat b = { 1, 5, 1, 0xb, 3, 0, 0, 2000, 0 }, other = { 2, 9, 1, 0xc, 1, 0, 0, 1100, 0 };
	struct feed *f = probed(true);
	enum tl_in_log is;

	f->probe.newest_ns = 8000 * MS;
	f->probe.wrapped[AT_BULK] = held_ms != 0;
	f->probe.held_ns[AT_BULK] = held_ms * MS;
	f->probe.wrapped[AT_LAST] = lasting;
	f->probe.held_ns[AT_LAST] = 7999 * MS;		/* what stands was restated */
	if (slow)
		appended(f, 1500, 1700, 51, &other, 12);
	written(f, 2006, &b);
	acks(f, 7500, 1, 0, TIMED_OUT, 1, -1, 3, 2000, 2000);
	connection_end(f, 7501, 1);
	arrival_ended(f, 7601, 1);
	feed_end(f);
	is = in_log(f, 0xb);
	feed_free(f);
	return is;
}

/* That it was read, and appended, may have been overwritten. */
static void test_recycled(void **unused)
{
	(void)unused;
	assert_int_equal(recycled(0, false, false), TL_IN_LOG_NO);
	assert_int_equal(recycled(7000, false, false), TL_IN_LOG_UNKNOWN);
	assert_int_equal(recycled(14000, false, false), TL_IN_LOG_NO);
	assert_int_equal(recycled(14000, true, false), TL_IN_LOG_UNKNOWN);
	assert_int_equal(recycled(14000, true, true), TL_IN_LOG_NO);
	assert_int_equal(recycled(7000, true, true), TL_IN_LOG_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_broker_given_up), cmocka_unit_test(test_other_crc), cmocka_unit_test(test_errors),
		cmocka_unit_test(test_recycled),
	};

	(void)feed_unused;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
