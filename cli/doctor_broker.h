/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * doctor_broker.h - by what a process, or a command, is known as a Kafka broker; NULL: it is
 * none that can be told.
 */
#ifndef ACKTRAIL_DOCTOR_BROKER_H
#define ACKTRAIL_DOCTOR_BROKER_H

const char *broker_process(int pid);
const char *broker_command(char *const command[]);

#endif
