// SPDX-License-Identifier: BSD-2-Clause
/* A kernel that gives the shim trouble, for a window's memory: KERNEL=signals or KERNEL=no-memory. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LARGE (1 << 20)

static int is(const char *trouble)
{
	const char *kernel = getenv("KERNEL");

	return kernel && !strcmp(kernel, trouble);
}

/* Nobody asks for a standard stream's.  A signal comes every other time, and always when it takes long. */
int fallocate(int fd, int mode, off_t at, off_t len)
{
	static unsigned calls;

	if (is("signals") && (calls++ % 2 == 0 || len > LARGE)) {
		errno = EINTR;
		return -1;
	}
	if (fd <= STDERR_FILENO) {
		errno = EBADF;
		return -1;
	}
	return (int)syscall(SYS_fallocate, fd, mode, at, len);
}

void *mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset)
{
	if (is("no-memory") && flags & MAP_SHARED && len > LARGE) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	return (void *)syscall(SYS_mmap, at, len, prot, flags, fd, offset);
}
