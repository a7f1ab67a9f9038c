/* SPDX-License-Identifier: BSD-2-Clause */
/* test_parts.c - what a sync and an append waited for, from sleeps, requests and commits by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "join_feed.h"

static struct tl_sync last_sync;

static void keep_sync(void *arg, const struct tl_sync *s)
{
	(void)arg;
	last_sync = *s;
}

static struct feed *begun(void)
{
	struct feed *f = feed_new();
	struct join_conf conf = { .batch = feed_take, .sync = keep_sync, .arg = f };

	join_free(f->j);
	f->j = join_new(&conf);
	join_add_trail(f->j, &f->client);
	probe(f);
	memset(&last_sync, 0, sizeof(last_sync));
	return f;
}

static void paused(struct feed *f, uint64_t begin, uint64_t end, uint32_t tid, uint32_t why, uint64_t transaction)
{
	struct event ev = at(&f->probe, AT_EV_PAUSE, end);

	ev.tid = tid;
	ev.pause.begin_ns = begin * MS;
	ev.pause.dev = 7;
	ev.pause.why = why;
	ev.pause.transaction = transaction;
	give(f, ev);
}

static void committed(struct feed *f, uint64_t begin, uint64_t end, uint32_t waiters)
{
	struct event ev = at(&f->probe, AT_EV_COMMIT, end);

	ev.tid = 77;
	ev.commit.begin_ns = begin * MS;
	ev.commit.dev = 7;
	ev.commit.transaction = end;
	ev.commit.waiters = waiters;
	give(f, ev);
}

static void requested(struct feed *f, uint64_t issue, uint64_t done, uint32_t tid, uint64_t ino, uint32_t fs, uint32_t op)
{
	struct event ev = at(&f->probe, AT_EV_BLOCK, done);

	ev.block.issue_ns = issue * MS;
	ev.block.dev = 7;
	ev.block.op = op;
	ev.block.ino = ino;
	ev.block.ino_fs = fs;
	ev.block.queue_tid = tid;
	give(f, ev);
}

static void synced_asleep(struct feed *f, uint64_t begin, uint64_t end, uint32_t tid, uint64_t slept)
{
	struct event ev = at(&f->probe, AT_EV_SYNC, end);

	ev.tid = tid;
	ev.sync.begin_ns = begin * MS;
	ev.sync.dev = 7;
	ev.sync.ino = ev.sync.file = FILE_SEGMENT;
	ev.sync.flags = AT_SYNC_NAPS;
	ev.sync.slept_ns = slept * MS;
	give(f, ev);
}

static int64_t part(enum tl_part_name name)
{
	return last_sync.parts.part[name] / (int64_t)MS;
}

/* Asleep for its own pages, it waits for nobody's flush and nobody's commit. */
static void test_bystanders(void **state)
{
	struct feed *f = begun();

	(void)state;
	requested(f, 1010, 1040, 78, 0, 0, AT_OP_FLUSH);
	requested(f, 1002, 1048, 5, FILE_SEGMENT, 7, AT_OP_WRITE);
	committed(f, 1001, 1049, 3);
	paused(f, 1000, 1050, 5, AT_PAUSE_PAGE, 0);
	requested(f, 1060, 1080, 78, 0, 0, AT_OP_FLUSH);
	committed(f, 1052, 1088, 2);
	paused(f, 1050, 1090, 5, AT_PAUSE_LOCK, 0);
	synced_asleep(f, 1000, 1100, 5, 90);
	assert_int_equal(part(TL_PART_DEVICE), 46);
	assert_int_equal(part(TL_PART_WRITEBACK), 4);
	assert_int_equal(part(TL_PART_FLUSH), 20);
	assert_int_equal(part(TL_PART_SHARED), 16);
	assert_int_equal(part(TL_PART_LOCK), 4);
	assert_int_equal(part(TL_PART_CPU), 10);
	assert_int_equal(part(TL_PART_UNEXPLAINED), 0);
	assert_int_equal(last_sync.parts.waiters, 2);
	feed_end(f);
	feed_free(f);
}

static void named(struct feed *f, uint64_t ms, uint32_t tid, const char *comm)
{
	struct event ev = at(&f->probe, AT_EV_THREAD, ms);

	ev.tid = tid;
	ev.thread.pid = tid;
	give_text(f, ev, comm);
}

