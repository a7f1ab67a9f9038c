// SPDX-License-Identifier: BSD-2-Clause
/* test_doctor.c - acktrail doctor: a broker is the probe's, and no client. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "capture.h"
#include "doctor_broker.h"
#include "make_trail.h"
#include "say.h"

int cmd_doctor(int argc, char **argv);

static struct scratch scratch;
static int pid, end;

/* A process with that argument, and that file open; it is there when this returns, until ended. */
static void begin(const char *arg, const char *file)
{
	int in[2], out[2];
	char ready;

	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		abort();
	pid = fork();
	if (!pid) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		if (file && dup(open(file, O_RDONLY | O_CREAT | O_CLOEXEC, 0600)) < 0)
			_exit(1);
		execl("/bin/sh", "sh", "-c", "echo; read x", arg, "server.properties", (char *)NULL);
		_exit(1);
	}
	close(in[0]);
	close(out[1]);
	assert_int_equal(read(out[0], &ready, 1), 1);
	close(out[0]);
	end = in[1];
}

static void finish(void)
{
	close(end);
	waitpid(pid, NULL, 0);
	pid = 0;
}

static int setup(void **state)
{
	(void)state;
	scratch = scratch_make();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	capture_end_all();
	if (pid)
		finish();
	scratch_remove(&scratch);
	return 0;
}

static char *doctor(int *status)
{
	char number[16];
	char *argv[] = { (char *)"doctor", (char *)"-p", number, NULL };
	struct capture out = capture_begin(STDOUT_FILENO);

	snprintf(number, sizeof(number), "%d", pid);
	*status = cmd_doctor(3, argv);
	return capture_end(&out);
}

/* This test has no probe built in, so a broker is out of reach; nothing is said of a client. */
static void test_process(void **state)
{
	int status;
	char *text;

	(void)state;
	begin("kafka.Kafka", NULL);
	assert_string_equal(broker_process(pid), "its command line runs kafka.Kafka");
	text = doctor(&status);
	assert_int_equal(status, STATUS_CANNOT);
	assert_non_null(strstr(text, "NO  broker"));
	assert_non_null(strstr(text, "is a Kafka broker (its command line runs kafka.Kafka)"));
	assert_null(strstr(text, "client    "));
	assert_null(strstr(text, "acktrail record`\n"));
	free(text);
	finish();
}

static void test_segments(void **state)
{
	static const struct { const char *name; bool is; } files[] = {
		{ "orders-0/00000000000000000000.log", true },
		{ "orders-0/00000000000000000000.index", false },
		{ "orders/00000000000000000000.log", false },
		{ "orders-0/0000000000000000000x.log", false },
	};
	char path[600];

	(void)state;
	snprintf(path, sizeof(path), "%s/orders-0", scratch.dir);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/orders", scratch.dir);
	mkdir(path, 0700);
	for (unsigned i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", scratch.dir, files[i].name);
		begin("app", path);
		assert_int_equal(broker_process(pid) != NULL, files[i].is);
		finish();
	}
}

static void test_client(void **state)
{
	int status;
	char *text;

	(void)state;
	begin("kafka.Kafkaesque", NULL);
	text = doctor(&status);
	assert_null(strstr(text, "broker    "));
	assert_non_null(strstr(text, "client    "));
	free(text);
	finish();
}

static void test_command(void **state)
{
	char *const broker[] = { (char *)"java", (char *)"-Xmx1g", (char *)"kafka.Kafka", (char *)"s.properties", NULL };
	char *const script[] = { (char *)"/opt/kafka/bin/kafka-server-start.sh", (char *)"s.properties", NULL };
	char *const client[] = { (char *)"java", (char *)"Producer", NULL };

	(void)state;
	assert_non_null(broker_command(broker));
	assert_non_null(broker_command(script));
	assert_null(broker_command(client));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_process, setup, teardown),
		cmocka_unit_test_setup_teardown(test_segments, setup, teardown),
		cmocka_unit_test_setup_teardown(test_client, setup, teardown),
		cmocka_unit_test_setup_teardown(test_command, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
