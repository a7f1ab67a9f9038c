/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join_int.h - a batch while it is joined, the join itself, and what its files give each
 * other.  All times on the axis, 0 unknown.
 */
#ifndef ACKTRAIL_JOIN_INT_H
#define ACKTRAIL_JOIN_INT_H

#include "join_base.h"
#include "join_broker.h"
#include "join_client.h"
#include "pool.h"
#include "verdict.h"

/* What identifies a batch wherever it is seen. */
struct ident {
	struct topic *topic;
	int64_t	 first_ts;
	int32_t	 partition;
	uint32_t crc, count, pad;
};
struct ident_slot { struct ident key; struct jbatch *head; UT_hash_handle hh; };

struct sequence {
	struct topic *topic;
	int64_t	 producer_id;
	int32_t	 partition, base_sequence;
	uint32_t epoch, count;
};
struct sequence_slot { struct sequence key; struct jbatch *head; UT_hash_handle hh; };

/* Appends whose batch no client told yet, by where they lie in the log. */
struct place { struct topic *topic; int64_t offset; int32_t partition; uint32_t count; };
struct place_slot { struct place key; struct jbatch *batch; UT_hash_handle hh; };

struct link_state {
	struct req *req;
	struct conn *conn;		/* without a req: the one that the library named */
	struct breq *breq;
	int64_t	 handler_ns;		/* its request handler was at something else until then, the broker's clock */
	bool	 handler_synced;	/* and that was a sync, most of the time */
	const char *handler_culprit;
	struct jtrail *appender;	/* the probe that saw it appended, so that is known; else NULL */
	bool	 own_crc;		/* and it was appended under its own CRC */
	struct bthread *thread;		/* that appended it, and may link to it still */
	struct chain *lock, *stall, *after;	/* before, in and after its append; NULL nothing */
	/* That thread waited behind the write, for an index: ns of what it waited for the longest; until then, from the write's end. */
	struct { int64_t ns, end; uint64_t dev; enum tl_part_name part; } index;
};

struct jbatch {
	struct tl_batch b;
	struct jtrail *trail;		/* of the client, or of the probe when broker-only */
	struct topic *topic;
	struct ident ident;
	struct inst *inst;
	uint32_t inst_id;
	uint32_t called, called_tid, flying;	/* flying: its messages, as its partition counts them */
	struct part *part;
	struct link_state *state;	/* beside b.attempts */
	struct tl_attempt first_attempt;	/* most batches have one: b.attempts and state point here */
	struct link_state first_state;
	struct peer *peer;
	struct file *file;		/* waits there for its disk */
	struct bthread *copier[4];	/* beside b.replicas: the threads that may link to them still */
	struct place_slot *place;
	struct jbatch *absorbed;	/* batches whose messages went on in this one */
	struct jbatch *absorb_prev, *absorb_next;
	struct past *past;		/* their attempts, in order */
	uint32_t nr_past;
	uint32_t taken;			/* messages that ended already */
	int64_t	 seen_from;		/* its trail's when it ended */
	bool	 twin;			/* another batch has the same identity */
	bool	 split_from;		/* holds a part of a batch that others absorbed */
	bool	 rest;			/* what is left of a batch whose ident it has, and which is told apart */
	bool	 in_absorbed;
	bool	 hashed, in_seq, resolved, in_part, in_uncalled, pending, replied_ok;
	struct tl_phase *worked;	/* b.phases, its own: worked out before its turn; else NULL */
	uint32_t index;
	struct jbatch *id_prev, *id_next, *seq_prev, *seq_next;
	struct jbatch *part_prev, *part_next, *call_prev, *call_next;
	struct jbatch *file_prev, *file_next, *pend_prev, *pend_next, *work_prev, *work_next;
};

/* By its number in a trail; and its partitions by theirs. */
struct near_topic { struct topic *topic; struct part **part; uint32_t nr_parts; };

/* Other things by theirs; what has a slot is in it, or not there. */
enum near_what { NEAR_CONN, NEAR_INST, NEAR_BCONN, NEAR_FILE, NR_NEAR };
struct near { void **at; uint32_t nr; };

