// SPDX-License-Identifier: BSD-2-Clause
/*
 * oracle_preload.c - what came through sockets, in a file for each descriptor: what the mock
 * cluster in this process received is known without the shim.  ORACLE_DIR says where.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static void keep(int fd, const void *bytes, size_t len)
{
	const char *dir = getenv("ORACLE_DIR");
	char path[512];
	int out;

	if (!dir)
		return;
	snprintf(path, sizeof(path), "%s/%d.%d", dir, (int)getpid(), fd);
	out = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (out < 0 || write(out, bytes, len) != (ssize_t)len)
		abort();
	close(out);
}

ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
	static ssize_t (*real)(int, struct msghdr *, int);
	size_t left;
	ssize_t n;

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "recvmsg");
	n = real(fd, m, flags);
	left = n > 0 ? (size_t)n : 0;
	for (size_t i = 0; left && i < m->msg_iovlen; i++) {
		size_t len = m->msg_iov[i].iov_len < left ? m->msg_iov[i].iov_len : left;

		keep(fd, m->msg_iov[i].iov_base, len);
		left -= len;
	}
	return n;
}

ssize_t recv(int fd, void *buf, size_t len, int flags)
{
	static ssize_t (*real)(int, void *, size_t, int);
	ssize_t n;

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "recv");
	n = real(fd, buf, len, flags);
	if (n > 0)
		keep(fd, buf, (size_t)n);
	return n;
}
