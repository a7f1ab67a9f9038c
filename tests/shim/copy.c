// SPDX-License-Identifier: BSD-2-Clause
/* As much of librdkafka and OpenSSL as app_copies calls; built twice, COPY tells which one it is. */
#include <stddef.h>

#include "copy.h"

void (*copy_asked)(void);

void *rd_kafka_new(void)
{
	return NULL;
}

int rd_kafka_poll(void *rk, int timeout_ms)
{
	(void)rk, (void)timeout_ms;
	return COPY;
}

/* The shim asks when it gets to know this copy. */
int rd_kafka_version(void)
{
	if (copy_asked)
		copy_asked();
	return 0;
}

int SSL_write(void *ssl, const void *buf, int len)
{
	(void)ssl, (void)buf;
	return len;
}

int SSL_read(void *ssl, void *buf, int len)
{
	(void)ssl, (void)buf;
	return len;
}
