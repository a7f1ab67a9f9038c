/* SPDX-License-Identifier: BSD-2-Clause */
/* test_pack.c - packed and read again: the same events; cut, damaged, no pack at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>
#include "cmd.h"
#include "make_trail.h"
#include "reader.h"
#include "say.h"

#define NR 5000u

static struct scratch s;
static char packed[300];

static void fill(struct made *m, uint32_t from)
{
	for (uint32_t i = 0; i < NR; i++) {
		struct ev_request *e = made_event(m, AT_BULK, AT_EV_REQUEST, 1000 + i, sizeof(*e), "client");

		e->corr = from + i;
		made_commit(m, AT_BULK);
	}
}

static int begin(void **state)
{
	(void)state;
	s = scratch_make();
	snprintf(packed, sizeof(packed), "%s/p.tar.zst", s.dir);
	return 0;
}

static int end(void **state)
{
	(void)state;
	scratch_remove(&s);
	return 0;
}

static int pack(const char *what)
{
	char *argv[] = { "pack", (char *)what, "-o", packed, NULL };

	return cmd_pack(4, argv);
}

/* The sum of all CorrIds and how many there are; the reader's word on completeness. */
static uint32_t read_all(const char *path, uint64_t *sum, bool *incomplete)
{
	char *paths[] = { (char *)path };
	struct reader *r = reader_open(paths, 1);
	struct event ev;
	uint32_t n = 0;

	*sum = 0;
	*incomplete = true;
	if (!r)
		return 0;
	while (reader_next(r, &ev))
		if (ev.type == AT_EV_REQUEST) {
			n++;
			*sum += ev.request.corr;
		}
	*incomplete = reader_incomplete(r);
	reader_close(r);
	return n;
}

static void test_two(void **state)
{
	struct made a = made_open(&s, "a", AT_KIND_SHIM), b = made_open(&s, "b", AT_KIND_PROBE);
	uint64_t sum, want = 0;
	bool incomplete;

	(void)state;
	fill(&a, 0);
	fill(&b, 100000);
	for (uint32_t i = 0; i < NR; i++)
		want += i + i + 100000;
	/* One is closed, the other still being written. */
	made_close(&a);
	assert_int_equal(pack(s.dir), STATUS_DONE);
	fill(&b, 0);
	assert_int_equal(read_all(packed, &sum, &incomplete), 2 * NR);
	assert_int_equal(sum, want);
	assert_false(incomplete);
	made_close(&b);
}

/* A pack of a pack holds the same. */
static void test_again(void **state)
{
	struct made a = made_open(&s, "a", AT_KIND_SHIM);
	char first[320];
	uint64_t sum;
	bool incomplete;

	(void)state;
	fill(&a, 0);
	made_close(&a);
	assert_int_equal(pack(a.dir), STATUS_DONE);
	snprintf(first, sizeof(first), "%s.1", packed);
	assert_int_equal(rename(packed, first), 0);
	assert_int_equal(pack(first), STATUS_DONE);
	assert_int_equal(read_all(packed, &sum, &incomplete), NR);
	assert_false(incomplete);
}

static void test_damage(void **state)
{
	struct made a = made_open(&s, "a", AT_KIND_SHIM);
	bool incomplete;
	uint64_t sum;
	struct stat st;
	int fd;

	(void)state;
	fill(&a, 0);
	made_close(&a);
	assert_int_equal(pack(a.dir), STATUS_DONE);
	assert_int_equal(stat(packed, &st), 0);
	for (off_t size = st.st_size - 1; size > 0; size -= size / 7 + 1) {
		assert_int_equal(truncate(packed, size), 0);
		read_all(packed, &sum, &incomplete);
		assert_true(incomplete);
	}
	fd = open(packed, O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_int_equal(write(fd, "\x28\xb5\x2f\xfdnothing of it", 17), 17);
	close(fd);
	assert_int_equal(read_all(packed, &sum, &incomplete), 0);
	assert_int_equal(pack("/nowhere"), STATUS_USAGE);
}

/* What is no file keeps its place: as root, /dev/stdout would not be one any more. */
static void test_pipe(void **state)
{
	struct made a = made_open(&s, "a", AT_KIND_SHIM);
	char pipe[320], part[340];
	uint8_t begins[4];
	struct stat st;
	int fd;

	(void)state;
	snprintf(pipe, sizeof(pipe), "%s/pipe", s.dir);
	snprintf(part, sizeof(part), "%s.part", pipe);
	made_close(&a);
	assert_int_equal(mkfifo(pipe, 0600), 0);
	fd = open(pipe, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(cmd_pack(4, (char *[]){ "pack", a.dir, "-o", pipe, NULL }), STATUS_DONE);
	assert_int_equal(stat(pipe, &st), 0);
	assert_true(S_ISFIFO(st.st_mode));
	assert_int_not_equal(access(part, F_OK), 0);
	assert_int_equal(read(fd, begins, sizeof(begins)), sizeof(begins));
	assert_memory_equal(begins, "\x28\xb5\x2f\xfd", sizeof(begins));
	close(fd);
	/* A directory is none to write to, and nothing stays behind. */
	assert_int_equal(cmd_pack(4, (char *[]){ "pack", a.dir, "-o", s.dir, NULL }), STATUS_CANNOT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_two, begin, end),
		cmocka_unit_test_setup_teardown(test_again, begin, end),
		cmocka_unit_test_setup_teardown(test_damage, begin, end),
		cmocka_unit_test_setup_teardown(test_pipe, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
