// SPDX-License-Identifier: BSD-2-Clause
/*
 * tcp.c - what TCP knows of a connection whose request is overdue: acknowledged by
 * the peer's kernel and unanswered, or not even acknowledged.  Asked inside the app's
 * own poll() and recv(), where librdkafka's broker thread is, once a second at most, or
 * ten times when an overdue answer has come; and in close().  And its two addresses.
 */
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "shim.h"

#define LATE_NS 1000000u	/* timeouts are ms */
#define CAME_NS 20000000u
#define TICK_NS 10000000u	/* how precisely it is told when data came */
#define OVERDUE_NS 300000000u	/* by then what was lost was sent again: TCP waits 200 ms at least */

static void sample(struct thread *t, int fd, uint32_t conn, uint64_t overdue, uint64_t now, bool readable)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);
	int unsent = 0, queued = 0;
	struct ev_tcp *ev;

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len))
		return;
	/* SIOCOUTQ counts what the peer has not acknowledged, SIOCOUTQNSD what was not sent. */
	if (ioctl(fd, SIOCOUTQ, &queued) || ioctl(fd, SIOCOUTQNSD, &unsent))
		return;
	ev = emit(t, AT_LAST, AT_EV_TCP, now, sizeof(*ev), NULL, NULL, 0);
	if (!ev)
		return;
	ev->overdue_ns = overdue;
	ev->conn = conn;
	ev->unsent = (uint32_t)unsent;
	ev->unacked = (uint32_t)(queued - unsent);
	ev->retransmits = info.tcpi_retransmits;
	ev->rtt_us = info.tcpi_rtt;
	ev->backoff = info.tcpi_backoff;
	ev->unread_ms = readable ? info.tcpi_last_data_recv : 0;
	emit_done(t, AT_LAST);
}

static void address(const struct sockaddr_storage *sa, uint64_t *hi, uint64_t *lo, uint32_t *port)
{
	uint8_t bytes[16] = { [10] = 0xff, [11] = 0xff };	/* IPv4 mapped */

	if (sa->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)sa;

		memcpy(bytes, &in6->sin6_addr, 16);
		*port = ntohs(in6->sin6_port);
	} else if (sa->ss_family == AF_INET) {
		const struct sockaddr_in *in4 = (const void *)sa;

		memcpy(bytes + 12, &in4->sin_addr, 4);
		*port = ntohs(in4->sin_port);
	} else {
		return;
	}
	*hi = kafka_be64(bytes);
	*lo = kafka_be64(bytes + 8);
}

void tcp_ends(int fd, struct ev_conn *ev)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	if (!getpeername(fd, (struct sockaddr *)&sa, &len))
		address(&sa, &ev->peer_hi, &ev->peer_lo, &ev->peer_port);
	len = sizeof(sa);
	if (!getsockname(fd, (struct sockaddr *)&sa, &len))
		address(&sa, &ev->local_hi, &ev->local_lo, &ev->local_port);
}

/*
 * A poll that began then says that there is something to read, and took long: since when could
 * it have said so?  0: not known.
 */
uint64_t tcp_came(int fd, uint64_t begin_ns, uint64_t now_ns)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);
	int saved = errno, bytes = 0;
	uint64_t came = 0;

	if (now_ns < begin_ns + CAME_NS)
		return 0;
	/* No bytes: it was closed, and that is told of no time. */
	if (!ioctl(fd, SIOCINQ, &bytes) && bytes > 0 && !getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len)) {
		came = now_ns - (uint64_t)info.tcpi_last_data_recv * 1000000 + TICK_NS;
		if (came < begin_ns)
			came = begin_ns;
	}
	errno = saved;
	return came;
}

/* Whatever woke it: the kernel would have ended the wait by then. */
void tcp_late(struct conn *c, uint64_t due_ns)
{
	uint64_t now = at_now();
	int saved = errno;
	struct thread *t;
	struct ev_late *ev;

	if (now < due_ns + LATE_NS)
		return;
	t = thread_enter();
	ev = t && conn_id(c) ? emit(t, AT_BULK, AT_EV_LATE, now, sizeof(*ev), NULL, NULL, 0) : NULL;
	if (ev) {
		ev->due_ns = due_ns;
		ev->conn = conn_id(c);
		emit_done(t, AT_BULK);
	}
	if (t)
		thread_leave(t);
	errno = saved;
}

void tcp_look(int fd, struct conn *c, bool readable, uint64_t now)
{
	uint64_t since = conn_waiting_since(c);
	int saved = errno;
	struct thread *t;

	if (!since)
		since = conn_greeting_since(c);
	if (!since || now <= since + OVERDUE_NS)
		return;
	t = thread_enter();
	/* A handshake of librdkafka's; the app's other TLS connections are none of ours. */
	if (t && !conn_id(c) && t->greets)
		conn_identify(t, c, t->greets, t->greets_broker);
	if (t && conn_id(c) && conn_sample_due(c, now, readable)) {
		sample(t, fd, conn_id(c), now - since, now, readable);
		if (conn_parsed(c))
			conn_overdue(t, c, now - OVERDUE_NS);
	}
	if (t)
		thread_leave(t);
	errno = saved;
}
