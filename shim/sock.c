// SPDX-License-Identifier: BSD-2-Clause
/*
 * sock.c - which descriptors are watched, and libc's calls on them.
 *
 * Only sockets that the app connected: an accepted one (the mock cluster in the
 * same process) is never watched.  Every other descriptor costs one load.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "shim.h"

#define NR_FDS 65536u

/*
 * By descriptor: 0 not watched; odd: connected, nothing sent yet (the time of
 * connect() << 1 | 1); else a struct conn.
 */
static uintptr_t watched[NR_FDS];

static bool is_watched(int fd)
{
	return (unsigned)fd < NR_FDS && __atomic_load_n(&watched[fd], __ATOMIC_RELAXED);
}

struct conn *sock_conn(int fd)
{
	uintptr_t w = (unsigned)fd < NR_FDS ? __atomic_load_n(&watched[fd], __ATOMIC_ACQUIRE) : 0;

	return w & 1 ? NULL : (struct conn *)w;
}

/* ---- the real functions --------------------------------------------------- */

#define LIBC_FUNCTIONS(F) \
	F(connect) F(close) F(sendmsg) F(send) F(sendto) F(write) F(writev) \
	F(recvmsg) F(recv) F(recvfrom) F(read) F(readv) F(poll)

static struct {
#define POINTER(name) __typeof__(&name) name;
	LIBC_FUNCTIONS(POINTER)
#undef POINTER
} real;

__attribute__((constructor)) static void sock_init(void)
{
#define RESOLVE(name) if (!real.name) *(void **)&real.name = find_next(#name);
	LIBC_FUNCTIONS(RESOLVE)
#undef RESOLVE
}

/* A call may come before our constructor: resolve then, too. */
#define REAL(name) (likely(real.name != NULL) ? real.name : (sock_init(), real.name))

/* ---- watching ------------------------------------------------------------ */

static void begin_watching(int fd, const struct sockaddr *to)
{
	struct conn *old;

	if ((unsigned)fd >= NR_FDS || !to || live_off() ||
	    (to->sa_family != AF_INET && to->sa_family != AF_INET6))
		return;
	old = sock_conn(fd);
	__atomic_store_n(&watched[fd], (uintptr_t)(at_now() << 1 | 1), __ATOMIC_RELEASE);
	if (old)
		conn_closed(old, AT_END_REUSED, 0);	/* closed by a call we do not wrap */
}

static void stop_watching(int fd, enum at_conn_end how, int err)
{
	uintptr_t w = __atomic_exchange_n(&watched[fd], 0, __ATOMIC_ACQ_REL);

	if (w && !(w & 1))
		conn_closed((struct conn *)w, how, err);
}

/* The first send on a connected descriptor makes its struct conn. */
static struct conn *conn_to_send(int fd)
{
	uintptr_t w = __atomic_load_n(&watched[fd], __ATOMIC_ACQUIRE);
	struct conn *c;

	if (!(w & 1))
		return (struct conn *)w;
	c = conn_new(fd, w >> 1);
	if (c && __atomic_compare_exchange_n(&watched[fd], &w, (uintptr_t)c, false, __ATOMIC_ACQ_REL,
					     __ATOMIC_RELAXED))
		return c;
	if (c)
		conn_closed(c, AT_END_REUSED, 0);
	return NULL;
}

/* ---- sending ------------------------------------------------------------- */

static void sent(int fd, const struct iovec *iov, size_t nr, ssize_t n, uint64_t now)
{
	int saved = errno;
	struct conn *c = n > 0 ? conn_to_send(fd) : NULL;
	size_t left = (size_t)n;

	if (n < 0 && saved == EAGAIN)
		conn_full(sock_conn(fd), now, now);
	if (c && conn_usable(c)) {
		conn_took(c, now);
		for (size_t i = 0; i < nr && left; i++) {
			size_t len = iov[i].iov_len < left ? iov[i].iov_len : left;

			conn_sent(c, iov[i].iov_base, len, now, !i);
			left -= len;
		}
		if (conn_is_other(c))
			stop_watching(fd, AT_END_NOT_KAFKA, 0);
	}
	errno = saved;
}

static void sent_buf(int fd, const void *buf, ssize_t n, uint64_t now)
{
	struct iovec iov = { (void *)(uintptr_t)buf, n > 0 ? (size_t)n : 0 };

	sent(fd, &iov, 1, n, now);
}

#define SEND(fd, call, witness) do {					\
	if (likely(!is_watched(fd)) || live_idle())			\
		return call;						\
	uint64_t now = at_now();					\
	ssize_t n = call;						\
									\
	witness;							\
	return n;							\
} while (0)

ssize_t sock_sendmsg(int fd, const struct msghdr *m, int flags)
{
	SEND(fd, REAL(sendmsg)(fd, m, flags), sent(fd, m->msg_iov, m->msg_iovlen, n, now));
}

ssize_t sock_send(int fd, const void *buf, size_t len, int flags)
{
	SEND(fd, REAL(send)(fd, buf, len, flags), sent_buf(fd, buf, n, now));
}

ssize_t sock_sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *to,
		    unsigned to_len)
{
	SEND(fd, REAL(sendto)(fd, buf, len, flags, to, to_len), sent_buf(fd, buf, n, now));
}

ssize_t sock_write(int fd, const void *buf, size_t len)
{
	SEND(fd, REAL(write)(fd, buf, len), sent_buf(fd, buf, n, now));
}

ssize_t sock_writev(int fd, const struct iovec *iov, int nr)
{
	SEND(fd, REAL(writev)(fd, iov, nr), sent(fd, iov, (size_t)nr, n, now));
}