/* A shell that has become another program: each ring's chunks bring its names at their beginning. */
static void test_exec(void **state)
{
	struct feed *f = begun();

	(void)state;
	named(f, 1990, 90, "python3");
	named(f, 900, 90, "bash");
	for (uint32_t i = 0; i < 4; i++)
		requested(f, 1000 + 20 * i, 1020 + 20 * i, 90, 99, 7, AT_OP_WRITE);
	synced_asleep(f, 1000, 1100, 5, 90);
	assert_int_equal(last_sync.parts.other_pid, 90);
	assert_string_equal(last_sync.parts.other, "bash");
	for (uint32_t i = 0; i < 4; i++)
		requested(f, 2000 + 20 * i, 2020 + 20 * i, 90, 99, 7, AT_OP_WRITE);
	synced_asleep(f, 2000, 2100, 5, 90);
	assert_string_equal(last_sync.parts.other, "python3");
	feed_end(f);
	feed_free(f);
}

/* Without a journal a held request of metadata is that of the thread that its end woke, and of no other. */
static void test_held_metadata(void **state)
{
	struct feed *f = begun();
	struct event ev = at(&f->probe, AT_EV_BLOCK, 1090);

	(void)state;
	ev.block.queue_ns = 1080 * MS;
	ev.block.issue_ns = 1081 * MS;
	ev.block.dev = 7;
	ev.block.sector = 592;
	ev.block.op = AT_OP_WRITE | (AT_REQ_META | AT_REQ_HELD) << 8;
	ev.block.queue_tid = 90;		/* the worker that let go of it */
	give(f, ev);
	paused(f, 1000, 1090, 5, AT_PAUSE_IO, 0);
	synced_asleep(f, 1000, 1100, 5, 90);
	assert_int_equal(part(TL_PART_BEFORE), 80 + 1);
	assert_int_equal(part(TL_PART_DEVICE), 9);
	assert_int_equal(part(TL_PART_UNEXPLAINED), 0);

	paused(f, 1000, 1091, 6, AT_PAUSE_IO, 0);	/* woken later, by something else */
	synced_asleep(f, 1000, 1100, 6, 91);
	assert_int_equal(part(TL_PART_BEFORE), 0);
	assert_int_equal(part(TL_PART_DEVICE), 0);

	ev.ns = 2090 * MS;
	ev.block.queue_ns = 2080 * MS;
	ev.block.issue_ns = 2081 * MS;
	give(f, ev);
	requested(f, 2082, 2090, 7, 99, 7, AT_OP_WRITE);	/* between the two: it may have been that */
	paused(f, 2000, 2090, 8, AT_PAUSE_IO, 0);
	synced_asleep(f, 2000, 2100, 8, 90);
	assert_int_equal(part(TL_PART_BEFORE), 0);
	feed_end(f);
	feed_free(f);
}

/* Without a journal: a block of metadata that another writes is waited for by who looked it up right before its sleep. */
static void test_awaited_metadata(void **state)
{
	struct feed *f = begun();
	struct event write = at(&f->probe, AT_EV_BLOCK, 1080), nap = at(&f->probe, AT_EV_PAUSE, 1085);

	(void)state;
	write.block.issue_ns = 1010 * MS;
	write.block.dev = 7;
	write.block.sector = 592;
	write.block.op = AT_OP_WRITE | AT_REQ_META << 8;
	write.block.queue_tid = 90;
	give(f, write);
	nap.tid = 5;
	nap.pause.begin_ns = 1020 * MS;
	nap.pause.ino = 1ull << 63 | 592;
	nap.pause.why = AT_PAUSE_IO;
	give(f, nap);
	synced_asleep(f, 1000, 1100, 5, 65);
	assert_int_equal(part(TL_PART_DEVICE), 60);		/* not before it slept */
	assert_int_equal(part(TL_PART_UNEXPLAINED), 5);

	nap.tid = 6;
	nap.pause.ino = 1ull << 63 | 600;			/* another block */
	give(f, nap);
	synced_asleep(f, 1000, 1100, 6, 65);
	assert_int_equal(part(TL_PART_DEVICE), 0);

	committed(f, 1001, 1099, 3);				/* with a journal the commit says what it is */
	nap.tid = 8;
	nap.pause.ino = 1ull << 63 | 592;
	give(f, nap);
	synced_asleep(f, 1000, 1100, 8, 65);
	assert_int_equal(part(TL_PART_DEVICE), 0);
	feed_end(f);
	feed_free(f);
}

