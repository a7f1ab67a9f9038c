// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * sync: fsync, fdatasync, sync_file_range and msync of files under the log
 * directories.  msync has no descriptor: its file is that of the mapping
 * (bpf_find_vma, 5.17), or the one that ext4 then names.
 */
#include "maps.bpf.h"

struct sync_state {
	__u64 begin_ns;
	struct inode_key file;
	__u32 call, flags;
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct sync_state);
} syncs SEC(".maps");

static __always_inline int sync_remember(struct sync_state *state)
{
	__u64 id = bpf_get_current_pid_tgid();

	state->begin_ns = bpf_ktime_get_ns();
	if (bpf_map_update_elem(&syncs, &id, state, BPF_ANY))
		count(COUNT_TABLE_FULL);
	return 0;
}

static __always_inline int sync_enter(__u32 fd, __u32 call)
{
	struct sync_state state = { .call = call };
	struct file *file;

	if (!is_target())
		return 0;
	file = file_of_fd(fd);
	if (!file)
		return 0;
	state.flags = file_flags(file, &state.file);
	return state.flags ? sync_remember(&state) : 0;
}

static __always_inline int sync_exit(__s64 ret)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct sync_state *state;
	struct rec_sync *r;

	if (!is_target())
		return 0;
	state = bpf_map_lookup_elem(&syncs, &id);
	if (!state)
		return 0;
	/* An msync whose file never became known may be of any file: not told. */
	r = state->flags ? rec_begin(REC_SYNC, sizeof(*r), bpf_ktime_get_ns()) : NULL;
	if (r) {
		r->begin_ns = state->begin_ns;
		r->ino = state->file.ino;
		r->dev = state->file.dev;
		r->call = state->call;
		r->ret = ret;
		bpf_ringbuf_submit(r, 0);
	}
	bpf_map_delete_elem(&syncs, &id);
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
	struct sync_state *state = data;
	struct file *file = BPF_CORE_READ(vma, vm_file);

	if (file)
		state->flags = file_flags(file, &state->file);
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_msync")
int sync_enter_msync(struct sys_enter *ctx)
{
	struct sync_state state = { .call = REC_CALL_MSYNC };

	if (!is_target())
		return 0;
	bpf_find_vma(bpf_get_current_task_btf(), ctx->args[0], vma_found, &state, 0);
	return sync_remember(&state);
}

/* The same before 7c7e3d31e785 (5.17) brought bpf_find_vma: ext4 names the file. */
SEC("tracepoint/syscalls/sys_enter_msync")
int sync_enter_msync_plain(struct sys_enter *ctx)
{
	struct sync_state state = { .call = REC_CALL_MSYNC };

	return is_target() ? sync_remember(&state) : 0;
}

SEC("tracepoint/syscalls/sys_exit_msync")
int sync_exit_msync(struct sys_exit *ctx)
{
	return sync_exit(ctx->ret);
}

SEC("tp_btf/ext4_sync_file_enter")
int BPF_PROG(sync_ext4_file, struct file *file, int datasync)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct sync_state *state = bpf_map_lookup_elem(&syncs, &id);
	struct inode_key key;

	if (state && !state->flags) {
		state->flags = file_flags(file, &key);
		state->file = key;
	}
	return 0;
}

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";
