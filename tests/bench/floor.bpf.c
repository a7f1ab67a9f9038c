// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* floor: programs that do nothing, where the probe's are: what any program costs there by the kernel's own clock. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#define NOTHING(section, name) SEC(section) int name(void *ctx) { return 0; }

NOTHING("tp_btf/block_bio_queue", block_bio_queue)
NOTHING("tp_btf/block_getrq", block_getrq)
NOTHING("tp_btf/block_rq_insert", block_rq_insert)
NOTHING("tp_btf/block_rq_issue", block_rq_issue)
NOTHING("tp_btf/block_rq_merge", block_rq_merge)
NOTHING("tp_btf/block_rq_complete", block_rq_complete)
NOTHING("tp_btf/sched_switch", sched_switch)
NOTHING("tp_btf/sched_waking", sched_waking)
NOTHING("tracepoint/syscalls/sys_enter_fsync", sys_enter_fsync)
NOTHING("tracepoint/syscalls/sys_exit_fsync", sys_exit_fsync)
NOTHING("tracepoint/syscalls/sys_enter_write", sys_enter_write)
NOTHING("tracepoint/syscalls/sys_exit_write", sys_exit_write)

char LICENSE[] SEC("license") = "Dual BSD/GPL";
