/* SPDX-License-Identifier: BSD-2-Clause */
/* test_log_dump.c - DumpLogSegments' word on what is in the log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "join_feed.h"
#include "log_dump.h"

static char dir[64], path[128];

static int begin(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/acktrail-dump.XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/dump", dir);
	return 0;
}

static int end(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(dir);
}

static FILE *dump(void)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	return f;
}

static void segment(FILE *f, const char *partition, unsigned base)
{
	fprintf(f, "Dumping /var/lib/kafka/%s/%020u.log\nLog starting offset: %u\n", partition, base, base);
}

/* As Kafka 4.3 prints it. */
static void holds(FILE *f, unsigned first, unsigned last, unsigned count, uint32_t crc, const char *horizon,
		  const char *stamp, unsigned long ms)
{
	fprintf(f, "baseOffset: %u lastOffset: %u count: %u baseSequence: -1 lastSequence: -1 producerId: -1 "
		"producerEpoch: -1 partitionLeaderEpoch: 0 isTransactional: false isControl: false "
		"deleteHorizonMs: OptionalLong%s position: 0 %s: %lu size: 170 magic: 2 compresscodec: none "
		"crc: %u isvalid: true\n", first, last, count, horizon, stamp, ms, crc);
}

static void batch(FILE *f, unsigned first, unsigned last, uint32_t crc, const char *stamp, unsigned long ms)
{
	holds(f, first, last, last - first + 1, crc, ".empty", stamp, ms);
}

static struct log_dump *dumped(FILE *f)
{
	struct log_dump *d = NULL;

	fclose(f);
	assert_true(log_dump_read(&d, path));
	return d;
}

static void test_find(void **state)
{
	struct log_dump *d = NULL;
	FILE *f = dump();

	(void)state;
	segment(f, "my-topic-3", 0);
	batch(f, 0, 4, 4000000000u, "CreateTime", 1000);
	batch(f, 5, 5, 7, "CreateTime", 2000);
	fputs("baseOffset: 6 lastOff", f);		/* cut */
	fclose(f);
	assert_true(log_dump_read(&d, dir));
	assert_int_equal(log_dump_find(d, "my-topic", 3, 4000000000u, 5), 1);
	assert_int_equal(log_dump_find(d, "my-topic", 3, 4000000000u, 4), 0);
	assert_int_equal(log_dump_find(d, "my-topic", 2, 4000000000u, 5), 0);
	assert_int_equal(log_dump_find(d, "my", 3, 4000000000u, 5), 0);
	assert_int_equal(log_dump_find(d, NULL, 3, 7, 1), 0);
	assert_int_equal(log_dump_whole_until(d, "my-topic", 3), 2000 * MS);
	assert_int_equal(log_dump_whole_until(d, "other", 3), 0);
	log_dump_free(d);
}

static void test_whole(void **state)
{
	struct log_dump *d;
	FILE *f = dump();

	(void)state;
	/* Segments in any order. */
	segment(f, "a-0", 5);
	batch(f, 5, 9, 2, "CreateTime", 2000);
	segment(f, "a-0", 0);
	batch(f, 0, 4, 1, "CreateTime", 1000);
	/* A hole: whole before it only. */
	segment(f, "b-0", 0);
	batch(f, 0, 4, 1, "CreateTime", 1000);
	batch(f, 6, 9, 2, "CreateTime", 2000);
	/* Retention took the begin. */
	segment(f, "c-0", 5);
	batch(f, 5, 9, 2, "CreateTime", 2000);
	/* Stamped by the broker: other CRCs. */
	segment(f, "d-0", 0);
	batch(f, 0, 4, 1, "LogAppendTime", 1000);
	/* Compacted: all offsets are there, and not all messages; or they are, with tombstones among them. */
	segment(f, "e-0", 0);
	batch(f, 0, 4, 1, "CreateTime", 1000);
	holds(f, 5, 9, 3, 2, ".empty", "CreateTime", 2000);
	segment(f, "f-0", 0);
	holds(f, 0, 4, 5, 1, "[1764374400000]", "CreateTime", 1000);
	d = dumped(f);
	assert_int_equal(log_dump_whole_until(d, "e", 0), 0);
	assert_int_equal(log_dump_whole_until(d, "f", 0), 0);
	assert_int_equal(log_dump_whole_until(d, "a", 0), 2000 * MS);
	assert_int_equal(log_dump_whole_until(d, "b", 0), 1000 * MS);
	assert_int_equal(log_dump_whole_until(d, "c", 0), 0);
	assert_int_equal(log_dump_whole_until(d, "d", 0), 0);
	log_dump_free(d);
}