struct jtrail {
	struct trail *t;
	uint32_t index, nr_near;
	struct near_topic *near;
	struct near near_of[NR_NEAR];
	bool	 probe;
	bool	 met;			/* a probe: it saw a batch that a client sent */
	int64_t	 lasting_ns;		/* a probe: its first append told that was slow enough for the lasting ring, 0 none */
	char	 uuid[9];
	const char *host;
	int64_t	 last_ns, end_ns;	/* end_ns: END event */
	int64_t	 seen_from, seen_until;	/* recording was last turned on, off; 0: never */
	bool	 has_producers;		/* an instance of role producer was told */
	uint32_t nr_unsent;
	int64_t	 cover_from[AT_NR_COVER], cover_to[AT_NR_COVER];
	bool	 covered[AT_NR_COVER];
	int32_t	 broker;		/* last TARGET */
	struct conn *asking;		/* of a client: its connections that have requests */
	struct bconn *bconns;		/* of a probe: its connections that have requests open, */
	struct bthread *threads;	/* and all threads that it told */
	struct quiet quiet;		/* a client's process */
	struct inst *wire;		/* of a client whose library says nothing: its start; or NULL */
	int64_t	 least_wait;		/* of its batches before they were sent, as far as told; 0 none */
};

struct join {
	struct join_conf conf;
	int64_t	 now;
	struct jtrail **trails;
	uint32_t nr_trails, nr_probes;
	bool	 several_clocks;	/* there is a probe on another clock than some trail's */
	bool	 several_brokers;	/* probes of more hosts than one: each has its sda */

	struct topic *topics;
	struct interned *strings;
	struct topic_id *topic_ids;
	struct topic_uuid *topic_uuids;

	struct inst *insts;
	struct peer *peers;
	struct conn *conns;
	uint32_t nr_addresses;		/* of them, as told */
	struct req *reqs;
	struct part *parts;
	struct stalled *stalls;
	uint32_t nr_stalls;
	struct lib *lib;		/* join_lib.c; NULL: all was read on the wire */
	struct cpu_thread *cpu_threads;	/* join_cpu.c */
#define CPU_TOLD	(5 * JOIN_MS)	/* a thread that was away for so long had no CPU, or is told to have had one */

	struct bconn *bconns;
	struct breq *breqs;
	struct file *files;
	struct bthread *threads;
	struct tnames *tnames;
	struct target *targets;
	struct ident_slot *idents;
	struct sequence_slot *sequences;
	struct place_slot *places;
	struct plog *plogs;
	struct device *devices;
	struct pause *pauses;
	uint32_t nr_pauses;
	struct blk *blks;
	uint32_t nr_blks;
	struct commit *commits;
	uint32_t nr_commits;

	/* What the batch being told points to. */
	struct tl_phase phases[TL_MAX_PHASES];
	struct tl_parts phase_parts[TL_MAX_PHASES];
	struct tl_chain phase_chains[TL_MAX_PHASES];
	char	 text[TL_MAX_TEXT];

	struct { struct pool batch, req, breq, ident, sequence, place; } pool;
	struct jbatch *pending, *unworked;	/* unworked: of them, those that are not worked out */
	uint32_t nr_pending;
	int64_t	 fading_ns;		/* what was answered until then is soon forgotten on some connection */
	uint64_t nr_told, nr_sent;	/* rows, and of clients' batches that were sent */
};

/* join_names.c */
const char *join_intern(struct join *j, const char *s, size_t n);
struct jtrail *join_trail(struct join *j, struct trail *t);
struct topic *join_topic(struct join *j, struct jtrail *t, uint32_t id);
void topic_event(struct join *j, struct jtrail *jt, const struct event *ev);

/* Events of that type were lost, so what they would have told is not to be concluded. */
static inline bool may_lack(const struct jtrail *t, enum at_type type)
{
	return t->t->account.lost[type] || t->t->account.probe_lost || t->t->incomplete;
}

/* join_near.c: NULL: its number is too large for that. */
struct near_topic *near_topic(struct jtrail *t, uint32_t id);
struct part **near_part(struct jtrail *t, uint32_t topic, int32_t partition);
void **near_slot(struct jtrail *t, enum near_what what, uint32_t id);
void near_free(struct jtrail *t);

