/* SPDX-License-Identifier: Apache-2.0 */
/* The timer heap against a naive model: set, move and cancel at random, then fire in order. */
#include "io/timer_heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/check.h"

enum { TIMERS = 200 };

struct model_timer {
    struct loop_timer timer;
    bool is_set, has_fired;
    uint64_t deadline_ns, set_number;
    struct model *model;
};

struct model {
    struct timer_heap heap;
    struct model_timer timers[TIMERS];
    uint64_t now_ns, sets, last_deadline_ns, last_set_number;
};

static void fired(struct loop_timer *timer)
{
    struct model_timer *at = container_of(timer, struct model_timer, timer);
    struct model *model = at->model;

    assert_true(at->is_set && at->deadline_ns <= model->now_ns);
    assert_true(
        at->deadline_ns > model->last_deadline_ns ||
        (at->deadline_ns == model->last_deadline_ns && at->set_number > model->last_set_number));
    model->last_deadline_ns = at->deadline_ns;
    model->last_set_number = at->set_number;
    at->is_set = false;
}

static uint64_t model_deadline(const struct model *model)
{
    uint64_t first = UINT64_MAX;

    for (int i = 0; i < TIMERS; i++) {
        if (model->timers[i].is_set && model->timers[i].deadline_ns < first)
            first = model->timers[i].deadline_ns;
    }
    return first;
}

static void test_random(void **state)
{
    struct model *model = calloc(1, sizeof(*model));

    timer_heap_init(&model->heap);
    srandom(7);
    for (int i = 0; i < TIMERS; i++) {
        model->timers[i].timer.fired_cb = fired;
        model->timers[i].model = model;
    }
    for (int step = 0; step < 20000; step++) {
        struct model_timer *at = &model->timers[random() % TIMERS];

        if (random() % 3 == 0) {
            timer_heap_cancel(&model->heap, &at->timer);
            at->is_set = false;
        } else {
            at->is_set = true;
            at->deadline_ns = model->now_ns + 1 + (uint64_t)random() % 100;
            at->set_number = ++model->sets;
            timer_heap_set(&model->heap, &at->timer, at->deadline_ns);
        }
        if (step % 20 == 0) {
            model->now_ns += (uint64_t)random() % 40;
            model->last_deadline_ns = 0;
            timer_heap_run(&model->heap, model->now_ns);
            for (int i = 0; i < TIMERS; i++)
                assert_false(model->timers[i].is_set &&
                             model->timers[i].deadline_ns <= model->now_ns);
        }
        assert_int_equal(timer_heap_deadline(&model->heap), model_deadline(model));
    }
    timer_heap_fini(&model->heap);
    free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
