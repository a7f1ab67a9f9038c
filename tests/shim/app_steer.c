// SPDX-License-Identifier: BSD-2-Clause
/* app_steer.c - an app that does what standard input says, a line at a time, and says when it did. */
#include "app.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

const struct scenario steer_scenarios[] = { { "steer", steer }, { 0 } };
