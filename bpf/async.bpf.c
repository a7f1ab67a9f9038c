// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * async: syncs that a worker does for the one who submitted them, by aio or by
 * io_uring.  Who is known by the inode: a sync lasts from its submission until the
 * worker is done with it.
 */
#include "op.bpf.h"

#define IOCBS		16	/* looked at of one io_submit */
#define IOCB_FSYNC	2
#define IOCB_FDSYNC	3
#define URING_FSYNC	3
#define URING_FIXED	1u	/* its fd is no descriptor of the process */

/* Syncs submitted that no worker has begun, the oldest of each file. */
struct ask { __u64 ns; __u32 tgid, call; };
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct inode_key);
	__type(value, struct ask);
} asks SEC(".maps");

static __always_inline void asked(__u32 fd, __u32 call)
{
	struct ask ask = { .call = call };
	struct inode_key key;
	struct file *file = file_of_fd(fd);

	if (!file || !file_flags(file, &key))
		return;
	ask.ns = bpf_ktime_get_ns();
	ask.tgid = bpf_get_current_pid_tgid() >> 32;
	bpf_map_update_elem(&asks, &key, &ask, BPF_NOEXIST);
}

struct user_iocb { __u64 data, key; __u16 op; __s16 prio; __u32 fd; };

SEC("tracepoint/syscalls/sys_enter_io_submit")
int async_io_submit(struct sys_enter *ctx)
{
	__u64 list = ctx->args[2], at;
	struct user_iocb iocb;

	if (!is_target())
		return 0;
	for (__u32 i = 0; i < IOCBS && i < ctx->args[1]; i++) {
		if (bpf_probe_read_user(&at, sizeof(at), (void *)(list + i * sizeof(at))) ||
		    bpf_probe_read_user(&iocb, sizeof(iocb), (void *)at))
			break;
		if (iocb.op == IOCB_FSYNC || iocb.op == IOCB_FDSYNC)
			asked(iocb.fd, REC_CALL_AIO);
	}
	return 0;
}

SEC("tp_btf/io_uring_submit_req")
int BPF_PROG(async_uring_submit, struct io_kiocb___at *req)
{
	if (!is_target() || AT_READ(req, opcode) != URING_FSYNC ||
	    AT_READ(req, flags) & URING_FIXED)
		return 0;
	asked(AT_READ(req, cqe.fd), REC_CALL_URING);
	return 0;
}

/* A worker begins to sync a file: somebody's who asked, or of one of ours by its own thread. */
static __always_inline bool in_worker(void)
{
	__u32 flags = AT_READ((struct task_struct *)bpf_get_current_task(), flags);

	return flags & AT_PF_IO_WORKER ? is_target() : flags & AT_PF_KTHREAD && flags & AT_PF_WQ_WORKER;
}

static __always_inline void async_begin(struct inode_key *key, bool ours)
{
	__u32 flags = AT_READ((struct task_struct *)bpf_get_current_task(), flags);
	struct ask *ask = bpf_map_lookup_elem(&asks, key);
	struct op op = { .what = OP_SYNC | OP_ASYNC };

	if (op_now())
		return;
	op.call = flags & AT_PF_IO_WORKER ? REC_CALL_URING : REC_CALL_AIO;
	op.file = *key;
	if (ask && ask->call == op.call) {
		op.begin_ns = ask->ns;
		op.tgid = ask->tgid;
		bpf_map_delete_elem(&asks, key);
	} else if (!ours) {
		return;
	}
	op_begin(&op);
}

static __always_inline void async_end(__s64 ret, __u32 flags)
{
	struct op *op;

	if (!ops_async)
		return;
	op = op_now();
	if (!op || !(op->what & OP_ASYNC))
		return;
	op_tell_sync(op, bpf_ktime_get_ns(), ret, flags);
	op_end();
	__sync_fetch_and_add(&ops_async, -1);
}

SEC("tp_btf/ext4_sync_file_enter")
int BPF_PROG(async_ext4_enter, struct file *file)
{
	struct inode_key key;

	if (file && in_worker() && file_flags(file, &key))
		async_begin(&key, true);
	return 0;
}

SEC("tp_btf/ext4_sync_file_exit")
int BPF_PROG(async_ext4_exit, struct inode *inode, int ret)
{
	async_end(ret, 0);
	return 0;
}

SEC("tp_btf/xfs_file_fsync")
int BPF_PROG(async_xfs_enter, struct xfs_inode___at *ip)
{
	struct inode_key key = {};

	if (!ip || !in_worker() || is_target())	/* of io_uring nothing tells the end */
		return 0;
	key.ino = BPF_CORE_READ(ip, i_vnode.i_ino);
	key.dev = BPF_CORE_READ(ip, i_vnode.i_sb, s_dev);
	async_begin(&key, false);
	return 0;
}

/* XFS does not say when a sync ends, nor how: no later than the work that it was. */
SEC("tp_btf/workqueue_execute_end")
int async_work_end(void *ctx)
{
	async_end(0, REC_SYNC_RET_UNKNOWN);
	return 0;
}
