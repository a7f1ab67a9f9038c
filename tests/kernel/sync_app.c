// SPDX-License-Identifier: BSD-2-Clause
/*
 * sync_app.c - writes and syncs like a broker, and times each sync itself.
 *
 *	sync_app DIR REPORT
 *
 * Commands on standard input, a line each, answered with "done" on standard output:
 *	run THREADS SYNCS CALL	CALL: fsync fdatasync msync sync_file_range osync-write aio io_uring;
 *				each thread its own partition
 *	roll PARTITION N	N new segments, each written, synced and closed
 *	dirs PARTITION N	N new segments and as many new files beside the partitions: the fsync of
 *				the directory that each is new in
 *	lock THREADS SYNCS	all to one partition, each write and fsync under one lock
 *	append MS		writes alone, for so long
 *	flood MS		the same as fast as it goes
 *	index MS		a write, and then a new page of a mapped index; for so long
 *	cold N			N writes to a page that is on the disk alone
 *	timer N			sleep by a timed wait on a condition, then write; N times
 *	hold PARTITION		keep its first segment open
 *	reuse N			write and fsync by one descriptor's number, in turn another partition's segment
 *	topic NAME		partitions are of it from now on; "t" at first
 *	listen FILE		on a port of its own, written to FILE
 *	talk PORT		send itself a request there, and answer it
 *	quit
 * REPORT gets a line a sync: tid, call, begin and end (CLOCK_MONOTONIC ns), how long
 * the thread waited for a CPU meanwhile (ns), path.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "sync_async.h"

#define BATCH	1024u
#define INDEX	65536u
#define SPARSE	(256u << 20)

/* As acktrail disk names them. */
enum call { FSYNC, FDATASYNC, MSYNC, RANGE, OSYNC, AIO, URING, NR_CALLS };
static const char *const names[] = {
	"fsync", "fdatasync", "msync", "sync_file_range", "osync-write", "aio", "io_uring",
};

static const char *dir;
static char topic[64] = "t";
static FILE *report;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t together;

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "sync_app: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* How long this thread was made to wait for a CPU though it wanted to run, ns in all. */
static long cpu_lost(void)
{
	static const char name[] = "/proc/thread-self/schedstat";
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	char text[64] = "";
	long ran, waited;

	if (read(fd, text, sizeof(text) - 1) < 0 || sscanf(text, "%ld %ld", &ran, &waited) != 2)
		die(name);
	close(fd);
	return waited;
}

static void put32(uint8_t *to, uint32_t v)
{
	to[0] = (uint8_t)(v >> 24);
	to[1] = (uint8_t)(v >> 16);
	to[2] = (uint8_t)(v >> 8);
	to[3] = (uint8_t)v;
}

/* A record batch of magic 2 of one record, as far as its header goes. */
static void batch(uint8_t *b, uint32_t offset)
{
	memset(b, 0, BATCH);
	put32(b + 4, offset);
	put32(b + 8, BATCH - 12);
	b[16] = 2;
	put32(b + 17, 0x1000000u + offset);	/* crc: whatever, the same on both sides */
	memset(b + 43, 0xff, 14);		/* no producer id, epoch, sequence */
	put32(b + 57, 1);
}

/* of: the mapping, the context, or the bytes that the call wants. */
static int sync_by(enum call call, int fd, void *of)
{
	switch (call) {
	case FDATASYNC:
		return fdatasync(fd);
	case MSYNC:
		return msync(of, INDEX, MS_SYNC);
	case RANGE:
		return sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
				       SYNC_FILE_RANGE_WAIT_AFTER);
	case OSYNC:
		return write(fd, of, BATCH) == BATCH ? 0 : -1;
	case AIO:
	case URING:
		return async_fsync(of, fd, call == URING);
	default:
		return fsync(fd);
	}
}

