/* SPDX-License-Identifier: BSD-2-Clause */
/* test_reader_live.c - trails whose process still writes, or was killed. */
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "reader_feed.h"
#include "trail_open.h"
#include "window.h"

/* ---- live ---------------------------------------------------------------- */

/* Recycled between the index and the reading: dropped, not torn. */
static void test_recycled_behind_our_back(void **state)
{
	struct made m = made_open_bytes(&scratch, "recycle", AT_KIND_SHIM, MIB);
	uint64_t now = at_now();
	uint32_t n = 0, last = 0;
	struct reader *r;
	struct event ev;

	(void)state;
	for (uint32_t i = 0; i < 9000; i++)
		put_request(&m, AT_BULK, now + i, i);
	r = open_one(m.dir);
	assert_non_null(r);
	assert_true(reader_trail(r, 0)->live);
	assert_int_equal(reader_trail(r, 0)->recycled_chunks, 0);
	for (uint32_t i = 9000; i < 16000; i++)
		put_request(&m, AT_BULK, now + i, i);
	while (reader_next(r, &ev)) {
		assert_int_equal(ev.request.size, ev.request.corr ^ 0x5a5a5a5a);
		assert_true(ev.request.corr < 9000);	/* what came later is for the next look */
		assert_true(ev.request.corr >= last);
		last = ev.request.corr;
		n++;
	}
	assert_true(reader_trail(r, 0)->recycled_chunks > 2);
	assert_true(n > 1000 && n < 9000);
	reader_close(r);
	made_close(&m);
}

/* A process killed while it recycled leaves an odd generation. */
static void test_odd_generation(void **state)
{
	struct made m = made_requests("odd", 1000);
	struct image im = image_read(m.dir);
	struct reader *r;
	struct event ev;
	uint32_t n = 0;

	(void)state;
	chunk_of(&im, 1)->generation |= 1;
	image_write(m.dir, im.bytes, im.len);
	r = open_one(m.dir);
	while (reader_next(r, &ev))
		n += ev.type == AT_EV_REQUEST;
	assert_true(n > 500 && n < 1000);
	assert_int_equal(reader_trail(r, 0)->recycled_chunks, 1);
	assert_false(reader_incomplete(r));
	reader_close(r);
	image_free(&im);
}

static volatile bool stop;

static void *hammer(void *arg)
{
	struct made *m = arg;

	for (uint32_t i = 0; !stop; i++)
		put_request(m, i % 5 ? AT_BULK : AT_LAST, at_now(), i);
	return NULL;
}

/* A writer at full speed in a small ring: whatever is read is whole. */
static void test_live_writer(void **state)
{
	struct made m = made_open_bytes(&scratch, "hammer", AT_KIND_SHIM, MIB);
	uint64_t events = 0, recycled = 0;
	struct capture c;
	pthread_t thread;
	char *said;

	(void)state;
	put_request(&m, AT_BULK, at_now(), 0);
	assert_int_equal(pthread_create(&thread, NULL, hammer, &m), 0);
	c = capture_begin(STDERR_FILENO);
	for (int round = 0; round < 150; round++) {
		struct reader *r = open_one(m.dir);
		uint64_t last = 0;
		struct event ev;

		assert_non_null(r);
		while (reader_next(r, &ev)) {
			assert_int_equal(ev.type, AT_EV_REQUEST);
			assert_int_equal(ev.request.size, ev.request.corr ^ 0x5a5a5a5a);
			assert_true(ev.request.begin_ns == ev.ns);
			assert_true(ev.ns >= last);
			assert_memory_equal(ev.tail, "client", 6);
			last = ev.ns;
			events++;
		}
		assert_int_equal(reader_trail(r, 0)->bad_bytes, 0);
		recycled += reader_trail(r, 0)->recycled_chunks;
		reader_close(r);
	}
	stop = true;
	pthread_join(thread, NULL);
	said = capture_end(&c);
	assert_string_equal(said, "");
	free(said);
	print_message("%llu events read, %llu chunks dropped as recycled\n", (unsigned long long)events,
		      (unsigned long long)recycled);
	assert_true(events > 1000);
	made_close(&m);
}

/* A killed process: the first who reads its trail brings the window home. */
static void test_killed(void **state)
{
	char dir[512], link[600], window[256] = "";
	int ready[2], status;
	struct at_header h;
	struct reader *r;
	struct stat st;
	ssize_t n;
	pid_t pid;
	char c;

	(void)state;
	snprintf(dir, sizeof(dir), "%s/killed", scratch.dir);
	snprintf(link, sizeof(link), "%s/trail", dir);
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		struct made m = made_open_bytes(&scratch, "killed", AT_KIND_SHIM, MIB);

		for (uint32_t i = 0; i < 100; i++)
			put_request(&m, AT_BULK, at_now(), i);
		if (write(ready[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	n = readlink(link, window, sizeof(window) - 1);
	assert_true(n > 0);	/* needs a scratch directory that is not on tmpfs */
	window[n] = 0;

	r = open_one(dir);
	assert_true(reader_trail(r, 0)->live);
	assert_false(reader_trail(r, 0)->gone);
	assert_int_equal(requests_in(r), 100);
	reader_close(r);
	assert_int_equal(lstat(link, &st), 0);
	assert_true(S_ISLNK(st.st_mode));	/* a live window is left where it is */

	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	r = open_one(dir);
	assert_false(reader_trail(r, 0)->live);
	assert_true(reader_trail(r, 0)->gone);
	assert_int_equal(requests_in(r), 100);
	assert_false(reader_incomplete(r));
	reader_close(r);
	assert_int_equal(lstat(link, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(st.st_size, MIB);
	assert_int_equal(access(window, F_OK), -1);
	r = open_one(dir);
	assert_true(reader_trail(r, 0)->gone);
	assert_int_equal(requests_in(r), 100);
	reader_close(r);

	/* A pid that is in use again is another process. */
	assert_true(window_header(dir, &h));
	h.pid = h.pid_host = (uint32_t)getpid();
	assert_int_equal(window_process(&h), PROCESS_GONE);
	h.start_ticks = 0;
	assert_int_equal(window_process(&h), PROCESS_THERE);
	strcpy(h.boot_id, "another");
	assert_int_equal(window_process(&h), PROCESS_UNKNOWN);
}

/* A broker goes on without its probe: what was read is not all.  As long as the probe lives it is. */
static void test_probe_killed(void **state)
{
	char dir[512];
	int ready[2], status;
	struct reader *r;
	pid_t pid;
	char c;

	(void)state;
	snprintf(dir, sizeof(dir), "%s/probe", scratch.dir);
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		struct made m = made_open_bytes(&scratch, "probe", AT_KIND_PROBE, MIB);

		put_request(&m, AT_BULK, at_now(), 0);
		if (write(ready[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	r = open_one(dir);
	assert_int_equal(requests_in(r), 1);
	assert_false(trail_killed(reader_trail(r, 0)));
	assert_false(reader_incomplete(r));
	reader_close(r);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	r = open_one(dir);
	assert_int_equal(requests_in(r), 1);
	assert_true(trail_killed(reader_trail(r, 0)));
	assert_true(reader_incomplete(r));
	reader_close(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_recycled_behind_our_back), T(test_odd_generation), T(test_live_writer),
		T(test_killed), T(test_probe_killed),
	};

	return cmocka_run_group_tests_name("reader live", tests, NULL, NULL);
}
