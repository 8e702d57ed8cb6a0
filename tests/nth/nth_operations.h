/* SPDX-License-Identifier: Apache-2.0 */
/* The operations of control whose every call fails once: what is there before, what is asked, and
 * what shows that it was done. */
#ifndef NTH_OPERATIONS_H
#define NTH_OPERATIONS_H

#include "sim_script.h"

enum { NTH_BEFORE_MAX = 9, NTH_LOOKS_MAX = 5 };

struct nth_operation {
    const char *name, *about;
    struct script_ask before[NTH_BEFORE_MAX];
    struct script_ask ask;                  /* no action: see is_apart, is_start */
    struct script_ask looks[NTH_LOOKS_MAX]; /* what is shown: before, or after, nothing else */
    bool is_apart;      /* `before` without a link; the operation is to heal it */
    bool is_start;      /* the operation is a start of paris behind a kill */
    bool is_one_sided;  /* the sites are to differ behind it */
    const char *failed; /* a state it may end in when it was accepted */
    unsigned wait_s;    /* behind `before` */
};

/* Ended by a name of NULL. */
const struct nth_operation *nth_operations(void);

#endif
