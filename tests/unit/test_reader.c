/* SPDX-License-Identifier: BSD-2-Clause */
/* test_reader.c - trails as the writer leaves them, of older and newer writers, and what is none. */
#include "reader_feed.h"
#include "schema.h"
#include "trail_open.h"

/* ---- order --------------------------------------------------------------- */

/* Two trails, two threads each, both rings, times out of order inside a chunk. */
static void test_merge_order(void **state)
{
	struct made m[2] = { made_open(&scratch, "a", AT_KIND_SHIM), made_open(&scratch, "b", AT_KIND_PROBE) };
	uint64_t base = at_now();
	char *paths[] = { m[1].dir, m[0].dir };
	uint32_t seed = 7, seen = 0, by_trail[2] = { 0, 0 };
	int64_t last = INT64_MIN;
	struct reader *r;
	struct event ev;

	(void)state;
	for (uint32_t i = 0; i < 6000; i++) {
		struct made *w = &m[i & 1];

		seed = seed * 1664525 + 1013904223;
		w->pen.tid = 100 + (i & 1);
		put_request(w, i % 7 ? AT_BULK : AT_LAST, base + (i + seed % 97) * 1000u, i);
	}
	made_close(&m[0]);
	made_close(&m[1]);
	r = reader_open(paths, 2);
	assert_non_null(r);
	assert_int_equal(reader_nr_trails(r), 2);
	assert_string_equal(reader_trail(r, 0)->path, m[1].dir);
	for (int round = 0; round < 2; round++) {
		seen = 0;
		last = INT64_MIN;
		by_trail[0] = by_trail[1] = 0;
		while (reader_next(r, &ev)) {
			int64_t now = event_axis(&ev, ev.ns);

			assert_true(now >= last);
			last = now;
			assert_int_equal(ev.type, AT_EV_REQUEST);
			assert_int_equal(ev.request.size, ev.request.corr ^ 0x5a5a5a5a);
			assert_int_equal(ev.request.corr & 1, !ev.trail->index);
			assert_int_equal(ev.tail_len, 6);
			assert_memory_equal(ev.tail, "client", 6);
			by_trail[ev.trail->index]++;
			seen++;
		}
		assert_int_equal(seen, 6000);
		assert_int_equal(by_trail[0], 3000);
		assert_int_equal(reader_trail(r, 0)->nr_events, 3000);
		reader_rewind(r);
	}
	assert_false(reader_incomplete(r));
	reader_close(r);
}

/* Of one time, events stay in the order in which their thread wrote them. */
static void test_stable(void **state)
{
	struct made m = made_open(&scratch, "same", AT_KIND_SHIM);
	uint64_t now = at_now();
	uint32_t next = 1;
	struct reader *r;
	struct event ev;

	(void)state;
	put_request(&m, AT_BULK, now + 5000, 500);	/* so that there is something to sort */
	for (uint32_t i = 1; i <= 200; i++)
		put_request(&m, AT_BULK, now, i);
	made_close(&m);
	r = open_one(m.dir);
	while (reader_next(r, &ev))
		if (next <= 200)
			assert_int_equal(ev.request.corr, next++);
		else
			assert_int_equal(ev.request.corr, 500);
	assert_int_equal(next, 201);
	reader_close(r);
}

/* Reading takes an index and the chunks around now, not the whole trail. */
static void test_chunks_opened_late(void **state)
{
	struct made m = made_open_bytes(&scratch, "long", AT_KIND_SHIM, 16 * MIB);
	uint64_t now = at_now();
	struct reader *r;
	struct event ev;

	(void)state;
	for (uint32_t i = 0; i < 50000; i++) {
		/* Names have no time: they must not pull their chunk to the front. */
		if (i % 100 == 0)
			put_topic(&m, 1, "orders");
		put_request(&m, AT_BULK, now + i, i);
	}
	made_close(&m);
	r = open_one(m.dir);
	assert_true(reader_next(r, &ev));
	assert_true(reader_nr_loaded(r) <= 2);
	for (int i = 0; i < 30000; i++)
		assert_true(reader_next(r, &ev));
	assert_true(reader_nr_loaded(r) <= 2);
	reader_close(r);
}

