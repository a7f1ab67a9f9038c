// SPDX-License-Identifier: BSD-2-Clause
/* app_copies SCENARIO [LIBRARY]: what it takes to find out which copy of a library a call belongs to. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "copy.h"

#ifdef __x86_64__
#define SINCE "GLIBC_2.2.5"
#else
#define SINCE "GLIBC_2.17"
#endif

static unsigned walks;

/*
 * Found before libc's own: the shim walks the loaded objects when it does not know a call
 * site.  Its dlsym() walks them too, so not that one.
 */
int dl_iterate_phdr(int (*one)(struct dl_phdr_info *, size_t, void *), void *arg)
{
	static int (*next)(int (*)(struct dl_phdr_info *, size_t, void *), void *);

	if (!next)
		*(void **)&next = dlvsym(RTLD_NEXT, "dl_iterate_phdr", SINCE);
	walks++;
	return next(one, arg);
}

#define TEN(x) x; x; x; x; x; x; x; x; x; x;
#define HUNDRED(x) TEN(TEN(x))

static int call_all(void)
{
	volatile int sum = 0;

	HUNDRED(sum += rd_kafka_poll(NULL, 0))
	HUNDRED(sum += SSL_read(NULL, NULL, 1))
	return sum;
}

/* No call site is looked up a second time, however many there are. */
static int sites(void)
{
	int sum = call_all();

	walks = 0;
	for (int i = 0; i < 3; i++)
		sum += call_all();
	printf("sum %d, walks %u\n", sum, walks);
	return 0;
}

static void fork_meanwhile(void)
{
	int status;
	pid_t pid;

	copy_asked = NULL;
	pid = fork();
	if (!pid) {
		alarm(5);
		_exit(rd_kafka_poll(NULL, 0));
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 1)
		printf("the child hangs\n");
}

/* A child that is forked while the shim gets to know a copy calls it too. */
static int forked(void)
{
	copy_asked = fork_meanwhile;
	printf("copy %d\n", rd_kafka_poll(NULL, 0));
	return 0;
}

/* A function that is asked for by its handle is that library's, though another copy came first. */
static int handle(const char *library)
{
	void *other = dlopen(library, RTLD_NOW | RTLD_LOCAL), *first = dlopen(NULL, RTLD_NOW);
	int (*poll_other)(void *, int), (*poll_first)(void *, int);

	if (!other || !first) {
		fprintf(stderr, "app_copies: %s\n", dlerror());
		return 2;
	}
	*(void **)&poll_other = dlsym(other, "rd_kafka_poll");
	*(void **)&poll_first = dlsym(first, "rd_kafka_poll");
	printf("copies %d %d\n", poll_first(NULL, 0), poll_other(NULL, 0));
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "sites"))
		return sites();
	if (argc == 2 && !strcmp(argv[1], "fork"))
		return forked();
	if (argc == 3 && !strcmp(argv[1], "handle"))
		return handle(argv[2]);
	return 2;
}
