/* SPDX-License-Identifier: BSD-2-Clause */
/* test_phases.c - where the time went: by hand, and by chance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "join_feed.h"
#include "sync_parts.h"

#define TIMED_OUT (-192)

static struct feed *begun(void)
{
	struct feed *f = feed_new();

	producer(f, 0, 1000000);
	return f;
}

/* One thread: write, fsync, msync of the index; the flush is most of the fsync. */
static void broker_does(struct feed *f, const struct bat *b, uint64_t read, uint64_t sync_ms, uint32_t tid,
			int64_t offset)
{
	uint64_t end = read + 3 + sync_ms;

	arrived(f, (int64_t)read < b->created + 7 ? read : (uint64_t)b->created + 7, read, b);
	appended(f, read + 1, read + 2, tid, b, offset);
	if (sync_ms > 10)
		flushed(f, read + 5, end - 2);
	synced(f, read + 3, end, tid, FILE_SEGMENT, AT_CALL_FSYNC);
	synced(f, end, end + 2, tid, FILE_INDEX, AT_CALL_MSYNC);
	answered(f, end + 3, b);
}

static void test_whole_path(void **state)
{
	struct feed *f = begun();
	struct bat b = { 1, 4, 1, 0xabc, 5, 0, 0, 1000, 0 };
	const struct tl_phase *p;

	(void)state;
	probe(f);
	written(f, 1006, &b);
	broker_does(f, &b, 1008, 400, 50, 10);
	replied(f, 1420, &b, 0, 10);
	acks(f, 1420, 1, 0, 0, 2, 10, 5, 1000, 1000);
	feed_end(f);
	assert_int_equal(f->nr, 1);
	assert_null(unsound(f->out[0]));
	assert_int_equal(phase_ms(f->out[0], TL_PHASE_LINGER), 6);
	assert_int_equal(phase_ms(f->out[0], TL_PHASE_FSYNC), 400);
	assert_int_equal(phase_ms(f->out[0], TL_PHASE_INDEX), 2);
	assert_int_equal(phase_ms(f->out[0], TL_PHASE_APPEND), 2);
	assert_int_equal(phase_ms(f->out[0], TL_PHASE_RESPONSE), 6);
	p = phase_of(f->out[0], TL_PHASE_FSYNC);
	assert_non_null(p->parts);
	assert_int_equal(p->parts->part[TL_PART_FLUSH], 396 * (int64_t)MS);
	assert_int_equal(p->parts->part[TL_PART_UNEXPLAINED], 4 * (int64_t)MS);
	assert_string_equal(p->culprit, "loop0: flush");
	assert_int_equal(p->known, TL_KNOWN_EXACT);
	assert_int_equal(f->out[0]->on_disk_ns, 1411 * (int64_t)MS);
	assert_int_equal(f->out[0]->verdict.cause, TL_CAUSE_LEADER_FSYNC);
	assert_int_equal(f->syncs, 2);
	assert_int_equal(f->syncs_on_path, 2);
	feed_free(f);
}

/* Slow, at the same time, on the same disk: another thread's, or another file's. */
static void test_bystanders(void **state)
{
	struct feed *f = begun();
	struct bat b = { 1, 4, 1, 0xabc, 5, 0, 0, 1000, 0 };

	(void)state;
	probe(f);
	written(f, 1006, &b);
	arrived(f, 1007, 1007, &b);
	appended(f, 1008, 1009, 50, &b, 10);
	synced(f, 1010, 1400, 51, FILE_SEGMENT, AT_CALL_FSYNC);	/* another thread */
	synced(f, 1005, 1410, 50, FILE_SEGMENT, AT_CALL_FSYNC);	/* begun before the append */
	synced(f, 1411, 1500, 50, FILE_OTHER, AT_CALL_FSYNC);		/* no file of that partition */
	synced(f, 1501, 1600, 50, FILE_SEGMENT, AT_CALL_FSYNC);	/* after that thread went on */
	answered(f, 1700, &b);
	replied(f, 1701, &b, 0, 10);
	acks(f, 1701, 1, 0, 0, 2, 10, 5, 1000, 1000);
	feed_end(f);
	assert_int_equal(f->nr, 1);
	assert_null(unsound(f->out[0]));
	assert_null(phase_of(f->out[0], TL_PHASE_FSYNC));
	assert_int_equal(f->syncs_on_path, 0);
	assert_int_equal(f->out[0]->verdict.cause, TL_CAUSE_BROKER_SIDE);
	/* Whoever synced it: on disk it was. */
	assert_int_equal(f->out[0]->on_disk_ns, 1400 * (int64_t)MS);
	feed_free(f);
}