/* join_batch.c */
struct jbatch *jbatch_new(struct join *j, struct jtrail *t, struct topic *topic, int32_t partition);
void jbatch_identify(struct join *j, struct jbatch *jb, const struct ident *id);
void jbatch_sequence(struct join *j, struct jbatch *jb);
uint32_t jbatch_attempt(struct jbatch *jb);		/* a new one: its index */
void jbatch_drop(struct join *j, struct jbatch *jb);
struct jbatch *ident_find(struct join *j, const struct ident *id);
void jbatch_displace(struct join *j, struct jbatch *jb);	/* out of the table of places */
void link_add(struct links *l, struct jbatch *jb, uint32_t attempt);
void links_free(struct links *l);

/* join_pending.c */
void pending_enter(struct join *j, struct jbatch *jb);	/* resolved: waits for its turn */
void pending_leave(struct join *j, struct jbatch *jb);
void pending_settle(struct join *j);

/* join_tell.c */
void batch_work_out(struct join *j, struct jbatch *jb);	/* ahead of its turn: what it says of its time stays */
void batch_unwork(struct jbatch *jb);
void batch_tell(struct join *j, struct jbatch *jb);	/* and it is gone */

/* join_client.c */
bool client_event(struct join *j, struct jtrail *t, const struct event *ev);
struct inst *inst_find(struct join *j, uint32_t trail, uint32_t id);
struct part *part_get(struct join *j, struct jtrail *t, uint32_t id, int32_t partition);	/* id: of the topic */
void req_unlink(struct join *j, struct req *r);		/* one batch less needs it */
void req_over(struct join *j, struct req *r);		/* answered, or it never will be */
struct req *req_sent(struct join *j, struct jtrail *t, uint32_t conn, uint32_t corr,
		     const struct req *like);		/* NULL: told already */
void inst_accepted(struct inst *in);	/* NULL: nothing */
void req_answered(struct join *j, struct req *r, int64_t ns, int16_t error);

/* join_absorb.c */
void batch_absorb(struct join *j, struct jbatch *jb);	/* those that it regroups */
/* join_wire.c: of a client whose library says nothing */
bool wire_alone(const struct jbatch *jb);
struct inst *inst_of(struct join *j, struct jtrail *t, const struct conn *c);	/* or what stands for it */
const struct inst *inst_of_batch(const struct jbatch *jb);
bool may_linger(const struct jbatch *jb, int64_t waited);
int64_t soon_given_up(const struct conn *c);
void part_waits(struct jbatch *jb, const struct conn *c, int64_t ns);	/* given up there */
void fate_passed_over(struct join *j, const struct jbatch *by, int64_t ns);	/* by a younger one, sent at ns */
void room_taken(struct conn *c, const struct req *r);
void room_never(struct conn *c, int64_t ns);

/* join_lib.c */
void lib_request(struct join *j, struct jtrail *t, const struct event *ev);
void lib_response(struct join *j, struct jtrail *t, const struct event *ev);
void lib_landed(struct lib_req *r);			/* its struct req is no more */
void lib_attempts(struct join *j, struct jbatch *jb, const struct event *ev, int64_t made, int64_t ns,
		  int64_t offset);
bool lib_may_claim(const struct join *j, const struct jbatch *jb);	/* what a probe alone has seen */
void lib_free(struct join *j);

/* join_peer.c */
void spans_open(struct spans *s, int64_t ns, enum tl_cause cause);
void spans_blame(struct spans *s, struct conn *c, int64_t since);	/* the open one */
void spans_close(struct spans *s, int64_t ns);
void spans_because(struct spans *s, int64_t ns, enum tl_cause cause);	/* the open one */
void spans_add(struct spans *s, int64_t begin, int64_t end);
int64_t spans_within(const struct spans *s, int64_t from, int64_t to);	/* closed ones */
struct peer *peer_get(struct join *j, struct key3 key);
struct peer *peer_find(struct join *j, uint32_t trail, uint32_t inst, int32_t broker);
void peer_fly(struct join *j, struct req *r);		/* in flight from here on */
void peer_land(struct join *j, struct req *r, int64_t ns);
struct conn *conn_find(struct join *j, uint32_t trail, uint32_t id);
struct conn *conn_get(struct join *j, struct jtrail *t, uint32_t id);
void conn_bind(struct join *j, struct conn *c, uint32_t inst, int32_t broker);
void conn_thread(struct conn *c, uint32_t tid);		/* that of the client which uses it */
void full_event(struct join *j, struct jtrail *t, const struct event *ev);
void conn_has_room(struct conn *c, int64_t ns);
void conn_event(struct join *j, struct jtrail *t, const struct event *ev);
void conn_end(struct join *j, struct jtrail *t, const struct event *ev);

