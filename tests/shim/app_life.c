// SPDX-License-Identifier: BSD-2-Clause
/* app_life.c - how instances, threads and processes begin and end. */
#include "app.h"

#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- rd_kafka_new -------------------------------------------------------- */

static void fails(rd_kafka_conf_t *conf)
{
	char why[512] = "";
	rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));

	printf("new: %s\n", rk ? "made" : "failed");
	MUST(!rk && *why);
}

#define BAD_CA "security.protocol=ssl ssl.ca.location=/nonexistent/ca.pem test.mock.num.brokers=0"

/* It fails late, after interceptors were told: the conf stays the app's. */
static int bad_ca(char **args)
{
	struct client c, d;
	rd_kafka_conf_t *conf = client_conf(&c, BAD_CA);

	(void)args;
	fails(conf);
	rd_kafka_conf_destroy(conf);
	client_open(&d, "");
	client_produce(&d, 5);
	client_wait(&d);
	client_close(&d);
	return 0;
}

/* Again with the same conf, and once more when it is put right. */
static int retry(char **args)
{
	struct client c;
	rd_kafka_conf_t *conf = client_conf(&c, BAD_CA);

	(void)args;
	for (int i = 0; i < 3; i++)
		fails(conf);
	client_set(conf, "security.protocol=plaintext test.mock.num.brokers=1");
	client_start(&c, conf);
	client_produce(&c, 5);
	client_wait(&c);
	client_close(&c);
	return 0;
}

static int conf_null(char **args)
{
	char why[512];
	rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, NULL, why, sizeof(why));

	(void)args;
	printf("new: %s\n", rk ? "made" : why);
	rd_kafka_destroy(rk);
	return 0;
}

/* ---- copies of a live client's configuration ------------------------------ */

static void old_delivery(rd_kafka_t *rk, void *payload, size_t len, rd_kafka_resp_err_t err, void *opaque,
			 void *msg_opaque)
{
	rd_kafka_message_t m = { .err = err, ._private = msg_opaque, .payload = payload, .len = len };

	client_delivery(rk, &m, opaque);
}

static void show_callback(const rd_kafka_conf_t *conf, const char *name, uintptr_t own)
{
	char is[64] = "", expected[64];
	size_t len = sizeof(is);

	snprintf(expected, sizeof(expected), "%p", (void *)own);
	/* What is not set is not found. */
	if (rd_kafka_conf_get(conf, name, is, &len) != RD_KAFKA_CONF_OK)
		*is = 0;
	printf("%s: %s\n", name, !*is ? "none" : strcmp(is, expected) ? "another" : "the app's own");
}

static rd_kafka_conf_t *early_copy;

