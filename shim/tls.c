// SPDX-License-Identifier: BSD-2-Clause
/*
 * tls.c - OpenSSL as a shared library: what passes SSL_write and SSL_read is what
 * would pass the socket without TLS.  A copy hidden inside another library (the
 * wheel of confluent-kafka) calls itself directly and is not reached.
 */
#include <errno.h>

#include "shim.h"

struct ssl_functions {
	const void *dynamic;
	int (*write)(void *, const void *, int);
	int (*read)(void *, void *, int);
	int (*write_ex)(void *, const void *, size_t, size_t *);
	int (*read_ex)(void *, void *, size_t, size_t *);
	int (*get_fd)(const void *);
};

/* Of the copy that `caller` uses.  One copy a process is the rule, so one is remembered. */
static const struct ssl_functions *functions_of(const void *caller)
{
	static struct ssl_functions found[4];
	static const void *callers[64];
	static uint8_t which[64], busy;
	static unsigned nr;
	unsigned slot = (unsigned)((uintptr_t)caller >> 2) % 64;
	struct object obj;
	unsigned i;

	if (likely(__atomic_load_n(&callers[slot], __ATOMIC_ACQUIRE) == caller))
		return &found[which[slot]];
	obj = find_provider(caller, "SSL_write");
	if (!obj.dynamic)
		return NULL;
	while (__atomic_exchange_n(&busy, 1, __ATOMIC_ACQUIRE))
		;
	for (i = 0; i < nr && found[i].dynamic != obj.dynamic; i++)
		;
	if (i == nr && nr < 4) {
		found[i].dynamic = obj.dynamic;
		*(void **)&found[i].write = find_in(obj, "SSL_write");
		*(void **)&found[i].read = find_in(obj, "SSL_read");
		*(void **)&found[i].write_ex = find_in(obj, "SSL_write_ex");
		*(void **)&found[i].read_ex = find_in(obj, "SSL_read_ex");
		*(void **)&found[i].get_fd = find_in(obj, "SSL_get_fd");
		nr++;
	}
	/* A slot is written once: another call site that shares it takes the long way. */
	if (i < 4 && !callers[slot]) {
		which[slot] = (uint8_t)i;
		__atomic_store_n(&callers[slot], caller, __ATOMIC_RELEASE);
	}
	__atomic_store_n(&busy, 0, __ATOMIC_RELEASE);
	return i < 4 ? &found[i] : NULL;
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