static void sync_one(int fd, void *of, enum call call, const char *path)
{
	long lost = cpu_lost();
	uint64_t begin = now(), end;
	int failed = sync_by(call, fd, of);

	end = now();
	lost = cpu_lost() - lost;
	if (failed)
		die(path);
	pthread_mutex_lock(&lock);
	fprintf(report, "%ld %s %llu %llu %ld %s\n", (long)syscall(SYS_gettid), names[call],
		(unsigned long long)begin, (unsigned long long)end, lost, path);
	pthread_mutex_unlock(&lock);
}

static void tell_slow(const char *what, uint64_t begin, uint64_t end, long lost, const char *path)
{
	if (end - begin < 10000000)
		return;
	pthread_mutex_lock(&lock);
	fprintf(report, "%ld %s %llu %llu %ld %s\n", (long)syscall(SYS_gettid), what,
		(unsigned long long)begin, (unsigned long long)end, lost, path);
	pthread_mutex_unlock(&lock);
}

/* A write alone; told when it took long. */
static void append_one(int fd, uint32_t offset, const char *path)
{
	uint8_t data[BATCH];
	uint64_t begin, end;
	long lost;

	batch(data, offset);
	lost = cpu_lost();
	begin = now();
	if (write(fd, data, sizeof(data)) != sizeof(data))
		die(path);
	end = now();
	tell_slow("write", begin, end, cpu_lost() - lost, path);
}

struct work { int partition, syncs; enum call call; };

static void partition_path(char *to, size_t size, int partition, uint64_t segment, const char *end)
{
	snprintf(to, size, "%s/%s-%d", dir, topic, partition);
	if (mkdir(to, 0755) && errno != EEXIST)
		die(to);
	snprintf(to, size, "%s/%s-%d/%020llu.%s", dir, topic, partition, (unsigned long long)segment, end);
}

