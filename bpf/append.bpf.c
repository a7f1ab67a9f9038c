// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * append: each record batch that is written to a segment, with its header and
 * how long the call took.  The header is read when the call returns: its page was
 * copied from a moment ago, so it is resident, and a call that fails says so.
 *
 * Responses leave by the same calls; one program for both, see response.bpf.c.
 */
#include "maps.bpf.h"

extern int answer_enter(__u32 fd, __u64 file, __u64 buf, __u32 nr_iov);
extern int answer_exit(__s64 ret);
extern int wake_tell(__u64 now);

#define MAX_IOV		8
#define MAX_BATCH	(1u << 30)

struct write_state {
	__u64 begin_ns, pos, buf;	/* buf: the bytes, or the iovec when nr_iov > 0 */
	struct inode_key file;
	__u32 nr_iov, pad;
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct write_state);
} writes SEC(".maps");

struct user_iov { __u64 base, len; };

#define POS_OF_FILE	(~0ull)

static __always_inline int write_enter(__u32 fd, __u64 buf, __u32 nr_iov, __u64 pos)
{
	struct write_state state = {};
	struct file *file;
	__u64 id;

	if (!is_target())
		return 0;
	file = file_of_fd(fd);
	if (!file)
		return 0;
	if (!(file_flags(file, &state.file) & FILE_SEGMENT))
		return with_requests && pos == POS_OF_FILE ?
		       answer_enter(fd, (__u64)file, buf, nr_iov) : 0;
	if (pos == POS_OF_FILE)
		bpf_core_read(&pos, sizeof(pos), &file->f_pos);
	state.pos = pos;
	state.buf = buf;
	state.nr_iov = nr_iov;
	state.begin_ns = bpf_ktime_get_ns();
	if (with_wakes)
		wake_tell(state.begin_ns);
	id = bpf_get_current_pid_tgid();
	if (bpf_map_update_elem(&writes, &id, &state, BPF_ANY))
		count(COUNT_TABLE_FULL);
	return 0;
}

/* Address of byte `off` of the write when REC_HEADER bytes lie there in one piece, else 0. */
static __noinline __u64 piece(struct write_state *state, __u64 off)
{
	__u32 nr = state->nr_iov;

	if (!nr)
		return state->buf + off;
	for (__u32 i = 0; i < MAX_IOV; i++) {
		struct user_iov iov;

		if (i >= nr || bpf_probe_read_user(&iov, sizeof(iov), (void *)(state->buf + i * sizeof(iov))))
			return 0;
		if (off < iov.len)
			return iov.len - off >= REC_HEADER ? iov.base + off : 0;
		off -= iov.len;
	}
	return 0;
}

static __always_inline int write_exit(__s64 ret)
{
	__u64 id = bpf_get_current_pid_tgid(), now, off = 0;
	struct write_state *state, s;

	if (!is_target())
		return 0;
	state = bpf_map_lookup_elem(&writes, &id);
	if (!state)
		return with_requests ? answer_exit(ret) : 0;
	now = bpf_ktime_get_ns();
	s = *state;
	bpf_map_delete_elem(&writes, &id);

	for (__u32 i = 0; i < REC_BATCHES; i++) {
		struct rec_append *r;
		__u64 at;
		__u32 len;

		/* A failed call is told once, with the batch that it would have written. */
		if (i && (ret < 0 || off + REC_HEADER > (__u64)ret))
			break;
		r = rec_begin(REC_APPEND, sizeof(*r), now);
		if (!r)
			break;
		r->begin_ns = s.begin_ns;
		r->ino = s.file.ino;
		r->dev = s.file.dev;
		r->pos = s.pos == POS_OF_FILE ? s.pos : s.pos + off;
		r->ret = ret;
		r->index = i;
		r->more = 0;
		at = piece(&s, off);
		r->unread = !at || bpf_probe_read_user(r->header, REC_HEADER, (void *)at);
		if (r->unread) {
			count(COUNT_HEADER_UNREAD);
			__builtin_memset(r->header, 0, REC_HEADER);
			bpf_ringbuf_submit(r, 0);
			break;
		}
		len = (__u32)r->header[8] << 24 | (__u32)r->header[9] << 16 |
		      (__u32)r->header[10] << 8 | r->header[11];
		if (len < 14 || len > MAX_BATCH || r->header[16] > 2) {
			/* The rest of a batch whose write was cut short, or no batch at all. */
			count(COUNT_WRITE_ODD);
			bpf_ringbuf_discard(r, 0);
			break;
		}
		off += len + 12;
		r->more = i == REC_BATCHES - 1 && ret > 0 && off < (__u64)ret;
		bpf_ringbuf_submit(r, 0);
	}
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_write")
int append_enter_write(struct sys_enter *ctx)
{
	return write_enter(ctx->args[0], ctx->args[1], 0, POS_OF_FILE);
}

SEC("tracepoint/syscalls/sys_exit_write")
int append_exit_write(struct sys_exit *ctx)
{
	return write_exit(ctx->ret);
}

SEC("tracepoint/syscalls/sys_enter_writev")
int append_enter_writev(struct sys_enter *ctx)
{
	return write_enter(ctx->args[0], ctx->args[1], ctx->args[2], POS_OF_FILE);
}

SEC("tracepoint/syscalls/sys_exit_writev")
int append_exit_writev(struct sys_exit *ctx)
{
	return write_exit(ctx->ret);
}

SEC("tracepoint/syscalls/sys_enter_pwrite64")
int append_enter_pwrite64(struct sys_enter *ctx)
{
	return write_enter(ctx->args[0], ctx->args[1], 0, ctx->args[3]);
}

SEC("tracepoint/syscalls/sys_exit_pwrite64")
int append_exit_pwrite64(struct sys_exit *ctx)
{
	return write_exit(ctx->ret);
}

SEC("tracepoint/syscalls/sys_enter_pwritev")
int append_enter_pwritev(struct sys_enter *ctx)
{
	return write_enter(ctx->args[0], ctx->args[1], ctx->args[2], ctx->args[3]);
}

SEC("tracepoint/syscalls/sys_exit_pwritev")
int append_exit_pwritev(struct sys_exit *ctx)
{
	return write_exit(ctx->ret);
}

const volatile __u32 filter_topics = 0, with_requests = 0, with_wakes = 0;
__u32 targets[REC_TARGETS];
char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";
