/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * compat.bpf.h - every difference between kernels, each with the commit that
 * made it.  Minimum: 5.8 (457f44363a88, BPF ring buffer); 5.12 for all but requests
 * (5ffa25502b5a, BPF_CMPXCHG).
 *
 * Which tracepoints there are, and with how many arguments, user space reads from
 * the kernel's BTF and chooses among the programs (load.c, pieces.c):
 *   folio_wait_writeback is wait_on_page_writeback before 490e016f229a (5.16);
 *   ext4_journal_start_inode is ext4_journal_start, without the inode, before "ext4:
 *   split ext4_journal_start trace for debug" (6.2);
 *   bpf_find_vma(), for the file of an msync, came with 7c7e3d31e785 (5.17);
 *   bpf_task_pt_regs(), by which a page fault is no call, with dd6e10fbd9fb (5.15).
 *
 * A program does not run where it is already running on that CPU (at a tracepoint by
 * BTF since 05b24ff9b2cf, 6.1), or where any other is, or bpf() is at a map (per-syscall
 * tracepoints, always).  The kernel counts what it left out (9ed9e9ba2337, 5.12), for
 * per-syscall tracepoints since dd8657894c11 (6.7).
 * Seen on 6.18: while someone else attaches to a tracepoint, or detaches, a call of it
 * in ten thousands runs no program at all, and is not counted.  What that leaves of a
 * request is noticed when its address is used again, or at the end.
 *
 * What ext4 without a journal does of itself: an msync of an inode that is clean but
 * for its pages is not flushed before 5b5b4ff8f92d (6.5).
 */
#ifndef ACKTRAIL_COMPAT_BPF_H
#define ACKTRAIL_COMPAT_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

/*
 * A field through a pointer whose type the verifier does not know.  By a helper that is
 * a call of 35 ns; a35b9af4ec2c (6.2): bpf_rdonly_cast, which makes it one instruction.
 * Of the kernel's own types alone: those of a module have ids of their own.
 */
extern const volatile __u32 with_cast;

extern void *bpf_rdonly_cast(const void *, __u32) __ksym __weak;

#define AT_CAST(p) ((typeof(p))bpf_rdonly_cast(p, bpf_core_type_id_kernel(typeof(*(p)))))
#define AT_READ_IF(castable, p, field) ({			\
	typeof(p) at_p = (p);					\
	typeof(((void)0, at_p->field)) at_value;	/* without its const */ \
	if (castable)						\
		at_value = AT_CAST(at_p)->field;		\
	else							\
		at_value = BPF_CORE_READ(at_p, field);		\
	at_value;						\
})
#define AT_READ(p, field) AT_READ_IF(with_cast, p, field)

/*
 * a54895fa057c (5.11, and in some distributions' 5.10) dropped the leading
 * request_queue from the tracepoints of requests, e8a676d61c07 (5.11) from those
 * of bios.  User space counts the arguments in BTF, see load.c.
 */
extern const volatile __u32 rq_args_lead, bio_args_lead;

/* Bits of request.cmd_flags moved often; their names did not. */
#define at_req_flag(cmd_flags, name) \
	(!!((cmd_flags) & (1ull << bpf_core_enum_value(enum req_flag_bits, name))))

/* 5f89154e8e9e (6.12): RQF_* became an enum and were renumbered; a macro, bit 4, before. */
enum rqf_flags___at { __RQF_FLUSH_SEQ___at = 1 };

static __always_inline bool at_rq_in_flush_seq(__u32 rq_flags)
{
	if (bpf_core_enum_value_exists(enum rqf_flags___at, __RQF_FLUSH_SEQ___at))
		return rq_flags >> bpf_core_enum_value(enum rqf_flags___at, __RQF_FLUSH_SEQ___at) & 1;
	return rq_flags >> 4 & 1;
}

/*
 * d152c682f03c (5.15): request_queue.disk; f3fa33acca9f (5.17): request.rq_disk
 * is gone.
 */