static rd_kafka_resp_err_t copy_on_new(rd_kafka_t *rk, const rd_kafka_conf_t *conf, void *arg, char *why,
				       size_t size)
{
	(void)rk, (void)arg, (void)why, (void)size;
	early_copy = rd_kafka_conf_dup(conf);
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_conf_t *copy_of(const struct client *c, const char *how)
{
	const char *without[] = { "client.id" };

	if (!strcmp(how, "early"))
		return early_copy;
	if (!strcmp(how, "filter"))
		return rd_kafka_conf_dup_filter(rd_kafka_conf(c->rk), 1, without);
	return rd_kafka_conf_dup(rd_kafka_conf(c->rk));
}

/* conf-dup HOW [old]: a second client by a copy of what the first one runs with, and a third. */
static int conf_dup(char **args)
{
	bool old = args[1] != NULL;
	rd_kafka_conf_t *conf;
	struct client c[3];

	conf = client_conf(&c[0], "");
	if (old) {
		rd_kafka_conf_set_dr_msg_cb(conf, NULL);
		rd_kafka_conf_set_dr_cb(conf, old_delivery);
	}
	if (!strcmp(args[0], "early"))
		MUST(!rd_kafka_conf_interceptor_add_on_new(conf, "app", copy_on_new, NULL));
	client_start(&c[0], conf);
	for (int i = 1; i < 3; i++) {
		rd_kafka_conf_destroy(client_conf(&c[i], ""));
		conf = copy_of(&c[i - 1], i == 1 ? args[0] : "plain");
		MUST(conf);
		show_callback(conf, "dr_msg_cb", old ? 0 : (uintptr_t)client_delivery);
		show_callback(conf, "dr_cb", old ? (uintptr_t)old_delivery : 0);
		rd_kafka_conf_set_opaque(conf, &c[i]);
		client_start(&c[i], conf);
	}
	for (int i = 0; i < 3; i++) {
		client_produce(&c[i], 5 + i);
		client_wait(&c[i]);
	}
	for (int i = 0; i < 3; i++)
		client_destroy(&c[i]);
	for (int i = 0; i < 3; i++)
		client_report(&c[i], true);
	return 0;
}

/* ---- many of them ---------------------------------------------------------- */

static int three(char **args)
{
	struct client c[3];

	(void)args;
	for (int i = 0; i < 3; i++)
		client_open(&c[i], "");
	for (int round = 0; round < 20; round++)
		for (int i = 0; i < 3; i++)
			client_produce(&c[i], i + 1);
	for (int i = 0; i < 3; i++)
		client_wait(&c[i]);
	for (int i = 2; i >= 0; i--)
		client_destroy(&c[i]);
	for (int i = 0; i < 3; i++)
		client_report(&c[i], true);
	return 0;
}

/* More than the shim can keep: every callback must still reach the app. */
static int many(char **args)
{
	enum { NR = 300 };
	static struct client c[NR];
	char props[256];
	uint64_t acked = 0;

	(void)args;
	client_open(&c[0], "");
	snprintf(props, sizeof(props), "test.mock.num.brokers=0 bootstrap.servers=%s",
		 rd_kafka_mock_cluster_bootstraps(rd_kafka_handle_mock_cluster(c[0].rk)));
	for (int i = 1; i < NR; i++)
		client_open(&c[i], props);
	for (int i = 0; i < NR; i++)
		client_produce(&c[i], 1);
	for (int i = 0; i < NR; i++) {
		client_wait(&c[i]);
		acked += c[i].acked;
	}
	printf("acked %u of %u\n", (unsigned)acked, NR);
	for (int i = NR - 1; i >= 0; i--)
		client_destroy(&c[i]);
	return 0;
}

/* Made and destroyed by several threads at a time: addresses are used again at once. */
static void *comes_and_goes(void *arg)
{
	uint64_t *acked = arg;

	for (int i = 0; i < 40; i++) {
		struct client c;

		client_open(&c, "");
		client_produce(&c, 2);
		client_wait(&c);
		*acked += c.acked - c.wrong * 1000;
		client_destroy(&c);
		free(c.seen);
	}
	return NULL;
}

static int come_and_go(char **args)
{
	uint64_t acked[4] = { 0 }, sum = 0;
	pthread_t thread[4];

	(void)args;
	for (int i = 0; i < 4; i++)
		MUST(!pthread_create(&thread[i], NULL, comes_and_goes, &acked[i]));
	for (int i = 0; i < 4; i++) {
		pthread_join(thread[i], NULL);
		sum += acked[i];
	}
	printf("acked %u\n", (unsigned)sum);
	return 0;
}

/* ---- processes ----------------------------------------------------------- */

static int waited(pid_t pid)
{
	int status;

	MUST(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* A worker forked beside a live producer makes its own. */
static int fork_worker(char **args)
{
	struct client c, d;
	pid_t pid;

	(void)args;
	client_open(&c, "");
	client_produce(&c, 10);
	client_wait(&c);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		client_open(&d, "");
		client_produce(&d, 7);
		client_wait(&d);
		printf("child ");
		client_close(&d);
		exit(3);
	}
	printf("child ended with %d\n", waited(pid));
	client_produce(&c, 10);
	client_wait(&c);
	client_close(&c);
	return 0;
}

/* A forked child that leaves at once, by exit() and all its destructors. */
static int fork_exit(char **args)
{
	struct client c;
	pid_t pid;

	(void)args;
	client_open(&c, "");
	client_produce(&c, 10);
	client_wait(&c);
	fflush(stdout);
	pid = fork();
	if (!pid)
		exit(4);
	printf("child ended with %d\n", waited(pid));
	client_produce(&c, 10);
	client_wait(&c);
	client_close(&c);
	return 0;
}

extern char **environ;

static void run_again(const char *how)
{
	char *argv[] = { (char *)(uintptr_t)self_path, (char *)"plain", NULL };
	pid_t pid;

	if (!strcmp(how, "spawn")) {
		MUST(!posix_spawn(&pid, self_path, NULL, NULL, argv, environ));
	} else {
		pid = !strcmp(how, "vfork") ? vfork() : fork();
		if (!pid) {
			/* As shells and language runtimes do before they execute. */
			for (int fd = 3; fd < 200; fd++)
				close(fd);
			execv(self_path, argv);
			_exit(98);
		}
	}
	printf("child ended with %d\n", waited(pid));
}

static int exec_child(char **args)
{
	struct client c;

	client_open(&c, "");
	client_produce(&c, 10);
	client_wait(&c);
	fflush(stdout);
	run_again(args[0]);
	client_produce(&c, 10);
	client_wait(&c);
	client_close(&c);
	return 0;
}

/* exit() while the producer lives and its threads run. */
static int exit_live(char **args)
{
	static struct client c;

	(void)args;
	client_open(&c, "");
	client_produce(&c, 5);
	client_wait(&c);
	client_rtt(&c, 20000);
	client_produce(&c, 8);
	client_report(&c, false);
	exit(5);
}

static struct client at_exit_client;

static void close_at_exit(void)
{
	client_close(&at_exit_client);
}

static int exit_handler(char **args)
{
	(void)args;
	client_open(&at_exit_client, "");
	atexit(close_at_exit);
	client_produce(&at_exit_client, 5);
	client_wait(&at_exit_client);
	return 6;
}

/* ---- threads ------------------------------------------------------------- */

static struct client shared;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *short_lived(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&lock);
	client_produce_one(&shared, 0, 5000);	/* refused, the first call of this thread */
	client_produce(&shared, 2);
	client_wait(&shared);			/* its callbacks run here */
	pthread_mutex_unlock(&lock);
	return NULL;
}

static int churn(char **args)
{
	(void)args;
	client_open(&shared, "message.max.bytes=2000 linger.ms=0");
	for (int i = 0; i < 1000; i += 4) {
		pthread_t thread[4];

		for (int k = 0; k < 4; k++)
			MUST(!pthread_create(&thread[k], NULL, short_lived, NULL));
		for (int k = 0; k < 4; k++)
			pthread_join(thread[k], NULL);
	}
	client_close(&shared);
	return 0;
}

struct stranger { struct client c; int nr; };

/* Every call of this thread is refused, by one of several producers. */
static void *stranger(void *arg)
{
	struct stranger *s = arg;

	for (int i = 0; i < s->nr; i++)
		client_produce_one(&s->c, 0, 5000);
	return NULL;
}

static int strangers(char **args)
{
	static struct stranger s[3];
	pthread_t thread;

	(void)args;
	for (int i = 0; i < 3; i++) {
		client_open(&s[i].c, "message.max.bytes=2000");
		s[i].nr = i + 2;
	}
	for (int i = 0; i < 3; i++) {
		MUST(!pthread_create(&thread, NULL, stranger, &s[i]));
		pthread_join(thread, NULL);
	}
	for (int i = 0; i < 3; i++)
		client_close(&s[i].c);
	return 0;
}

const struct scenario life_scenarios[] = {
	{ "strangers", strangers },
	{ "bad-ca", bad_ca }, { "retry", retry }, { "conf-null", conf_null }, { "conf-dup", conf_dup },
	{ "three", three },
	{ "many", many }, { "come-and-go", come_and_go }, { "fork-worker", fork_worker },
	{ "fork-exit", fork_exit }, { "exec-child", exec_child }, { "exit-live", exit_live },
	{ "exit-handler", exit_handler }, { "churn", churn }, { 0 },
};
