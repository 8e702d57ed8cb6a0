/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a volume, for the units of this folder: what they share, and what a request holds
 * while it is under way. */
#ifndef VOLUME_VOLUME_STATE_H
#define VOLUME_VOLUME_STATE_H

#include "volume/flush_group.h"
#include "volume/preserve.h"
#include "volume/range_lock.h"
#include "volume/request.h"

struct tracking;
struct scratch;

enum { VOLUME_MAGIC = 0x766f6c75 };

struct volume {
    uint32_t magic;
    struct loop *loop;
    struct store *store;
    char name[64];
    struct range_lock lock;
    struct list granted; /* lock entries granted by a release, not yet told */
    bool is_granting;
    struct flush_group flush;
    const struct overlay_ops *overlay; /* or NULL; the flush group has it too */
    void *overlay_arg;
    const struct preserve_ops *preserve; /* or NULL */
    void *preserve_arg;
    struct tracking *tracking; /* or NULL */
    unsigned host_count;       /* requests of hosts under way */
    unsigned inner_count;      /* of replication, ships included */
    unsigned sweep_count;      /* saves of swept intent bits under way (intent_log.c) */
    bool is_held;
    struct list held; /* requests of hosts that came while held */
    void (*quiet_cb)(void *arg);
    void *quiet_arg;
    struct loop_task quiet_task;
    struct volume_counters counters; /* request_end() */
    struct list scratch_free;
    unsigned scratch_free_count;
};

/* A place in the range lock, and whom to call when it is granted. */
struct volume_lock {
    struct range_lock_entry entry;
    void (*granted_cb)(struct volume_lock *lock);
};

/* Waits for intent bits to be durable. */
struct intent_waiter {
    struct list node;
    void (*done_cb)(struct intent_waiter *waiter, int error);
};

enum request_kind { REQUEST_HOST, REQUEST_BASE_WRITE, REQUEST_BASE_READ };

/* Lies in volume_request.private. */
struct request_state {
    struct volume_lock lock;
    struct loop_task task;
    struct flush_waiter flush;
    struct intent_waiter intent;
    /* Asked once the lock is held; false skips the write with -ECANCELED. NULL: go on. */
    bool (*admit_cb)(struct volume_request *request);
    struct iovec iov;
    struct scratch *scratch; /* buffers of the slow stages, or NULL */
    uint64_t began_ns;       /* of a host's request */
    uint64_t cursor;         /* blocks before it were preserved in this pass */
    int error;
    uint8_t kind;  /* enum request_kind */
    uint8_t stage; /* write_path.c's, as the rest */
    uint8_t piece;
    bool is_locked;
    bool is_writer;  /* counted in its regions (intent_log.c) */
    bool is_stored;  /* the store was asked to write */
    bool has_waited; /* the submitting call has returned */
};

_Static_assert(sizeof(struct request_state) <= sizeof(((struct volume_request *)NULL)->private),
               "request_state fits");

static inline struct request_state *request_state(struct volume_request *request)
{
    return (struct request_state *)request->private;
}

static inline struct volume_request *request_of_state(struct request_state *state)
{
    return container_of((uint64_t *)state, struct volume_request, private[0]);
}

/* The blocks that a request touches, even in part. */
static inline uint64_t request_first_block(const struct volume_request *request)
{
    return request->offset >> BLOCK_SHIFT;
}

static inline uint64_t request_block_count(const struct volume_request *request)
{
    uint64_t end = request->offset + request->length;

    return ((end + BLOCK_SIZE - 1) >> BLOCK_SHIFT) - request_first_block(request);
}

/* True: granted at once. False: granted_cb will come. */
bool volume_lock_acquire(struct volume *volume, struct volume_lock *lock, uint64_t block,
                         uint64_t count, bool is_exclusive,
                         void (*granted_cb)(struct volume_lock *lock));
/* These may call granted_cb of others before they return. */
void volume_lock_release(struct volume *volume, struct volume_lock *lock);
void volume_lock_shrink(struct volume *volume, struct volume_lock *lock, uint64_t block,
                        uint64_t count);

/* Calls quiet_cb soon, if the volume is held and quiet then. */
void volume_quiet_soon(struct volume *volume);

/* Prepares request->private. */
void request_init(struct volume *volume, struct volume_request *request, enum request_kind kind);
/* Ends a request that holds nothing any more: counts and done_cb. */
void request_end(struct volume_request *request, int error);
/* The same, after the submitting call returned. */
void request_end_soon(struct volume_request *request, int error);

#endif
