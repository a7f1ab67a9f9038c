/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * parallel.h - threads beside the one that has the signals, and the same work on many
 * things that have nothing to do with each other.
 */
#ifndef ACKTRAIL_PARALLEL_H
#define ACKTRAIL_PARALLEL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

unsigned parallel_cpus(void);		/* that this process may run on; 0: not known */

/* Begins run(arg) in a thread that takes no signals; false: there is none to be had. */
bool parallel_thread(pthread_t *thread, void *(*run)(void *), void *arg);

/* do_one(arg, i) for i of 0 to nr - 1, in any order, a thread a CPU; returns when all are done. */
void parallel_each(size_t nr, void (*do_one)(void *arg, size_t i), void *arg);

#endif
