/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * doctor_broker.c - is it a broker that the doctor was asked about?  The same signs as the
 * probe goes by (bpf/target.c), which may not be built in.
 */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor_broker.h"

#define CMDLINE	(64u << 10)	/* class paths are long */

static bool is_main(const char *arg)
{
	return !strcmp(arg, "kafka.Kafka") || !strcmp(arg, "io.confluent.support.metrics.SupportedKafka");
}

static bool runs_kafka(int pid)
{
	char path[64], *cmdline = malloc(CMDLINE);
	size_t len = 0;
	bool is = false;
	ssize_t n = 0;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	while (cmdline && fd >= 0 && len < CMDLINE - 1 && (n = read(fd, cmdline + len, CMDLINE - 1 - len)) > 0)
		len += (size_t)n;
	if (fd >= 0)
		close(fd);
	if (cmdline)
		cmdline[len] = 0;
	for (size_t at = 0; at < len && !is; at += strlen(cmdline + at) + 1)
		is = is_main(cmdline + at);
	free(cmdline);
	return is;
}

/* ".../orders-0/00000000000000000000.log" */
static bool is_segment(const char *path)
{
	const char *name = strrchr(path, '/'), *p = name;

	if (!name || strlen(name + 1) != 24 || strcmp(name + 21, ".log") || strspn(name + 1, "0123456789") != 20)
		return false;
	while (p > path && isdigit((unsigned char)p[-1]))
		p--;
	return p < name && p > path && p[-1] == '-';
}

static bool holds_segments(int pid)
{
	char path[64], link[PATH_MAX];
	struct dirent *e;
	bool is = false;
	ssize_t n;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	while (dir && !is && (e = readdir(dir))) {
		n = readlinkat(dirfd(dir), e->d_name, link, sizeof(link) - 1);
		link[n > 0 ? n : 0] = 0;
		is = is_segment(link);
	}
	if (dir)
		closedir(dir);
	return is;
}

const char *broker_process(int pid)
{
	if (runs_kafka(pid))
		return "its command line runs kafka.Kafka";
	return holds_segments(pid) ? "by the segments that it holds open" : NULL;
}

const char *broker_command(char *const command[])
{
	const char *slash = strrchr(command[0], '/'), *name = slash ? slash + 1 : command[0];

	if (!strncmp(name, "kafka-server-start", strlen("kafka-server-start")))
		return "it starts one";
	for (int i = 1; command[i]; i++)
		if (is_main(command[i]))
			return "it runs kafka.Kafka";
	return NULL;
}