/* A new segment's first flush goes on to its directory: part of what the batch waits for. */
static void test_directory(void **state)
{
	struct feed *f = begun();
	struct bat b = { 1, 4, 1, 0xaa, 5, 0, 0, 1000, 0 };
	const struct tl_phase *p;

	(void)state;
	probe(f);
	file(f, FILE_OTHER + 1, AT_ROLE_DIRECTORY, 1, 0);
	file(f, FILE_OTHER + 2, AT_ROLE_DIRECTORY, 0, -1);	/* the log directory */
	file(f, FILE_OTHER + 3, AT_ROLE_DIRECTORY, 1, 1);	/* another partition's */
	written(f, 1006, &b);
	arrived(f, 1007, 1007, &b);
	synced(f, 1001, 1005, 50, FILE_OTHER + 1, AT_CALL_FSYNC);	/* before the append */
	appended(f, 1008, 1009, 50, &b, 10);
	flushed(f, 1011, 1019);
	synced(f, 1010, 1020, 50, FILE_SEGMENT, AT_CALL_FSYNC);
	synced(f, 1020, 1022, 50, FILE_INDEX, AT_CALL_MSYNC);
	synced(f, 1011, 1050, 51, FILE_OTHER + 2, AT_CALL_FSYNC);
	synced(f, 1011, 1060, 52, FILE_OTHER + 3, AT_CALL_FSYNC);
	flushed(f, 1030, 1410);
	synced(f, 1022, 1422, 50, FILE_OTHER + 1, AT_CALL_FSYNC);
	answered(f, 1424, &b);
	replied(f, 1425, &b, 0, 10);
	acks(f, 1425, 1, 0, 0, 2, 10, 5, 1000, 1000);
	feed_end(f);
	assert_int_equal(f->nr, 1);
	assert_null(unsound(f->out[0]));
	assert_int_equal(f->syncs_on_path, 3);
	assert_int_equal(phase_ms(f->out[0], TL_PHASE_FSYNC), 10);
	p = phase_of(f->out[0], TL_PHASE_INDEX);
	assert_non_null(p);
	assert_int_equal(p->ns, 402 * (int64_t)MS);
	assert_int_equal(p->parts->part[TL_PART_FLUSH], 380 * (int64_t)MS);
	assert_int_equal(phase_ms(f->out[0], TL_PHASE_BROKER_SIDE), 2);
	assert_int_equal(f->out[0]->verdict.cause, TL_CAUSE_LEADER_FSYNC);
	assert_string_equal(f->out[0]->verdict.causes[0].culprit, "loop0: flush");
	/* The segment's own fsync made the batch durable, not the directory's. */
	assert_int_equal(f->out[0]->on_disk_ns, 1020 * (int64_t)MS);
	feed_free(f);
}

/* The request behind a slow one inherits what held that. */
static void test_behind(void **state)
{
	struct feed *f = begun();
	struct bat a = { 1, 4, 1, 0xa, 5, 0, 0, 1000, 0 }, b = { 1, 5, 1, 0xb, 5, 0, 0, 1100, 0 };
	const struct tl_phase *p;

	(void)state;
	probe(f);
	written(f, 1006, &a);
	written(f, 1106, &b);
	broker_does(f, &a, 1007, 400, 50, 10);
	arrived(f, 1107, 1414, &b);
	appended(f, 1415, 1416, 51, &b, 15);
	answered(f, 1417, &b);
	replied(f, 1420, &a, 0, 10);
	replied(f, 1420, &b, 0, 15);
	acks(f, 1420, 1, 0, 0, 2, 10, 10, 1000, 1100);
	feed_end(f);
	assert_int_equal(f->nr, 2);
	assert_null(unsound(f->out[1]));
	p = phase_of(f->out[1], TL_PHASE_BEHIND);
	assert_non_null(p);
	assert_int_equal(p->ns, 307 * (int64_t)MS);
	assert_int_equal(p->cause, TL_CAUSE_LEADER_FSYNC);
	assert_string_equal(p->culprit, "loop0: flush");
	assert_int_equal(f->out[1]->verdict.cause, TL_CAUSE_LEADER_FSYNC);
	feed_free(f);
}

