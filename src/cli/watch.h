/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for a pair or group to reach a state, with progress on a terminal. */
#ifndef CLI_WATCH_H
#define CLI_WATCH_H

#include <stdint.h>

#include "cli/objects.h"

struct watch {
    const struct replica_kind *kind;
    const char *id;
    const char *state;   /* API string; "gone"; NULL: recovery_point */
    bool recovery_point; /* one at or after since_ns; any one when nothing runs */
    uint64_t since_ns;   /* of watch_now_ns() */
    double timeout_s;    /* 0: none */
};

/* A clock that does not jump. */
uint64_t watch_now_ns(void);
/* 0 when reached; failed states and the time's end have their outcome, told on standard error. */
int watch_run(struct command *command, const struct watch *watch);

#endif
