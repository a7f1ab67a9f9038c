/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shim.h - what the rooms of the shim share.
 *
 *	symbols.c	every exported symbol, handed over to:
 *	find.c		the real function behind a wrapped one
 *	live.c		on, off, fork and exit; the one writer of this process
 *	exec.c		another program takes the process over
 *	session.c	what happens when recording is turned on or off meanwhile
 *	thread.c	per-thread state
 *	names.c		topic names and ids
 *	lib.c		the copies of librdkafka in this process
 *	sites.h		which of the copies a call site uses
 *	conf.c		what is read of a client's configuration
 *	instance.c	client instances, from rd_kafka_new to rd_kafka_destroy
 *	intercept.c	librdkafka's interceptors of requests and brokers
 *	acks.c		acknowledgements, folded into batches
 *	calls.c		delivery callbacks and events: when the app is told
 *	produce.c	produce calls that waited or were refused
 *	tcp.c		what TCP knows of an overdue request
 *	cpu.c		how long a thread waited for a CPU
 *	tls.c		OpenSSL's calls, where they can be reached
 *	sock.c		which descriptors are watched; libc's calls on them
 *	conn.c		one Kafka connection: wire.c's findings into the trail
 *	conn_sync.c	one that was not seen from its beginning on
 *	conn_wait.c	what it waits for
 *
 * Rule of every wrapper: call the real function, keep its result and errno, and
 * witness only what is certain.  No lock, allocation or system call on the way, but for a
 * question to the kernel where something took long (tcp.c, cpu.c).
 */
#ifndef ACKTRAIL_SHIM_H
#define ACKTRAIL_SHIM_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <acktrail/kafka.h>
#include "writer.h"

#define likely(x)	__builtin_expect(!!(x), 1)
#define unlikely(x)	__builtin_expect(!!(x), 0)

/* ---- find.c -------------------------------------------------------------- */

/* An object in memory that may hold symbols; base 0 and dynamic NULL: none. */
struct object { uintptr_t base; const void *dynamic; };

/* The function that a call of `name` would have reached without the shim. */
void *find_next(const char *name);
/* The object whose `name` the code at `caller` would have reached. */
struct object find_provider(const void *caller, const char *name);
void *find_in(struct object obj, const char *name);
/* What dlsym(handle, name) gives instead of librdkafka's own function; NULL: nothing. */
void *find_wrapper(void *handle, const char *name) __asm__("acktrail_dlsym");
/* The real dlsym, for the stub in symbols.c. */
void *find_dlsym(void) __asm__("acktrail_real_dlsym");

/* ---- live.c -------------------------------------------------------------- */

struct live {
	uint32_t stage;			/* live.c's own */
	uint32_t number;
	struct at_writer *writer;	/* while it records */
	struct at_writer *trail;	/* set once open, recording or not */
	const uint32_t *control;	/* what is wanted, in the trail's header; NULL before it is open */
	uint32_t obeyed;		/* the last of it that was looked at */
	uint32_t session;		/* how often recording was turned on since it was opened */
	uint32_t turn;			/* new with every life and session */
	uint8_t	 turning;
	uint64_t cut_us;		/* messages produced before are not in the account; 0: all are */
};
extern struct live *live __attribute__((visibility("hidden")));	/* NULL: off for good */

/* Number of this life of the process: changes with fork, 0 before any evidence. */
static inline uint32_t live_number(void)
{
	return live ? live->number : 0;
}

static inline uint32_t live_session(void)
{
	return live ? live->session : 0;
}

/* The trail, whether it records or not; NULL before there is one. */
static inline struct at_writer *live_trail(void)
{
	return live ? __atomic_load_n(&live->trail, __ATOMIC_ACQUIRE) : NULL;
}

void session_turn(void);

/* Has somebody turned us on or off (acktrail ctl)?  A load and a branch when not. */
static inline void live_look(void)
{
	const uint32_t *control = __atomic_load_n(&live->control, __ATOMIC_ACQUIRE);

	if (likely(control != NULL) &&
	    unlikely(__atomic_load_n(control, __ATOMIC_RELAXED) != live->obeyed))
		session_turn();
}

/* Kafka is there, and nothing is to be recorded: wrappers pass everything through. */
static inline bool live_idle(void)
{
	if (!live || !live->control)
		return false;
	live_look();
	return !__atomic_load_n(&live->writer, __ATOMIC_RELAXED);
}

/* The writer, or NULL while nothing is witnessed. */
static inline struct at_writer *live_writer(void)
{
	return live ? __atomic_load_n(&live->writer, __ATOMIC_ACQUIRE) : NULL;
}

/* First evidence of Kafka: open the trail, standing by or not; NULL when there is none to be had. */
struct at_writer *live_open(void);
/* The same, waiting for another thread that is at it: where a call takes its time anyway. */
struct at_writer *live_open_wait(void);
/* ACKTRAIL=off or a failure: wrappers pass everything through. */
bool live_off(void);
void live_skip(void);		/* one more situation stepped aside from */
/* A vfork child: our memory is its parent's, its descriptors are copies.  A system call. */
bool live_borrowed(void);

