// SPDX-License-Identifier: BSD-2-Clause
/* app_steer.c - an app that does what standard input says, a line at a time, and says when it did. */
#include "app.h"
#include "make_kafka.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* A child that goes on with a producer of its own, as a pre-forking server's. */
static void in_child(int n)
{
	struct client d;
	pid_t pid = fork();
	int status;

	if (!pid) {
		client_open(&d, "");
		client_produce(&d, n);
		client_wait(&d);
		client_close(&d);
		exit(0);
	}
	MUST(waitpid(pid, &status, 0) == pid && !status);
}

/*
 * produce N, wait (until all are resolved), rtt MS, fork N, report, exec; the end of the input
 * closes the producer.
 */
static int steer(char **args)
{
	struct client c;
	char line[128], what[32];

	client_open(&c, args[0] ? args[0] : "");
	while (fgets(line, sizeof(line), stdin)) {
		int n = 0;

		MUST(sscanf(line, "%31s %d", what, &n) >= 1);
		if (!strcmp(what, "produce"))
			client_produce(&c, n);
		else if (!strcmp(what, "wait"))
			client_wait(&c);
		else if (!strcmp(what, "rtt"))
			client_rtt(&c, n);
		else if (!strcmp(what, "fork"))
			in_child(n);
		else if (!strcmp(what, "report"))
			client_report(&c, false);
		else if (!strcmp(what, "exec"))
			execl("/bin/echo", "echo", "executed", (char *)NULL);
		else if (!strcmp(what, "exec-nothing"))
			execl("/nonexistent/program", "program", (char *)NULL);
		else
			DIE("%s?", what);
		printf("did %s %d\n", what, n);
		fflush(stdout);
	}
	client_close(&c);
	return 0;
}

/* ---- Kafka without librdkafka ------------------------------------------------ */

static struct bytes halves_request(uint32_t corr)
{
	struct made_request rq = {
		.version = 9, .acks = -1, .timeout_ms = 30000, .corr = corr, .client = "raw",
		.topic = "orders", .topics = 1, .partitions = 1, .batches = 1, .body = 2000 + corr,
	};
	struct bytes b = { 0 };

	made_request(&b, &rq);
	return b;
}

/* As librdkafka reads: the size and the CorrId, then the rest. */
static void answer(int broker, int fd, uint32_t corr)
{
	struct made_response rs = { .version = 9, .corr = corr, .topic = "orders", .topics = 1, .partitions = 1 };
	struct bytes b = { 0 };
	char buf[512];

	made_response(&b, &rs);
	MUST(b.len < sizeof(buf) && write(broker, b.p, b.len) == (ssize_t)b.len);
	MUST(recv(fd, buf, 8, MSG_WAITALL) == 8);
	MUST(recv(fd, buf, b.len - 8, MSG_WAITALL) == (ssize_t)b.len - 8);
	free(b.p);
}

/* Sends, and the broker takes it. */
static void pass(int fd, int broker, const uint8_t *p, size_t len)
{
	char buf[8192];

	MUST(len <= sizeof(buf) && send(fd, p, len, 0) == (ssize_t)len);
	MUST(recv(broker, buf, len, MSG_WAITALL) == (ssize_t)len);
}

/* half: of a request; rest: of it, in two calls; whole: another, and both are answered. */
static int halves(char **args)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct bytes first = { 0 }, a = halves_request(2), b = halves_request(3);
	int listener = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0), broker;
	socklen_t len = sizeof(sa);
	char line[64];

	(void)args;
	MUST(!bind(listener, (struct sockaddr *)&sa, len) && !listen(listener, 1));
	MUST(!getsockname(listener, (struct sockaddr *)&sa, &len));
	MUST(!connect(fd, (struct sockaddr *)&sa, len));
	MUST((broker = accept(listener, NULL, NULL)) >= 0);
	made_other(&first, KAFKA_METADATA, 1, 1, "raw", 4);
	pass(fd, broker, first.p, first.len);
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, " \n")] = 0;
		if (!strcmp(line, "half")) {
			pass(fd, broker, a.p, 700);
		} else if (!strcmp(line, "rest")) {
			pass(fd, broker, a.p + 700, 800);
			pass(fd, broker, a.p + 1500, a.len - 1500);
		} else if (!strcmp(line, "whole")) {
			pass(fd, broker, b.p, b.len);
			answer(broker, fd, 2);
			answer(broker, fd, 3);
		}
		printf("did %s\n", line);
		fflush(stdout);
	}
	close(fd);
	return 0;
}

const struct scenario steer_scenarios[] = { { "steer", steer }, { "halves", halves }, { 0 } };
