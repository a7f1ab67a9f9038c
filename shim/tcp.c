// SPDX-License-Identifier: BSD-2-Clause
/*
 * tcp.c - what TCP knows of a connection whose request is overdue: acknowledged by
 * the peer's kernel and unanswered, or not even acknowledged.  Asked inside the
 * app's own poll(), where librdkafka's broker thread waits, once a second at most.
 */
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "shim.h"

#define OVERDUE_NS 1000000000u

static void sample(int fd, uint32_t conn, uint64_t overdue, uint64_t now)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);
	int unsent = 0, queued = 0;
	struct thread *t;
	struct ev_tcp *ev;

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len))
		return;
	/* SIOCOUTQ counts what the peer has not acknowledged, SIOCOUTQNSD what was not sent. */
	if (ioctl(fd, SIOCOUTQ, &queued) || ioctl(fd, SIOCOUTQNSD, &unsent))
		return;
	t = thread_enter();
	if (!t)
		return;
	ev = emit(t, AT_LAST, AT_EV_TCP, now, sizeof(*ev), NULL, NULL, 0);
	if (ev) {
		ev->overdue_ns = overdue;
		ev->conn = conn;
		ev->unsent = (uint32_t)unsent;
		ev->unacked = (uint32_t)(queued - unsent);
		ev->retransmits = info.tcpi_retransmits;
		ev->rtt_us = info.tcpi_rtt;
		ev->backoff = info.tcpi_backoff;
		emit_done(t, AT_LAST);
	}
	thread_leave(t);
}

void tcp_look(int fd, struct conn *c)
{
	uint64_t now = at_now(), since = conn_waiting_since(c);
	int saved = errno;

	if (since && now > since + OVERDUE_NS && conn_sample_due(c, now))
		sample(fd, conn_id(c), now - since, now);
	errno = saved;
}
