// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * probe: all programs as one object.  libbpf before 3b2ec2140fa9 (1.2) cannot link
 * objects that call the same function of the kernel, and clang is as quick with one.
 */
#include "append.bpf.c"
#include "sync.bpf.c"
#include "async.bpf.c"
#include "nap.bpf.c"
#include "block.bpf.c"
#include "journal.bpf.c"
#include "xfs.bpf.c"
#include "arrive.bpf.c"
#include "request_read.bpf.c"
#include "request_parse.bpf.c"
#include "response.bpf.c"
#include "wake.bpf.c"

/* Told by user space before they are loaded, see load.c. */
const volatile __u32 filter_topics, with_requests, with_wakes, with_naps, with_faults, ring_bytes;
const volatile __u32 rq_args_lead, bio_args_lead, with_cast, with_cast_ext4;

__u32 targets[REC_TARGETS], ops_async;
__u64 slot_zero;
__u32 slot_way[SLOT_WAYS] = { 0, 1, 2, 3, 4, 5, 6, 7 };

char LICENSE[] SEC("license") = "Dual BSD/GPL";