/* Many chunks are merged by a thread that is ahead: it begins anew, and ends, wherever it stands. */
static void test_begun_anew_anywhere(void **state)
{
	struct made m = made_open_bytes(&scratch, "anew", AT_KIND_SHIM, 16 * MIB);
	uint64_t now = at_now();
	struct reader *r;
	struct event ev;

	(void)state;
	for (uint32_t i = 0; i < 50000; i++)
		put_request(&m, AT_BULK, now + i, i);
	made_close(&m);
	r = open_one(m.dir);
	for (uint32_t part = 1; part <= 50000; part *= 7) {
		for (uint32_t i = 0; i < part; i++) {
			assert_true(reader_next(r, &ev));
			assert_int_equal(ev.request.corr, i);
		}
		reader_rewind(r);
	}
	for (uint32_t i = 0; i < 50000; i++)
		assert_true(reader_next(r, &ev) && ev.request.corr == i);
	assert_false(reader_next(r, &ev));
	assert_false(reader_next(r, &ev));
	assert_int_equal(reader_trail(r, 0)->nr_events, 50000);
	reader_rewind(r);
	assert_true(reader_next(r, &ev));
	reader_close(r);
}

/* ---- names, long and short events ---------------------------------------- */

static void test_long_topic(void **state)
{
	struct made m = made_open(&scratch, "topic", AT_KIND_SHIM);
	struct ev_batch *b;
	char name[250];
	struct reader *r;
	struct event ev;
	bool seen = false;

	(void)state;
	memset(name, 'x', 249);
	name[0] = 'A';
	name[248] = 'Z';
	name[249] = 0;
	put_topic(&m, 9, name);
	b = made_event(&m, AT_BULK, AT_EV_BATCH, at_now(), sizeof(*b), "");
	b->topic = 9;
	b->crc = 0xc9fba39c;
	made_commit(&m, AT_BULK);
	made_close(&m);
	r = open_one(m.dir);
	assert_string_equal(trail_topic(reader_trail(r, 0), 9), name);
	assert_null(trail_topic(reader_trail(r, 0), 8));
	while (reader_next(r, &ev))
		if (ev.type == AT_EV_BATCH) {
			assert_int_equal(ev.batch.crc, 0xc9fba39c);
			assert_string_equal(trail_topic(ev.trail, ev.batch.topic), name);
			seen = true;
		}
	assert_true(seen);
	reader_close(r);
}

static void test_files_and_threads(void **state)
{
	struct made m = made_open(&scratch, "names", AT_KIND_PROBE);
	struct ev_thread *t;
	struct reader *r;
	struct ev_file *f;

	(void)state;
	f = made_event(&m, AT_BULK, AT_EV_FILE, at_now(), sizeof(*f), "/logs/orders-0/00000000000000000000.log");
	f->file = 3;
	f->role = AT_ROLE_SEGMENT;
	f->partition = 7;
	made_commit(&m, AT_BULK);
	t = made_event(&m, AT_BULK, AT_EV_THREAD, at_now(), sizeof(*t), "data-plane-kafka");
	t->pid = 1;
	made_commit(&m, AT_BULK);
	made_close(&m);
	r = open_one(m.dir);
	assert_string_equal(trail_file_path(reader_trail(r, 0), 3), "/logs/orders-0/00000000000000000000.log");
	assert_int_equal(trail_file(reader_trail(r, 0), 3)->partition, 7);
	assert_null(trail_file(reader_trail(r, 0), 4));
	assert_string_equal(trail_thread(reader_trail(r, 0), 100), "data-plane-kafka");
	reader_close(r);
}

/* Give the image another description, behind everything else. */
static void set_schema(struct image *im, const char *text)
{
	struct at_header *h = (struct at_header *)im->bytes;
	size_t len = strlen(text);

	im->bytes = realloc(im->bytes, im->len + len);
	h = (struct at_header *)im->bytes;
	memcpy(im->bytes + im->len, text, len);
	h->schema_off = im->len;
	h->schema_len = len;
	im->len += len;
	h->file_size = im->len;
}

/* The description as it stands, with one line put in the place of another event's. */
static char *schema_with(const struct image *im, const char *old_prefix, const char *line)
{
	const struct at_header *h = (const struct at_header *)im->bytes;
	const char *text = (const char *)im->bytes + h->schema_off, *end = text + h->schema_len;
	char *out = calloc(1, h->schema_len + strlen(line) + 2), *at = out;

	while (text < end) {
		const char *nl = memchr(text, '\n', (size_t)(end - text));
		size_t len = (size_t)((nl ? nl + 1 : end) - text);

		if (strncmp(text, old_prefix, strlen(old_prefix))) {
			memcpy(at, text, len);
			at += len;
		}
		text += len;
	}
	sprintf(at, "%s\n", line);
	return out;
}