/* The process is about to execute another program; false: it is not ours, or not watched. */
bool live_executes(void);
void live_stays(void);		/* it could not */

/* ---- exec.c ---------------------------------------------------------------- */

int exec_execve(const char *path, char *const argv[], char *const env[]);
int exec_execv(const char *path, char *const argv[]);
int exec_execvp(const char *file, char *const argv[]);
int exec_execvpe(const char *file, char *const argv[], char *const env[]);
int exec_fexecve(int fd, char *const argv[], char *const env[]);
int exec_execl(const char *path, const char *arg, va_list ap);
int exec_execlp(const char *file, const char *arg, va_list ap);
int exec_execle(const char *path, const char *arg, va_list ap);

/* ---- session.c ------------------------------------------------------------ */

uint32_t live_turn(void);	/* a number for live->turn */
struct instance;
struct thread;
struct rd_kafka_message_s;
/* A message was accepted, or ended that way: count it, if it is in the account. */
void session_sent(struct thread *t, struct instance *in, const struct rd_kafka_message_s *m);
void session_ended(struct thread *t, struct instance *in, const struct rd_kafka_message_s *m,
		   bool known, enum at_count how);

/* ---- names.c ------------------------------------------------------------- */

struct topic {
	uint64_t uuid_hi, uuid_lo;	/* 0 0: known by its name alone */
	uint32_t id;
	uint16_t len;			/* 0: known by its uuid alone, so far */
	uint8_t	 naming;
	char	 name[KAFKA_TOPIC_MAX + 1];
};

static inline uint16_t topic_len(const struct topic *t)
{
	return __atomic_load_n(&t->len, __ATOMIC_ACQUIRE);
}

/* Never freed; NULL when the table is full.  Any thread. */
const struct topic *topic_by_name(const char *name, size_t len);
const struct topic *topic_by_uuid(const uint8_t uuid[16]);
/* That id has that name; late: it was known without one. */
const struct topic *topic_learn(const uint8_t uuid[16], const char *name, size_t len, bool *late);

/* ---- thread.c ------------------------------------------------------------ */

/* An event that grows in place while its chunk is ours. */
struct fold { void *ev; uint32_t seq; enum at_ring ring; };

struct instance;
struct conn;

struct thread {
	struct at_pen pen;
	uint32_t life;			/* live_number() that pen belongs to */
	uint32_t turn;			/* of live, that all below belongs to */
	bool	 past_cut;		/* its last message was produced behind live->cut_us */
	uint32_t stripe;		/* of the account cells */
	bool	 alone;			/* no other thread has that stripe */
	bool	 busy;			/* inside the shim: a signal handler steps aside */
	uint32_t named_seq[2];
	uint32_t named[2][32];		/* topics restated in the current chunk, by id % 32 */

	uint64_t seen_ns;		/* of its last word */
	uint64_t cpu_ns;		/* cpu.c: when the kernel was last asked, and what it said */
	uint64_t cpu_ran, cpu_waited, cpu_times;	/* times 0: nothing */

	struct fold acks;
	const void *acks_rkt;
	uint32_t answered;		/* messages in the batch just answered; 0 unknown */
	uint32_t acks_expect;		/* the same of the batch being folded */
	bool	 acks_break;		/* something was received: the next ack starts a batch */
	uint32_t acked;			/* on_acknowledgement calls on this thread */
	bool	 in_produce_batch;

	struct conn *sealed;		/* of the last request on a connection we cannot read, */
	uint32_t sealed_id;		/* as long as it is that one */
	bool	 lib_alone;		/* the library's word is all there is of this thread's requests */
	uint32_t greets;		/* the instance for which this thread is in a TLS handshake, 0 none, */
	int32_t	 greets_broker;		/* and with whom */

	struct fold calls;
	const void *calls_rkt;
	const void *calls_event;	/* the fold's event is read from it; NULL: callbacks */
	bool	 serving;		/* inside a call that will say when its callbacks are over */
	bool	 in_event_array;

	struct fold refused;
	const void *sent_rkt;		/* of the last on_send on this thread */
	struct instance *sent_inst;
};

/*
 * The calling thread, ready to write; NULL when nothing is witnessed or the shim
 * is already active on this thread (a signal handler).  Pair with thread_leave().
 */
struct thread *thread_enter(void);
void thread_leave(struct thread *t);
void thread_release(void);	/* this thread ends */
bool thread_busy(void);		/* inside the shim: this is a signal handler */
uint32_t thread_acked(void);	/* its .acked, without entering */

static inline bool fold_open(const struct thread *t, const struct fold *f)
{
	return f->ev && f->seq == t->pen.seq[f->ring];
}

/* Reserve an event, its topic (or NULL) named in the same chunk.  NULL: counted. */
void *emit(struct thread *t, enum at_ring ring, enum at_type type, uint64_t ns, size_t fields,
	   const struct topic *topic, const char *tail, size_t tail_len);
static inline void emit_done(struct thread *t, enum at_ring ring)
{
	at_writer_commit(&t->pen, ring);
}
void emit_topic(struct thread *t, const struct topic *topic);	/* its name, learnt late */
void emit_note(struct thread *t, enum at_note what, uint32_t count, const char *text);