/* join_gap.c */
void gap_note(struct join *j, struct jtrail *t, const struct event *ev);
bool gap_hides_end(const struct jbatch *jb);		/* it may have ended while nothing was recorded */
bool gap_hides_beginning(const struct jbatch *jb);	/* or been sent before */

/* join_state.c */
void broker_state(struct join *j, struct jtrail *t, const struct event *ev);
void cold_step(struct inst *in, const char *name, int64_t begin, int64_t end);

/* join_idemp.c */
#define OUT_OF_ORDER_SEQUENCE 45	/* Kafka's */
void idemp_failed(struct inst *in, const struct topic *topic, int32_t partition, int64_t ns, int32_t err, bool told);
void idemp_flies(struct jbatch *jb, int64_t ns);	/* its messages are in flight */
void idemp_lands(struct jbatch *jb, int64_t ns);
void idemp_inferred(struct jbatch *jb, int64_t from, int64_t to);	/* so they were, by the library's words */
void idemp_sent(struct inst *in, const struct topic *topic, int32_t partition, int64_t pid, int32_t epoch, int64_t ns);

/* join_signs.c */
void conn_sign(struct conn *c, int64_t ns, int what);
bool conn_was_idle(const struct conn *c);		/* before what it waits for */
enum tl_cause peer_says(struct join *j, const struct peer *p, int64_t from, int64_t to);
void tcp_event(struct join *j, struct jtrail *t, const struct event *ev);
void late_event(struct join *j, struct jtrail *t, const struct event *ev);
/* TCP's word: NETWORK (or IDLE), BROKER_SIDE (or a proxy before it); UNKNOWN: none. */
enum tl_cause conn_says(const struct conn *c, int64_t from, int64_t to);
bool conn_was_shut(const struct conn *c, int64_t from, int64_t to);	/* the other end took no more, by TCP's word */
bool conn_local(const struct conn *c);			/* both ends on one host, nothing between */
bool conn_may_be_local(const struct conn *c);
bool conn_alive(const struct conn *c, int64_t from, int64_t to);
bool conn_read_on(const struct conn *c, int64_t from, int64_t to);	/* the client kept at it */

/* join_acks.c */
void acks_event(struct join *j, struct jtrail *t, const struct event *ev);
struct jbatch *acks_rest(struct join *j, struct jbatch *jb);	/* a row for what did not end yet; the other is told */

/* join_quiet.c */
void quiet_seen(struct quiet *q, const struct jtrail *t, int64_t ns);
void quiet_proof(struct quiet *q, int64_t since, int64_t taken, int64_t least);
void quiet_arrival(struct breq *r, const struct event *ev);
void quiet_phase(struct tl_phase *p, const struct bconn *c, int64_t shift);
void quiet_client(struct jtrail *t, struct tl_phase *p);
bool quiet_unsent(struct jtrail *t, int64_t from, int64_t to);	/* it could have been sent then */
void quiet_alive(struct quiet *q, int64_t ns);	/* a thread of it did something then that is told only now */

/* join_cpu.c */
void cpu_event(struct join *j, struct jtrail *t, const struct event *ev);
void cpu_late(struct join *j, struct jtrail *t, uint32_t tid, int64_t due, int64_t ns);
bool cpu_starved(struct join *j, const struct jtrail *t, uint32_t tid, int64_t from, int64_t to);	/* most of it */
bool cpu_any_starved(struct join *j, const struct jtrail *t, int64_t from, int64_t to);	/* some thread, nearly all of it */
void phase_starved(struct tl_phase *p);	/* that is why */
void cpu_answer(struct join *j, const struct jtrail *t, uint32_t tid, struct tl_phase *p);	/* the same of one that an answer ended */
void cpu_phase(struct join *j, const struct jtrail *t, uint32_t tid, struct tl_phase *p);	/* then that is why; NULL is legal */
void cpu_free(struct join *j);

