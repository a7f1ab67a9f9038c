// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * journal: the commits of jbd2, which any number of syncs may wait for.  The
 * thread is the journal's own; who waited is known by ext4_sync_file_*.
 */
#include "op.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u64);		/* the journal */
	__type(value, __u64);		/* when its commit began */
} commits SEC(".maps");

/* Syncs that need a transaction: (journal, transaction) → how many entered, and who first. */
struct wait_key { __u64 journal; __u32 transaction, pad; };
struct waiters { __u32 nr, pid, tid, pad; char comm[REC_COMM]; };
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct wait_key);
	__type(value, struct waiters);
} waits SEC(".maps");

SEC("tp_btf/jbd2_start_commit")
int BPF_PROG(journal_start_commit, void *journal)
{
	__u64 key = (__u64)journal, now = bpf_ktime_get_ns();

	bpf_map_update_elem(&commits, &key, &now, BPF_ANY);
	return 0;
}

SEC("tp_btf/jbd2_end_commit")
int BPF_PROG(journal_end_commit, struct journal_s___at *journal, struct transaction_s___at *transaction)
{
	__u64 key = (__u64)journal, *begin = bpf_map_lookup_elem(&commits, &key);
	struct wait_key wait = { .journal = key };
	struct waiters *w;
	struct rec_commit *r;

	if (!begin || !journal || !transaction)
		return 0;
	wait.transaction = BPF_CORE_READ(transaction, t_tid);
	w = bpf_map_lookup_elem(&waits, &wait);
	r = rec_begin(REC_COMMIT, sizeof(*r), bpf_ktime_get_ns());
	if (r) {
		r->begin_ns = *begin;
		r->dev = BPF_CORE_READ(journal, j_fs_dev, bd_dev);
		r->transaction = wait.transaction;
		r->waiters = w ? w->nr : 0;
		r->how = 0;
		r->by_pid = w ? w->pid : 0;
		r->by_tid = w ? w->tid : 0;
		if (w)
			__builtin_memcpy(r->comm, w->comm, REC_COMM);
		else
			__builtin_memset(r->comm, 0, REC_COMM);
		rec_submit(r);
	}
	bpf_map_delete_elem(&waits, &wait);
	bpf_map_delete_elem(&commits, &key);
	return 0;
}

/* As ext4_fsync_journal() decides: a transaction of the inode that is not on disk yet. */
SEC("tp_btf/ext4_sync_file_enter")
int BPF_PROG(journal_sync_enter, struct file *file, int datasync)
{
	struct ext4_inode_info___at *ei;
	struct super_block *sb;
	struct inode *inode;
	struct ext4_sb_info___at *sbi;
	struct journal_s___at *journal;
	struct wait_key wait = {};
	struct waiters first = { .nr = 1 }, *w;
	__u64 id;

	if (!file)
		return 0;
	inode = file->f_inode;
	sb = inode->i_sb;
	ei = (void *)inode - bpf_core_field_offset(struct ext4_inode_info___at, vfs_inode);
	sbi = sb->s_fs_info;
	journal = AT_READ_EXT4(sbi, s_journal);
	if (!journal)
		return 0;
	wait.journal = (__u64)journal;
	wait.transaction = datasync ? AT_READ_EXT4(ei, i_datasync_tid) : AT_READ_EXT4(ei, i_sync_tid);
	if ((__s32)(AT_READ_EXT4(journal, j_commit_sequence) - wait.transaction) >= 0)
		return 0;
	w = bpf_map_lookup_elem(&waits, &wait);
	if (w) {
		__sync_fetch_and_add(&w->nr, 1);
		return 0;
	}
	id = bpf_get_current_pid_tgid();
	first.pid = id >> 32;
	first.tid = (__u32)id;
	bpf_get_current_comm(first.comm, sizeof(first.comm));
	bpf_map_update_elem(&waits, &wait, &first, BPF_ANY);
	return 0;
}

/*
 * How long a thread of the broker had a handle of the journal, from ext4's wish for
 * it to its end: it waits there while the running transaction is locked by its
 * commit, and inside for a block of metadata that a commit is writing (what a write
 * does in ext4_dirty_inode).  A handle within a handle is part of the outer one.
 */
