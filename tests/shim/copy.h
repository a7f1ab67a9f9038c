/* SPDX-License-Identifier: BSD-2-Clause */
/* copy.h - copy.c's functions, by the names of the real ones. */
#ifndef SHIM_COPY_H
#define SHIM_COPY_H

extern void (*copy_asked)(void);	/* called by rd_kafka_version() */

void *rd_kafka_new(void);
int rd_kafka_poll(void *rk, int timeout_ms);	/* which copy it is */
int rd_kafka_version(void);
int SSL_write(void *ssl, const void *buf, int len);
int SSL_read(void *ssl, void *buf, int len);

#endif
