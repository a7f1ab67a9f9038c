// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * append: each record batch that is written to a segment, with its header and
 * how long the call took.  The header is read when the call returns: its page was
 * copied from a moment ago, so it is resident, and a call that fails says so.
 *
 * Responses leave by the same calls; one program for both, see response.bpf.c.
 */
#include "op.bpf.h"

extern int answer_enter(__u32 fd, __u64 buf, __u32 nr_iov);
extern int answer_exit(__s64 ret);
extern int wake_tell(__u64 now);

#define MAX_IOV		8
#define MAX_BATCH	(1u << 30)

struct user_iov { __u64 base, len; };

#define POS_OF_FILE	(~0ull)

#define O_DSYNC_	010000u	/* of O_SYNC, too; the same on every architecture of ours */
#define SB_SYNCHRONOUS_	16u
#define S_SYNC_		1u
#define RWF_DSYNC_	2u
#define RWF_SYNC_	4u

/* Does a write to it end only when it is on disk?  As the kernel's iocb_is_dsync(). */
static __always_inline bool is_dsync(struct file *file)
{
	struct inode *inode;

	if (AT_READ(file, f_flags) & O_DSYNC_)
		return true;
	inode = AT_READ(file, f_inode);
	return AT_READ(inode, i_flags) & S_SYNC_ || AT_READ(AT_READ(inode, i_sb), s_flags) & SB_SYNCHRONOUS_;
}

static __noinline int target_enters(__u32 fd, __u64 buf, __u32 nr_iov, __u64 pos, __u32 rwf)
{
	struct op op = { .call = REC_CALL_OSYNC_WRITE };
	struct file *file;
	__u32 flags;

	file = file_of_fd(fd);
	flags = file ? file_flags(file, &op.file) : 0;
	if (flags & FILE_SEGMENT)
		op.what = OP_APPEND;
	if (flags && (rwf & (RWF_DSYNC_ | RWF_SYNC_) || is_dsync(file)))
		op.what |= OP_SYNC;
	if (!op.what) {
		op_end();	/* of a call whose end the kernel did not run: this one's is not its */
		return file && with_requests && pos == POS_OF_FILE ? answer_enter(fd, buf, nr_iov) : 0;
	}
	if (pos == POS_OF_FILE)
		pos = AT_READ(file, f_pos);
	op.pos = pos;
	op.buf = buf;
	op.nr_iov = nr_iov;
	op.begin_ns = bpf_ktime_get_ns();
	if (with_wakes && op.what & OP_APPEND)
		wake_tell(op.begin_ns);
	return op_begin(&op);
}

/* Every process of the host passes here with every write: for the others it ends at once. */
static __always_inline int write_enter(__u32 fd, __u64 buf, __u32 nr_iov, __u64 pos, __u32 rwf)
{
	return is_target() ? target_enters(fd, buf, nr_iov, pos, rwf) : 0;
}

/*
 * Address of byte `off` of the write when REC_HEADER bytes lie there in one piece, else 0.
 * Not static: the verifier looks at it once, and not for each of its callers' turns.
 */
__noinline __u64 append_piece(__u64 buf, __u32 nr, __u64 off)
{
	if (!nr)
		return buf + off;
	for (__u32 i = 0; i < MAX_IOV; i++) {
		struct user_iov iov;

		if (i >= nr || bpf_probe_read_user(&iov, sizeof(iov), (void *)(buf + i * sizeof(iov))))
			return 0;
		if (off < iov.len)
			return iov.len - off >= REC_HEADER ? iov.base + off : 0;
		off -= iov.len;
	}
	return 0;
}

static __always_inline void tell_append(struct op *op, __u64 now, __s64 ret)
{
	__u64 off = 0;

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
		r->begin_ns = op->begin_ns;
		r->ino = op->file.ino;
		r->dev = op->file.dev;
		r->pos = op->pos == POS_OF_FILE ? op->pos : op->pos + off;
		r->ret = ret;
		r->index = i;
		r->more = 0;
		r->slept_ns = op->slept_ns;
		r->naps = with_naps != 0;
		at = append_piece(op->buf, op->nr_iov, off);
		r->unread = !at || bpf_probe_read_user(r->header, REC_HEADER, (void *)at);
		if (r->unread) {
			count(COUNT_HEADER_UNREAD);
			__builtin_memset(r->header, 0, REC_HEADER);
			rec_submit(r);
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
		rec_submit(r);
	}
}

static __noinline int target_exits(__s64 ret)
{
	struct op *op = op_now();
	__u64 now;

	if (!op)
		return with_requests ? answer_exit(ret) : 0;
	now = bpf_ktime_get_ns();
	if (op->what & OP_APPEND)
		tell_append(op, now, ret);
	if (op->what & OP_SYNC)
		op_tell_sync(op, now, ret, 0);
	op_end();
	return 0;
}

static __always_inline int write_exit(__s64 ret)
{
	return is_target() ? target_exits(ret) : 0;
}

SEC("tracepoint/syscalls/sys_enter_write")
int append_enter_write(struct sys_enter *ctx)
{
	return write_enter(ctx->args[0], ctx->args[1], 0, POS_OF_FILE, 0);
}

SEC("tracepoint/syscalls/sys_exit_write")
int append_exit_write(struct sys_exit *ctx)
{
	return write_exit(ctx->ret);
}

SEC("tracepoint/syscalls/sys_enter_writev")
int append_enter_writev(struct sys_enter *ctx)
{
	return write_enter(ctx->args[0], ctx->args[1], ctx->args[2], POS_OF_FILE, 0);
}

SEC("tracepoint/syscalls/sys_exit_writev")
int append_exit_writev(struct sys_exit *ctx)
{
	return write_exit(ctx->ret);
}

SEC("tracepoint/syscalls/sys_enter_pwrite64")
int append_enter_pwrite64(struct sys_enter *ctx)
{
	return write_enter(ctx->args[0], ctx->args[1], 0, ctx->args[3], 0);
}

SEC("tracepoint/syscalls/sys_exit_pwrite64")
int append_exit_pwrite64(struct sys_exit *ctx)
{
	return write_exit(ctx->ret);
}

SEC("tracepoint/syscalls/sys_enter_pwritev")
int append_enter_pwritev(struct sys_enter *ctx)
{
	return write_enter(ctx->args[0], ctx->args[1], ctx->args[2], ctx->args[3], 0);
}

SEC("tracepoint/syscalls/sys_exit_pwritev")
int append_exit_pwritev(struct sys_exit *ctx)
{
	return write_exit(ctx->ret);
}

SEC("tracepoint/syscalls/sys_enter_pwritev2")
int append_enter_pwritev2(struct sys_enter *ctx)
{
	/* Position -1 is the file's own. */
	return write_enter(ctx->args[0], ctx->args[1], ctx->args[2], ctx->args[3], ctx->args[5]);
}

SEC("tracepoint/syscalls/sys_exit_pwritev2")
int append_exit_pwritev2(struct sys_exit *ctx)
{
	return write_exit(ctx->ret);
}