/* Expired while it still lies unread behind that one. */
static void test_expired_unread(void **state)
{
	struct feed *f = begun();
	struct bat a = { 1, 4, 1, 0xa, 5, 0, 0, 1000, 0 }, b = { 1, 5, 1, 0xb, 5, 0, 0, 1100, 0 };

	(void)state;
	probe(f);
	written(f, 1006, &a);
	written(f, 1106, &b);
	arrived(f, 1007, 1007, &a);
	appended(f, 1008, 1009, 50, &a, 10);
	acks(f, 6600, 1, 0, TIMED_OUT, 1, -1, 10, 1000, 1100);
	connection_end(f, 6601, 1);
	flushed(f, 1010, 8999);
	synced(f, 1010, 9000, 50, FILE_SEGMENT, AT_CALL_FSYNC);
	answered(f, 9001, &a);
	arrival_ended(f, 9002, 1);
	feed_end(f);
	assert_int_equal(f->nr, 2);
	for (int i = 0; i < 2; i++) {
		assert_null(unsound(f->out[i]));
		assert_int_equal(f->out[i]->outcome, TL_OUTCOME_EXPIRED);
		assert_int_equal(f->out[i]->verdict.cause, TL_CAUSE_LEADER_FSYNC);
		assert_true(f->out[i]->verdict.share > 0.9);
	}
	assert_int_equal(phase_ms(f->out[0], TL_PHASE_FSYNC), 6600 - 1010);
	assert_int_equal(f->out[0]->in_log, TL_IN_LOG_YES);
	assert_int_equal(phase_ms(f->out[1], TL_PHASE_BEHIND), 6600 - 1106);
	assert_int_equal(f->out[1]->in_log, TL_IN_LOG_NO);
	assert_int_equal(f->out[1]->resend, TL_RESEND_SAFE);
	feed_free(f);
}

/* The window full behind slow requests: a cascade is named, the slow ones first. */
static void test_window(void **state)
{
	struct feed *f = feed_new();
	struct bat a = { 1, 4, 1, 0xa, 5, 0, 0, 1000, 0 }, b = { 1, 5, 1, 0xb, 5, 0, 0, 1010, 0 };

	(void)state;
	producer(f, 0, 1);
	probe(f);
	written(f, 1006, &a);
	broker_does(f, &a, 1007, 400, 50, 10);
	replied(f, 1420, &a, 0, 10);
	acks(f, 1420, 1, 0, 0, 2, 10, 5, 1000, 1000);
	written(f, 1421, &b);
	broker_does(f, &b, 1422, 1, 50, 15);
	replied(f, 1440, &b, 0, 15);
	acks(f, 1440, 1, 0, 0, 2, 15, 5, 1010, 1010);
	feed_end(f);
	assert_int_equal(f->nr, 2);
	assert_null(unsound(f->out[1]));
	assert_int_equal(phase_ms(f->out[1], TL_PHASE_WINDOW), 1420 - 1015);
	assert_int_equal(f->out[1]->verdict.cause, TL_CAUSE_LEADER_FSYNC);
	assert_true(f->out[1]->verdict.nr >= 2);
	assert_int_equal(f->out[1]->verdict.causes[1].cause, TL_CAUSE_WINDOW);
	feed_free(f);
}

static void test_union(void **state)
{
	struct labelled iv[] = {
		{ 0, 50, TL_PART_SHARED }, { 10, 20, TL_PART_FLUSH }, { 15, 30, TL_PART_FLUSH },
		{ 25, 45, TL_PART_DEVICE }, { -100, 5, TL_PART_QUEUED }, { 90, 900, TL_PART_BEFORE },
	};
	int64_t part[TL_NR_PARTS];

	(void)state;
	parts_union(iv, 6, 0, 100, part);
	assert_int_equal(part[TL_PART_FLUSH], 20);
	assert_int_equal(part[TL_PART_DEVICE], 15);
	assert_int_equal(part[TL_PART_QUEUED], 5);
	assert_int_equal(part[TL_PART_BEFORE], 10);
	assert_int_equal(part[TL_PART_SHARED], 10);
	assert_int_equal(part[TL_PART_UNEXPLAINED], 40);
}

/* ---- by chance ---------------------------------------------------------------------- */

static uint64_t rng;

static uint32_t chance(uint32_t below)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return below ? (uint32_t)(rng >> 16) % below : 0;
}

/*
 * A producer and a broker that do anything in any order, evidence missing at every
 * turn: whatever comes out adds up, and says "no" only of what was never appended.
 */
