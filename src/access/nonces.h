/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nonces of signed requests: none is taken twice, whatever happens to the process, the machine
 * or the memory given for it. docs/signatures.md says how and what it costs whom; nonces.c has the
 * rules.
 *
 * On the control loop. The arithmetic (`signature`) stays the caller's and outlives it.
 */
#ifndef ACCESS_NONCES_H
#define ACCESS_NONCES_H

#include "access/signature.h"
#include "io/loop.h"

enum {
    NONCES_DEFAULT = 1 << 20, /* remembered: 24 MiB of memory, 16 of them in the file */
    NONCES_WINDOW_S = 900,    /* default: how far a clock may be away, each way */
    NONCES_AHEAD_S = 5,       /* a clock that is further ahead costs a sync every two minutes */
};

struct nonces;

struct nonces_options {
    struct loop *loop;
    struct signature *signature;
    const char *folder; /* of nonces.volatile and nonces.ahead */
    unsigned capacity;  /* 0: the default */
    unsigned window_s;  /* 0: the default */
};

enum nonce_verdict {
    NONCE_FRESH,
    NONCE_USED,
    NONCE_EXPIRED, /* its time is outside the window, or too old to be told from a used one */
    NONCE_LATER,   /* the same, but the clock will soon be past that: a new request in a moment */
};

struct nonce {
    uint64_t tag;
    uint32_t time_s;
    unsigned lane;
};

/* Blocks on its files. */
int nonces_open(const struct nonces_options *options, struct nonces **ret_nonces, struct err *err);
void nonces_close(struct nonces *nonces); /* NULL is fine */

/* What is known of it; `time_s`: the time that the request says. `ret_nonce` for nonces_take(). */
enum nonce_verdict nonces_judge(struct nonces *nonces, const char *key_id, const char *text,
                                int64_t time_s, struct nonce *ret_nonce);
/* It is used from here on. -EIO: it could not be remembered (the request must be refused). */
int nonces_take(struct nonces *nonces, const struct nonce *nonce);

#endif
