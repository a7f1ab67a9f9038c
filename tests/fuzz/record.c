// SPDX-License-Identifier: BSD-2-Clause
/*
 * record.c - preloaded into a client: what it sends on each connection goes to
 * RECORD_DIR/PID.N.out, what it receives to .in.  For tests/fuzz/capture; small
 * and plain, and no part of acktrail.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define NR_FDS 4096
#define MOST 65536		/* bytes of each direction */

static struct { int file[2]; size_t size[2]; } conns[NR_FDS];
static unsigned nr_conns;

#define REAL(name) \
	static __typeof__(&name) real; \
	if (!real) \
		*(void **)&real = dlsym(RTLD_NEXT, #name)

static void keep(int fd, int in, const void *bytes, ssize_t n)
{
	int saved = errno;

	if (n > 0 && fd >= 0 && fd < NR_FDS && conns[fd].file[in] > 0 && conns[fd].size[in] + (size_t)n <= MOST) {
		conns[fd].size[in] += (size_t)n;
		if (syscall(SYS_write, conns[fd].file[in], bytes, n) != n)
			abort();
	}
	errno = saved;
}

static void keep_iov(int fd, int in, const struct iovec *iov, size_t nr, ssize_t n)
{
	for (size_t i = 0; i < nr && n > 0; i++) {
		ssize_t part = n < (ssize_t)iov[i].iov_len ? n : (ssize_t)iov[i].iov_len;

		keep(fd, in, iov[i].iov_base, part);
		n -= part;
	}
}

int connect(int fd, const struct sockaddr *to, socklen_t len)
{
	const char *dir = getenv("RECORD_DIR");
	char path[4096];
	int saved, r;

	REAL(connect);
	r = real(fd, to, len);
	saved = errno;
	if (dir && (to->sa_family == AF_INET || to->sa_family == AF_INET6) && fd < NR_FDS && !conns[fd].file[0]) {
		unsigned n = __atomic_add_fetch(&nr_conns, 1, __ATOMIC_RELAXED);

		for (int in = 0; in < 2; in++) {
			snprintf(path, sizeof(path), "%s/%d.%u.%s", dir, getpid(), n, in ? "in" : "out");
			conns[fd].file[in] = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
			conns[fd].size[in] = 0;
		}
	}
	errno = saved;
	return r;
}

int close(int fd)
{
	REAL(close);
	for (int in = 0; in < 2 && fd >= 0 && fd < NR_FDS; in++) {
		if (conns[fd].file[in] > 0)
			real(conns[fd].file[in]);
		conns[fd].file[in] = 0;
	}
	return real(fd);
}

#define KEEPS(name, params, args, kept) \
ssize_t name params \
{ \
	ssize_t n; \
	REAL(name); \
	n = real args; \
	kept; \
	return n; \
}

KEEPS(write, (int fd, const void *p, size_t len), (fd, p, len), keep(fd, 0, p, n))
KEEPS(send, (int fd, const void *p, size_t len, int f), (fd, p, len, f), keep(fd, 0, p, n))
KEEPS(sendto, (int fd, const void *p, size_t len, int f, const struct sockaddr *a, socklen_t l), (fd, p, len, f, a, l), keep(fd, 0, p, n))
KEEPS(sendmsg, (int fd, const struct msghdr *m, int f), (fd, m, f), keep_iov(fd, 0, m->msg_iov, m->msg_iovlen, n))
KEEPS(writev, (int fd, const struct iovec *v, int nr), (fd, v, nr), keep_iov(fd, 0, v, (size_t)nr, n))
KEEPS(read, (int fd, void *p, size_t len), (fd, p, len), keep(fd, 1, p, n))
KEEPS(recv, (int fd, void *p, size_t len, int f), (fd, p, len, f), keep(fd, 1, p, n))
KEEPS(recvfrom, (int fd, void *p, size_t len, int f, struct sockaddr *a, socklen_t *l), (fd, p, len, f, a, l), keep(fd, 1, p, n))
KEEPS(recvmsg, (int fd, struct msghdr *m, int f), (fd, m, f), keep_iov(fd, 1, m->msg_iov, m->msg_iovlen, n))
KEEPS(readv, (int fd, const struct iovec *v, int nr), (fd, v, nr), keep_iov(fd, 1, v, (size_t)nr, n))