static void one_stream(uint64_t seed)
{
	struct feed *f = feed_new();
	uint64_t now = 1000;
	uint32_t conn = 1, corr = 1, seq = 1, in_log[400] = { 0 };
	struct bat made[400];
	int nr = 0, told = 0;
	int64_t offset = 1;
	bool with_probe, idempotent;

	rng = seed * 0x9e3779b97f4a7c15u + 1;
	with_probe = chance(3);
	idempotent = chance(2);
	topic(f, &f->client, 1, "orders");
	instance(f, 900, idempotent ? AT_INST_IDEMPOTENT : chance(2) ? AT_INST_DR_MSG_CB : 0,
		 chance(2) ? 1 + chance(5) : 1000000);
	connection(f, 950, conn);
	if (with_probe)
		probe(f);
	f->probe.lost = chance(4) == 0;
	while (nr < 60) {
		struct bat b = { conn, corr++, 1, 1000 + (uint32_t)nr, 1 + chance(20), 0,
				 idempotent ? (int32_t)seq++ : 0, (int64_t)now, (int64_t)(now + chance(5)) };
		uint32_t tid = 50 + chance(4);
		uint64_t t = now + 5 + chance(30), read = t + chance(20);
		bool ok = chance(4), seen = with_probe && chance(8);
		int i = nr;

		made[nr++] = b;
		if (chance(10) == 0) {		/* never sent */
			now += 200;
			acks(f, now, 1, 0, TIMED_OUT, 0, -1, b.count, (uint64_t)b.created, (uint64_t)b.created_last);
			told++;
			continue;
		}
		written(f, t, &b);
		if (chance(10) == 0)
			written(f, t, &b);
		if (seen) {
			if (chance(6))
				arrived(f, chance(2) ? t : 0, read, &b);
			if (ok || chance(2)) {
				appended(f, read + chance(3), read + 3 + chance(50), tid, &b, offset);
				in_log[i] = 1;
				now = read + 60;
				if (chance(2)) {
					uint64_t sync = now + chance(300);

					flushed(f, now + 1, sync);
					synced(f, chance(2) ? now : now - 30, sync, chance(2) ? tid : tid + 1,
					       FILE_SEGMENT, AT_CALL_FSYNC);
					synced(f, sync, sync + chance(4), tid, FILE_INDEX, AT_CALL_MSYNC);
					now = sync + 4;
				}
			}
			if (chance(6))
				answered(f, now > read ? now : read + 1, &b);
		}
		now = (now > read ? now : read) + 10 + chance(100);
		if (!ok) {
			now += chance(500);
			if (chance(2)) {
				connection_end(f, now, conn);
				if (with_probe && chance(2))
					arrival_ended(f, now + 1, conn);
				connection(f, now + 2, ++conn);
				now += 3;
			} else if (chance(2)) {
				replied(f, now, &b, (int16_t)(1 + chance(20)), -1);
			}
			if (chance(2)) {	/* again, as it was */
				b.conn = conn;
				b.corr = corr++;
				now += chance(200);
				written(f, now, &b);
				if (chance(2)) {
					replied(f, now + 5, &b, 0, offset);
					now += 5;
					acks(f, now, 1, 0, 0, 2, offset, b.count, (uint64_t)b.created,
					     (uint64_t)b.created_last);
					offset += b.count;
					told++;
					continue;
				}
			}
			acks(f, now, 1, 0, chance(3) ? TIMED_OUT : -152, 1, -1, b.count, (uint64_t)b.created,
			     (uint64_t)b.created_last);
			told++;
			offset += b.count;
			now++;
			continue;
		}
		replied(f, now, &b, 0, offset);
		if (chance(20)) {
			acks(f, now, 1, 0, 0, 2, offset, b.count, (uint64_t)b.created, (uint64_t)b.created_last);
			told++;
		}
		if (chance(2))
			called_back(f, now + 1, now + 1 + chance(50), 1, 0, 0, b.count);
		offset += b.count;
		now++;
	}
	feed_end(f);
	for (uint32_t i = 0; i < f->nr; i++) {
		const struct tl_batch *b = f->out[i];
		const char *why = unsound(b);

		if (why)
			fail_msg("seed %llu, batch %u (%s): %s", (unsigned long long)seed, b->crc, b->id, why);
		for (int k = 0; k < nr; k++)
			if (b->has_crc && made[k].crc == b->crc && in_log[k] && b->in_log == TL_IN_LOG_NO)
				fail_msg("seed %llu, batch %u (%s, moved %d, %u attempts, outcome %d): said not to be "
					 "in the log", (unsigned long long)seed, b->crc, b->id, b->moved,
					 b->nr_attempts, (int)b->outcome);
		assert_true(b->verdict.share >= 0 && b->verdict.share <= 1.0001);
		assert_true(*b->verdict.text);
	}
	assert_true(f->nr >= (uint32_t)told);
	feed_free(f);
}

static void test_by_chance(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 300; seed++)
		one_stream(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_path),
		cmocka_unit_test(test_bystanders),
		cmocka_unit_test(test_directory),
		cmocka_unit_test(test_behind),
		cmocka_unit_test(test_expired_unread),
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_union),
		cmocka_unit_test(test_by_chance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
