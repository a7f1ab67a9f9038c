/* SPDX-License-Identifier: BSD-2-Clause */
/* sync_async.h - fsync by aio and by io_uring, one at a time, done when they return. */
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
int async_fsync(struct async *a, int fd, bool uring);

#endif
