/* SPDX-License-Identifier: BSD-2-Clause */
/* test_reader_damage.c - trails cut short, damaged, or with events lost. */
#include "reader_feed.h"
#include "trail_open.h"

/* ---- cut short ----------------------------------------------------------- */

static void test_cut_at_every_page(void **state)
{
	struct made m = made_requests("cut", 5000);
	struct image im = image_read(m.dir);
	uint32_t last = 0, n, grown = 0;
	struct capture c;
	char path[4200], *said;
	struct reader *r;

	(void)state;
	snprintf(path, sizeof(path), "%s/trail", m.dir);
	r = open_one(m.dir);
	assert_int_equal(requests_in(r), 5000);
	assert_false(reader_incomplete(r));
	reader_close(r);
	c = capture_begin(STDERR_FILENO);
	for (size_t len = im.len; len; len -= 4096) {
		if (len < im.len)
			assert_int_equal(truncate(path, (off_t)len), 0);
		r = open_one(m.dir);
		assert_non_null(r);
		n = requests_in(r);
		if (len < im.len) {
			assert_true(n <= last);
			assert_true(reader_incomplete(r));
			assert_true(reader_trail(r, 0)->incomplete);
			assert_int_equal(reader_trail(r, 0)->bad_bytes, 0);
			grown += n < last;
		}
		last = n;
		reader_close(r);
	}
	/* Each page of a used chunk held something. */
	assert_true(grown >= 65);
	assert_int_equal(last, 0);
	assert_int_equal(truncate(path, 100), 0);
	assert_null(open_one(m.dir));
	said = capture_end(&c);
	assert_non_null(strstr(said, "is cut short: 1044480 of 1048576 bytes; reading what is whole"));
	assert_non_null(strstr(said, "is cut short: 100 bytes, less than its header"));
	free(said);

	/* Anywhere, not only between pages: never more than is whole. */
	c = capture_begin(STDERR_FILENO);
	for (size_t len = im.len - 4096 + 13; len > 1200; len -= 1021) {
		if (len > 65536 && len % 5)
			continue;
		image_write(m.dir, im.bytes, len);
		r = open_one(m.dir);
		if (r)
			requests_in(r);
		else
			assert_true(len < sizeof(struct at_header));
		reader_close(r);
	}
	free(capture_end(&c));
	image_free(&im);
}

/* ---- damaged ------------------------------------------------------------- */

