/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * slots.bpf.h - tables of what is under way in the kernel, by the address of the
 * object that it is told of.  A hash map costs a lock and a copy each way; here a
 * key picks a set of SLOT_WAYS places in an array, claims one by compare-and-swap,
 * and the state is written where it lies.
 *
 * A set begins with its keys, which fill one cache line:
 *	struct x_set { __u64 key[SLOT_WAYS]; struct x state[SLOT_WAYS]; };
 * and a state holds the time at which it was claimed.  A place is free when its key
 * is 0.  What finds no place is counted, and nobody else's place is taken for it,
 * except one that was left behind long ago.
 *
 * BPF_CMPXCHG came with 5ffa25502b5a (5.12).
 */
#ifndef ACKTRAIL_SLOTS_BPF_H
#define ACKTRAIL_SLOTS_BPF_H

#include "maps.bpf.h"

#define SLOT_WAYS	REC_WAYS
#define SLOT_FLAGS	(1u << 10)	/* BPF_F_MMAPABLE: begins at a page, hence sets with a cache line */
#define SLOT_LEFT_NS	60000000000ll	/* older: its end was never seen */

/*
 * From a pointer that the verifier knows, with which it allows no arithmetic but to
 * subtract another: its distance from a variable of ours, the same as long as we run.
 */
extern __u64 slot_zero;

static __always_inline __u64 slot_key(const void *object)
{
	__u64 key = (__u64)object - (__u64)&slot_zero;

	barrier_var(key);
	return key;
}

/* nr: sets, a power of two up to 4096. */
static __always_inline __u32 slot_set(__u64 key, __u32 nr)
{
	return key * 0x9e3779b97f4a7c15ull >> 52 & (nr - 1);
}

/*
 * 0, 1, 2, …: read from memory, a way is any number for the verifier, which would
 * otherwise follow all that comes after once for each of them.
 */
extern __u32 slot_way[SLOT_WAYS];

/* The place of a key in its set; SLOT_WAYS or more: it has none. */
static __always_inline __u32 slot_find(const __u64 *keys, __u64 key)
{
#pragma unroll
	for (__u32 i = 0; i < SLOT_WAYS; i++)
		if (keys[i] == key)
			return slot_way[i];
	return SLOT_WAYS;
}

static __always_inline bool slot_swap(__u64 *key, __u64 old, __u64 new)
{
	return __sync_val_compare_and_swap(key, old, new) == old;
}

/* A place for a key that has none.  since: that time in the first state, the next ones lie a stride apart. */
static __always_inline __u32 slot_claim(__u64 *keys, const void *since, __u32 stride, __u64 key, __u64 now, __u32 lost)
{
#pragma unroll
	for (__u32 i = 0; i < SLOT_WAYS; i++)
		if (!keys[i] && slot_swap(&keys[i], 0, key))
			return slot_way[i];
	count(lost);
#pragma unroll
	for (__u32 i = 0; i < SLOT_WAYS; i++) {
		__u64 old = keys[i];

		if ((__s64)(now - *(const __u64 *)(since + i * stride)) > SLOT_LEFT_NS && old && slot_swap(&keys[i], old, key))
			return slot_way[i];
	}
	return SLOT_WAYS;
}

/* All that was read of the state was read before another one writes there. */
static __always_inline void slot_free(__u64 *key)
{
#if defined(__TARGET_ARCH_x86)
	*(volatile __u64 *)key = 0;	/* no later than the loads before it: so x86 orders them */
#else
	__sync_lock_test_and_set(key, 0);
#endif
}

#endif
