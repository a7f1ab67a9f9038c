/* SPDX-License-Identifier: BSD-2-Clause */
/* test_ctl.c - acktrail ctl: what it says where nothing can be told, and what it changes where it can. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <signal.h>

#include "cmd.h"
#include "own_process.h"
#include "reader.h"
#include "say.h"
#include "tally.h"

#define NOBODY 65534

/* acktrail ctl NAME VERB in a process of its own, as that user. */
static pid_t start(const char *name, const char *verb, uid_t uid)
{
	char *argv[] = { (char *)"ctl", (char *)(uintptr_t)name, (char *)(uintptr_t)verb, NULL };

	return start_command(cmd_ctl, verb ? 3 : name ? 2 : 1, argv, uid);
}

/* Its status, and whether it says so on standard error. */
static void expect_ctl(const char *name, const char *verb, int status, const char *says)
{
	struct capture c = capture_begin(STDERR_FILENO);
	int got = ended(start(name, verb, 0));
	char *text = capture_end(&c);

	if (got != status || !strstr(text, says))
		fail_msg("ctl %s %s: status %d, \"%s\"; expected %d, \"%s\"", name, verb, got, text, status, says);
	free(text);
}

static struct at_header *made_header(struct made *m)
{
	return m->w.header;
}

static void test_usage(void **state)
{
	(void)state;
	expect_ctl(NULL, NULL, STATUS_USAGE, "which TRAIL");
	expect_ctl("x", NULL, STATUS_USAGE, "which TRAIL");
	expect_ctl("x", "sideways", STATUS_USAGE, "sideways");
}

static void test_no_trail(void **state)
{
	FILE *f = fopen("file", "w");

	(void)state;
	fprintf(f, "%8192s\n", "nothing of the kind");
	fclose(f);
	mkdir("empty", 0700);
	expect_ctl("none", "on", STATUS_USAGE, "there is no such");
	expect_ctl("none", "save", STATUS_USAGE, "none");
	expect_ctl("file", "on", STATUS_USAGE, "is no trail");
	expect_ctl("empty", "on", STATUS_USAGE, "no trail");
}

static void test_gone(void **state)
{
	struct made m = made_open(&scratch, "ended", AT_KIND_SHIM);
	struct made killed = made_open(&scratch, "killed", AT_KIND_SHIM);
	struct made away = made_open(&scratch, "away", AT_KIND_SHIM);

	(void)state;
	made_close(&m);
	expect_ctl("ended", "on", STATUS_CANNOT, "has ended");
	made_header(&killed)->start_ticks += 1;		/* the number was given to another */
	expect_ctl("killed", "off", STATUS_CANNOT, "has ended");
	strcpy(made_header(&away)->boot_id, "elsewhere");
	expect_ctl("away", "on", STATUS_CANNOT, "run this there");
	at_writer_abandon(&killed.w);
	at_writer_abandon(&away.w);
}

static void test_cannot_be_told(void **state)
{
	struct made old = made_open(&scratch, "old", AT_KIND_SHIM), probe = made_open(&scratch, "probe", AT_KIND_PROBE);
	struct made newer = made_open(&scratch, "newer", AT_KIND_SHIM);

	(void)state;
	made_header(&old)->header_size = offsetof(struct at_header, control);
	expect_ctl("old", "on", STATUS_CANNOT, "older libacktrail.so");
	expect_ctl("probe", "off", STATUS_USAGE, "probe");
	made_header(&newer)->min_reader = AT_VERSION + 1;
	expect_ctl("newer", "off", STATUS_CANNOT, "newer acktrail");
	at_writer_abandon(&old.w);
	at_writer_abandon(&probe.w);
	at_writer_abandon(&newer.w);
}

static void test_permission(void **state)
{
	struct made m = made_open(&scratch, "mine", AT_KIND_SHIM);
	struct capture c;
	char *text;
	int status;

	(void)state;
	if (geteuid()) {
		at_writer_abandon(&m.w);
		skip();
	}
	chmod(scratch.dir, 0755);
	chmod(m.dir, 0755);
	c = capture_begin(STDERR_FILENO);
	status = ended(start(m.dir, "on", NOBODY));
	text = capture_end(&c);
	assert_int_equal(status, STATUS_CANNOT);
	assert_non_null(strstr(text, "no permission"));
	free(text);
	assert_int_equal(made_header(&m)->control, AT_CONTROL_ON);
	at_writer_abandon(&m.w);
}

