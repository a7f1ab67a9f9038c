/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join_client.h - the join's tables of the client's side: producers, the brokers as they
 * see them, connections, requests as they were written, partitions.
 */
#ifndef ACKTRAIL_JOIN_CLIENT_H
#define ACKTRAIL_JOIN_CLIENT_H

#include "join_base.h"

#define JOIN_COLD	12u
#define SYN_AGAIN	(1000 * JOIN_MS)	/* a SYN that got no answer is sent again after that */

/* Who held a connection: of batches already told. */
struct blame { int64_t begin, end; enum tl_cause cause; const char *culprit; };
#define JOIN_BLAMES 64u

/* A broker as one producer instance sees it. */
struct peer {
	struct key3 key;		/* trail, inst, broker or a hash of its address */
	UT_hash_handle hh;
	uint32_t up;			/* connections now */
	uint32_t in_flight;
	bool	 ever_up;
	bool	 states;		/* the library tells its state: surer than connections */
	bool	 relayed;		/* what lies at its address is no broker: that has other connections */
	uint32_t address;		/* a hash of the last one told, 0 none */
	enum { PEER_OTHER, PEER_CONNECT, PEER_TLS, PEER_AUTH, PEER_UP } state;	/* last told */
	int64_t	 state_ns;		/* since */
	struct conn *last;
	uint32_t tid;			/* of the client's thread that wrote to it last, 0 unknown */
	struct spans down, shaking, full, busy;	/* shaking: connected, not yet usable; busy: no room in the socket */
	struct spans late;		/* its thread should have run, and did not */
	struct spans connecting;	/* TCP connects and nobody answers */
	int64_t	 lost_ns, lost_since;	/* when its last connection ended, and why */
	int64_t	 shook_ns;		/* a handshake was seen to go on, last */
	enum tl_cause lost_cause;
	struct conn *lost_conn;
	struct blame blame[JOIN_BLAMES];
	uint32_t nr_blames;
};

struct inst {
	struct key2 key;
	UT_hash_handle hh;
	struct ev_instance conf;
	const char *client_id;
	int64_t	 begin_ns, ending_ns, end_ns;	/* ending: the app began to destroy it */
	int64_t	 produced_ns;		/* the first Produce was written */
	struct spans no_id;		/* idempotent, and no producer id yet */
	struct spans drain;		/* idempotent, and recovering: join_idemp.c */
	int64_t	 drain_since, fatal_ns;	/* maybe; never to send again */
	const struct topic *drain_topic;
	struct conn *drain_conn;	/* where the last answer since then came */
	int64_t	 pid;			/* of the batch sent last */
	int32_t	 epoch, drain_partition;
	struct spans no_broker;		/* no broker was up yet, and connecting had failed */
	bool	 ever_up;
	/* The start, until the first Produce: each kind of step, and when the last of it ended. */
	struct cold { const char *name; int64_t ns, end; } cold[JOIN_COLD];
	uint32_t nr_cold;
	int64_t	 id_refused_ns;		/* it asked for an id, and the answer was this error; 0: or asks again */
	int16_t	 id_error;
	bool	 produced;
	struct spans prelude;		/* requests that came before any Produce */
};

/* Signs of life, and what TCP said of an overdue request; shut: acknowledged what it took, and takes no more. */
#define JOIN_SIGNS 1024u
struct sign { int64_t ns; enum { SIGN_LIFE, SIGN_ACKED, SIGN_SHUT, SIGN_STUCK } what; };
#define JOIN_SAMPLE	(1500 * JOIN_MS)	/* two words of TCP are no further apart while it is asked */

struct conn {
	struct key2 key;
	UT_hash_handle hh;
	struct jtrail *trail;
	uint32_t inst;
	int32_t	 broker;
	uint64_t peer_hi, peer_lo, local_hi, local_lo;
	uint32_t peer_port, local_port, flags;
	int64_t	 connect_ns, ready_ns, end_ns;
	bool	 told;			/* a CONN event was seen */
	struct peer *peer;
	struct bconn *bconn;		/* the same connection as the broker sees it */
	struct req *reqs;		/* not yet freed */
	struct conn *prev, *next;	/* of the trail's that have any */
	uint32_t nr_flying;		/* of them in flight */
	uint32_t tid;			/* as peer's */
	bool	 full;			/* no room in its socket: peer->busy is open for that */
	uint32_t most;			/* ever in flight, */
	int64_t	 full_ns, room_ns;	/* since when so many were, and until when */
	int64_t	 waited_ns;		/* at its end: how long the oldest of them had waited */
	uint32_t max_corr;
	int64_t	 asked_ns;		/* the first request since there was none in flight */
	bool	 served;		/* a Produce was answered on it */
	int64_t	 answered_ns;		/* the latest answer read, */
	uint32_t answered_corr;		/* and to which request */
	struct sign *signs;		/* a ring of JOIN_SIGNS, or NULL */
	struct sign sign;		/* the last of them */
	uint32_t nr_signs;
	bool	 tcp_told;		/* any of them is TCP's word */
	struct spans throttled;		/* the broker reads on later, by its own word */
};


/* A request as the client wrote it. */
struct req {
	struct key3 key;
	UT_hash_handle hh;
	struct conn *conn;
	int64_t	 begin_ns, end_ns, response_ns;
	uint32_t size;
	int16_t	 api, acks, version;
	int32_t	 throttle_ms;
	bool	 told, flying, over;	/* REQUEST seen; counted in flight; answered or dead */
	const char *client_id;
	struct breq *breq;
	struct lib_req *lib;		/* the library alone told of it */
	struct links links;
	uint32_t live_links;
	struct req *prev, *next;	/* of conn */
};

/* A fold of callbacks; it begins before some of the acks that it covers. */
struct debt {
	int64_t	 begin, end;
	uint32_t inst, tid, left, count, done;
	int32_t	 err;
	bool	 all_there;		/* all of it was acked when it began */
	struct debt *prev, *next;
};

#define JOIN_CRC_KEPT	4u		/* a partition moves from broker to broker */

/* One producer process's view of a partition. */
struct part {
	struct part_key key;
	UT_hash_handle hh;
	struct jbatch *open;		/* on the wire, unresolved, in order of writing */
	struct jbatch *uncalled;	/* resolved, callback not seen, in order of acks */
	struct debt *debts;		/* callbacks told before their acks */
	struct peer *peer;		/* last used */
	uint32_t flying;		/* idempotent: its messages in flight; */
	struct spans *full;		/* so many that no more may be; NULL never */
	struct spans *again;		/* from a refusal until the next batch: all wait behind what is sent again; NULL never */
	bool	 in_dump;		/* a batch of it was found in the log dump, by its CRC */
	const struct jtrail *crc_kept[JOIN_CRC_KEPT];	/* probes that saw one of its appended under its own CRC, or NULL */
	uint32_t nr_crc_kept;
};

/* An attempt with messages of one batch, some of which went on in another. */
#define JOIN_PAST 1024u
struct past {
	int64_t	 first_ts, max_ts;
	int64_t	 write_begin_ns, write_end_ns, end_ns;
	uint32_t conn;
	int16_t	 error_code;		/* 0: not answered */
};

struct stalled { int64_t begin, end; struct topic *topic; uint32_t trail, inst; int32_t partition; };
#define JOIN_STALLS	1024u

#endif