static void test_no_dump(void **state)
{
	struct log_dump *d = NULL;
	FILE *f = dump();

	(void)state;
	fputs("hello\n", f);
	fclose(f);
	assert_false(log_dump_read(&d, path));
	assert_false(log_dump_read(&d, "/nowhere"));
	log_dump_free(d);
}

/*
 * Three batches of one connection: the first acked, the second never answered and given
 * up, the third acked.  What of the second, by a dump that holds `held` of them?
 */
static enum tl_in_log second(bool holds_second, bool holds_third, bool first_missing)
{
	struct feed *f = feed_new();
	struct join_conf conf = { .batch = feed_take, .arg = f };
	struct bat a = { 1, 1, 1, 0xa, 1, 0, 0, 1000, 0 }, b = { 1, 2, 1, 0xb, 1, 0, 0, 2000, 0 };
	struct bat c = { 1, 3, 1, 0xc, 1, 0, 0, 9000, 0 };
	enum tl_in_log is = TL_IN_LOG_UNKNOWN;
	struct log_dump *d;
	FILE *out = dump();
	unsigned at = 0;

	segment(out, "orders-0", 0);
	if (first_missing)
		batch(out, at, at, 0x99, "CreateTime", 1000), at++;
	else
		batch(out, at, at, 0xa, "CreateTime", 1000), at++;
	if (holds_second)
		batch(out, at, at, 0xb, "CreateTime", 2000), at++;
	if (holds_third)
		batch(out, at, at, 0xc, "CreateTime", 9000), at++;
	d = dumped(out);
	conf.log_dump = d;
	join_free(f->j);
	f->j = join_new(&conf);
	join_add_trail(f->j, &f->client);
	producer(f, 0, 1000000);
	written(f, 1006, &a);
	replied(f, 1010, &a, 0, 0);
	acks(f, 1010, 1, 0, 0, 2, 0, 1, 1000, 1000);
	written(f, 2006, &b);
	acks(f, 7000, 1, 0, -192, 1, -1, 1, 2000, 2000);
	c.partition = 1;
	written(f, 7006, &c);
	replied(f, 7010, &c, 0, 1);
	acks(f, 7010, 1, 1, 0, 2, 1, 1, 9000, 9000);
	feed_end(f);
	for (uint32_t i = 0; i < f->nr; i++)
		if (f->out[i]->crc == 0xb) {
			is = f->out[i]->in_log;
			if (is != TL_IN_LOG_UNKNOWN)
				assert_string_equal(f->out[i]->in_log_by, "log-dump");
		} else if (f->out[i]->crc == 0xa && !first_missing) {
			assert_int_equal(f->out[i]->in_log, TL_IN_LOG_YES);
		}
	feed_free(f);
	log_dump_free(d);
	return is;
}

static void test_join(void **state)
{
	(void)state;
	assert_int_equal(second(true, true, false), TL_IN_LOG_YES);
	assert_int_equal(second(false, true, false), TL_IN_LOG_NO);
	/* Nothing in it is later than the moment when the broker was done with the request. */
	assert_int_equal(second(false, false, false), TL_IN_LOG_UNKNOWN);
	/* No batch of that partition was found by its CRC: perhaps they change on their way. */
	assert_int_equal(second(false, true, true), TL_IN_LOG_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_find, begin, end),
		cmocka_unit_test_setup_teardown(test_whole, begin, end),
		cmocka_unit_test_setup_teardown(test_no_dump, begin, end),
		cmocka_unit_test_setup_teardown(test_join, begin, end),
	};

	(void)feed_unused;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
