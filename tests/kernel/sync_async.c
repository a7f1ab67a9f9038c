// SPDX-License-Identifier: BSD-2-Clause
/* sync_async.c - fsync by aio and by io_uring, by the bare system calls. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sync_async.h"

int async_open(struct async *a, bool uring)
{
	struct io_uring_params p = { 0 };
	size_t sq, cq;

	memset(a, 0, sizeof(*a));
	a->ring = -1;
	if (!uring)
		return (int)syscall(SYS_io_setup, 4, &a->aio);
	a->ring = (int)syscall(SYS_io_uring_setup, 4, &p);
	if (a->ring < 0)
		return -1;
	sq = p.sq_off.array + p.sq_entries * sizeof(uint32_t);
	cq = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
	a->sq = mmap(NULL, sq, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, a->ring, IORING_OFF_SQ_RING);
	a->cq = mmap(NULL, cq, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, a->ring, IORING_OFF_CQ_RING);
	a->sqes = mmap(NULL, p.sq_entries * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_POPULATE, a->ring, IORING_OFF_SQES);
	if (a->sq == MAP_FAILED || a->cq == MAP_FAILED || a->sqes == MAP_FAILED)
		return -1;
	a->sq_tail = p.sq_off.tail;
	a->sq_array = p.sq_off.array;
	a->sq_mask = p.sq_off.ring_mask;
	a->cq_head = p.cq_off.head;
	a->cq_tail = p.cq_off.tail;
	a->cq_mask = p.cq_off.ring_mask;
	a->cqes = p.cq_off.cqes;
	return 0;
}

#define AT(base, off) ((uint32_t *)((char *)(base) + (off)))

static int by_uring(struct async *a, int fd)
{
	uint32_t tail = *AT(a->sq, a->sq_tail), i = tail & *AT(a->sq, a->sq_mask), head;
	struct io_uring_sqe *sqe = (struct io_uring_sqe *)a->sqes + i;
	const struct io_uring_cqe *cqe;
	int res;

	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = IORING_OP_FSYNC;
	sqe->fd = fd;
	AT(a->sq, a->sq_array)[i] = i;
	__atomic_store_n(AT(a->sq, a->sq_tail), tail + 1, __ATOMIC_RELEASE);
	while (syscall(SYS_io_uring_enter, a->ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
		if (errno != EINTR)
			return -1;
	head = *AT(a->cq, a->cq_head);
	if (head == __atomic_load_n(AT(a->cq, a->cq_tail), __ATOMIC_ACQUIRE))
		return -1;
	cqe = (const struct io_uring_cqe *)AT(a->cq, a->cqes) + (head & *AT(a->cq, a->cq_mask));
	res = cqe->res;
	__atomic_store_n(AT(a->cq, a->cq_head), head + 1, __ATOMIC_RELEASE);
	errno = -res;
	return res < 0 ? -1 : 0;
}

static int by_aio(struct async *a, int fd)
{
	struct iocb cb = { .aio_lio_opcode = IOCB_CMD_FSYNC, .aio_fildes = (uint32_t)fd }, *list = &cb;
	struct io_event done;

	if (syscall(SYS_io_submit, a->aio, 1, &list) != 1 ||
	    syscall(SYS_io_getevents, a->aio, 1, 1, &done, NULL) != 1)
		return -1;
	errno = (int)-done.res;
	return done.res < 0 ? -1 : 0;
}

int async_fsync(struct async *a, int fd, bool uring)
{
	return uring ? by_uring(a, fd) : by_aio(a, fd);
}