/* join_callback.c */
void callback_event(struct join *j, struct jtrail *t, const struct event *ev);
void callbacks_settle(struct part *p, int64_t now);

/* join_fate.c */
#define DUPLICATE_SEQUENCE 46		/* Kafka's: it has that batch already */
bool attempt_ok(const struct jbatch *jb, const struct tl_attempt *a);
void fate_replied(struct join *j, struct jbatch *jb, uint32_t attempt);
void fate_resolve(struct join *j, struct jbatch *jb, enum tl_outcome outcome, int64_t ns);
void fate_instance_end(struct join *j, struct jtrail *t, const struct ev_instance_end *e, int64_t ns);
void fate_end(struct join *j);
void fate_ends(struct jbatch *jb);			/* expired_by, its offset */
void fate_log(struct join *j, struct jbatch *jb);	/* in_log, resend */

/* join_log.c */
void log_reach(struct jtrail *t, int64_t begin, int64_t end);
void log_appended(struct jbatch *jb, uint32_t attempt, enum tl_join how);	/* that append was found to be its */
void log_judge(struct join *j, struct jbatch *jb);	/* in_log, and by what */
bool log_may_tell(const struct join *j, const struct jbatch *jb);	/* more, later */

/* join_broker.c */
bool broker_event(struct join *j, struct jtrail *t, const struct event *ev);
struct breq *breq_find(struct join *j, const struct jtrail *t, uint32_t conn, uint32_t corr);	/* NULL: none, or over */
void breq_unlink(struct join *j, struct breq *r);
bool breq_may_be(struct join *j, const struct breq *br, const struct conn *c, const char *client_id,
		 int64_t begin_ns);		/* the same request as that client's */
void breq_free(struct join *j, struct breq *r);
bool broker_may_tell(struct join *j, const struct jbatch *jb);
bool broker_probed(struct join *j, const struct jbatch *jb);
int64_t cover_until(const struct jtrail *t, uint32_t what, int64_t grace);
int64_t requests_until(const struct jtrail *t);		/* as far as its requests were seen, give or take */
int32_t broker_of(struct join *j, const struct jtrail *t, uint32_t pid);
struct jbatch *broker_batch(struct join *j, struct jtrail *t, const struct ident *id);
void broker_only_pend(struct join *j, struct jbatch *jb, int64_t ns);

/* What the request asked for; -1 also where that is not known. */
static inline int16_t acks_of(const struct link_state *st)
{
	if (st->breq && (st->breq->acks || st->breq->unasked))
		return st->breq->acks;
	return st->req && st->req->told ? st->req->acks : -1;
}

/* join_turn.c */
struct busy busy_of(struct join *j, const struct breq *r);
void bconn_free(struct bconn *c);
void turn_begins(struct join *j, struct breq *r);
void turn_keep(struct join *j, struct breq *r, struct jbatch *jb, uint32_t attempt);
void turn_unkeep(struct breq *r);
bool turn_may_last(struct join *j, const struct breq *r);
void turn_ends(struct join *j, struct breq *r, int64_t written, int64_t ns, int64_t throttle);

/* join_append.c */
void append_event(struct join *j, struct jtrail *t, const struct event *ev);
void append_pause(struct join *j, struct jtrail *t, const struct event *ev);
int64_t append_indexed(const struct link_state *st, const struct tl_attempt *a);	/* until its index had it: ns from the write's end */
void file_event(struct join *j, struct jtrail *t, const struct event *ev);
struct file *file_get(struct join *j, struct jtrail *t, uint32_t id);
struct bthread *bthread_get(struct join *j, struct jtrail *t, uint32_t tid);
void broker_adopt(struct join *j, struct jbatch *jb);	/* by offset, after a reply told it */
void broker_claim(struct join *j, struct jbatch *jb, int64_t slack);	/* by timestamps */