static void *run(void *arg)
{
	const struct work *w = arg;
	struct async async;
	uint8_t data[BATCH];
	char path[4096];
	void *map = NULL;
	int fd;

	partition_path(path, sizeof(path), w->partition, 0, w->call == MSYNC ? "index" : "log");
	fd = open(path, O_RDWR | O_CREAT | (w->call == MSYNC ? 0 : O_APPEND) | (w->call == OSYNC ? O_DSYNC : 0), 0644);
	if (fd < 0)
		die(path);
	if (w->call == MSYNC) {
		if (ftruncate(fd, INDEX))
			die(path);
		map = mmap(NULL, INDEX, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (map == MAP_FAILED)
			die(path);
	}
	if ((w->call == AIO || w->call == URING) && async_open(&async, w->call == URING))
		die(names[w->call]);
	pthread_barrier_wait(&together);
	for (int i = 0; i < w->syncs; i++) {
		batch(data, (uint32_t)i);
		if (map)
			memset((uint8_t *)map + 4096 * (i % (int)(INDEX / 4096)), i + 1, 64);
		else if (w->call != OSYNC && write(fd, data, sizeof(data)) != sizeof(data))
			die(path);
		sync_one(fd, map ? map : w->call == OSYNC ? (void *)data : &async, w->call, path);
	}
	if (map)
		munmap(map, INDEX);
	close(fd);
	return NULL;
}

static enum call call_of(const char *name)
{
	for (int i = 0; i < NR_CALLS; i++)
		if (!strcmp(names[i], name))
			return (enum call)i;
	die(name);
}

static void run_all(int threads, int syncs, enum call call, void *(*body)(void *))
{
	pthread_t thread[256];
	struct work work[256];

	if (threads < 1 || threads > 256)
		return;
	pthread_barrier_init(&together, NULL, (unsigned)threads);
	for (int i = 0; i < threads; i++) {
		work[i] = (struct work){ i, syncs, call };
		if (pthread_create(&thread[i], NULL, body, &work[i]))
			die("pthread_create");
	}
	for (int i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	pthread_barrier_destroy(&together);
}

static int segment_open(int partition, char *path, size_t size)
{
	int fd;

	partition_path(path, size, partition, 0, "log");
	fd = open(path, O_RDWR | O_CREAT | O_APPEND, 0644);
	if (fd < 0)
		die(path);
	return fd;
}

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;

static void *locked(void *arg)
{
	const struct work *w = arg;
	uint8_t data[BATCH];
	char path[4096];
	int fd = segment_open(0, path, sizeof(path));

	pthread_barrier_wait(&together);
	for (int i = 0; i < w->syncs; i++) {
		batch(data, (uint32_t)i);
		pthread_mutex_lock(&log_lock);
		if (write(fd, data, sizeof(data)) != sizeof(data))
			die(path);
		sync_one(fd, NULL, FSYNC, path);
		pthread_mutex_unlock(&log_lock);
	}
	close(fd);
	return NULL;
}

static void append_for(int ms, unsigned pause_us)
{
	static uint32_t offset = 0x10000;	/* never twice: it is what a batch is told by */
	uint64_t until = now() + (uint64_t)ms * 1000000u;
	char path[4096];
	int fd = segment_open(0, path, sizeof(path));

	while (now() < until) {
		append_one(fd, offset++, path);
		if (pause_us)
			usleep(pause_us);
	}
	close(fd);
}

/* No call shows that a page is made dirty: it is told when that took long. */
static void index_for(int ms)
{
	static uint32_t offset = 0x20000000;
	uint64_t until = now() + (uint64_t)ms * 1000000u;
	char log[4096], path[4096];
	int fd = segment_open(0, log, sizeof(log)), index;
	uint8_t *map;

	partition_path(path, sizeof(path), 0, 0, "index");
	index = open(path, O_RDWR | O_CREAT, 0644);
	if (index < 0 || ftruncate(index, SPARSE))
		die(path);
	map = mmap(NULL, SPARSE, PROT_READ | PROT_WRITE, MAP_SHARED, index, 0);
	if (map == MAP_FAILED)
		die(path);
	for (uint32_t at = 0; at < SPARSE && now() < until; at += 4096) {
		uint64_t begin;
		long lost;

		append_one(fd, offset++, log);
		lost = cpu_lost();
		begin = now();
		map[at] = 1;
		tell_slow("touch", begin, now(), cpu_lost() - lost, path);
	}
	munmap(map, SPARSE);
	close(index);
	close(fd);
}

/* A batch is no page long: the next one has to read what is there of its page. */
static void cold(int n)
{
	char path[4096];
	int fd = segment_open(0, path, sizeof(path));

	for (uint32_t i = 0; i < (uint32_t)n; i++) {
		if (fdatasync(fd) || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED))
			die(path);
		append_one(fd, 0x1000 + i, path);
	}
	close(fd);
}

static void timer(int n)
{
	pthread_cond_t never = PTHREAD_COND_INITIALIZER;
	char path[4096];
	int fd = segment_open(1, path, sizeof(path));

	for (int i = 0; i < n; i++) {
		struct timespec ts;

		clock_gettime(CLOCK_REALTIME, &ts);
		ts.tv_nsec += 20000000;
		ts.tv_sec += ts.tv_nsec / 1000000000;
		ts.tv_nsec %= 1000000000;
		pthread_mutex_lock(&log_lock);
		pthread_cond_timedwait(&never, &log_lock, &ts);
		pthread_mutex_unlock(&log_lock);
		append_one(fd, (uint32_t)i, path);
	}
	close(fd);
}

static void roll(int partition, int segments)
{
	static uint64_t next = 100;
	uint8_t data[BATCH];
	char path[4096];

	for (int i = 0; i < segments; i++) {
		int fd;

		partition_path(path, sizeof(path), partition, next++, "log");
		fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0644);
		if (fd < 0)
			die(path);
		batch(data, (uint32_t)i);
		if (write(fd, data, sizeof(data)) != sizeof(data))
			die(path);
		sync_one(fd, NULL, FSYNC, path);
		close(fd);
	}
}

