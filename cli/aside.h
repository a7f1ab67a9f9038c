/* SPDX-License-Identifier: BSD-2-Clause */
/* aside.h - copies of trails, live ones too, beside them. */
#ifndef ACKTRAIL_ASIDE_H
#define ACKTRAIL_ASIDE_H

struct paths;

/* What was found under that name into NAME.saved, or a number behind it; a status. */
int aside_save(const char *name, const struct paths *found);

#endif
