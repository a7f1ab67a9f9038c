/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trail.h - the trail: what one process (shim or probe) leaves behind.
 *
 * This file is the whole contract between those who witness (shim/, bpf/) and
 * those who read (cli/).  The writers' structs, the reader's decoder and the
 * self-description stored in every trail all come from AT_EVENTS below.
 *
 * A trail is a directory with one file, AT_FILE_NAME.  While its process lives
 * that name may be a symbolic link to the live window on tmpfs.
 *
 *	offset 0		struct at_header	one page
 *	header.clock_off	struct at_clock_page	one page
 *	header.account_off	struct at_account_page	never recycled
 *	header.schema_off	text, see at_schema below
 *	header.chunk_off	nr_bulk + nr_last chunks of chunk_size bytes
 *
 * All integers are little endian and naturally aligned.  All times are ns of
 * the writer's CLOCK_MONOTONIC unless a name says otherwise (_ms: CreateTime
 * or configured milliseconds).  Offsets are bytes from the start of the file.
 *
 * Evolution: fields are only ever appended to an event, events are never
 * renumbered.  A reader copies min(its size, the writer's size) and zeroes the
 * rest; an unknown event is skipped by its length and counted.
 */
#ifndef ACKTRAIL_TRAIL_H
#define ACKTRAIL_TRAIL_H

#include <stdint.h>
#include <stddef.h>

#define AT_MAGIC	"ACKTRAIL"
#define AT_VERSION	1	/* of this declaration */
#define AT_MIN_READER	1	/* oldest reader that understands what we write */
#define AT_BYTE_ORDER	0x01020304u
#define AT_FILE_NAME	"trail"
#define AT_PAGE		4096u
#define AT_CHUNK_SIZE	(32u << 10)	/* default of header.chunk_size */
#define AT_CHUNK_MAGIC	0x4b4e4843u	/* "CHNK" */
#define AT_NR_TYPES	64u		/* event types are below this */
#define AT_NR_CLOCKS	168u	/* a page of pairs */
#define AT_NR_INSTANCES	64u	/* accounts with a cell for each stripe */
#define AT_NR_ACCOUNTS	512u	/* accounts kept apart; later ones share the last */
#define AT_NR_STRIPES	16u	/* account cells per instance, by thread */
#define AT_STR_MAX	1024u	/* longest string tail of an event, bytes */

enum at_kind { AT_KIND_SHIM = 1, AT_KIND_PROBE = 2 };

enum at_state {
	AT_OPEN = 0,	/* the process may be alive, or was killed */
	AT_EXITED = 1,	/* closed by exit() or the end of the probe */
	AT_EXECED = 2,	/* the process called exec*() */
	AT_SAVED = 3,	/* a copy, set aside while the process went on */
};

/* Bits of at_header.flags. */
#define AT_F_PARTIAL	1u	/* witnessing began, or began again, while the process was running */
#define AT_F_STANDBY	2u	/* nothing was to be witnessed before acktrail ctl said on */

/* at_header.control and .obeys. */
enum at_control {
	AT_CONTROL_NONE = 0,	/* a writer that cannot be told */
	AT_CONTROL_ON = 1,
	AT_CONTROL_OFF = 2,	/* standing by, or told to stop */
};

struct at_header {
	char	 magic[8];		/* AT_MAGIC, without a NUL */
	uint16_t version;
	uint16_t min_reader;
	uint32_t byte_order;		/* AT_BYTE_ORDER */
	uint8_t	 uuid[16];
	uint32_t header_size;		/* sizeof(struct at_header) of the writer */
	uint32_t chunk_size;		/* bytes, a power of two, 4 KiB..1 MiB */
	uint32_t nr_bulk;		/* chunks of the bulk ring, first in the file */
	uint32_t nr_last;		/* chunks of the ring of what must last */
	uint64_t clock_off, account_off, schema_off, schema_len, chunk_off;
	uint64_t file_size;		/* bytes */
	uint32_t kind;			/* enum at_kind */
	uint32_t state;			/* enum at_state */
	uint32_t flags;
	uint32_t pid;			/* as the writer sees it */
	uint32_t uid;
	uint32_t pid_host;		/* in the initial PID namespace when known, else 0 */
	uint64_t start_ticks;		/* /proc/PID/stat field 22: tells a reused pid */
	uint64_t created_mono_ns, created_real_ns;
	int64_t	 timens_mono_ns;	/* this time namespace's CLOCK_MONOTONIC minus the host's */
	char	 boot_id[40];		/* /proc/sys/kernel/random/boot_id; "" unknown */
	char	 host[64];
	char	 comm[16];
	char	 writer[32];		/* "acktrail 0.1.0" */
	char	 cmdline[1024];		/* arguments joined by spaces, cut; values after
					 * a word that smells of a secret are masked */
	uint32_t control;		/* enum at_control: what is wanted; all that acktrail ctl writes */
	uint32_t obeys;			/* enum at_control: what the process does */
	uint64_t more_off;		/* struct at_more_page; 0: none */
	uint64_t on_ns;			/* when it was last turned on; 0: recording from the start */
	uint64_t off_ns;		/* when it was last turned off; 0: never */
	uint64_t pid_ns;		/* inode of the PID namespace that pid is of; 0 unknown */
};

/*
 * Pairs of clocks, written by one thread now and then.  Pair 0 is the first
 * and stays; the rest is a ring: pair n stands at 1 + (n - 1) % (AT_NR_CLOCKS - 1).
 * width_ns: how long taking the pair took, so real_ns belongs to mono_ns ± width/2.
 */
struct at_clock_pair { uint64_t mono_ns, real_ns, width_ns; };
struct at_clock_page {
	uint64_t nr;			/* pairs ever taken; written last */
	struct at_clock_pair pair[AT_NR_CLOCKS];
};

/* Messages of one producer instance, counted per thread stripe. */
enum at_count {
	AT_ACCEPTED, AT_ACKED, AT_FAILED, AT_EXPIRED,
	AT_PURGED, AT_DROPPED, AT_REFUSED /* QUEUE_FULL and other errors of produce: not accepted */,
	AT_CALLED /* acks that a delivery callback or event handed to the app */,
	AT_NR_COUNTS
};
struct at_cell { uint64_t n[AT_NR_COUNTS]; };	/* one cache line */

struct at_account_page {
	uint64_t overwritten[AT_NR_TYPES];	/* events recycled, by type */
	uint64_t lost[AT_NR_TYPES];		/* events that found no chunk, by type */
	uint64_t skipped;			/* whole situations stepped aside from, see note events */
	uint64_t probe_lost;			/* probe: ring buffer reservations that failed, programs that the kernel did not run */
	uint64_t nr_instances;
	uint64_t spare[61];
	struct at_cell cell[AT_NR_INSTANCES][AT_NR_STRIPES];
};

/*
 * What the page above has no room for.  More of instance n stands at [n - 1], and of all
 * later than AT_NR_ACCOUNTS at the last.
 */
struct at_more {
	struct at_cell own;		/* from the instance behind AT_NR_INSTANCES on: all of its account */
	struct at_cell before;		/* accepted before recording was turned on, by their end; and AT_UNSEEN */
};
#define AT_UNSEEN	AT_ACCEPTED	/* of before: accepted while recorded, ended while not */
struct at_more_page { struct at_more more[AT_NR_ACCOUNTS]; };

enum at_ring { AT_BULK = 0, AT_LAST = 1 };

/*
 * A chunk belongs to one thread from the moment it is taken until it is full or
 * the thread ends.  It restates every name (topic, file, thread) that its events
 * use, so any other chunk may be recycled.  Events follow the header, each padded
 * to 8 bytes.
 */
struct at_chunk {
	uint32_t magic;			/* AT_CHUNK_MAGIC */
	uint32_t ring;			/* enum at_ring */
	uint64_t seq;			/* order of taking within the ring, from 1; 0: never used */
	uint32_t generation;		/* odd while it is being recycled */
	uint32_t committed;		/* bytes of whole events behind this header; release store */
	uint32_t tid;
	uint32_t owned;			/* 1 while a thread writes here */
	uint64_t first_ns;
	uint16_t nr[AT_NR_TYPES];	/* events here by type, for the loss account */
};

struct at_event {
	uint16_t type;
	uint16_t len;			/* header, fields, string tail; not the padding */
	uint32_t tid;			/* thread that this is about */
	uint64_t ns;			/* when: see each event */
};

/*
 * The events.  E(NAME, name, number, what ns is, fields, tail): F(type, field) in
 * the order of the struct; tail is the name of a string that fills the rest of
 * the event (not NUL-terminated), or "" for none.
 *
 * 0 in inst, conn or topic means unknown.  conn counts connections of the
 * process (client side: shim; broker side: probe), topic counts names.
 */
#define AT_EVENTS(E, F) \
/* --- both ---------------------------------------------------------------- */ \
E(TOPIC, topic, 1, "unused", \
	F(u64, uuid_hi) F(u64, uuid_lo)		/* topic id, 0 0 when not known */ \
	F(u32, topic) F(u32, pad), "name") \
E(NOTE, note, 2, "said", \
	F(u32, what) F(u32, count), "text")	/* enum at_note */ \
E(END, end, 3, "last act of the process", \
	F(u32, how) F(s32, status), "")		/* enum at_state */ \
/* --- shim: the library --------------------------------------------------- */ \
E(INSTANCE, instance, 4, "rd_kafka_new returned", \
	F(u64, message_timeout_ms)		/* of the default topic conf */ \
	F(u64, socket_timeout_ms) F(u64, linger_us) \
	F(u32, inst) F(u32, role)		/* 0 producer, 1 consumer */ \
	F(u32, lib_version)			/* rd_kafka_version() */ \
	F(u32, max_in_flight) F(u32, queue_max_messages) F(u32, queue_max_kbytes) \
	F(u32, batch_messages) F(u32, batch_bytes) \
	F(s32, acks) F(u32, flags), "client_id")	/* AT_INST_* */ \
E(INSTANCE_END, instance_end, 5, "rd_kafka_destroy", \
	F(u64, open) F(u32, inst) F(u32, how), "")	/* how 0: called, 1: returned; open: unresolved messages then */ \
E(BROKER_STATE, broker_state, 6, "on_broker_state_change", \
	F(u32, inst) F(s32, broker), "text")	/* "host:port/STATE" */ \
E(ACKS, acks, 7, "first message acknowledged", \
	F(u64, created_first_ns) F(u64, created_last_ns)	/* produce() of first and last message */ \
	F(u64, last_ns)				/* last message acknowledged (when known, else ns) */ \
	F(s64, first_ts_ms) F(s64, last_ts_ms)	/* message timestamps as librdkafka has them */ \
	F(s64, first_offset) F(s64, last_offset) \
	F(u32, inst) F(u32, topic) F(s32, partition) F(s32, err)	/* rd_kafka_resp_err_t */ \
	F(s32, broker) F(u32, persisted)	/* rd_kafka_msg_status_t: 0 no 1 possibly 2 yes */ \
	F(u32, count) F(u32, flags), "")	/* AT_ACKS_*; count grows in place, stored last */ \
E(CALLBACK, callback, 8, "app's delivery callback entered for the first message", \
	F(u64, last_ns)				/* the last one returned */ \
	F(s64, first_offset) F(s64, last_offset) \
	F(u32, inst) F(u32, topic) F(s32, partition) F(s32, err) \
	F(u32, count) F(u32, how), "")		/* how 0: dr_msg_cb, 1: dr_cb, 2: event */ \
E(PRODUCE, produce, 9, "produce call returned", \
	F(u64, begin_ns)			/* first call entered */ \
	F(u32, inst) F(u32, topic) F(s32, partition) F(s32, err)	/* 0: accepted after waiting */ \
	F(u32, count) F(u32, pad), "")		/* messages: refused in a row, folded */ \
E(LIB_RESPONSE, lib_response, 10, "on_response_received: an error, or all there is", \
	F(s64, rtt_us) F(u64, size) \
	F(u32, inst) F(s32, broker) F(s32, err) F(s32, api), "") \
E(LIB_REQUEST, lib_request, 11, "on_request_sent", \
	F(u64, size) F(u32, inst) F(u32, conn) F(s32, broker) F(u32, corr) \
	F(s32, api) F(s32, version), "") \
/* --- shim: the wire ------------------------------------------------------ */ \
E(CONN, conn, 16, "first Kafka bytes seen on a connection", \
	F(u64, connect_ns)			/* connect() called */ \
	F(u64, peer_hi) F(u64, peer_lo) F(u64, local_hi) F(u64, local_lo)	/* IPv6 or mapped IPv4; hi holds the first 8 bytes, the first of them on top */ \
	F(u32, conn) F(u32, inst) F(s32, broker) F(u32, fd) \
	F(u32, peer_port) F(u32, local_port) F(u32, flags) F(u32, pad), "")	/* AT_CONN_* */ \
E(CONN_END, conn_end, 17, "closed, or parsing given up", \
	F(u64, unparsed)			/* bytes that passed unread */ \
	F(u32, conn) F(u32, how) F(s32, err) F(u32, inflight), "")	/* enum at_conn_end */ \
E(REQUEST, request, 18, "entry of the call that carried the last byte", \
	F(u64, begin_ns)			/* entry of the call that carried the first byte */ \
	F(u32, conn) F(u32, corr) F(u32, size)	/* of the frame without its own 4 bytes */ \
	F(s16, api) F(s16, version) \
	F(s32, timeout_ms) F(s16, acks) F(u16, batches), "client_id")	/* Produce only */ \
E(BATCH, batch, 19, "entry of the call that carried its last byte", \
	F(u64, begin_ns)			/* entry of the call that carried its first byte */ \
	F(s64, first_ts_ms) F(s64, max_ts_ms) F(s64, producer_id) F(s64, base_offset) \
	F(u32, conn) F(u32, corr) F(u32, topic) F(s32, partition) \
	F(u32, crc) F(u32, count) F(u32, bytes)	/* as DumpLogSegments: length + 12 */ \
	F(s32, base_sequence) F(s16, epoch) F(u16, attributes) \
	F(u16, index) F(u16, flags), "")	/* AT_BATCH_* */ \
E(RESPONSE, response, 20, "return of the call that brought the last byte", \
	F(u64, sent_ns)				/* REQUEST.ns */ \
	F(u32, conn) F(u32, corr) F(u32, size) F(s16, api) F(s16, version) \
	F(s32, throttle_ms) F(s16, error) F(u16, flags), "")	/* AT_RESP_* */ \
E(REPLY, reply, 21, "as RESPONSE, one for each partition of a Produce", \
	F(s64, base_offset) F(s64, log_append_ms) \
	F(u32, conn) F(u32, corr) F(u32, topic) F(s32, partition) \
	F(s16, error) F(u16, index) F(u32, pad), "") \
E(TCP, tcp, 22, "sampled inside a wrapped call", \
	F(u64, overdue_ns)			/* oldest unanswered request since its last byte */ \
	F(u32, conn) F(u32, unsent) F(u32, unacked) F(u32, retransmits) \
	F(u32, rtt_us) F(u32, backoff) \
	F(u32, unread_ms) F(u32, pad), "")	/* the last bytes that came lay unread for so long, 0 none did */ \
E(LATE, late, 23, "return of a wait that was to end before", \
	F(u64, due_ns)				/* its timeout, or what it waited for was there: from then on the thread had no CPU, or was stopped */ \
	F(u32, conn) F(u32, pad), "")		/* it waited at */ \
E(CPU_WAIT, cpu_wait, 24, "noticed, before the thread's next word", \
	F(u64, begin_ns) F(u64, end_ns)		/* of the kernel's account of the thread: between these two */ \
	F(u64, waited_ns)			/* it was ready to run, and had no CPU */ \
	F(u64, ran_ns)				/* and ran */ \
	F(u64, seen_ns)				/* the last that was seen of it before */ \
	F(u32, times) F(u32, pad), "")		/* so often it got a CPU */ \
E(FULL, full, 25, "a send or a poll found no room in the socket, or some again", \
	F(u64, begin_ns)			/* there was none since */ \
	F(u32, conn) F(u32, over), "")		/* over 1: there is some again */ \
/* --- probe --------------------------------------------------------------- */ \
E(TARGET, target, 32, "found", \
	F(u32, pid) F(s32, broker) F(u32, port) F(u32, pad), "text")	/* how it was found */ \
E(LOG_DIR, log_dir, 33, "found", \
	F(u64, dev) F(u32, pid) F(u32, pad), "path") \
E(FILE, file, 34, "named", \
	F(u64, dev) F(u64, ino) F(s64, segment)	/* base offset in its name, -1 none */ \
	F(u32, file) F(u32, role)		/* enum at_role */ \
	F(u32, topic) F(s32, partition), "path") \
E(THREAD, thread, 35, "named", \
	F(u32, pid) F(u32, pad), "comm") \
E(DEVICE, device, 36, "found", \
	F(u64, dev) F(u64, parent)		/* whole disk of a partition, else 0 */ \
	F(u32, rotational) F(u32, write_cache)	/* write_cache 1: write back */ \
	F(u64, below) F(u64, below_ino)		/* of a stacked one (loop, dm, md): the disk beneath, the file on it; 0 */ \
	F(u32, stacked) F(u32, below_fs), "name")	/* stacked: nr of devices beneath, or 1; fs of below_ino as in BLOCK */ \
E(APPEND, append, 40, "write call returned", \
	F(u64, begin_ns) F(u64, position)	/* in the file, -1 unknown */ \
	F(s64, first_ts_ms) F(s64, max_ts_ms) F(s64, producer_id) F(s64, base_offset) \
	F(s64, ret)				/* bytes written or -errno */ \
	F(u32, pid) F(u32, file) F(u32, topic) F(s32, partition) \
	F(u32, crc) F(u32, count) F(u32, bytes) F(s32, base_sequence) \
	F(s16, epoch) F(u16, attributes) F(u16, index) F(u16, flags) \
	F(u64, slept_ns), "")			/* within the call; flags AT_BATCH_*, with AT_BATCH_NAPS */ \
E(SYNC, sync, 41, "call returned", \
	F(u64, begin_ns) F(u64, dev) F(u64, ino) \
	F(s64, ret) F(u32, pid) F(u32, file) F(u32, call) F(u32, flags)	/* enum at_call, AT_SYNC_* */ \
	F(u64, slept_ns), "")			/* within the call, with AT_SYNC_NAPS */ \
E(BLOCK, block, 42, "completed", \
	F(u64, queue_ns)			/* first bio queued, 0 unknown */ \
	F(u64, start_ns)			/* request got (tags, throttling passed), 0 unknown */ \
	F(u64, insert_ns)			/* given to the scheduler, 0 none */ \
	F(u64, issue_ns)			/* given to the device */ \
	F(u64, dev) F(u64, sector) F(u64, ino)	/* inode of the first page, 0 unknown */ \
	F(u32, bytes) F(u32, op)		/* enum at_op | AT_REQ_* << 8 */ \
	F(u32, queue_tid) F(u32, error) F(u32, bios) \
	F(u32, ino_fs), "")			/* file system of ino: major << 20 | minor, 0 unknown */ \
E(COMMIT, commit, 43, "journal commit ended", \
	F(u64, begin_ns) F(u64, dev) F(u64, transaction) \
	F(u32, waiters) F(u32, how)		/* how 0: jbd2, 1: XFS log force */ \
	F(u32, by_pid) F(u32, by_tid), "")	/* the first sync that asked for it, 0: none did */ \
E(ARRIVAL, arrival, 44, "call that read a request's last byte returned", \
	F(u64, arrived_ns)			/* TCP delivered the last byte, 0 unknown */ \
	F(u64, begin_ns)			/* entry of that read */ \
	F(u64, peer_hi) F(u64, peer_lo) \
	F(u32, pid) F(u32, conn) F(u32, corr) F(u32, size) \
	F(u32, peer_port) F(u32, local_port) F(s16, api) F(s16, version) \
	F(s32, timeout_ms) F(s16, acks) F(u16, batches) F(u32, pad) \
	F(u64, first_ns), "client_id")		/* TCP delivered the first byte, 0 unknown */ \
E(ARRIVAL_BATCH, arrival_batch, 45, "as ARRIVAL", \
	F(s64, first_ts_ms) F(s64, producer_id) \
	F(u32, conn) F(u32, corr) F(u32, topic) F(s32, partition) \
	F(u32, crc) F(u32, count) F(u32, bytes) F(s32, base_sequence) \
	F(s16, epoch) F(u16, index) F(u32, flags), "") \
E(ANSWER, answer, 46, "write of a response's last byte returned", \
	F(u64, begin_ns)			/* entry of the write of its first byte */ \
	F(u32, pid) F(u32, conn) F(u32, corr) F(u32, size) \
	F(u32, throttle_ms) F(u32, pad), "")	/* of a Produce: it says that it reads on so much later; 0 none told */ \
E(ARRIVAL_END, arrival_end, 47, "connection closed on the broker", \
	F(u64, drained_ns)			/* last read returned */ \
	F(u32, conn) F(u32, how), "") \
E(DISK, disk, 48, "sampled from diskstats", \
	F(u64, dev) F(u64, reads) F(u64, writes) F(u64, busy_ms) F(u64, flushes) F(u64, flush_ms), "") \
E(WAKE, wake, 49, "woken", \
	F(u64, sleep_ns) F(u32, pid) F(u32, waker), "") \
E(COVERAGE, coverage, 50, "attached, or ended", \
	F(u32, what) F(u32, on), "text")	/* one for each kind of evidence: given, or why not */ \
E(PAUSE, pause, 51, "journal handle, dirty throttling or page wait ended", \
	F(u64, begin_ns) F(u64, dev) \
	F(u64, ino)				/* of an IO: 1 << 63 | sector looked up last */ \
	F(u32, pid) F(u32, why)			/* enum at_pause */ \
	F(u64, transaction)			/* journal: the one then being committed, 0 unknown */ \
	F(u32, journal_tid)			/* and by which thread */ \
	F(u32, fault), "")			/* 1: in a page fault, in no call: of a file that is written by a mapping */

/* Bits of INSTANCE.flags. */
#define AT_INST_IDEMPOTENT	1u
#define AT_INST_TRANSACTIONAL	2u
#define AT_INST_DR_MSG_CB	4u
#define AT_INST_DR_CB		8u
#define AT_INST_DR_EVENT	16u
#define AT_INST_TLS		32u
#define AT_INST_GONE		64u	/* rd_kafka_new failed */
#define AT_INST_DR_ERRORS	128u	/* delivery.report.only.error */
#define AT_INST_EARLIER		256u	/* made while nothing was recorded: its first requests were not seen */

/* Bits of ACKS.flags. */
#define AT_ACKS_LAST_UNSEEN	1u	/* last_ns, last_ts_ms, created_last_ns are the first message's */
#define AT_ACKS_IMPLICIT	2u	/* idempotent, acknowledged without an offset */
#define AT_ACKS_LOG_APPEND	4u	/* the timestamps are the broker's */

/* Bits of CONN.flags. */
#define AT_CONN_TLS	1u
#define AT_CONN_SASL	2u
#define AT_CONN_MIDSTREAM 4u	/* read from its middle on: recording was turned on later */

/* Bits of BATCH.flags and APPEND.flags. */
#define AT_BATCH_RESTATED	1u	/* written again into the lasting ring */
#define AT_BATCH_OLD_FORMAT	2u	/* message format 0 or 1: no CRC-32C identity */
#define AT_BATCH_OPEN		4u	/* restated while unanswered */
#define AT_BATCH_MORE		8u	/* batches beyond this one were not looked at */
#define AT_BATCH_FOLLOWER	16u	/* APPEND: written by a replica fetcher */
#define AT_BATCH_NAPS		32u	/* APPEND: its sleeps were watched */

/* Bits of SYNC.flags. */
#define AT_SYNC_NAPS		1u	/* its sleeps were watched */
#define AT_SYNC_RET_UNKNOWN	2u	/* how it ended could not be seen */

/* Bits of RESPONSE.flags. */
#define AT_RESP_UNMATCHED	1u	/* its request was not seen whole */
#define AT_RESP_RESTATED	2u

enum at_note {	/* STANDBY: recording was turned on (count 1) or off (0) */
	AT_NOTE_OTHER, AT_NOTE_STEPPED_ASIDE, AT_NOTE_PARSER_OFF, AT_NOTE_NO_SPACE,
	AT_NOTE_LEFT_OUT, AT_NOTE_RING_LOST, AT_NOTE_STANDBY, AT_NOTE_FORKED,
};

enum at_conn_end {
	AT_END_CLOSED, AT_END_EOF, AT_END_ERROR, AT_END_REUSED,
	AT_END_NOT_KAFKA, AT_END_PARSER_OFF, AT_END_TLS,
};

enum at_role {	/* what a file is to Kafka */
	AT_ROLE_OTHER, AT_ROLE_SEGMENT, AT_ROLE_INDEX, AT_ROLE_TIMEINDEX,
	AT_ROLE_TXNINDEX, AT_ROLE_SNAPSHOT, AT_ROLE_CHECKPOINT,
	AT_ROLE_PASSING,	/* .cleaned .swap .deleted, -future -delete -stray: no append */
	AT_ROLE_DIRECTORY,	/* a partition's directory, or (without a topic) a log directory */
};

enum at_call {
	AT_CALL_FSYNC, AT_CALL_FDATASYNC, AT_CALL_MSYNC, AT_CALL_SYNC_FILE_RANGE,
	AT_CALL_OSYNC_WRITE, AT_CALL_AIO, AT_CALL_URING, AT_CALL_SYNCFS,
};

enum at_op { AT_OP_READ, AT_OP_WRITE, AT_OP_FLUSH, AT_OP_DISCARD, AT_OP_OTHER };
#define AT_REQ_PREFLUSH	1u
#define AT_REQ_FUA	2u
#define AT_REQ_SYNC	4u
#define AT_REQ_META	8u
#define AT_REQ_FLUSH_SEQ 16u	/* issued by the flush machinery */
#define AT_REQ_HELD	32u	/* a limit of its cgroup held it back until it was queued */

enum at_pause {
	AT_PAUSE_JOURNAL,	/* a handle of the journal, with all that happened in it */
	AT_PAUSE_DIRTY,		/* asleep: too much is dirty */
	AT_PAUSE_PAGE,		/* asleep until a page was written to the disk */
	AT_PAUSE_IO,		/* asleep for other I/O */
	AT_PAUSE_LOCK,		/* asleep, not for I/O: a lock, or another thread */
	AT_PAUSE_LOG,		/* asleep for XFS's log */
};

/* COVERAGE.what: each kind of evidence that a probe gives or leaves out. */
enum at_coverage {
	AT_COVER_REQUEST, AT_COVER_ARRIVAL, AT_COVER_APPEND, AT_COVER_SYNC,
	AT_COVER_BLOCK, AT_COVER_JOURNAL, AT_COVER_WAKE, AT_COVER_HEALTH,
	AT_COVER_NAP,		/* sleeps within appends and syncs */
	AT_NR_COVER,
};

/* ---- what follows is derived from AT_EVENTS ------------------------------ */

typedef uint8_t at_u8; typedef uint16_t at_u16; typedef uint32_t at_u32; typedef uint64_t at_u64;
typedef int16_t at_s16; typedef int32_t at_s32; typedef int64_t at_s64;

#define AT_ENUM(NAME, name, nr, when, fields, tail) AT_EV_##NAME = nr,
#define AT_NOTHING(t, f)
enum at_type { AT_EVENTS(AT_ENUM, AT_NOTHING) AT_EV_NONE = 0 };
#undef AT_ENUM

/* struct ev_NAME: the fields behind struct at_event; sizes are multiples of 8. */
#define AT_FIELD(t, f) at_##t f;
#define AT_STRUCT(NAME, name, nr, when, fields, tail) struct ev_##name { fields };
AT_EVENTS(AT_STRUCT, AT_FIELD)
#undef AT_STRUCT
#undef AT_FIELD

/* No holes: a struct is exactly the sum of its fields. */
#define AT_SUM(t, f) + sizeof(at_##t)
#define AT_CHECK(NAME, name, nr, when, fields, tail) \
	_Static_assert(sizeof(struct ev_##name) == (0 fields), "hole in ev_" #name); \
	_Static_assert(nr < AT_NR_TYPES, "number of ev_" #name);
AT_EVENTS(AT_CHECK, AT_SUM)
#undef AT_CHECK
#undef AT_SUM
#undef AT_NOTHING

_Static_assert(sizeof(struct at_header) <= AT_PAGE, "the header is one page");
_Static_assert(sizeof(struct at_clock_page) <= AT_PAGE, "the clock page is one page");
_Static_assert(sizeof(struct at_cell) == 64, "a cell is one cache line");
_Static_assert(sizeof(struct at_event) == 16, "event header");

/*
 * The self-description: one line an event,
 *	NUMBER NAME BYTES TYPE:FIELD TYPE:FIELD ... [str:TAIL]\n
 * BYTES counts the fixed fields.  Stored at header.schema_off.
 */
#define AT_SCHEMA_FIELD(t, f) " " #t ":" #f
#define AT_SCHEMA_TAIL(tail)  ((tail)[0] ? " str:" : "")

#endif