/* Append an event by hand to the first chunk. */
static void append_raw(struct image *im, uint16_t type, uint64_t ns, const void *behind, uint16_t len)
{
	struct at_chunk *c = chunk_of(im, 0);
	struct at_event ev = { .type = type, .len = (uint16_t)(sizeof(ev) + len), .tid = 100, .ns = ns };
	uint8_t *at = (uint8_t *)(c + 1) + c->committed;

	memcpy(at, &ev, sizeof(ev));
	memcpy(at + sizeof(ev), behind, len);
	c->committed += (ev.len + 7u) & ~7u;
}

/* A newer writer has a longer TCP event, and an event that nobody knows here. */
static void test_newer_events(void **state)
{
	struct made m = made_requests("newer", 3);
	struct image im = image_read(m.dir);
	struct { struct ev_tcp known; uint64_t more; char tail[6]; } __attribute__((packed)) tcp = {
		.known = { .conn = 77, .backoff = 5 }, .more = 0x1122334455667788, .tail = "reno!" };
	struct { uint32_t a; int32_t b; char tail[3]; } __attribute__((packed)) future = { 42, -9, "hey" };
	uint64_t now = at_now() + 1000000000;
	unsigned tcps = 0, futures = 0, requests = 0;
	char *text, *longer;
	struct reader *r;
	struct event ev;

	(void)state;
	text = schema_with(&im, "22 ", "22 tcp 48 u64:overdue_ns u32:conn u32:unsent u32:unacked u32:retransmits "
			   "u32:rtt_us u32:backoff u32:unread_ms u32:pad u64:more str:algorithm");
	longer = malloc(strlen(text) + 100);
	sprintf(longer, "%s60 future 8 u32:a s32:b str:word\n", text);
	set_schema(&im, longer);
	((struct at_header *)im.bytes)->version = 9;
	append_raw(&im, 22, now, &tcp, sizeof(tcp) - 1);
	append_raw(&im, 60, now + 1, &future, sizeof(future));
	append_raw(&im, 61, now + 2, "undescribed", 11);
	image_write(m.dir, im.bytes, im.len);

	r = open_one(m.dir);
	assert_non_null(r);
	assert_int_equal(reader_trail(r, 0)->unknown_events, 2);
	assert_int_equal(reader_trail(r, 0)->bad_bytes, 0);
	assert_false(reader_incomplete(r));
	while (reader_next(r, &ev)) {
		requests += ev.type == AT_EV_REQUEST;
		assert_true(ev.type < 60);
		if (ev.type == AT_EV_TCP) {
			tcps++;
			assert_int_equal(ev.tcp.conn, 77);
			assert_int_equal(ev.tcp.backoff, 5);
			assert_int_equal(ev.raw_len, 48);
			assert_int_equal(ev.tail_len, 5);
			assert_memory_equal(ev.tail, "reno!", 5);
		}
	}
	assert_int_equal(tcps, 1);
	assert_int_equal(requests, 3);
	reader_want_unknown(r, true);
	while (reader_next(r, &ev))
		if (ev.type == 60) {
			futures++;
			assert_int_equal(ev.raw_len, 8);
			assert_memory_equal(ev.tail, "hey", 3);
		} else if (ev.type == 61) {
			futures++;
			assert_int_equal(ev.raw_len, 0);
			assert_int_equal(ev.tail_len, 11);
		}
	assert_int_equal(futures, 2);
	reader_close(r);

	/* dump shows what it does not know by the trail's own words. */
	char *argv[] = { "dump", "--format", "ndjson", m.dir, NULL };
	struct capture c = capture_begin(STDOUT_FILENO);
	struct capture e = capture_begin(STDERR_FILENO);
	int status = cmd_dump(4, argv);
	char *said = capture_end(&e), *out = capture_end(&c);

	assert_int_equal(status, STATUS_DONE);
	assert_non_null(strstr(out, "\"type\":\"future\",\"type_nr\":60"));
	assert_non_null(strstr(out, "\"a\":42,\"b\":-9,\"word\":\"hey\""));
	assert_non_null(strstr(out, "\"more\":1234605616436508552,\"algorithm\":\"reno!\""));
	assert_non_null(strstr(out, "\"type\":\"unknown\",\"type_nr\":61"));
	assert_non_null(strstr(said, "2 events of kinds that this version does not know"));
	free(said);
	free(out);
	free(text);
	free(longer);
	image_free(&im);
}

