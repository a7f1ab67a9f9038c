/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * parallel.h - the same work on many things that have nothing to do with each other.
 */
#ifndef ACKTRAIL_PARALLEL_H
#define ACKTRAIL_PARALLEL_H

#include <stddef.h>

/* do_one(arg, i) for i of 0 to nr - 1, in any order, a thread a CPU; returns when all are done. */
void parallel_each(size_t nr, void (*do_one)(void *arg, size_t i), void *arg);

#endif
