/* SPDX-License-Identifier: BSD-2-Clause */
/* dev.h - the kernel's dev_t (major << 20 | minor) and glibc's, which trails carry. */
#ifndef ACKTRAIL_DEV_H
#define ACKTRAIL_DEV_H

#include <stdint.h>
#include <sys/sysmacros.h>

static inline uint64_t dev_of_kernel(uint32_t dev)
{
	return makedev(dev >> 20, dev & 0xfffff);
}

static inline uint32_t dev_to_kernel(uint64_t dev)
{
	return (uint32_t)(major(dev) << 20 | minor(dev));
}

#endif
