// SPDX-License-Identifier: BSD-2-Clause
/* pieces.c - the BPF programs, and what --dry-run says of them. */
#include <string.h>

#include "pieces.h"

const struct piece pieces[] = {
	{ "request_enter_read", "syscalls/sys_enter_read", AT_COVER_REQUEST, true, NULL },
	{ "request_exit_read", "syscalls/sys_exit_read", AT_COVER_REQUEST, true, NULL },
	{ "request_enter_recvfrom", "syscalls/sys_enter_recvfrom", AT_COVER_REQUEST, false, NULL },
	{ "request_exit_recvfrom", "syscalls/sys_exit_recvfrom", AT_COVER_REQUEST, false, NULL },
	{ "request_enter_sendfile", "syscalls/sys_enter_sendfile64", AT_COVER_REQUEST, false, NULL },
	{ "request_exit_sendfile", "syscalls/sys_exit_sendfile64", AT_COVER_REQUEST, false, NULL },
	{ "request_enter_close", "syscalls/sys_enter_close", AT_COVER_REQUEST, true, NULL },
	{ "request_tcp_probe", "btf:tcp_probe", AT_COVER_ARRIVAL, true, NULL },
	{ "append_enter_write", "syscalls/sys_enter_write", AT_COVER_APPEND, true, NULL },
	{ "append_exit_write", "syscalls/sys_exit_write", AT_COVER_APPEND, true, NULL },
	{ "append_enter_writev", "syscalls/sys_enter_writev", AT_COVER_APPEND, true, NULL },
	{ "append_exit_writev", "syscalls/sys_exit_writev", AT_COVER_APPEND, true, NULL },
	{ "append_enter_pwrite64", "syscalls/sys_enter_pwrite64", AT_COVER_APPEND, false, NULL },
	{ "append_exit_pwrite64", "syscalls/sys_exit_pwrite64", AT_COVER_APPEND, false, NULL },
	{ "append_enter_pwritev", "syscalls/sys_enter_pwritev", AT_COVER_APPEND, false, NULL },
	{ "append_exit_pwritev", "syscalls/sys_exit_pwritev", AT_COVER_APPEND, false, NULL },
	{ "append_enter_pwritev2", "syscalls/sys_enter_pwritev2", AT_COVER_APPEND, false, NULL },
	{ "append_exit_pwritev2", "syscalls/sys_exit_pwritev2", AT_COVER_APPEND, false, NULL },
	{ "sync_enter_fsync", "syscalls/sys_enter_fsync", AT_COVER_SYNC, true, NULL },
	{ "sync_exit_fsync", "syscalls/sys_exit_fsync", AT_COVER_SYNC, true, NULL },
	{ "sync_enter_fdatasync", "syscalls/sys_enter_fdatasync", AT_COVER_SYNC, true, NULL },
	{ "sync_exit_fdatasync", "syscalls/sys_exit_fdatasync", AT_COVER_SYNC, true, NULL },
	{ "sync_enter_sync_file_range", "syscalls/sys_enter_sync_file_range", AT_COVER_SYNC, false, NULL },
	{ "sync_exit_sync_file_range", "syscalls/sys_exit_sync_file_range", AT_COVER_SYNC, false, NULL },
	{ "sync_enter_msync", "syscalls/sys_enter_msync", AT_COVER_SYNC, false, NULL },
	{ "sync_enter_msync_plain", "syscalls/sys_enter_msync", AT_COVER_SYNC, false, NULL },
	{ "sync_exit_msync", "syscalls/sys_exit_msync", AT_COVER_SYNC, false, NULL },
	{ "sync_ext4_file", "btf:ext4_sync_file_enter", AT_COVER_SYNC, false, NULL },
	{ "async_io_submit", "syscalls/sys_enter_io_submit", AT_COVER_SYNC, false, NULL },
	{ "async_uring_submit", "btf:io_uring_submit_req", AT_COVER_SYNC, false, NULL },
	{ "async_ext4_enter", "btf:ext4_sync_file_enter", AT_COVER_SYNC, false, NULL },
	{ "async_ext4_exit", "btf:ext4_sync_file_exit", AT_COVER_SYNC, false, NULL },
	{ "async_xfs_enter", "btf:xfs_file_fsync", AT_COVER_SYNC, false, NULL },
	{ "async_work_end", "btf:workqueue_execute_end", AT_COVER_SYNC, false, NULL },
	{ "block_bio_queue", "btf:block_bio_queue", AT_COVER_BLOCK, false, NULL },
	{ "block_split", "btf:block_split", AT_COVER_BLOCK, false, NULL },
	{ "block_getrq", "btf:block_getrq", AT_COVER_BLOCK, false, NULL },
	{ "block_rq_insert", "btf:block_rq_insert", AT_COVER_BLOCK, false, NULL },
	{ "block_rq_issue", "btf:block_rq_issue", AT_COVER_BLOCK, true, NULL },
	{ "block_rq_requeue", "btf:block_rq_requeue", AT_COVER_BLOCK, false, NULL },
	{ "block_rq_merge", "btf:block_rq_merge", AT_COVER_BLOCK, false, NULL },
	{ "block_rq_complete", "btf:block_rq_complete", AT_COVER_BLOCK, true, NULL },
	{ "journal_start_commit", "btf:jbd2_start_commit", AT_COVER_JOURNAL, true, NULL },
	{ "journal_end_commit", "btf:jbd2_end_commit", AT_COVER_JOURNAL, true, NULL },
	{ "journal_handle_wish", "btf:ext4_journal_start_inode", AT_COVER_JOURNAL, false, "btf:ext4_journal_start" },
	{ "journal_handle_wish_sb", "btf:ext4_journal_start", AT_COVER_JOURNAL, false, "btf:ext4_journal_start_inode" },
	{ "journal_handle_end", "btf:jbd2_handle_stats", AT_COVER_JOURNAL, false, NULL },
	{ "xfs_iclog_wait_on", "btf:xlog_iclog_wait_on", AT_COVER_JOURNAL, false, NULL },
	{ "xfs_iclog_syncing", "btf:xlog_iclog_syncing", AT_COVER_JOURNAL, false, NULL },
	{ "xfs_iclog_sync_done", "btf:xlog_iclog_sync_done", AT_COVER_JOURNAL, false, NULL },
	{ "nap_switch", "btf:sched_switch", AT_COVER_NAP, true, NULL },
	{ "nap_waking", "btf:sched_waking", AT_COVER_NAP, false, NULL },
	{ "nap_dirty", "btf:balance_dirty_pages", AT_COVER_NAP, false, NULL },
	{ "nap_dirty_old", "btf:balance_dirty_pages", AT_COVER_NAP, false, NULL },
	{ "nap_folio", "btf:folio_wait_writeback", AT_COVER_NAP, false, "btf:wait_on_page_writeback" },
	{ "nap_page", "btf:wait_on_page_writeback", AT_COVER_NAP, false, "btf:folio_wait_writeback" },
	{ "nap_touch", "btf:block_touch_buffer", AT_COVER_NAP, false, NULL },
	{ "xfs_force", "btf:xfs_log_force", AT_COVER_NAP, false, NULL },
	{ "xfs_grant_sleep", "btf:xfs_log_grant_sleep", AT_COVER_NAP, false, NULL },
	{ "xfs_cil_wait", "btf:xfs_log_cil_wait", AT_COVER_NAP, false, NULL },
	{ "wake_switch", "btf:sched_switch", AT_COVER_WAKE, true, NULL },
	{ "wake_waking", "btf:sched_waking", AT_COVER_WAKE, true, NULL },
	{ "journal_sync_enter", "btf:ext4_sync_file_enter", AT_COVER_JOURNAL, false, NULL },
};
const unsigned nr_pieces = sizeof(pieces) / sizeof(pieces[0]);
_Static_assert(sizeof(pieces) / sizeof(pieces[0]) <= MAX_PIECES, "what is indexed by piece holds them all");

