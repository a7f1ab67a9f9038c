// SPDX-License-Identifier: BSD-2-Clause
/*
 * cost.c - what a probe costs others, for tests/bench/probe.
 *
 *	cost neighbour		ns of system calls that are none of the probe's business
 *	cost broker DIR		writes and fsyncs a segment under DIR, a round for each line read
 *
 * Each figure is the median of many short rounds.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS	201
#define CALLS	2000
#define SYNCS	300

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double median(double *v, int n)
{
	qsort(v, (size_t)n, sizeof(*v), by_value);
	return v[n / 2];
}

static int null_fd, zero_fd;
static char byte[64];

static void call_write(void)
{
	if (write(null_fd, byte, 1) != 1)
		abort();
}

static void call_writev(void)
{
	struct iovec iov = { byte, 1 };

	if (writev(null_fd, &iov, 1) != 1)
		abort();
}

static void call_read(void)
{
	if (read(zero_fd, byte, 1) != 1)
		abort();
}

static void call_close(void)
{
	close(-1);
}

static void call_getppid(void)
{
	syscall(SYS_getppid);
}

static double cost_of(void (*call)(void))
{
	static double v[ROUNDS];

	for (int r = 0; r < ROUNDS; r++) {
		uint64_t begin = now();

		for (int i = 0; i < CALLS; i++)
			call();
		v[r] = (double)(now() - begin) / CALLS;
	}
	return median(v, ROUNDS);
}

static int neighbour(void)
{
	null_fd = open("/dev/null", O_WRONLY);
	zero_fd = open("/dev/zero", O_RDONLY);
	printf("write=%.1f writev=%.1f read=%.1f close=%.1f getppid=%.1f\n", cost_of(call_write),
	       cost_of(call_writev), cost_of(call_read), cost_of(call_close), cost_of(call_getppid));
	return 0;
}

/* A batch of magic 2 that says it is `size` bytes long. */
static void batch(char *to, uint32_t size)
{
	memset(to, 0, size);
	for (int i = 0; i < 4; i++)
		to[8 + i] = (char)((size - 12) >> (24 - 8 * i));
	to[16] = 2;
}

static int broker(const char *dir)
{
	char path[4096], data[1024], line[64];
	static double w[SYNCS], s[SYNCS];
	int fd;

	snprintf(path, sizeof(path), "%s/t-0", dir);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/t-0/00000000000000000000.log", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd < 0) {
		fprintf(stderr, "cost: %s: %s\n", path, strerror(errno));
		return 1;
	}
	batch(data, sizeof(data));
	while (fgets(line, sizeof(line), stdin)) {
		for (int i = 0; i < SYNCS; i++) {
			uint64_t a = now(), b;

			if (write(fd, data, sizeof(data)) != sizeof(data))
				return 1;
			b = now();
			if (fsync(fd))
				return 1;
			s[i] = (double)(now() - b);
			w[i] = (double)(b - a);
		}
		printf("append=%.0f fsync=%.0f\n", median(w, SYNCS), median(s, SYNCS));
		fflush(stdout);
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "neighbour"))
		return neighbour();
	if (argc == 3 && !strcmp(argv[1], "broker"))
		return broker(argv[2]);
	fprintf(stderr, "usage: cost neighbour | broker DIR\n");
	return 2;
}