#define PAUSE_NS	100000u		/* shorter ones are not told */

struct wish { __u64 begin_ns, ino, journal; __u32 dev, transaction; };
#define WISH_SETS	512
struct wish_slots { __u64 key[SLOT_WAYS]; struct wish state[SLOT_WAYS]; };
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WISH_SETS);
	__uint(map_flags, SLOT_FLAGS);
	__type(key, __u32);
	__type(value, struct wish_slots);
} wishes SEC(".maps");

static __always_inline struct wish_slots *wish_slots(__u64 id)
{
	__u32 i = slot_set(id, WISH_SETS);

	return bpf_map_lookup_elem(&wishes, &i);
}

/* The one that is being written; NULL between two commits. */
static __always_inline __u32 committing(struct journal_s___at *journal)
{
	struct transaction_s___at *t = AT_READ_EXT4(journal, j_committing_transaction);

	return t ? AT_READ_EXT4(t, t_tid) : 0;
}

static __always_inline int handle_wish(struct super_block *sb, __u64 ino)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u64 id = bpf_get_current_pid_tgid(), now;
	struct ext4_sb_info___at *sbi = sb->s_fs_info;
	struct journal_s___at *journal = AT_READ_EXT4(sbi, s_journal);
	struct wish_slots *set = wish_slots(id);
	struct wish *w;
	__u32 at;

	if (!set || !journal || AT_READ(task, journal_info))
		return 0;
	now = bpf_ktime_get_ns();
	at = slot_find(set->key, id);	/* of one that came to nothing */
	if (at >= SLOT_WAYS)
		at = slot_claim(set->key, &set->state[0].begin_ns, sizeof(set->state[0]), id, now, COUNT_TABLE_FULL);
	if (at >= SLOT_WAYS)
		return 0;
	w = &set->state[at];
	w->begin_ns = now;
	w->ino = ino;
	w->dev = sb->s_dev;
	w->journal = (__u64)journal;
	w->transaction = committing(journal);
	return 0;
}

SEC("tp_btf/ext4_journal_start_inode")
int BPF_PROG(journal_handle_wish, struct inode *inode)
{
	return inode && is_target() ? handle_wish(inode->i_sb, inode->i_ino) : 0;
}

/* So before 6.2: the file is that of the write or sync that the thread is in. */
SEC("tp_btf/ext4_journal_start")
int BPF_PROG(journal_handle_wish_sb, struct super_block *sb)
{
	struct op *op = sb && is_target() ? op_now() : NULL;

	return op ? handle_wish(sb, op->file.ino) : 0;
}

/*
 * Told when the outermost handle ends.  Whatever it waited for in the journal was the
 * commit of then: the wait ends when that lets go of the block or of the transaction,
 * long before it is through.
 */
SEC("tp_btf/jbd2_handle_stats")
int journal_handle_end(void *ctx)
{
	__u64 id = bpf_get_current_pid_tgid(), now;
	struct journal_s___at *journal;
	struct wish_slots *set;
	struct rec_pause *r;
	struct wish *w;
	__u32 at;

	if (!is_target_tgid(id >> 32) || !(set = wish_slots(id)) || (at = slot_find(set->key, id)) >= SLOT_WAYS)
		return 0;
	w = &set->state[at];
	now = bpf_ktime_get_ns();
	if (now - w->begin_ns >= PAUSE_NS && (r = rec_begin(REC_PAUSE, sizeof(*r), now))) {
		r->begin_ns = w->begin_ns;
		r->ino = w->ino;
		r->dev = w->dev;
		r->why = REC_PAUSE_JOURNAL;
		journal = (void *)w->journal;
		r->transaction = committing(journal);
		if (!r->transaction)
			r->transaction = w->transaction;
		r->journal_tid = BPF_CORE_READ(journal, j_task, pid);
		r->fault = in_fault();
		r->pad = 0;
		rec_submit(r);
	}
	slot_free(&set->key[at]);
	return 0;
}