/* A sync that computed is no disk's, for its own batch as for the one behind it. */
static void test_sync_computes(void **state)
{
	static const struct bat own = { 1, 4, 1, 0xa1, 5, 0, 0, 900, 0 }, behind = { 1, 5, 1, 0xa2, 5, 0, 0, 1005, 0 };
	struct feed *f = begun();

	(void)state;
	arrived(f, 1000, 1000, &own);
	appended(f, 1001, 1002, 5, &own, 10);
	synced_asleep(f, 1002, 2002, 5, 10);
	answered(f, 2003, &own);
	arrived(f, 1006, 2004, &behind);
	appended(f, 2005, 2006, 5, &behind, 15);
	answered(f, 2007, &behind);
	feed_end(f);
	assert_int_equal(f->nr, 2);
	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(f->out[i]->verdict.cause, TL_CAUSE_BROKER_BUSY);
		assert_string_equal(f->out[i]->verdict.causes[0].culprit, "cpu");
		assert_non_null(strstr(f->out[i]->verdict.text, "look at the host's CPU"));
	}
	feed_free(f);
}

/* A sleep that was counted and never told must not pass for being awake. */
static void test_sleep_lost(void **state)
{
	struct feed *f = begun();

	(void)state;
	paused(f, 1000, 1050, 5, AT_PAUSE_LOCK, 0);
	synced_asleep(f, 1000, 1100, 5, 80);
	assert_int_equal(part(TL_PART_LOCK), 50);
	assert_int_equal(part(TL_PART_CPU), 20);
	assert_int_equal(part(TL_PART_UNEXPLAINED), 30);
	feed_end(f);
	feed_free(f);
}

/* Without a probe of sleeps nothing is said of the CPU. */
static void test_no_naps(void **state)
{
	struct feed *f = begun();

	(void)state;
	synced(f, 1000, 1100, 5, FILE_SEGMENT, AT_CALL_FSYNC);
	assert_int_equal(part(TL_PART_CPU), 0);
	assert_int_equal(part(TL_PART_UNEXPLAINED), 100);
	feed_end(f);
	feed_free(f);
}

/* Another partition of the same disk has files of the same numbers. */
static void test_other_file_system(void **state)
{
	struct feed *f = begun();

	(void)state;
	requested(f, 1010, 1090, 78, FILE_SEGMENT, 8, AT_OP_WRITE);
	synced_asleep(f, 1000, 1100, 5, 100);
	assert_int_equal(part(TL_PART_DEVICE), 0);
	assert_int_equal(part(TL_PART_UNEXPLAINED), 100);
	feed_end(f);
	feed_free(f);
}

static const struct bat batch = { 0, 0, 1, 0xabcd, 3, 0, -1, 500, 0 };

/* From 1000 to 1300. */
static void append_slowly(struct feed *f, const struct bat *b, uint64_t slept)
{
	struct event ev = at(&f->probe, AT_EV_APPEND, 1300);

	ev.tid = 5;
	ev.append.begin_ns = 1000 * MS;
	ev.append.ret = 100;
	ev.append.file = FILE_SEGMENT;
	ev.append.topic = b->topic;
	ev.append.partition = b->partition;
	ev.append.crc = b->crc;
	ev.append.count = b->count;
	ev.append.first_ts_ms = ev.append.max_ts_ms = b->created;
	ev.append.base_sequence = -1;
	ev.append.producer_id = -1;
	ev.append.flags = AT_BATCH_NAPS;
	ev.append.slept_ns = slept * MS;
	give(f, ev);
}

static const struct tl_phase *append_of(struct feed *f, uint64_t slept)
{
	append_slowly(f, &batch, slept);
	feed_end(f);
	assert_int_equal(f->nr, 1);
	return phase_of(f->out[0], TL_PHASE_APPEND);
}

