/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * spool.h - lines that have to wait for others: in a file without a name, in TMPDIR or
 * /var/tmp, as they may be more than memory should hold.
 */
#ifndef ACKTRAIL_SPOOL_H
#define ACKTRAIL_SPOOL_H

#include "out.h"

/* False: there is no room for such a file. */
bool spool_open(struct out *spool);

/* All of it to `to`, unless spool->error: then it is not whole, and nothing is written. */
void spool_copy(struct out *spool, struct out *to);
void spool_close(struct out *spool);

#endif
