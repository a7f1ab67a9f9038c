/* SPDX-License-Identifier: BSD-2-Clause */
/* test_record.c - the launcher: nothing changes for the command or for who started it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <elf.h>
#include <errno.h>
#include <signal.h>

#include "cmd.h"
#include "own_process.h"
#include "program.h"

/* acktrail record ARGS…, in a process of its own; what it prints goes to *out. */
static pid_t start(char **args)
{
	char *argv[16] = { "record" };
	int argc = 1;

	while (*args)
		argv[argc++] = *args++;
	return start_command(cmd_record, argc, argv, 0);
}

static int record(char **out, char **err, char **args)
{
	struct capture o = capture_begin(STDOUT_FILENO);
	struct capture e = capture_begin(STDERR_FILENO);
	int status = ended(start(args));

	free(*err);
	free(*out);
	*err = capture_end(&e);
	*out = capture_end(&o);
	return status;
}
#define RECORD(...) record(&out, &err, (char *[]){ __VA_ARGS__, NULL })

static char *out, *err;

static void said(const char *text)
{
	if (!strstr(err, text))
		fail_msg("expected \"%s\", was told \"%s\"", text, err);
}

static void test_status(void **state)
{
	FILE *f;

	(void)state;
	assert_int_equal(RECORD("--", "sh", "-c", "exit 0"), 0);
	assert_int_equal(RECORD("sh", "-c", "exit 7"), 7);
	assert_int_equal(RECORD("--", "sh", "-c", "exit 255"), 255);
	assert_int_equal(RECORD("--", "sh", "-c", "kill -KILL $$"), 137);
	assert_int_equal(RECORD("--", "sh", "-c", "kill -TERM $$"), 143);
	assert_int_equal(RECORD("--", "no-such-command-anywhere"), 127);
	said("no-such-command-anywhere: command not found");
	f = fopen("plain", "w");
	fputs("text\n", f);
	fclose(f);
	assert_int_equal(RECORD("--", "./plain"), 126);
	assert_int_equal(RECORD("--", "./nothing"), 127);
	assert_int_equal(RECORD("--output"), 2);
	assert_int_equal(RECORD("--"), 2);
	said("which CMD?");
}

/* A word that the shim does not know would be taken in silence there. */
static void test_mode(void **state)
{
	(void)state;
	setenv("ACKTRAIL", "offf", 1);
	assert_int_equal(RECORD("-o", "y", "sh", "-c", "exit 5"), 5);
	said("ACKTRAIL=offf is none of on, standby and off");
	setenv("ACKTRAIL", "off", 1);
	assert_int_equal(RECORD("-o", "y", "true"), 0);
	said("ACKTRAIL=off. Running the command without witnessing it.");
	assert_int_equal(access("y", F_OK), -1);
	unsetenv("ACKTRAIL");
	setenv("ACKTRAIL_MAX_MB", "64k", 1);
	assert_int_equal(RECORD("true"), 0);
	said("ACKTRAIL_MAX_MB=64k is no number");
	unsetenv("ACKTRAIL_MAX_MB");
}

/* What follows CMD is CMD's, and its output is its own. */
static void test_transparent(void **state)
{
	(void)state;
	assert_int_equal(RECORD("-o", "x", "echo", "-o", "--help", "--"), 0);
	assert_string_equal(out, "-o --help --\n");
	said(program_shim((char[PATH_MAX]){ 0 }) ? "no Kafka client was seen" : "libacktrail.so was not found");
	assert_int_equal(access("x", F_OK), -1);	/* nothing witnessed, nothing left behind */
	/* ENOEXEC: a script without a first line, as a shell would run it. */
	FILE *f = fopen("bare", "w");

	fputs("echo bare $1\n", f);
	fclose(f);
	chmod("bare", 0700);
	assert_int_equal(RECORD("./bare", "one"), 0);
	assert_string_equal(out, "bare one\n");
}

static void test_environment(void **state)
{
	char shim[PATH_MAX], line[2 * PATH_MAX];

	(void)state;
	if (!program_shim(shim)) {
		print_message("libacktrail.so is not built: left out\n");
		skip();
	}
	setenv("LD_PRELOAD", "libm.so.6", 1);
	assert_int_equal(RECORD("-o", "rel", "sh", "-c", "echo \"$LD_PRELOAD|$ACKTRAIL_OUT\""), 0);
	snprintf(line, sizeof(line), "%s:libm.so.6|%s/rel\n", shim, scratch.dir);
	assert_string_equal(out, line);
	unsetenv("LD_PRELOAD");
	/* A directory with a trail in it is left alone. */
	mkdir("have", 0700);
	mkdir("have/one", 0700);
	image_write("have/one", (const uint8_t *)"x", 1);
	assert_int_equal(RECORD("-o", "have", "sh", "-c", "echo $ACKTRAIL_OUT"), 0);
	snprintf(line, sizeof(line), "%s/have.1\n", scratch.dir);
	assert_string_equal(out, line);
	/* An empty one is used. */
	mkdir("bare", 0700);
	assert_int_equal(RECORD("-o", "bare/", "sh", "-c", "echo $ACKTRAIL_OUT"), 0);
	snprintf(line, sizeof(line), "%s/bare\n", scratch.dir);
	assert_string_equal(out, line);
	/* One that cannot be made: said, and the command runs. */
	assert_int_equal(RECORD("-o", "/proc/nowhere/x", "echo", "ran"), 0);
	assert_string_equal(out, "ran\n");
	said("nothing will be witnessed, the command runs on");
}