/* This process obeys, as a shim does. */
static void obey(const struct made *m, enum at_control want)
{
	while (__atomic_load_n(&m->w.header->control, __ATOMIC_ACQUIRE) != want)
		;
	__atomic_store_n(&m->w.header->obeys, (uint32_t)want, __ATOMIC_RELEASE);
}

static void test_told(void **state)
{
	struct made m = made_open(&scratch, "live", AT_KIND_SHIM);
	pid_t pid;

	(void)state;
	assert_int_equal(ended(start("live", "on", 0)), STATUS_DONE);	/* it is already */
	pid = start("live", "off", 0);
	obey(&m, AT_CONTROL_OFF);
	assert_int_equal(ended(pid), STATUS_DONE);
	pid = start("live", "on", 0);
	obey(&m, AT_CONTROL_ON);
	assert_int_equal(ended(pid), STATUS_DONE);
	at_writer_abandon(&m.w);
}

/* Standing by it takes next to no memory; turned on, all of it is there before the app learns of it. */
static void test_memory(void **state)
{
	struct at_writer_conf conf = { .kind = AT_KIND_SHIM, .dir = "by", .max_bytes = 8 << 20, .flags = AT_F_STANDBY };
	struct made m = { 0 };
	char why[512];
	struct stat st;
	pid_t pid;

	(void)state;
	assert_int_equal(at_writer_open(&m.w, &conf, why, sizeof(why)), 0);
	assert_int_equal(m.w.header->obeys, AT_CONTROL_OFF);
	assert_int_equal(stat("by/trail", &st), 0);
	assert_true(st.st_blocks * 512 < st.st_size / 8);
	pid = start("by", "on", 0);
	while (__atomic_load_n(&m.w.header->control, __ATOMIC_ACQUIRE) != AT_CONTROL_ON)
		;
	assert_int_equal(stat("by/trail", &st), 0);
	assert_true(st.st_blocks * 512 >= st.st_size);
	obey(&m, AT_CONTROL_ON);
	assert_int_equal(ended(pid), STATUS_DONE);
	/* Never turned on, it goes without a trace. */
	m.w.dormant = true;
	at_writer_close(&m.w, AT_EXITED);
	assert_int_not_equal(access("by", F_OK), 0);
	at_writer_abandon(&m.w);
}

/* Accounts behind the first 64 are kept apart, too; of those behind the last it is said. */
static void test_tally(void **state)
{
	struct made m = made_open(&scratch, "many", AT_KIND_SHIM);
	char *paths[] = { (char *)"many" };
	struct reader *r;
	struct tally a;

	(void)state;
	m.w.account->nr_instances = AT_NR_ACCOUNTS + 88;
	m.w.account->cell[3][0].n[AT_ACCEPTED] = 5;
	m.w.account->cell[3][7].n[AT_ACCEPTED] = 4;
	m.w.account->cell[3][7].n[AT_ACKED] = 2;
	m.w.more->more[3].before.n[AT_ACKED] = 6;
	m.w.more->more[3].before.n[AT_UNSEEN] = 1;
	m.w.more->more[AT_NR_INSTANCES].own.n[AT_ACCEPTED] = 11;
	m.w.more->more[AT_NR_ACCOUNTS - 1].own.n[AT_ACCEPTED] = 12;
	made_close(&m);
	r = reader_open(paths, 1);
	assert_non_null(r);
	assert_true(tally_of(reader_trail(r, 0), 3, &a));
	assert_int_equal(a.n[AT_ACCEPTED], 9);
	assert_int_equal(a.before, 6);
	assert_int_equal(a.unseen, 1);
	assert_int_equal(tally_rest(&a), 6);
	assert_true(tally_of(reader_trail(r, 0), AT_NR_INSTANCES, &a));
	assert_int_equal(a.n[AT_ACCEPTED], 11);
	assert_int_equal(a.instances, 1);
	assert_true(tally_of(reader_trail(r, 0), AT_NR_ACCOUNTS - 1, &a));
	assert_int_equal(a.instances, 89);
	assert_false(tally_of(reader_trail(r, 0), 4, &a));
	reader_close(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_usage, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_trail, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cannot_be_told, setup, teardown),
		cmocka_unit_test_setup_teardown(test_permission, setup, teardown),
		cmocka_unit_test_setup_teardown(test_told, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tally, setup, teardown),
	};

	return cmocka_run_group_tests_name("ctl", tests, NULL, NULL);
}
