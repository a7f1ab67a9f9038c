// SPDX-License-Identifier: BSD-2-Clause
/* thread.c - what each thread keeps: its pen, its open folds, its re-entry guard. */
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim.h"

#define NR_THREADS 4096u		/* at a time; more pass through, counted */

/*
 * One pointer of static TLS (a shim that took more could fail to load through
 * plugin.library.paths: jemalloc#1237).  initial-exec: no __tls_get_addr, which
 * may allocate.
 */
static __thread struct thread *self __attribute__((tls_model("initial-exec")));

static struct thread *pool;
static uint8_t taken[NR_THREADS];
static uint32_t hint;
static uint8_t stripe_taken[AT_NR_STRIPES - 1];	/* the last is shared by all who find none */
static pthread_key_t key;
static int (*set_specific)(pthread_key_t, const void *);

static void on_thread_exit(void *arg)
{
	(void)arg;
	thread_release();
}

/* The pthread functions lived in another library before glibc 2.34. */
__attribute__((constructor)) static void thread_init(void)
{
	int (*create)(pthread_key_t *, void (*)(void *)) = NULL;

	*(void **)&create = find_next("pthread_key_create");
	*(void **)&set_specific = find_next("pthread_setspecific");
	if (!create || create(&key, on_thread_exit))
		set_specific = NULL;
	pool = mmap(NULL, NR_THREADS * sizeof(*pool), PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (pool == MAP_FAILED)
		pool = NULL;
}

static void take_stripe(struct thread *t)
{
	for (t->stripe = 0; t->stripe < AT_NR_STRIPES - 1; t->stripe++)
		if (!__atomic_exchange_n(&stripe_taken[t->stripe], 1, __ATOMIC_ACQUIRE))
			break;
	t->alone = t->stripe < AT_NR_STRIPES - 1;
}

static struct thread *thread_new(void)
{
	uint32_t start = __atomic_fetch_add(&hint, 1, __ATOMIC_RELAXED);

	for (uint32_t i = 0; pool && i < NR_THREADS; i++) {
		uint32_t n = (start + i) % NR_THREADS;

		if (__atomic_exchange_n(&taken[n], 1, __ATOMIC_ACQUIRE))
			continue;
		memset(&pool[n], 0, sizeof(pool[n]));
		take_stripe(&pool[n]);
		/* The destructor runs while other destructors may still call us: thread_new again. */
		if (set_specific)
			set_specific(key, &pool[n]);
		return &pool[n];
	}
	return NULL;
}

/*
 * A new life: the chunks that pen held belong to the process we were forked from.  A new
 * session of the same: what grew before recording was turned off must not grow on.
 */
static void begin_turn(struct thread *t, uint32_t life)
{
	struct thread kept = { .stripe = t->stripe, .alone = t->alone, .acked = t->acked };

	if (t->life == life)
		kept.pen = t->pen;
	else
		kept.pen.tid = (uint32_t)syscall(SYS_gettid);
	/* Unlike any chunk's: each name is stated again. */
	kept.named_seq[AT_BULK] = ~kept.pen.seq[AT_BULK];
	kept.named_seq[AT_LAST] = ~kept.pen.seq[AT_LAST];
	kept.life = life;
	kept.turn = live->turn;
	kept.past_cut = !live->cut_us;
	*t = kept;
}

static __attribute__((noinline)) struct thread *enter_first(void)
{
	uint32_t life = live->number;
	struct thread *t = self;

	if (!t)
		t = self = thread_new();
	if (!t || (t->busy && t->life == life)) {
		live_skip();
		return NULL;
	}
	if (t->turn != live->turn)
		begin_turn(t, life);
	t->busy = true;
	__atomic_signal_fence(__ATOMIC_ACQ_REL);
	return t;
}

struct thread *thread_enter(void)
{
	struct thread *t = self;

	if (unlikely(!live))
		return NULL;
	live_look();
	if (unlikely(!live_writer()))
		return NULL;
	if (unlikely(!t || t->busy || t->turn != live->turn))
		return enter_first();
	t->busy = true;
	__atomic_signal_fence(__ATOMIC_ACQ_REL);
	return t;
}

void thread_leave(struct thread *t)
{
	__atomic_signal_fence(__ATOMIC_ACQ_REL);
	t->busy = false;
}

bool thread_busy(void)
{
	return self && self->busy;
}

uint32_t thread_acked(void)
{
	return self ? self->acked : 0;
}

void thread_release(void)
{
	struct thread *t = self;
	struct at_writer *w = live_trail();

	if (!t)
		return;
	self = NULL;
	if (w && t->life == live_number())
		at_writer_release(w, &t->pen);
	if (t->alone)
		__atomic_store_n(&stripe_taken[t->stripe], 0, __ATOMIC_RELEASE);
	__atomic_store_n(&taken[t - pool], 0, __ATOMIC_RELEASE);
}

/* ---- events -------------------------------------------------------------- */

static bool is_named(struct thread *t, enum at_ring ring, uint32_t id)
{
	if (t->named_seq[ring] != t->pen.seq[ring]) {
		memset(t->named[ring], 0, sizeof(t->named[ring]));
		t->named_seq[ring] = t->pen.seq[ring];
	}
	return t->named[ring][id % 32] == id;
}

static void restate(struct thread *t, struct at_writer *w, enum at_ring ring, uint64_t ns,
		    const struct topic *topic, uint16_t len)
{
	struct ev_topic *ev = at_writer_begin(w, &t->pen, ring, AT_EV_TOPIC, ns, sizeof(*ev),
					      topic->name, len);

	if (!ev)
		return;
	ev->topic = topic->id;
	ev->uuid_hi = topic->uuid_hi;
	ev->uuid_lo = topic->uuid_lo;
	at_writer_commit(&t->pen, ring);
	t->named[ring][topic->id % 32] = topic->id;
}

void *emit(struct thread *t, enum at_ring ring, enum at_type type, uint64_t ns, size_t fields,
	   const struct topic *topic, const char *tail, size_t tail_len)
{
	struct at_writer *w = live_writer();
	size_t bytes = AT_ROOM(fields, tail_len);

	if (!w)
		return NULL;
	cpu_look(t, ns);
	if (topic) {
		uint16_t len = topic_len(topic);

		if (!at_writer_room(w, &t->pen, ring, ns,
				    bytes + AT_ROOM(sizeof(struct ev_topic), len))) {
			__atomic_fetch_add(&w->account->lost[type], 1, __ATOMIC_RELAXED);
			return NULL;
		}
		if (!is_named(t, ring, topic->id))
			restate(t, w, ring, ns, topic, len);
	}
	at_writer_tick(w, ns);
	return at_writer_begin(w, &t->pen, ring, type, ns, fields, tail, tail_len);
}

/* Events that were written before tell its id alone; the reader ties them. */
void emit_topic(struct thread *t, const struct topic *topic)
{
	struct at_writer *w = live_writer();

	if (w)
		restate(t, w, AT_LAST, at_now(), topic, topic_len(topic));
}

void emit_note(struct thread *t, enum at_note what, uint32_t count, const char *text)
{
	struct ev_note *ev = emit(t, AT_LAST, AT_EV_NOTE, at_now(), sizeof(*ev), NULL, text,
				  strlen(text));

	if (!ev)
		return;
	ev->what = what;
	ev->count = count;
	emit_done(t, AT_LAST);
}