/* An older writer's event is shorter: the rest is zero, its tail is found. */
static void test_older_events(void **state)
{
	struct made m = made_requests("older", 1);
	struct image im = image_read(m.dir);
	struct { uint64_t overdue_ns; char tail[4]; } __attribute__((packed)) tcp = { 12345, "tail" };
	char *text = schema_with(&im, "22 ", "22 tcp 8 u64:overdue_ns str:old");
	struct reader *r;
	struct event ev;
	bool seen = false;

	(void)state;
	set_schema(&im, text);
	append_raw(&im, 22, at_now() + 1000000000, &tcp, sizeof(tcp));
	image_write(m.dir, im.bytes, im.len);
	r = open_one(m.dir);
	for (;;) {
		memset(&ev, 0xee, sizeof(ev));
		if (!reader_next(r, &ev))
			break;
		if (ev.type == AT_EV_TCP) {
			seen = true;
			assert_int_equal(ev.tcp.overdue_ns, 12345);
			assert_int_equal(ev.tcp.conn, 0);
			assert_int_equal(ev.tcp.backoff, 0);
			assert_int_equal(ev.tail_len, 4);
			assert_memory_equal(ev.tail, "tail", 4);
		}
	}
	assert_true(seen);
	assert_false(reader_incomplete(r));
	reader_close(r);
	free(text);
	image_free(&im);
}

/* A description that contradicts what we know is damage, not news. */
static void test_contradicting_schema(void **state)
{
	struct made m = made_requests("liar", 5);
	struct image im = image_read(m.dir);
	char *text = schema_with(&im, "18 ", "18 request 8 u64:something_else");
	unsigned requests = 0;
	struct reader *r;
	struct event ev;

	(void)state;
	set_schema(&im, text);
	image_write(m.dir, im.bytes, im.len);
	hears(m.dir, "description of the events is damaged", true);
	r = open_one(m.dir);
	assert_true(reader_incomplete(r));
	while (reader_next(r, &ev))
		if (ev.type == AT_EV_REQUEST)
			assert_int_equal(ev.request.corr, requests++);
	assert_int_equal(requests, 5);
	reader_close(r);
	free(text);
	image_free(&im);
}

/* ---- what is no trail ---------------------------------------------------- */

static void test_no_trail(void **state)
{
	char path[4096];
	FILE *f;

	(void)state;
	snprintf(path, sizeof(path), "%s/nothing", scratch.dir);
	hears(path, "there is no such file or directory", false);
	snprintf(path, sizeof(path), "%s/empty", scratch.dir);
	mkdir(path, 0700);
	hears(path, "holds no trail", false);
	snprintf(path, sizeof(path), "%s/text", scratch.dir);
	f = fopen(path, "w");
	fputs("This is a letter, not a trail, and it is longer than a header's magic.\n", f);
	fclose(f);
	hears(path, "is no trail: it does not begin with ACKTRAIL", false);
	f = fopen(path, "w");
	fclose(f);
	hears(path, "is no trail: it is empty", false);
	hears("/dev/null", "is no trail: it is not a regular file", false);
	snprintf(path, sizeof(path), "%s/dangling", scratch.dir);
	mkdir(path, 0700);
	strcat(path, "/trail");
	assert_int_equal(symlink("/dev/shm/acktrail.test.not.there", path), 0);
	path[strlen(path) - strlen("/trail")] = 0;
	hears(path, "its live window is gone (the host rebooted or /dev/shm was cleared)", false);
}

static void patch(const char *dir, size_t off, const void *bytes, size_t len)
{
	char path[4200];
	int fd;

	snprintf(path, sizeof(path), "%s/trail", dir);
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, bytes, len, (off_t)off), len);
	close(fd);
}

#define PATCH(dir, member, value) do { \
	__typeof__(((struct at_header *)0)->member) v_ = (value); \
	patch(dir, offsetof(struct at_header, member), &v_, sizeof(v_)); } while (0)

static void test_versions(void **state)
{
	struct made m = made_requests("version", 3);
	struct reader *r;

	(void)state;
	PATCH(m.dir, version, 7);
	r = open_one(m.dir);
	assert_non_null(r);
	reader_close(r);
	PATCH(m.dir, min_reader, AT_VERSION + 1);
	hears(m.dir, "was written by a newer acktrail (format 7, this one reads up to 1); upgrade to read it", false);
	PATCH(m.dir, min_reader, 1);
	PATCH(m.dir, byte_order, 0x04030201);
	hears(m.dir, "other byte order", false);
	PATCH(m.dir, byte_order, AT_BYTE_ORDER);
	PATCH(m.dir, nr_bulk, UINT32_MAX);
	hears(m.dir, "is damaged (its number of chunks)", false);
	PATCH(m.dir, nr_bulk, 1);
	PATCH(m.dir, chunk_off, UINT64_MAX - 7);
	hears(m.dir, "is damaged", false);
	PATCH(m.dir, chunk_off, 65536);
	PATCH(m.dir, chunk_size, 5000);
	hears(m.dir, "is damaged (its chunk size)", false);
}

