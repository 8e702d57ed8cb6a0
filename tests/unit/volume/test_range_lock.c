/* SPDX-License-Identifier: Apache-2.0 */
/* The range lock against a naive model: who is granted, in which order, always. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "volume/range_lock.h"

enum { ENTRIES = 40, STEPS = 20000 };

struct model_entry {
    struct range_lock_entry entry;
    bool is_used, is_granted;
    unsigned long arrival;
};

struct model {
    struct range_lock lock;
    struct model_entry entries[ENTRIES];
    unsigned long arrivals;
};

static bool overlap(const struct range_lock_entry *a, const struct range_lock_entry *b)
{
    return a->block < b->block + b->count && b->block < a->block + a->count &&
           (a->is_exclusive || b->is_exclusive);
}

/* Granted if and only if no earlier entry conflicts. */
static bool model_may_go(const struct model *model, const struct model_entry *entry)
{
    for (unsigned i = 0; i < ENTRIES; i++) {
        const struct model_entry *other = &model->entries[i];

        if (other->is_used && other != entry && other->arrival < entry->arrival &&
            overlap(&other->entry, &entry->entry))
            return false;
    }
    return true;
}

static void verify(struct model *model)
{
    bool is_idle = true;

    for (unsigned i = 0; i < ENTRIES; i++) {
        struct model_entry *entry = &model->entries[i];

        if (!entry->is_used)
            continue;
        is_idle = false;
        assert_int_equal(entry->is_granted, model_may_go(model, entry));
    }
    assert_int_equal(range_lock_is_idle(&model->lock), is_idle);
}

static void note_ready(struct list *ready)
{
    struct list *node;

    while ((node = list_pop(ready)) != NULL) {
        struct model_entry *entry = container_of(
            list_entry(node, struct range_lock_entry, ready_node), struct model_entry, entry);

        assert_true(entry->is_used);
        assert_false(entry->is_granted);
        entry->is_granted = true;
    }
}

static void step(struct model *model, uint64_t span, uint64_t count_max)
{
    struct model_entry *entry = &model->entries[random() % ENTRIES];
    struct list ready;

    list_init(&ready);
    if (!entry->is_used) {
        entry->is_used = true;
        entry->arrival = model->arrivals++;
        entry->is_granted =
            range_lock_acquire(&model->lock, &entry->entry, (uint64_t)random() % span,
                               1 + (uint64_t)random() % count_max, random() % 2);
    } else if (entry->is_granted && random() % 4 == 0 && entry->entry.count > 1) {
        uint64_t block = entry->entry.block + (uint64_t)random() % entry->entry.count;
        uint64_t left = entry->entry.block + entry->entry.count - block;

        range_lock_shrink(&model->lock, &entry->entry, block, 1 + (uint64_t)random() % left,
                          &ready);
    } else if (entry->is_granted) {
        entry->is_used = entry->is_granted = false;
        range_lock_release(&model->lock, &entry->entry, &ready);
    }
    note_ready(&ready);
    verify(model);
}

static void run_random(uint64_t span, uint64_t count_max)
{
    static struct model model; /* too large for the stack; one test at a time */

    model = (struct model){0};
    range_lock_init(&model.lock);
    for (unsigned i = 0; i < STEPS; i++)
        step(&model, span, count_max);
    assert_true(model.arrivals > 1000);
}

static void crowded_ranges_follow_the_model(void **state)
{
    (void)state;
    srandom(1);
    run_random(30, 6);
}

static void far_ranges_with_equal_slots_follow_the_model(void **state)
{
    (void)state;
    srandom(2);
    run_random(UINT64_C(20) * RANGE_LOCK_SLOTS, 2 * RANGE_LOCK_SLOTS);
}

static void shared_do_not_wait_for_each_other(void **state)
{
    struct range_lock lock;
    struct range_lock_entry a, b, writer, late;
    struct list ready;

    (void)state;
    list_init(&ready);
    range_lock_init(&lock);
    assert_true(range_lock_acquire(&lock, &a, 5, 10, false));
    assert_true(range_lock_acquire(&lock, &b, 10, 10, false));
    assert_false(range_lock_acquire(&lock, &writer, 14, 1, true));
    /* A reader that comes behind a waiting writer does not overtake it. */
    assert_false(range_lock_acquire(&lock, &late, 14, 1, false));
    range_lock_release(&lock, &a, &ready);
    assert_true(list_is_empty(&ready));
    range_lock_release(&lock, &b, &ready);
    assert_ptr_equal(list_pop(&ready), &writer.ready_node);
    assert_true(list_is_empty(&ready));
    range_lock_release(&lock, &writer, &ready);
    assert_ptr_equal(list_pop(&ready), &late.ready_node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crowded_ranges_follow_the_model),
        cmocka_unit_test(far_ranges_with_equal_slots_follow_the_model),
        cmocka_unit_test(shared_do_not_wait_for_each_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