/* join_sync.c */
void sync_event(struct join *j, struct jtrail *t, const struct event *ev);

/* join_lock.c */
struct chain *chain_get(struct chain *c);
void chain_put(struct chain *c);
void wake_event(struct join *j, struct jtrail *t, const struct event *ev);
struct chain *plog_append(struct join *j, struct jtrail *t, const struct jbatch *jb, struct bthread *th,
			  int64_t from, const struct tl_attempt *a, struct chain *why);	/* whom it waited for, or NULL */
void plog_sync(struct join *j, const struct jtrail *t, const struct bthread *th, uint32_t tid,
	       int64_t begin, int64_t end, const struct tl_parts *parts);
void plog_pause(struct join *j, const struct jtrail *t, const struct bthread *th, int64_t end);
struct chain *lock_wait(struct join *j, const struct jbatch *jb, struct jtrail *t, int64_t from, int64_t to,
			bool handed_over);	/* who held its log, by inference; NULL nobody */
void plogs_free(struct join *j);

/* join_share.c */
void parts_share(struct join *j, const struct jtrail *t, uint32_t own_pid, int64_t begin, int64_t end,
		 struct tl_parts *p);

/* join_stall.c */
void thread_event(struct join *j, struct jtrail *t, const struct event *ev);
const struct tname *tname_find(const struct join *j, uint32_t trail, uint32_t tid, int64_t ns);	/* its name then */
struct chain *stall_of(struct join *j, struct jtrail *t, uint32_t tid, const struct tl_attempt *a);
bool chain_may_tell(const struct join *j, const struct chain *c);
const char *chain_text(struct join *j, const struct chain *c, struct tl_chain *tell);
enum tl_cause chain_behind(const struct chain *c);

/* join_clock.c */
void broker_times(struct join *j, struct jbatch *jb);	/* from requests into attempts, on the client's clock */
void disk_time(struct jbatch *jb);			/* behind that: when it was on disk, too */

/* sync_seen.c, sync_parts.c, append_parts.c */
void parts_block(struct join *j, struct jtrail *t, const struct event *ev);
void parts_commit(struct join *j, struct jtrail *t, const struct event *ev);
void parts_pause(struct join *j, struct jtrail *t, const struct event *ev);
void parts_device(struct join *j, struct jtrail *t, const struct event *ev);
void parts_of_append(struct join *j, struct jtrail *t, const struct event *ev, struct tl_parts *p);
void parts_of_sync(struct join *j, struct jtrail *t, const struct event *ev, struct tl_parts *p);
void parts_add(struct tl_parts *to, const struct tl_parts *p);
const char *parts_culprit(struct join *j, const struct tl_parts *p);

/* phases_wait.c */
enum tl_cause cause_of_error(int16_t code);	/* why it has to be sent again */

/* phases.c */
void phases_of(struct join *j, struct jbatch *jb);

/* join_state.c: what the start of that instance went by, most time first; NULL nothing. */
const char *cold_text(struct join *j, const struct inst *in);

/* phases_held.c */
struct held {
	int64_t	 fsync, append, lock, handlers, follower, quota, muted, total, first, last;	/* quota: by either side's word */
	int64_t	 worst, worst_stall, worst_why;
	const char *culprit;		/* of fsync */
	const char *stalled;		/* of append */
	struct chain *why;		/* of append or lock */
};
struct held held_of(struct join *j, const struct bconn *c, int64_t from, int64_t to,
		    const struct breq *own, int64_t shift);
void inherit(struct join *j, struct tl_phase *p, const struct held *h);
void held_end(struct held *h);
int64_t ahead_of(const struct bconn *c, const struct breq *own, int64_t from, int64_t to);
void inherit_chain(struct join *j, struct tl_phase *p, const struct chain *c);
void inherit_backlog(struct join *j, struct tl_phase *p, const struct breq *r, int64_t shift);
void inherit_from_peer(struct join *j, struct tl_phase *p, const struct peer *peer);
void inherit_from_conn(struct join *j, struct tl_phase *p, const struct conn *conn, int64_t from, int64_t to);

#endif
