/* SPDX-License-Identifier: Apache-2.0 */
/* The data wing of a site under attack: an engine with one stream of two disks, its hosts and its
 * operator. */
#ifndef FUZZ_ENGINE_H
#define FUZZ_ENGINE_H

#include "fuzz_scene.h"
#include "replication/engine.h"

enum { FUZZ_DISKS = 2, FUZZ_BLOCKS = 128 };

#define FUZZ_ENGINE_ADDRESS "10.0.0.1:10909"

enum fuzz_order {
    FUZZ_ORDER_START,
    FUZZ_ORDER_STOP,
    FUZZ_ORDER_FAILOVER,
    FUZZ_ORDER_REPROTECT,
    FUZZ_ORDER_REVERSE, /* a reprotect in which this site loses */
    FUZZ_ORDER_START_ONCE,
    FUZZ_ORDER_COUNT
};

struct fuzz_engine {
    struct fuzz_scene scene;
    struct engine *engine;
    enum stream_role role; /* of the new stream */
    bool was_target;       /* ever: then the peer may have changed its disks */
    bool is_stopped;
    bool is_reopening, has_stream; /* on what files there are; it could be opened */
    unsigned orders_begun, orders_ended;
    enum fuzz_order order; /* the one being given */
    /* Of the host's present request. */
    struct volume_request request;
    struct iovec iov;
    unsigned disk, block, count;
    bool is_busy, is_refused;
    uint8_t bytes[FUZZ_BLOCKS * BLOCK_SIZE];
    uint8_t written[FUZZ_DISKS][FUZZ_BLOCKS]; /* what fills each block; 0 at first */
};

void fuzz_engine_open(struct fuzz_engine *attacked, enum stream_role role);
/* In an open scene, on what lies in its "/data" but the disks, which are new. The engine may refuse
 * to be made (NULL then), the stream to be opened; each refusal has a text. */
void fuzz_engine_reopen(struct fuzz_engine *attacked);
/* It must stop in bounded time with every order answered; and then leave nothing. */
void fuzz_engine_stop(struct fuzz_engine *attacked);
void fuzz_engine_close(struct fuzz_engine *attacked);
void fuzz_engine_order(struct fuzz_engine *attacked, enum fuzz_order order);
/* Fills blocks with one value, if hosts may write here now. */
void fuzz_engine_write(struct fuzz_engine *attacked, unsigned disk, unsigned block, unsigned count,
                       uint8_t value);
/* With VERSO_FUZZ_LOG: a line that says how the stream is, on standard error. */
void fuzz_engine_show(struct fuzz_engine *attacked, const char *when, unsigned number);
/* While it was never a target, its disks hold what its hosts wrote. */
void fuzz_engine_check(struct fuzz_engine *attacked);

#endif
