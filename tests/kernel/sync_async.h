/* SPDX-License-Identifier: BSD-2-Clause */
/* sync_async.h - what sync_app does besides: fsync by aio and by io_uring, and a request to itself. */
#ifndef SYNC_ASYNC_H
#define SYNC_ASYNC_H

#include <stdbool.h>

struct async {
	unsigned long aio;		/* aio_context_t */
	int	 ring;			/* io_uring, -1 none */
	void	*sq, *cq, *sqes;
	unsigned sq_tail, sq_mask, sq_array, cq_head, cq_tail, cq_mask, cqes;	/* offsets */
};

int async_open(struct async *a, bool uring);		/* 0, or -1 and errno */
int async_fsync(struct async *a, int fd, bool uring);	/* it is done */

int talk_listen(void);			/* the port, or -1 and errno */
int talk_once(int port);

#endif