static uint64_t random64(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

/* Where the bytes that matter are: the header, the clocks, the description, chunks in use. */
static size_t somewhere(uint64_t *seed, const struct image *im)
{
	const struct at_header *h = (const struct at_header *)im->bytes;
	uint64_t r = random64(seed) >> 8;

	switch (random64(seed) % 8) {
	case 0: return r % sizeof(*h);
	case 1: return h->clock_off + r % 256;
	case 2: return h->schema_off + r % h->schema_len;
	case 3: return h->chunk_off + (r % 4) * h->chunk_size + (r >> 8) % sizeof(struct at_chunk);
	default: return h->chunk_off + r % (4 * h->chunk_size);
	}
}

static void test_flipped_bits(void **state)
{
	const int rounds = 4000;
	struct made m = made_open_bytes(&scratch, "flip", AT_KIND_PROBE, MIB);
	uint64_t seed = 0x9e3779b97f4a7c15, now = at_now();
	int unread = 0, damaged = 0, fine = 0, fd;
	struct image im;
	struct capture err, out;
	char path[4200];

	(void)state;
	for (uint32_t i = 0; i < 700; i++) {
		struct ev_file *f;
		struct ev_append *a;

		put_request(&m, AT_BULK, now + i * 10u, i);
		put_topic(&m, 1 + i % 5, "orders");
		f = made_event(&m, AT_BULK, AT_EV_FILE, now, sizeof(*f), "/logs/orders-0/00000000000000000000.log");
		f->file = i % 7;
		made_commit(&m, AT_BULK);
		a = made_event(&m, AT_BULK, AT_EV_APPEND, now + i * 10u, sizeof(*a), "");
		a->begin_ns = now;
		made_commit(&m, AT_BULK);
	}
	made_close(&m);
	im = image_read(m.dir);
	snprintf(path, sizeof(path), "%s/trail", m.dir);
	fd = open(path, O_RDWR);
	err = capture_begin(STDERR_FILENO);
	out = capture_begin(STDOUT_FILENO);
	for (int round = 0; round < rounds; round++) {
		size_t at[8], nr = 1 + random64(&seed) % 8;
		struct reader *r;

		for (size_t i = 0; i < nr; i++) {
			uint8_t byte;

			at[i] = somewhere(&seed, &im);
			byte = im.bytes[at[i]];
			byte = random64(&seed) & 1 ? (uint8_t)(byte ^ 1u << random64(&seed) % 8) :
			       (uint8_t)(random64(&seed) & 1 ? 0xff : random64(&seed));
			assert_int_equal(pwrite(fd, &byte, 1, (off_t)at[i]), 1);
		}
		r = open_one(m.dir);
		if (r) {
			int64_t last = INT64_MIN;
			struct event ev;

			reader_want_unknown(r, true);
			while (reader_next(r, &ev)) {
				if (!event_is_name(ev.type)) {
					int64_t t = (int64_t)(ev.ns + (uint64_t)ev.trail->to_axis_ns);

					assert_true(t >= last);
					last = t;
				}
				touch(ev.raw, ev.raw_len);
				touch((const uint8_t *)ev.tail, ev.tail_len);
				if (ev.type == AT_EV_APPEND)
					assert_true(ev.append.begin_ns < 1ull << 61);
			}
			if (reader_incomplete(r))
				damaged++;
			else
				fine++;
			reader_close(r);
		} else {
			unread++;
		}
		if (round % 8 == 0) {
			char *argv[] = { "dump", "-f", round % 16 ? "ndjson" : "text", m.dir, NULL };

			cmd_dump(4, argv);
			fflush(stdout);
			assert_int_equal(ftruncate(out.fd, 0), 0);
			lseek(out.fd, 0, SEEK_SET);
		}
		for (size_t i = 0; i < nr; i++)
			assert_int_equal(pwrite(fd, im.bytes + at[i], 1, (off_t)at[i]), 1);
	}
	free(capture_end(&out));
	free(capture_end(&err));
	close(fd);
	print_message("%d rounds: %d unreadable, %d damaged, %d not noticed\n", rounds, unread, damaged, fine);
	assert_true(unread > rounds / 100);
	assert_true(damaged > rounds / 20);
	image_free(&im);
}

/* Whole events around a damaged one are still there. */
static void test_damage_is_local(void **state)
{
	struct made m = made_requests("local", 100);
	struct image im = image_read(m.dir);
	struct at_chunk *c = chunk_of(&im, 0);
	uint64_t absurd = UINT64_MAX - 5;
	unsigned requests = 0;
	struct reader *r;
	struct event ev;
	size_t off = 0;
	char *said;

	(void)state;
	/* The 50th event gets a time that no clock shows. */
	for (int i = 0; i < 50; i++)
		off += (((struct at_event *)((uint8_t *)(c + 1) + off))->len + 7u) & ~7u;
	memcpy((uint8_t *)(c + 1) + off + offsetof(struct at_event, ns), &absurd, sizeof(absurd));
	image_write(m.dir, im.bytes, im.len);
	said = open_and_hear(m.dir, &r);
	assert_non_null(strstr(said, "bytes cannot be read and were skipped"));
	free(said);
	while (reader_next(r, &ev))
		requests += ev.type == AT_EV_REQUEST;
	assert_int_equal(requests, 99);
	assert_true(reader_trail(r, 0)->bad_bytes > 0 && reader_trail(r, 0)->bad_bytes < 200);
	assert_true(reader_incomplete(r));
	reader_close(r);
	image_free(&im);
}

/* ---- loss ---------------------------------------------------------------- */

static void test_loss(void **state)
{
	struct made m = made_requests("loss", 3);
	struct image im = image_read(m.dir);
	struct at_account_page *a;
	struct capture c;
	struct reader *r;
	char *said;

	(void)state;
	a = (struct at_account_page *)(im.bytes + ((struct at_header *)im.bytes)->account_off);
	a->overwritten[AT_EV_REQUEST] = 40;
	a->overwritten[AT_EV_BATCH] = 2;
	image_write(m.dir, im.bytes, im.len);
	r = open_one(m.dir);
	assert_int_equal(reader_trail(r, 0)->overwritten, 42);
	assert_false(reader_incomplete(r));	/* a flight recorder forgets: that is no fault */
	assert_int_equal(say_incomplete(r), STATUS_DONE);
	reader_close(r);
	a->lost[AT_EV_BATCH] = 5;
	image_write(m.dir, im.bytes, im.len);
	r = open_one(m.dir);
	assert_int_equal(reader_trail(r, 0)->lost, 5);
	c = capture_begin(STDERR_FILENO);
	assert_int_equal(say_incomplete(r), STATUS_INCOMPLETE);
	said = capture_end(&c);
	assert_non_null(strstr(said, "5 events were lost"));
	free(said);
	reader_close(r);
	image_free(&im);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_cut_at_every_page), T(test_flipped_bits), T(test_damage_is_local), T(test_loss),
	};

	return cmocka_run_group_tests_name("reader damage", tests, NULL, NULL);
}