static void new_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0644);

	if (fd < 0)
		die(path);
	close(fd);
}

static void dirs(int partition, int n)
{
	static uint64_t next = 100000;
	char path[4096], of_partition[4096];
	int fd, top = open(dir, O_RDONLY | O_DIRECTORY);

	partition_path(path, sizeof(path), partition, 0, "log");
	snprintf(of_partition, sizeof(of_partition), "%s/%s-%d", dir, topic, partition);
	fd = open(of_partition, O_RDONLY | O_DIRECTORY);
	if (fd < 0 || top < 0)
		die(of_partition);
	for (int i = 0; i < n; i++) {
		partition_path(path, sizeof(path), partition, next, "log");
		new_file(path);
		sync_one(fd, NULL, FSYNC, of_partition);
		snprintf(path, sizeof(path), "%s/checkpoint.%llu", dir, (unsigned long long)next++);
		new_file(path);
		sync_one(top, NULL, FSYNC, dir);
	}
	close(fd);
	close(top);
}

static void hold(int partition)
{
	char path[4096];

	partition_path(path, sizeof(path), partition, 0, "log");
	if (open(path, O_RDWR | O_CREAT, 0644) < 0)
		die(path);
}

static void reuse(int n)
{
	uint8_t data[BATCH];
	char path[4096];
	int number = -1;

	for (int i = 0; i < n; i++) {
		int fd = segment_open(i % 3, path, sizeof(path));

		if (number >= 0 && fd != number) {
			fprintf(stderr, "sync_app: descriptor %d is not %d again\n", fd, number);
			exit(1);
		}
		number = fd;
		batch(data, (uint32_t)i);
		if (write(fd, data, sizeof(data)) != sizeof(data))
			die(path);
		sync_one(fd, NULL, i % 2 ? FDATASYNC : FSYNC, path);
		close(fd);
	}
}

static void listen_at(const char *name)
{
	int port = talk_listen();
	FILE *f = port < 0 ? NULL : fopen(name, "w");

	if (!f || fprintf(f, "%d\n", port) < 0 || fclose(f))
		die(name);
}

int main(int argc, char **argv)
{
	char line[128], call[32], file[100];
	int a, b;

	if (argc != 3) {
		fprintf(stderr, "usage: sync_app DIR REPORT\n");
		return 2;
	}
	dir = argv[1];
	report = fopen(argv[2], "w");
	if (!report)
		die(argv[2]);
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "run %d %d %31s", &a, &b, call) == 3)
			run_all(a, b, call_of(call), run);
		else if (sscanf(line, "lock %d %d", &a, &b) == 2)
			run_all(a, b, FSYNC, locked);
		else if (sscanf(line, "append %d", &a) == 1)
			append_for(a, 2000);
		else if (sscanf(line, "flood %d", &a) == 1)
			append_for(a, 0);
		else if (sscanf(line, "index %d", &a) == 1)
			index_for(a);
		else if (sscanf(line, "cold %d", &a) == 1)
			cold(a);
		else if (sscanf(line, "timer %d", &a) == 1)
			timer(a);
		else if (sscanf(line, "roll %d %d", &a, &b) == 2)
			roll(a, b);
		else if (sscanf(line, "dirs %d %d", &a, &b) == 2)
			dirs(a, b);
		else if (sscanf(line, "reuse %d", &a) == 1)
			reuse(a);
		else if (sscanf(line, "topic %63s", topic) == 1)
			;
		else if (sscanf(line, "listen %99s", file) == 1)
			listen_at(file);
		else if (sscanf(line, "talk %d", &a) == 1) {
			if (talk_once(a))
				die("talk");
		} else if (sscanf(line, "hold %d", &a) == 1)
			hold(a);
		else
			break;
		fflush(report);
		puts("done");
		fflush(stdout);
	}
	fclose(report);
	return 0;
}