/* ---- receiving ------------------------------------------------------------ */

static void received(int fd, const struct iovec *iov, size_t nr, ssize_t n, int flags)
{
	int saved = errno;
	struct conn *c = n > 0 && !(flags & (MSG_PEEK | MSG_OOB | MSG_ERRQUEUE)) ? sock_conn(fd) : NULL;
	size_t left = (size_t)n;
	uint64_t now;

	if (((!n && nr && iov->iov_len) || (n < 0 && saved == ECONNRESET)) && !(flags & MSG_ERRQUEUE))
		conn_peer_ended(sock_conn(fd), n ? saved : 0);
	if (c && conn_usable(c)) {
		now = at_now();
		/* One answer after the other is read without a poll between them. */
		tcp_look(fd, c, true, now);
		for (size_t i = 0; i < nr && left; i++) {
			size_t len = iov[i].iov_len < left ? iov[i].iov_len : left;

			conn_received(c, iov[i].iov_base, len, now, !i);
			left -= len;
		}
	}
	errno = saved;
}

static void received_buf(int fd, void *buf, size_t len, ssize_t n, int flags)
{
	struct iovec iov = { buf, len };

	received(fd, &iov, 1, n, flags);
}

#define RECEIVE(fd, call, witness) do {					\
	ssize_t n = call;						\
									\
	if (unlikely(is_watched(fd)) && !live_idle())			\
		witness;						\
	return n;							\
} while (0)

ssize_t sock_recvmsg(int fd, struct msghdr *m, int flags)
{
	RECEIVE(fd, REAL(recvmsg)(fd, m, flags), received(fd, m->msg_iov, m->msg_iovlen, n, flags));
}

ssize_t sock_recv(int fd, void *buf, size_t len, int flags)
{
	RECEIVE(fd, REAL(recv)(fd, buf, len, flags), received_buf(fd, buf, len, n, flags));
}

ssize_t sock_recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *from,
		      unsigned *from_len)
{
	RECEIVE(fd, REAL(recvfrom)(fd, buf, len, flags, from, from_len),
		received_buf(fd, buf, len, n, flags));
}

ssize_t sock_read(int fd, void *buf, size_t len)
{
	RECEIVE(fd, REAL(read)(fd, buf, len), received_buf(fd, buf, len, n, 0));
}

ssize_t sock_readv(int fd, const struct iovec *iov, int nr)
{
	RECEIVE(fd, REAL(readv)(fd, iov, nr), received(fd, iov, (size_t)nr, n, 0));
}

/* ---- waiting -------------------------------------------------------------- */

#define WAITED_NS 1000000u

/* librdkafka sends once poll() says that there is room. */
static void polled(struct conn *c, const struct pollfd *p, uint64_t begin, uint64_t now)
{
	bool room = p->revents & (POLLOUT | POLLERR | POLLHUP);

	if (!(p->events & POLLOUT))
		return;
	if (!room || now > begin + WAITED_NS)
		conn_full(c, begin, now);
	if (room)
		conn_took(c, now);
}

/* librdkafka's broker threads poll two descriptors; large sets belong to others. */
int sock_poll(struct pollfd *fds, unsigned long nr, int timeout_ms)
{
	uint64_t begin = 0, due = 0, came, now = 0;
	int saved, r;

	for (unsigned long i = 0; i < nr && nr <= 4 && !begin; i++)
		if (is_watched(fds[i].fd) && !live_idle())
			begin = at_now();
	if (begin && timeout_ms >= 0)
		due = begin + (uint64_t)timeout_ms * 1000000;
	r = REAL(poll)(fds, nr, timeout_ms);
	if (!begin)
		return r;
	saved = errno;
	for (unsigned long i = 0; i < nr; i++) {
		struct conn *c = is_watched(fds[i].fd) && !live_idle() ? sock_conn(fds[i].fd) : NULL;

		if (unlikely(c != NULL)) {
			if (!now)
				cpu_seen(now = at_now());
			tcp_look(fds[i].fd, c, r > 0 && fds[i].revents & POLLIN, now);
			came = r > 0 && fds[i].revents & POLLIN ? tcp_came(fds[i].fd, begin, now) : 0;
			if (came && (!due || came < due))
				due = came;
			if (due)
				tcp_late(c, due);
			if (r >= 0)
				polled(c, &fds[i], begin, now);
			due = 0;
		}
	}
	errno = saved;
	return r;
}

/* ---- connections come and go ---------------------------------------------- */

int sock_connect(int fd, const struct sockaddr *to, unsigned len)
{
	int saved, r;

	/* Before the call: a blocking connect may be followed by sends elsewhere. */
	begin_watching(fd, to);
	r = REAL(connect)(fd, to, len);
	saved = errno;
	if (r && saved != EINPROGRESS && saved != EISCONN && saved != EALREADY && saved != EINTR &&
	    (unsigned)fd < NR_FDS)
		stop_watching(fd, AT_END_ERROR, saved);
	errno = saved;
	return r;
}

int sock_close(int fd)
{
	struct conn *c = unlikely(is_watched(fd)) && !live_borrowed() && !live_idle() ? sock_conn(fd) : NULL;
	int saved = errno;

	/* Given up: the last that TCP can tell; of an app whose threads wait in epoll, the only. */
	if (c && conn_usable(c))
		tcp_look(fd, c, false, at_now());
	/*
	 * Before the call: the number may be given out again at once.  A vfork child that
	 * closes what it must not keep leaves its parent's connection open.
	 */
	if (unlikely(is_watched(fd)) && !live_borrowed())
		stop_watching(fd, AT_END_CLOSED, 0);
	errno = saved;
	return REAL(close)(fd);
}
