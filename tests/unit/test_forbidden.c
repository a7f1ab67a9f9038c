// SPDX-License-Identifier: BSD-2-Clause
/*
 * test_forbidden.c - what every command ends with when a trail may not be read, when there
 * is none, and when another one can be read beside it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "capture.h"
#include "make_trail.h"
#include "say.h"

#define NOBODY 65534

int cmd_ctl(int argc, char **argv);
int cmd_disk(int argc, char **argv);
int cmd_dump(int argc, char **argv);
int cmd_pack(int argc, char **argv);
int cmd_summary(int argc, char **argv);
int cmd_timeline(int argc, char **argv);
int cmd_why(int argc, char **argv);

static struct scratch scratch;
static char dir[400], file[400], beside[400], packed[400], shut[400];

static const struct command {
	int (*run)(int argc, char **argv);
	const char *name, *more[2];
	bool reads;
} commands[] = {
	{ cmd_timeline, "timeline", { NULL, NULL }, true },
	{ cmd_why, "why", { NULL, NULL }, true },
	{ cmd_summary, "summary", { NULL, NULL }, true },
	{ cmd_disk, "disk", { NULL, NULL }, true },
	{ cmd_dump, "dump", { NULL, NULL }, true },
	{ cmd_pack, "pack", { "-o", packed }, true },
	{ cmd_ctl, "ctl", { "save", NULL }, false },
	{ cmd_ctl, "ctl", { "off", NULL }, false },
};
#define NR_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void say_one(struct made *m)
{
	struct ev_note *e = made_event(m, AT_LAST, AT_EV_NOTE, 1000000000000ull, sizeof(*e), "hello");

	e->count = 1;
	made_commit(m, AT_LAST);
}

/* One trail whose directory is closed, one whose file is, and one that all may read. */
static int setup(void **state)
{
	static const char *const names[] = { "acktrail.dir", "file", "beside" };
	static const mode_t modes[][2] = { { 0700, 0600 }, { 0755, 0600 }, { 0755, 0644 } };
	char *const to[] = { dir, file, beside };
	char path[4200];

	(void)state;
	scratch = scratch_make();
	for (int i = 0; i < 3; i++) {
		struct made m = made_open(&scratch, names[i], i == 2 ? AT_KIND_PROBE : AT_KIND_SHIM);

		say_one(&m);
		made_close(&m);
		snprintf(to[i], sizeof(dir), "%.300s", m.dir);
		snprintf(path, sizeof(path), "%s/" AT_FILE_NAME, m.dir);
		if (chmod(path, modes[i][1]) || chmod(m.dir, modes[i][0]))
			return -1;
	}
	snprintf(packed, sizeof(packed), "%s/p.tar.zst", scratch.dir);
	if (chmod(scratch.dir, 0777))
		return -1;
	if (!geteuid())
		return seteuid(NOBODY);
	snprintf(path, sizeof(path), "%s/" AT_FILE_NAME, file);	/* our own, so it takes more */
	return chmod(dir, 0) || chmod(path, 0) ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	capture_end_all();
	if (!getuid() && seteuid(0))
		return -1;
	chmod(dir, 0700);
	chmod(shut, 0700);
	scratch_remove(&scratch);
	return 0;
}

/* Its exit status; *err: what it said. */
static int run(const struct command *c, const char *first, const char *second, char **err)
{
	char *argv[8] = { (char *)c->name, (char *)first };
	struct capture out = capture_begin(STDOUT_FILENO), said = capture_begin(STDERR_FILENO);
	int argc = 2, status;

	if (second)
		argv[argc++] = (char *)second;
	for (int i = 0; i < 2 && c->more[i]; i++)
		argv[argc++] = (char *)c->more[i];
	status = c->run(argc, argv);
	*err = capture_end(&said);
	free(capture_end(&out));
	return status;
}

static void test_forbidden(void **state)
{
	const char *const paths[] = { dir, file };
	char *err;

	(void)state;
	for (size_t i = 0; i < 2 * NR_COMMANDS; i++) {
		const struct command *c = &commands[i / 2];
		int status = run(c, paths[i % 2], NULL, &err);

		if (status != STATUS_CANNOT || !strstr(err, "no permission"))
			fail_msg("%s %s of %s: %d, %s", c->name, c->more[0] ? c->more[0] : "", paths[i % 2], status, err);
		free(err);
	}
}

static void test_missing(void **state)
{
	char *err;

	(void)state;
	for (size_t i = 0; i < NR_COMMANDS; i++) {
		const struct command *c = &commands[i];
		int status = run(c, "/nowhere/at/all", NULL, &err);

		if (status != STATUS_USAGE || !strstr(err, "/nowhere/at/all"))
			fail_msg("%s %s: %d, %s", c->name, c->more[0] ? c->more[0] : "", status, err);
		free(err);
	}
}

/* Another trail can be read: done, and incomplete.  Also where both lie in one directory. */
static void test_beside(void **state)
{
	char *err;

	(void)state;
	for (size_t i = 0; i < NR_COMMANDS; i++) {
		const struct command *c = &commands[i];
		int status;

		if (!c->reads)
			continue;
		status = run(c, dir, beside, &err);
		if (status != STATUS_INCOMPLETE || !strstr(err, "no permission"))
			fail_msg("%s: %d, %s", c->name, status, err);
		free(err);
		status = run(c, scratch.dir, NULL, &err);
		if (status != STATUS_INCOMPLETE || !strstr(err, "acktrail.dir: no permission"))
			fail_msg("%s of all: %d, %s", c->name, status, err);
		free(err);
	}
}

/* No trail that can be read in a directory, and something that may not be looked into. */
static void test_within(void **state)
{
	char *err, within[300];

	(void)state;
	snprintf(within, sizeof(within), "%s/within", scratch.dir);
	snprintf(shut, sizeof(shut), "%s/app.trail", within);
	assert_int_equal(mkdir(within, 0755), 0);
	assert_int_equal(mkdir(shut, 0), 0);
	for (size_t i = 0; i < NR_COMMANDS; i++) {
		const struct command *c = &commands[i];
		int status = run(c, within, NULL, &err);

		if (status != STATUS_CANNOT || !strstr(err, "app.trail: no permission"))
			fail_msg("%s %s: %d, %s", c->name, c->more[0] ? c->more[0] : "", status, err);
		free(err);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_forbidden, setup, teardown),
		cmocka_unit_test_setup_teardown(test_missing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_beside, setup, teardown),
		cmocka_unit_test_setup_teardown(test_within, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