/* Trails in directories, one of them unreadable: what is good is read, and status 3. */
static void test_directory_of_trails(void **state)
{
	struct made a = made_requests("one", 2);
	struct event ev;
	struct reader *r;
	unsigned events = 0;
	char dir[512], copy[600];
	struct image im = image_read(a.dir);

	(void)state;
	snprintf(dir, sizeof(dir), "%s/tree", scratch.dir);
	mkdir(dir, 0700);
	snprintf(copy, sizeof(copy), "%s/one", dir);
	image_write(copy, im.bytes, im.len);
	snprintf(copy, sizeof(copy), "%s/one/child", dir);
	((struct at_header *)im.bytes)->uuid[0] ^= 1;
	image_write(copy, im.bytes, im.len);
	r = open_one(dir);
	assert_int_equal(reader_nr_trails(r), 2);
	while (reader_next(r, &ev))
		events += ev.type == AT_EV_REQUEST;
	assert_int_equal(events, 4);
	assert_false(reader_incomplete(r));
	reader_close(r);

	/* The same trail under another name is read once. */
	snprintf(copy, sizeof(copy), "%s/copy", dir);
	image_write(copy, im.bytes, im.len);
	hears(dir, "is the same trail as", true);
	r = open_one(dir);
	assert_int_equal(reader_nr_trails(r), 2);
	reader_close(r);

	snprintf(copy, sizeof(copy), "%s/broken", dir);
	image_write(copy, (const uint8_t *)"garbage!garbage!", 16);
	r = open_one(dir);
	assert_non_null(r);
	assert_true(reader_incomplete(r));
	reader_close(r);
	image_free(&im);
}

/* ---- clocks -------------------------------------------------------------- */

static void test_axis(void **state)
{
	struct made m = made_requests("axis0", 1), n = made_requests("axis1", 1);
	struct image im = image_read(m.dir), in = image_read(n.dir);
	struct at_header *h0 = (struct at_header *)im.bytes, *h1 = (struct at_header *)in.bytes;
	struct at_clock_page *k0 = (struct at_clock_page *)(im.bytes + h0->clock_off);
	struct at_clock_page *k1 = (struct at_clock_page *)(in.bytes + h1->clock_off);
	char *paths[] = { m.dir, n.dir };
	struct reader *r;

	(void)state;
	k0->nr = k1->nr = 1;
	k0->pair[0] = (struct at_clock_pair){ 1000, 1700000000000000000, 10 };
	k1->pair[0] = (struct at_clock_pair){ 5000, 1700000000000009000, 10 };
	h1->timens_mono_ns = 300;
	image_write(m.dir, im.bytes, im.len);
	image_write(n.dir, in.bytes, in.len);
	r = reader_open(paths, 2);
	assert_true(reader_trail(r, 0)->to_axis_ns == 1700000000000000000 - 1000);
	assert_true(reader_trail(r, 0)->axis_exact);
	/* Same boot: one clock, the offset of the time namespace taken away. */
	assert_true(reader_trail(r, 1)->to_axis_ns == 1700000000000000000 - 1000 - 300);
	assert_true(reader_trail(r, 1)->axis_exact);
	reader_close(r);

	/* Another boot: its own wall clock, by the pair nearest to the first trail. */
	strcpy(h1->boot_id, "another");
	k1->nr = 4;
	k1->pair[3] = (struct at_clock_pair){ 5500, 1600000000000000000, 10 };
	k1->pair[1] = (struct at_clock_pair){ 6000, 1700000000000000500, 10 };
	k1->pair[2] = (struct at_clock_pair){ 7000, 1700000900000000000, 10 };
	image_write(n.dir, in.bytes, in.len);
	r = reader_open(paths, 2);
	assert_true(reader_trail(r, 1)->to_axis_ns == 1700000000000000500 - 6000);
	assert_false(reader_trail(r, 1)->axis_exact);
	reader_close(r);
	image_free(&im);
	image_free(&in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_merge_order), T(test_stable), T(test_chunks_opened_late), T(test_begun_anew_anywhere), T(test_long_topic),
		T(test_files_and_threads), T(test_newer_events), T(test_older_events),
		T(test_contradicting_schema), T(test_no_trail), T(test_versions),
		T(test_directory_of_trails), T(test_axis),
	};

	return cmocka_run_group_tests_name("reader", tests, NULL, NULL);
}
