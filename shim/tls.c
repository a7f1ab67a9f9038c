// SPDX-License-Identifier: BSD-2-Clause
/*
 * tls.c - OpenSSL as a shared library: what passes SSL_write and SSL_read is what
 * would pass the socket without TLS.  A copy hidden inside another library (the
 * wheel of confluent-kafka) calls itself directly and is not reached.
 */
#include <errno.h>

#include "shim.h"
#include "sites.h"

#define NR_COPIES 4

struct ssl_functions {
	const void *dynamic;		/* identifies the copy; NULL: free slot */
	bool ready;			/* all that follows is there */
	int (*write)(void *, const void *, int);
	int (*read)(void *, void *, int);
	int (*write_ex)(void *, const void *, size_t, size_t *);
	int (*read_ex)(void *, void *, size_t, size_t *);
	int (*get_fd)(const void *);
};

static struct ssl_functions copies[NR_COPIES];

/* Whoever finds it unfinished does all of it, to the same end: nobody waits, not even after a fork. */
static void fill(struct ssl_functions *f, struct object obj)
{
#define RESOLVE(name) __atomic_store_n((void **)&f->name, find_in(obj, "SSL_" #name), __ATOMIC_RELAXED)
	RESOLVE(write);
	RESOLVE(read);
	RESOLVE(write_ex);
	RESOLVE(read_ex);
	RESOLVE(get_fd);
#undef RESOLVE
	__atomic_store_n(&f->ready, true, __ATOMIC_RELEASE);
}

static struct ssl_functions *functions_find(const void *caller)
{
	struct object obj = find_provider(caller, "SSL_write");

	if (!obj.dynamic)
		return NULL;
	for (struct ssl_functions *f = copies; f < copies + NR_COPIES; f++) {
		const void *owner = NULL;

		/* A free place is taken, else owner tells whose it is. */
		if (!__atomic_compare_exchange_n(&f->dynamic, &owner, obj.dynamic, false,
						 __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE) &&
		    owner != obj.dynamic)
			continue;
		if (!__atomic_load_n(&f->ready, __ATOMIC_ACQUIRE))
			fill(f, obj);
		return f;
	}
	return NULL;
}

/* Of the copy that `caller` uses. */
static const struct ssl_functions *functions_of(const void *caller)
{
	static struct sites sites;
	int i = site_find(&sites, caller);
	struct ssl_functions *f;

	if (likely(i >= 0))
		return &copies[i];
	f = functions_find(caller);
	if (f)
		site_keep(&sites, caller, (unsigned)(f - copies));
	return f;
}

static struct conn *conn_of(const struct ssl_functions *f, const void *ssl)
{
	struct conn *c = f->get_fd ? sock_conn(f->get_fd(ssl)) : NULL;

	return c && conn_usable(c) ? c : NULL;
}

static void witness_write(const struct ssl_functions *f, const void *ssl, const void *buf, size_t n,
			  uint64_t now)
{
	int saved = errno;
	struct conn *c = conn_of(f, ssl);

	if (c)
		conn_sent_plain(c, buf, n, now);
	errno = saved;
}

static void witness_read(const struct ssl_functions *f, const void *ssl, const void *buf, size_t n)
{
	int saved = errno;
	struct conn *c = conn_of(f, ssl);

	if (c)
		conn_received_plain(c, buf, n, at_now());
	errno = saved;
}

int tls_write(const void *caller, void *ssl, const void *buf, int len)
{
	const struct ssl_functions *f = functions_of(caller);
	uint64_t now = live_off() || live_idle() ? 0 : at_now();
	int n = f && f->write ? f->write(ssl, buf, len) : -1;

	if (n > 0 && now)
		witness_write(f, ssl, buf, (size_t)n, now);
	return n;
}

int tls_read(const void *caller, void *ssl, void *buf, int len)
{
	const struct ssl_functions *f = functions_of(caller);
	int n = f && f->read ? f->read(ssl, buf, len) : -1;

	if (n > 0 && !live_off() && !live_idle())
		witness_read(f, ssl, buf, (size_t)n);
	return n;
}

int tls_write_ex(const void *caller, void *ssl, const void *buf, size_t len, size_t *written)
{
	const struct ssl_functions *f = functions_of(caller);
	uint64_t now = live_off() || live_idle() ? 0 : at_now();
	int ok = f && f->write_ex ? f->write_ex(ssl, buf, len, written) : 0;

	if (ok && now)
		witness_write(f, ssl, buf, *written, now);
	return ok;
}

int tls_read_ex(const void *caller, void *ssl, void *buf, size_t len, size_t *got)
{
	const struct ssl_functions *f = functions_of(caller);
	int ok = f && f->read_ex ? f->read_ex(ssl, buf, len, got) : 0;

	if (ok && !live_off() && !live_idle())
		witness_read(f, ssl, buf, *got);
	return ok;
}