static void test_append_throttled(void **state)
{
	struct feed *f = begun();
	const struct tl_phase *p;

	(void)state;
	paused(f, 1010, 1250, 5, AT_PAUSE_DIRTY, 0);
	paused(f, 1255, 1275, 5, AT_PAUSE_IO, 0);
	paused(f, 1252, 1280, 5, AT_PAUSE_JOURNAL, 9);
	paused(f, 1281, 1291, 5, AT_PAUSE_PAGE, 0);
	p = append_of(f, 270);
	assert_non_null(p);
	assert_non_null(p->parts);
	assert_int_equal(p->parts->part[TL_PART_DIRTY], 240 * (int64_t)MS);
	assert_int_equal(p->parts->part[TL_PART_SHARED], 20 * (int64_t)MS);
	assert_int_equal(p->parts->part[TL_PART_HANDLE], 8 * (int64_t)MS);
	assert_int_equal(p->parts->part[TL_PART_STABLE], 10 * (int64_t)MS);
	assert_int_equal(f->out[0]->verdict.cause, TL_CAUSE_APPEND_STALL);
	assert_non_null(strstr(f->out[0]->verdict.causes[0].culprit, "dirty-throttle"));
	feed_free(f);
}

/* Who waits behind such an append is told what that waited for. */
static void test_behind_throttled(void **state)
{
	const struct bat own = { 1, 1, 1, 0xabcd, 5, 0, 0, 1000, 0 }, behind = { 1, 2, 1, 0xabce, 5, 0, 0, 1001, 0 };
	struct feed *f = begun();
	uint32_t told = 0;

	(void)state;
	arrived(f, 999, 1000, &own);
	paused(f, 1010, 1290, 5, AT_PAUSE_DIRTY, 0);
	append_slowly(f, &own, 280);
	answered(f, 1301, &own);
	arrived(f, 1006, 1302, &behind);
	appended(f, 1303, 1304, 5, &behind, 15);
	answered(f, 1305, &behind);
	feed_end(f);
	for (uint32_t i = 0; i < f->nr; i++) {
		if (f->out[i]->crc != behind.crc)
			continue;
		told++;
		assert_int_equal(f->out[i]->verdict.cause, TL_CAUSE_APPEND_STALL);
		assert_non_null(f->out[i]->verdict.causes[0].culprit);
		assert_non_null(strstr(f->out[i]->verdict.causes[0].culprit, "dirty-throttle"));
	}
	assert_int_equal(told, 1);
	feed_free(f);
}

/* Who forced the commit that a write waited for is a thread, by its name and its own number. */
static void test_append_forced(void **state)
{
	struct feed *f = begun();
	struct event ev = at(&f->probe, AT_EV_COMMIT, 1295);

	(void)state;
	named(f, 900, 91, "kafka-scheduler");
	paused(f, 1010, 1290, 5, AT_PAUSE_JOURNAL, 9);
	paused(f, 1012, 1288, 5, AT_PAUSE_IO, 0);
	ev.tid = 77;
	ev.commit.begin_ns = 1001 * MS;
	ev.commit.dev = 7;
	ev.commit.transaction = 9;
	ev.commit.by_pid = 90;
	ev.commit.by_tid = 91;
	give(f, ev);
	assert_non_null(append_of(f, 276));
	assert_int_equal(f->out[0]->verdict.cause, TL_CAUSE_APPEND_STALL);
	assert_non_null(strstr(f->out[0]->verdict.causes[0].culprit, "journal commit 9 forced by kafka-scheduler[91]"));
	feed_free(f);
}

/* A write that was kept from a CPU is no fault of the disk. */
static void test_append_no_cpu(void **state)
{
	struct feed *f = begun();

	(void)state;
	paused(f, 1010, 1020, 5, AT_PAUSE_LOCK, 0);
	assert_non_null(append_of(f, 10));
	assert_int_not_equal(f->out[0]->verdict.cause, TL_CAUSE_APPEND_STALL);
	feed_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bystanders), cmocka_unit_test(test_exec), cmocka_unit_test(test_held_metadata), cmocka_unit_test(test_awaited_metadata), cmocka_unit_test(test_sync_computes), cmocka_unit_test(test_sleep_lost), cmocka_unit_test(test_no_naps),
		cmocka_unit_test(test_other_file_system), cmocka_unit_test(test_append_throttled), cmocka_unit_test(test_behind_throttled),
		cmocka_unit_test(test_append_forced), cmocka_unit_test(test_append_no_cpu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