struct request___5_16 { struct gendisk *rq_disk; } __attribute__((preserve_access_index));
struct request_queue___5_15 { struct gendisk *disk; } __attribute__((preserve_access_index));

static __always_inline struct gendisk *at_rq_disk(struct request *rq)
{
	struct request___5_16 *old = (void *)rq;
	struct request_queue___5_15 *q = (void *)rq->q;

	return bpf_core_field_exists(old->rq_disk) ? old->rq_disk : q->disk;
}

/* 309dca309fc3 (5.12): bio.bi_disk became bio.bi_bdev. */
struct bio___5_11 { struct gendisk *bi_disk; } __attribute__((preserve_access_index));

static __always_inline struct gendisk *at_bio_disk(struct bio *bio)
{
	struct bio___5_11 *old = (void *)bio;

	return bpf_core_field_exists(old->bi_disk) ? old->bi_disk : bio->bi_bdev->bd_disk;
}

/* 0d02129e76ed (5.11): block_device.bd_start_sect; before, where a partition begins is not told. */
struct block_device___at { __u64 bd_start_sect; } __attribute__((preserve_access_index));
struct buffer_head___at {
	__u64 b_blocknr, b_size;
	struct block_device___at *b_bdev;
} __attribute__((preserve_access_index));

/* Its place on the whole disk; 0 unknown. */
static __always_inline __u64 at_bh_sector(struct buffer_head___at *bh)
{
	struct block_device___at *bdev = bh->b_bdev;

	if (!bpf_core_field_exists(bdev->bd_start_sect))
		return 0;
	return bh->b_blocknr * (bh->b_size >> 9) + bdev->bd_start_sect;
}

/*
 * Types of file systems, which may be modules: then the kernel's own BTF has none
 * of them, and neither has a vmlinux.h made of it.
 */
extern const volatile __u32 with_cast_ext4;	/* they are the kernel's own */
#define AT_READ_EXT4(p, field) AT_READ_IF(with_cast_ext4, p, field)
#define AT_CORE __attribute__((preserve_access_index))
struct transaction_s___at { __u32 t_tid; } AT_CORE;
struct journal_s___at {
	struct block_device *j_fs_dev;
	__u32 j_commit_sequence;
	struct transaction_s___at *j_committing_transaction;
	struct task_struct *j_task;
} AT_CORE;
struct device___at { __u32 devt; } AT_CORE;
struct backing_dev_info___at { struct device___at *owner; } AT_CORE;	/* the whole disk; btrfs has none */
struct bdi_writeback___at { struct backing_dev_info___at *bdi; } AT_CORE;
struct ext4_sb_info___at { struct journal_s___at *s_journal; } AT_CORE;
struct ext4_inode_info___at { struct inode vfs_inode; __u32 i_sync_tid, i_datasync_tid; } AT_CORE;
struct xfs_mount___at { struct super_block *m_super; } AT_CORE;
struct xfs_inode___at { struct xfs_mount___at *i_mount; struct inode i_vnode; } AT_CORE;
struct xlog___at { struct xfs_mount___at *l_mp; } AT_CORE;
/* 1858bb0bec61 (5.6) made it an enum; its trace events came later, with 956f6daa84bf (5.14). */
enum xlog_iclog_state___at { XLOG_STATE_ACTIVE___at, XLOG_STATE_DIRTY___at = 5 };
struct xlog_in_core___at { struct xlog___at *ic_log; enum xlog_iclog_state___at ic_state; } AT_CORE;

static __always_inline bool at_iclog_at_rest(struct xlog_in_core___at *iclog)
{
	__u32 state = BPF_CORE_READ(iclog, ic_state);

	return state == bpf_core_enum_value(enum xlog_iclog_state___at, XLOG_STATE_ACTIVE___at) ||
	       state == bpf_core_enum_value(enum xlog_iclog_state___at, XLOG_STATE_DIRTY___at);
}