/* ---- cpu.c --------------------------------------------------------------- */

#define CPU_AWAY_NS 5000000u	/* a thread of which nothing was seen for so long may have waited for a CPU */
#define CPU_BUSY_NS 10000000u	/* another is asked after that */

void cpu_ask(struct thread *t, uint64_t ns);

void cpu_seen(uint64_t now_ns);		/* the same, where there is nothing to tell */

/* The thread gives a sign of life. */
static inline void cpu_look(struct thread *t, uint64_t ns)
{
	if (likely(ns < t->seen_ns + CPU_AWAY_NS && ns < t->cpu_ns + CPU_BUSY_NS)) {
		if (ns > t->seen_ns)
			t->seen_ns = ns;
		return;
	}
	cpu_ask(t, ns);
}

/* ---- conn.c -------------------------------------------------------------- */

struct conn;

/* A connection whose first bytes are about to be sent; NULL: no memory. */
struct conn *conn_new(int fd, uint64_t connect_ns);
bool conn_usable(const struct conn *c);
/* Bytes that the call beginning at now_ns sent, or that came by now_ns; first: its first ones. */
void conn_sent(struct conn *c, const void *bytes, size_t len, uint64_t now_ns, bool first);
void conn_received(struct conn *c, const void *bytes, size_t len, uint64_t now_ns, bool first);
/* The same, of a TLS connection: what its library was given to seal, or opened. */
void conn_sent_plain(struct conn *c, const void *bytes, size_t len, uint64_t now_ns);
void conn_received_plain(struct conn *c, const void *bytes, size_t len, uint64_t now_ns);
void conn_full(struct conn *c, uint64_t since_ns, uint64_t now_ns);	/* its socket had no room since; NULL is legal */
void conn_took(struct conn *c, uint64_t now_ns);	/* ... and some */
void conn_peer_ended(struct conn *c, int err);	/* read to its end, or reset: the app closes it then; NULL is legal */
void conn_closed(struct conn *c, enum at_conn_end how, int err);
bool conn_is_other(const struct conn *c);	/* its first bytes were not Kafka's */
/* What librdkafka says of the connection on that descriptor. */
void conn_identify(struct thread *t, struct conn *c, uint32_t inst, int32_t broker);
uint32_t conn_id(const struct conn *c);
bool conn_parsed(const struct conn *c);
/* librdkafka sent a request on a connection whose bytes cannot be read, or got an answer. */
void conn_lib_request(struct thread *t, struct conn *c, int16_t api, uint64_t now_ns);
void conn_lib_response(struct thread *t, int16_t api);
/* The oldest request that is unanswered was sent then; 0: nothing is awaited. */
uint64_t conn_waiting_since(const struct conn *c);
/* A TLS connection that nothing is known of yet: it was begun then; 0: it is none. */
uint64_t conn_greeting_since(const struct conn *c);
bool conn_sample_due(struct conn *c, uint64_t now_ns, bool readable);	/* and notes that it was taken */
void conn_overdue(struct thread *t, struct conn *c, uint64_t before_ns);	/* sent before, and not answered */

/* ---- tcp.c --------------------------------------------------------------- */

void tcp_look(int fd, struct conn *c, bool readable, uint64_t now);
void tcp_late(struct conn *c, uint64_t due_ns);		/* a wait at it that should have been over then */
uint64_t tcp_came(int fd, uint64_t begin_ns, uint64_t now_ns);
void tcp_ends(int fd, struct ev_conn *ev);	/* its two addresses */

/* ---- sock.c -------------------------------------------------------------- */

struct conn *sock_conn(int fd);

struct msghdr;
struct iovec;
struct pollfd;
struct sockaddr;
int sock_connect(int fd, const struct sockaddr *to, unsigned len);
int sock_close(int fd);
int sock_poll(struct pollfd *fds, unsigned long nr, int timeout_ms);
ssize_t sock_sendmsg(int fd, const struct msghdr *m, int flags);
ssize_t sock_send(int fd, const void *buf, size_t len, int flags);
ssize_t sock_sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *to,
		    unsigned to_len);
ssize_t sock_write(int fd, const void *buf, size_t len);
ssize_t sock_writev(int fd, const struct iovec *iov, int nr);
ssize_t sock_recvmsg(int fd, struct msghdr *m, int flags);
ssize_t sock_recv(int fd, void *buf, size_t len, int flags);
ssize_t sock_recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *from,
		      unsigned *from_len);
ssize_t sock_read(int fd, void *buf, size_t len);
ssize_t sock_readv(int fd, const struct iovec *iov, int nr);

/* ---- tls.c --------------------------------------------------------------- */

int tls_write(const void *caller, void *ssl, const void *buf, int len);
int tls_read(const void *caller, void *ssl, void *buf, int len);
int tls_write_ex(const void *caller, void *ssl, const void *buf, size_t len, size_t *written);
int tls_read_ex(const void *caller, void *ssl, void *buf, size_t len, size_t *got);

/* ---- lib.c --------------------------------------------------------------- */

#include "lib.h"

#endif
