/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The range lock: one list of all entries by arrival, and a filter that nearly always makes looking
 * at the list needless.
 *
 *  1. slots[s] counts the entries that cover a block b with b mod 4096 == s. If all slots of a new
 *     range are 0, nothing overlaps it. This is the path of nearly every write.
 *  2. entry->blocked_by is the number of earlier entries that conflict with it and have not been
 *     released. It only falls, since later arrivals never block earlier ones.
 *  3. An entry is granted if and only if blocked_by == 0.
 */
#include "volume/range_lock.h"

#include "base/check.h"

void range_lock_init(struct range_lock *lock)
{
    *lock = (struct range_lock){0};
    list_init(&lock->entries);
}

bool range_lock_is_idle(const struct range_lock *lock)
{
    return lock->entry_count == 0;
}

/* Adds `by` to the slots of a range; false: all of them were 0 before. */
static bool slots_add(struct range_lock *lock, uint64_t block, uint64_t count, int by)
{
    uint32_t before = 0;
    uint64_t slot_count = count < RANGE_LOCK_SLOTS ? count : RANGE_LOCK_SLOTS;

    for (uint64_t i = 0; i < slot_count; i++) {
        uint32_t *slot = &lock->slots[(block + i) % RANGE_LOCK_SLOTS];

        before |= *slot;
        *slot += (uint32_t)by;
    }
    return before != 0;
}

static bool overlaps(const struct range_lock_entry *entry, uint64_t block, uint64_t count)
{
    return entry->block < block + count && block < entry->block + entry->count;
}

static bool conflicts(const struct range_lock_entry *a, const struct range_lock_entry *b)
{
    return (a->is_exclusive || b->is_exclusive) && overlaps(a, b->block, b->count);
}

bool range_lock_acquire(struct range_lock *lock, struct range_lock_entry *entry, uint64_t block,
                        uint64_t count, bool is_exclusive)
{
    check(count > 0 && block + count > block);
    entry->block = block;
    entry->count = count;
    entry->is_exclusive = is_exclusive;
    entry->blocked_by = 0;
    if (slots_add(lock, block, count, 1)) {
        struct list *node, *next;

        list_for_each(node, next, &lock->entries) entry->blocked_by +=
            conflicts(list_entry(node, struct range_lock_entry, node), entry);
    }
    list_append(&lock->entries, &entry->node);
    lock->entry_count++;
    lock->waiting_count += entry->blocked_by > 0;
    return entry->blocked_by == 0;
}

/* One entry fewer stands in the way of `entry`. */
static void unblock(struct range_lock *lock, struct range_lock_entry *entry, struct list *ready)
{
    check(entry->blocked_by > 0);
    entry->blocked_by--;
    if (entry->blocked_by > 0)
        return;
    check(lock->waiting_count > 0);
    lock->waiting_count--;
    list_append(ready, &entry->ready_node);
}

void range_lock_release(struct range_lock *lock, struct range_lock_entry *entry, struct list *ready)
{
    check(entry->blocked_by == 0 && lock->entry_count > 0);
    slots_add(lock, entry->block, entry->count, -1);
    if (__builtin_expect(lock->waiting_count > 0, 0)) {
        for (struct list *node = entry->node.next; node != &lock->entries; node = node->next) {
            struct range_lock_entry *later = list_entry(node, struct range_lock_entry, node);

            if (conflicts(entry, later))
                unblock(lock, later, ready);
        }
    }
    list_remove(&entry->node);
    lock->entry_count--;
}

void range_lock_shrink(struct range_lock *lock, struct range_lock_entry *entry, uint64_t block,
                       uint64_t count, struct list *ready)
{
    struct range_lock_entry old = *entry;

    check(entry->blocked_by == 0 && count > 0);
    check(block >= entry->block && block + count <= entry->block + entry->count);
    slots_add(lock, entry->block, entry->count, -1);
    slots_add(lock, block, count, 1);
    entry->block = block;
    entry->count = count;
    for (struct list *node = entry->node.next; node != &lock->entries && lock->waiting_count > 0;
         node = node->next) {
        struct range_lock_entry *later = list_entry(node, struct range_lock_entry, node);

        if (conflicts(&old, later) && !conflicts(entry, later))
            unblock(lock, later, ready);
    }
}
