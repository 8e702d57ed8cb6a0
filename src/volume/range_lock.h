/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks on ranges of blocks: shared by readers for shipping, exclusive by writes (R2, R6). Pure: it
 * answers who may go, the owner calls them.
 *
 * First come, first served: an entry waits for every earlier entry, granted or not, that overlaps
 * it and is not shared with it; so a stream of readers cannot starve a writer. An entry takes its
 * whole range at once and waits only for earlier ones; so there is no deadlock. Nothing is
 * allocated.
 */
#ifndef VOLUME_RANGE_LOCK_H
#define VOLUME_RANGE_LOCK_H

#include <stdint.h>

#include "base/list.h"

enum { RANGE_LOCK_SLOTS = 4096 };

struct range_lock {
    struct list entries; /* all, by arrival */
    unsigned waiting_count;
    unsigned entry_count;
    uint32_t slots[RANGE_LOCK_SLOTS]; /* how many entries cover a block with this remainder */
};

struct range_lock_entry {
    struct list node;       /* the lock's */
    struct list ready_node; /* in the owner's list of the newly granted */
    uint64_t block, count;
    uint32_t blocked_by; /* earlier entries in its way; 0: granted */
    bool is_exclusive;
};

void range_lock_init(struct range_lock *lock);
bool range_lock_is_idle(const struct range_lock *lock);

/* True: granted at once. False: it will turn up in the `ready` list of a later release or shrink.
 */
bool range_lock_acquire(struct range_lock *lock, struct range_lock_entry *entry, uint64_t block,
                        uint64_t count, bool is_exclusive);
/* Gives a granted entry back; appends to `ready`, by ready_node, those that may go now. */
void range_lock_release(struct range_lock *lock, struct range_lock_entry *entry,
                        struct list *ready);
/* Keeps only the part [block, block + count) of a granted entry. */
void range_lock_shrink(struct range_lock *lock, struct range_lock_entry *entry, uint64_t block,
                       uint64_t count, struct list *ready);

#endif