/*
 * Arguments of balance_dirty_pages: "writeback: let trace_balance_dirty_pages() take
 * struct dtc as parameter" (6.15) passes five of them as one.  User space counts
 * them, see load.c.
 */
#define AT_DIRTY_ARGS		8
#define AT_DIRTY_ARGS_OLD	12

/*
 * 2ad57931db64 (6.4): io_uring_submit_req, named io_uring_submit_sqe before; without it
 * such a sync begins in its worker.  cef216fc32d7 (5.19) had put the descriptor into cqe.
 */
struct io_cqe___at { int fd; } AT_CORE;
struct io_kiocb___at { __u8 opcode; struct io_cqe___at cqe; __u64 flags; } AT_CORE;

/* Flags of tasks that are as old as they are. */
#define AT_PF_IO_WORKER	0x00000010u
#define AT_PF_WQ_WORKER	0x00000020u
#define AT_PF_KTHREAD	0x00200000u

/* The number of the system call that a task is in; the name of the field is the architecture's. */
struct pt_regs___x86 { unsigned long orig_ax; } __attribute__((preserve_access_index));
struct pt_regs___arm64 { int syscallno; } __attribute__((preserve_access_index));

static __always_inline long at_syscall_nr(struct pt_regs *regs)
{
	struct pt_regs___x86 *x86 = (void *)regs;
	struct pt_regs___arm64 *arm64 = (void *)regs;

	if (bpf_core_field_exists(x86->orig_ax))
		return (long)AT_READ(x86, orig_ax);
	if (bpf_core_field_exists(arm64->syscallno))
		return AT_READ(arm64, syscallno);
	return -1;
}

#if defined(__TARGET_ARCH_arm64)
#define AT_FUTEX	98
#else
#define AT_FUTEX	202
#endif

static __always_inline __u32 at_disk_dev(struct gendisk *disk)
{
	return (__u32)disk->major << 20 | (__u32)disk->first_minor;
}

/* The name of a thread, without a call and without its lock: as in /proc, it may be half of another. */
static __always_inline void at_comm(char *to, struct task_struct *task)
{
	const __u64 *from = (const __u64 *)task->comm;

	((__u64 *)to)[0] = from[0];
	((__u64 *)to)[1] = from[1];
}

/*
 * A bio that a cgroup's limit holds back is queued by a worker of kthrotld when its
 * time has come.  e32cf5dfbe22 (5.17): a worker is found through task.worker_private;
 * before, nothing tells.
 */
struct task_struct___5_17 { void *worker_private; } __attribute__((preserve_access_index));
struct workqueue_struct___at { char name[24]; } __attribute__((preserve_access_index));
struct pool_workqueue___at { struct workqueue_struct___at *wq; } __attribute__((preserve_access_index));
struct worker___at { struct pool_workqueue___at *current_pwq; } __attribute__((preserve_access_index));
struct kthread___at { struct worker___at *data; } __attribute__((preserve_access_index));

static __always_inline bool at_in_throttle(struct task_struct *current)
{
	struct task_struct___5_17 *task = (void *)current;
	struct workqueue_struct___at *wq;
	struct worker___at *worker;
	__u32 name = 0;

	if (!(current->flags & AT_PF_WQ_WORKER) || !bpf_core_field_exists(task->worker_private))
		return false;
	worker = AT_READ((struct kthread___at *)task->worker_private, data);
	wq = AT_READ(AT_READ(worker, current_pwq), wq);
	if (with_cast)
		name = *(__u32 *)AT_CAST(wq)->name;
	else
		bpf_core_read(&name, sizeof(name), &wq->name);
	return name == ('k' | 't' << 8 | 'h' << 16 | 'r' << 24);
}

/*
 * 838a10bd2ebf (6.13, and 6.12's stable line): an argument of a module's tracepoint may be
 * NULL as far as the verifier knows.  Programs at those of ext4, jbd2 and XFS check
 * theirs, though it never is.
 */

#endif
