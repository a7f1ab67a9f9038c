// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * sync: fsync, fdatasync, sync_file_range and msync of files under the log
 * directories.  msync has no descriptor: its file is that of the mapping
 * (bpf_find_vma, 5.17), or the one that ext4 then names.
 */
#include "op.bpf.h"

static __always_inline int sync_enter(__u32 fd, __u32 call)
{
	struct op op = { .what = OP_SYNC, .call = call };
	struct file *file;

	if (!is_target())
		return 0;
	file = file_of_fd(fd);
	if (!file || !file_flags(file, &op.file)) {
		op_end();	/* as in target_enters() */
		return 0;
	}
	return op_begin(&op);
}

static __always_inline int sync_exit(__s64 ret)
{
	struct op *op;

	if (!is_target())
		return 0;
	op = op_now();
	if (!op)
		return 0;
	/* An msync whose file never became known may be of any file: not told. */
	if (op->what == OP_SYNC)
		op_tell_sync(op, bpf_ktime_get_ns(), ret, 0);
	op_end();
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_fsync")
int sync_enter_fsync(struct sys_enter *ctx)
{
	return sync_enter(ctx->args[0], REC_CALL_FSYNC);
}

SEC("tracepoint/syscalls/sys_exit_fsync")
int sync_exit_fsync(struct sys_exit *ctx)
{
	return sync_exit(ctx->ret);
}

SEC("tracepoint/syscalls/sys_enter_fdatasync")
int sync_enter_fdatasync(struct sys_enter *ctx)
{
	return sync_enter(ctx->args[0], REC_CALL_FDATASYNC);
}

SEC("tracepoint/syscalls/sys_exit_fdatasync")
int sync_exit_fdatasync(struct sys_exit *ctx)
{
	return sync_exit(ctx->ret);
}

SEC("tracepoint/syscalls/sys_enter_sync_file_range")
int sync_enter_sync_file_range(struct sys_enter *ctx)
{
	return sync_enter(ctx->args[0], REC_CALL_SYNC_FILE_RANGE);
}

SEC("tracepoint/syscalls/sys_exit_sync_file_range")
int sync_exit_sync_file_range(struct sys_exit *ctx)
{
	return sync_exit(ctx->ret);
}

static long vma_found(struct task_struct *task, struct vm_area_struct *vma, void *data)
{
	struct op *op = data;
	struct file *file = AT_READ(vma, vm_file);

	if (file)
		op->what = file_flags(file, &op->file) ? OP_SYNC : 0;
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_msync")
int sync_enter_msync(struct sys_enter *ctx)
{
	struct op op = { .what = OP_SYNC | OP_NAMELESS, .call = REC_CALL_MSYNC };

	if (!is_target())
		return 0;
	bpf_find_vma(bpf_get_current_task_btf(), ctx->args[0], vma_found, &op, 0);
	return op.what ? op_begin(&op) : 0;
}

/* The same before 7c7e3d31e785 (5.17) brought bpf_find_vma: ext4 names the file. */
SEC("tracepoint/syscalls/sys_enter_msync")
int sync_enter_msync_plain(struct sys_enter *ctx)
{
	struct op op = { .what = OP_SYNC | OP_NAMELESS, .call = REC_CALL_MSYNC };

	return is_target() ? op_begin(&op) : 0;
}

SEC("tracepoint/syscalls/sys_exit_msync")
int sync_exit_msync(struct sys_exit *ctx)
{
	return sync_exit(ctx->ret);
}

SEC("tp_btf/ext4_sync_file_enter")
int BPF_PROG(sync_ext4_file, struct file *file)
{
	struct op *op = op_now();
	struct inode_key key;

	if (file && op && op->what & OP_NAMELESS) {
		op->what = file_flags(file, &key) ? OP_SYNC : 0;
		op->file = key;
	}
	return 0;
}