static void test_signals(void **state)
{
	static const int sent[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 };
	char *args[] = { "sh", "-c", "trap 'exit 40' TERM INT HUP QUIT USR1 USR2; echo up >ready; "
			 "while :; do sleep 0.05; done", NULL };

	(void)state;
	for (size_t i = 0; i < sizeof(sent) / sizeof(sent[0]); i++) {
		struct capture e = capture_begin(STDERR_FILENO);
		pid_t pid;

		unlink("ready");
		pid = start(args);
		for (int n = 0; access("ready", F_OK) && n < 500; n++)
			usleep(10000);
		kill(pid, sent[i]);
		assert_int_equal(ended(pid), 40);
		free(capture_end(&e));
	}
}

/* ---- what is out of reach ------------------------------------------------ */

static void write_program(const char *path, const struct image *im)
{
	FILE *f = fopen(path, "w");

	assert_int_equal(fwrite(im->bytes, 1, im->len, f), im->len);
	fclose(f);
	chmod(path, 0755);
}

static struct image true_image(void)
{
	struct image im = { malloc(1 << 20), 0 };
	FILE *f = fopen("/bin/true", "r");

	assert_non_null(f);
	im.len = fread(im.bytes, 1, 1 << 20, f);
	fclose(f);
	return im;
}

static Elf64_Phdr *interp_of(struct image *im)
{
	Elf64_Ehdr *eh = (Elf64_Ehdr *)im->bytes;
	Elf64_Phdr *ph = (Elf64_Phdr *)(im->bytes + eh->e_phoff);

	for (int i = 0; i < eh->e_phnum; i++)
		if (ph[i].p_type == PT_INTERP)
			return &ph[i];
	abort();
}

static enum program_kind kind_of(const char *path)
{
	struct program p;

	program_look(path, &p);
	return p.kind;
}

static void test_reach(void **state)
{
	struct image im = true_image();
	struct program p;
	Elf64_Phdr *interp;
	FILE *f;

	(void)state;
	write_program("fine", &im);
	assert_int_equal(kind_of("fine"), PROGRAM_DYNAMIC);
	interp = interp_of(&im);
	memcpy(im.bytes + interp->p_offset, "/lib/ld-musl-x86_64.so.1", 25);
	write_program("musl", &im);
	assert_int_equal(kind_of("musl"), PROGRAM_MUSL);
	interp->p_type = PT_NULL;
	write_program("static", &im);
	assert_int_equal(kind_of("static"), PROGRAM_STATIC);
	program_look("static", &p);
	assert_non_null(strstr(program_out_of_reach(&p), "static program"));
	im.bytes[EI_CLASS] = ELFCLASS32;
	write_program("small", &im);
	assert_int_equal(kind_of("small"), PROGRAM_FOREIGN);
	f = fopen("script", "w");
	fprintf(f, "#! %s/static -x\n", scratch.dir);
	fclose(f);
	program_look("script", &p);
	assert_int_equal(p.kind, PROGRAM_STATIC);
	f = fopen("script", "w");
	fputs("#!/usr/bin/env -S A=1 sh -e\n", f);
	fclose(f);
	program_look("script", &p);
	assert_int_equal(p.kind, PROGRAM_DYNAMIC);
	assert_non_null(strstr(p.interpreter, "/sh"));
	assert_int_equal(kind_of("/dev/null"), PROGRAM_UNKNOWN);
	image_free(&im);
}

/* Headers that point anywhere: looked at without harm. */
static void test_broken_programs(void **state)
{
	struct image im = true_image(), broken = im;
	uint64_t seed = 42;
	struct program p;

	(void)state;
	broken.bytes = malloc(im.len);
	for (int round = 0; round < 500; round++) {
		memcpy(broken.bytes, im.bytes, im.len);
		for (int i = 0; i < 6; i++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			broken.bytes[4 + (seed >> 33) % 1000] = (uint8_t)(seed >> 25);
		}
		write_program("broken", &broken);
		program_look("broken", &p);
		program_out_of_reach(&p);
	}
	image_free(&broken);
	image_free(&im);
}

static void test_secure(void **state)
{
	struct image im = true_image();

	(void)state;
	write_program("suid", &im);
	image_free(&im);
	if (geteuid() || chown("suid", 65534, 65534)) {
		print_message("not root: left out\n");
		skip();
	}
	chmod("suid", 04755);
	assert_int_equal(kind_of("suid"), PROGRAM_SECURE);
	assert_int_equal(RECORD("./suid"), 0);
	said("ignores LD_PRELOAD");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_status), T(test_transparent), T(test_mode), T(test_environment), T(test_signals), T(test_reach),
		T(test_broken_programs), T(test_secure),
	};

	unsetenv("ACKTRAIL_OUT");
	unsetenv("LD_PRELOAD");
	return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