const struct cover covers[AT_NR_COVER] = {
	[AT_COVER_REQUEST] = { "request",
		"size, API key, version, correlation id and client id of each request; of a Produce also acks, timeout, "
		"topic, partition and the 61-byte header of its first 16 batches; size and correlation id of each response, of a Produce's the throttle time; "
		"the peer's address and port", LEVEL_FULL, NULL },
	[AT_COVER_ARRIVAL] = { "arrival", "sequence numbers of TCP segments to the broker's ports", LEVEL_FULL, NULL },
	[AT_COVER_APPEND] = { "append", "the 61-byte header of the first 16 batches of each write to a segment; whether a file was opened to be written through (O_DSYNC)", LEVEL_APPEND, NULL },
	[AT_COVER_SYNC] = { "sync", "names, inode and device numbers of files and directories under the log directories; of an io_submit the operation and descriptor of its "
		"first 16 requests, of an io_uring request the same", LEVEL_DISK,
		"syncs by io_uring on XFS, which does not say when they end; at --level disk, writes to files opened O_DSYNC" },
	[AT_COVER_BLOCK] = { "block", "device, sector, size, flags and inode number of each request of the log directories' disks, and of the disk beneath a "
		"stacked one; id and name of the thread that queued it", LEVEL_DISK, NULL },
	[AT_COVER_JOURNAL] = { "journal", "device and transaction number of each jbd2 commit, device of each log write of XFS; id and name of the thread whose sync came first; how long the broker's threads hold a handle, and for which inode", LEVEL_DISK, NULL },
	[AT_COVER_WAKE] = { "wake", "which thread of the broker ended the last futex sleep of one that appends, and how long that was", LEVEL_FULL, NULL },
	[AT_COVER_NAP] = { "nap", "when a thread sleeps within its append or sync, for how long, what the tracepoint before said of it, and the sector of the block of metadata that it looked up last", LEVEL_DISK, NULL },
	[AT_COVER_HEALTH] = { "health", "/sys/dev/block/*/stat, every 3 s", LEVEL_DISK, NULL },
};

void load_describe(const struct probe *p, FILE *to)
{
	fprintf(to, "needs: root (CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE to read other processes' /proc, CAP_SYS_ADMIN to mount tracefs), Linux 5.12 with BTF\n");
	for (unsigned c = 0; c < AT_NR_COVER; c++) {
		if (p->opt.level < covers[c].from)
			continue;
		fprintf(to, "\n%s\n  reads: %s\n", covers[c].name, covers[c].reads);
		if (covers[c].not)
			fprintf(to, "  not: %s\n", covers[c].not);
		for (unsigned i = 0; i < nr_pieces; i++)
			if (pieces[i].cover == c)
				fprintf(to, "  program %-28s at %s %s\n", pieces[i].prog,
					strncmp(pieces[i].at, "btf:", 4) ? "tracepoint" : "tp_btf",
					strncmp(pieces[i].at, "btf:", 4) ? pieces[i].at : pieces[i].at + 4);
	}
	fprintf(to, "\nfrom user space: /proc (command lines, open files and sockets of the broker, thread names), the broker's "
		"configuration file (log directories, listeners, node id), partition.metadata (topic ids)\n");
}
