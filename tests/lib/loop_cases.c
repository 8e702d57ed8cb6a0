/* SPDX-License-Identifier: Apache-2.0 */
/* The conformance suite: a fresh loop a case, and the cases that need neither file nor socket. */
#include "tests/lib/loop_cases_private.h"

#include <pthread.h>

void wait_op_done(struct io_op *op, int64_t result)
{
    struct wait_op *wait = container_of(op, struct wait_op, op);

    assert_false(wait->is_done);
    wait->is_done = true;
    wait->result = result;
    loop_stop(wait->loop);
}

int64_t wait_op_run(struct wait_op *wait, struct loop *loop)
{
    assert_false(wait->is_done); /* no callback from inside the submitting call */
    wait->loop = loop;
    loop_run(loop);
    assert_true(wait->is_done);
    wait->is_done = false;
    return wait->result;
}

/* Timers: each notes its letter. */
struct noted_timer {
    struct loop_timer timer;
    struct loop *loop;
    char letter;
    char *notes;
    bool is_last;
    int again;
};

static void note(struct loop_timer *timer)
{
    struct noted_timer *noted = container_of(timer, struct noted_timer, timer);
    char text[2] = {noted->letter, 0};

    strcat(noted->notes, text);
    if (noted->again-- > 0)
        loop_timer_set(noted->loop, timer, loop_now_ns(noted->loop));
    else if (noted->is_last)
        loop_stop(noted->loop);
}

void case_timers_order(void **state)
{
    struct loop_case *c = *state;
    char notes[64] = "";
    struct noted_timer timers[5] = {0};
    uint64_t now_ns = loop_now_ns(c->loop);
    const uint64_t offsets[] = {3000000, 1000000, 2000000, 1000000, 4000000};

    for (int i = 0; i < 5; i++) {
        timers[i] =
            (struct noted_timer){{.fired_cb = note}, c->loop, (char)('a' + i), notes, i == 4, 0};
        loop_timer_set(c->loop, &timers[i].timer, now_ns + offsets[i]);
    }
    loop_run(c->loop);
    assert_string_equal(notes, "bdcae"); /* by deadline, then by setting */
}

void case_timers_cancel(void **state)
{
    struct loop_case *c = *state;
    char notes[64] = "";
    enum { COUNT = 20 };
    struct noted_timer timers[COUNT] = {0};
    uint64_t now_ns = loop_now_ns(c->loop);

    for (int i = 0; i < COUNT; i++) {
        timers[i] = (struct noted_timer){{.fired_cb = note}, c->loop, (char)('a' + i), notes,
                                         i == COUNT - 1,     0};
        loop_timer_set(c->loop, &timers[i].timer, now_ns + (uint64_t)(i + 1) * 100000);
    }
    for (int i = 0; i < COUNT - 1; i++) {
        if (i % 3 != 0)
            loop_timer_cancel(c->loop, &timers[i].timer);
    }
    loop_timer_cancel(c->loop, &timers[1].timer);                /* idempotent */
    loop_timer_set(c->loop, &timers[0].timer, now_ns + 1950000); /* moved behind all but t */
    loop_run(c->loop);
    assert_string_equal(notes, "dgjmpsat");
    loop_timer_cancel(c->loop, &timers[0].timer); /* fired long ago */
}

/* A timer that sets itself at once, again and again, starves nobody. */
void case_timer_set_again(void **state)
{
    struct loop_case *c = *state;
    char notes[64] = "";
    struct noted_timer fast = {{.fired_cb = note}, c->loop, 'f', notes, false, 30};
    struct noted_timer slow = {{.fired_cb = note}, c->loop, 's', notes, false, 0};
    struct noted_timer last = {{.fired_cb = note}, c->loop, 'l', notes, true, 0};
    uint64_t now_ns = loop_now_ns(c->loop);

    loop_timer_set(c->loop, &fast.timer, now_ns - 1000);
    loop_timer_set(c->loop, &slow.timer, now_ns);
    loop_timer_set(c->loop, &last.timer, now_ns + 50000000);
    loop_run(c->loop);
    assert_int_equal(strlen(notes), 33);
    assert_non_null(memchr(notes, 's', 3));
    assert_int_equal(notes[32], 'l');
}

struct timed {
    struct loop_timer timer;
    struct loop *loop;
    uint64_t fired_ns;
};

static void take_time(struct loop_timer *timer)
{
    struct timed *timed = container_of(timer, struct timed, timer);

    timed->fired_ns = loop_now_ns(timed->loop);
    loop_stop(timed->loop);
}

void case_timer_fires_after_deadline(void **state)
{
    struct loop_case *c = *state;

    for (int i = 0; i < 10; i++) {
        struct timed timed = {{.fired_cb = take_time}, c->loop, 0};
        uint64_t deadline_ns = loop_now_ns(c->loop) + (uint64_t)i * 777777;

        loop_timer_set(c->loop, &timed.timer, deadline_ns);
        loop_run(c->loop);
        assert_true(timed.fired_ns >= deadline_ns);
        assert_true(timed.fired_ns < deadline_ns + UINT64_C(5000000000));
    }
}

struct counted_task {
    struct loop_task task;
    struct loop *loop;
    struct counted_task *next;
    int runs;
};

static void count_run(struct loop_task *task)
{
    struct counted_task *counted = container_of(task, struct counted_task, task);

    counted->runs++;
    if (counted->next != NULL)
        loop_defer(counted->loop, &counted->next->task);
    else
        loop_stop(counted->loop);
}

struct deferring_message {
    struct loop_message message;
    struct loop *loop;
    struct counted_task *task;
    int runs_seen;
};

static void defer_thrice(struct loop_message *message)
{
    struct deferring_message *deferring = container_of(message, struct deferring_message, message);

    for (int i = 0; i < 3; i++)
        loop_defer(deferring->loop, &deferring->task->task);
    deferring->runs_seen = deferring->task->runs;
}

void case_defer_once_a_turn(void **state)
{
    struct loop_case *c = *state;
    struct counted_task task = {{.run_cb = count_run}, c->loop, NULL, 0};
    struct deferring_message messages[4];

    list_init(&task.task.node);
    for (int i = 0; i < 4; i++) {
        messages[i] = (struct deferring_message){{.run_cb = defer_thrice}, c->loop, &task, -1};
        loop_post(c->loop, &messages[i].message);
    }
    loop_run(c->loop);
    assert_int_equal(task.runs, 1); /* after all four, once */
    for (int i = 0; i < 4; i++)
        assert_int_equal(messages[i].runs_seen, 0);
}

void case_defer_from_deferred(void **state)
{
    struct loop_case *c = *state;
    struct counted_task third = {{.run_cb = count_run}, c->loop, NULL, 0};
    struct counted_task second = {{.run_cb = count_run}, c->loop, &third, 0};
    struct counted_task first = {{.run_cb = count_run}, c->loop, &second, 0};

    list_init(&first.task.node);
    list_init(&second.task.node);
    list_init(&third.task.node);
    loop_defer(c->loop, &first.task);
    loop_run(c->loop);
    assert_int_equal(first.runs, 1);
    assert_int_equal(second.runs, 1);
    assert_int_equal(third.runs, 1);
}

struct numbered_message {
    struct loop_message message;
    struct loop *loop;
    int number;
    int *last; /* of its poster */
    int *left;
};

static void check_number(struct loop_message *message)
{
    struct numbered_message *numbered = container_of(message, struct numbered_message, message);

    assert_int_equal(numbered->number, *numbered->last + 1);
    *numbered->last = numbered->number;
    if (--*numbered->left == 0)
        loop_stop(numbered->loop);
}

void case_post_order(void **state)
{
    struct loop_case *c = *state;
    struct numbered_message messages[100];
    int last = -1, left = 100;

    for (int i = 0; i < 100; i++) {
        messages[i] = (struct numbered_message){{.run_cb = check_number}, c->loop, i, &last, &left};
        loop_post(c->loop, &messages[i].message);
    }
    assert_int_equal(last, -1);
    loop_run(c->loop);
    assert_int_equal(last, 99);
}

enum { POSTERS = 4, POSTS = 2000 };

struct poster {
    struct numbered_message messages[POSTS];
    int last;
    pthread_t thread;
};

static void *post_all(void *arg)
{
    struct poster *poster = arg;

    for (int i = 0; i < POSTS; i++)
        loop_post(poster->messages[i].loop, &poster->messages[i].message);
    return NULL;
}

void case_post_from_threads(void **state)
{
    struct loop_case *c = *state;
    struct poster *posters;
    int left = POSTERS * POSTS;

    if (!c->cases->has_threads)
        skip();
    posters = calloc(POSTERS, sizeof(*posters));
    for (int p = 0; p < POSTERS; p++) {
        posters[p].last = -1;
        for (int i = 0; i < POSTS; i++)
            posters[p].messages[i] = (struct numbered_message){
                {.run_cb = check_number}, c->loop, i, &posters[p].last, &left};
        assert_int_equal(pthread_create(&posters[p].thread, NULL, post_all, &posters[p]), 0);
    }
    loop_run(c->loop);
    for (int p = 0; p < POSTERS; p++) {
        pthread_join(posters[p].thread, NULL);
        assert_int_equal(posters[p].last, POSTS - 1);
    }
    free(posters);
}

enum { SET_UP = 600 }; /* more than one ring of submissions */

struct set_up_ops {
    struct wait_op writes[SET_UP];
    struct noted_timer timer;
    struct loop *loop;
    char notes[8];
};

static bool all_done(const struct set_up_ops *ops)
{
    for (int i = 0; i < SET_UP; i++) {
        if (!ops->writes[i].is_done)
            return false;
    }
    return ops->notes[0] == 't';
}

static void *run_loop(void *arg)
{
    struct set_up_ops *ops = arg;

    while (!all_done(ops)) /* each callback stops the loop */
        loop_run(ops->loop);
    return NULL;
}

/* Set up on one thread with operations in flight, run by another. */
void case_made_here_run_there(void **state)
{
    struct loop_case *c = *state;
    static const char block[4096] = "x";
    struct iovec iov = {(void *)block, sizeof(block)};
    struct set_up_ops *ops = calloc(1, sizeof(*ops));
    struct io_file *file;
    pthread_t thread;

    if (!c->cases->has_threads) {
        free(ops);
        skip();
    }
    ops->loop = c->loop;
    assert_int_equal(io_file_open(c->loop, c->path[0], IO_CREATE, &file, NULL), 0);
    for (int i = 0; i < SET_UP; i++) {
        ops->writes[i].loop = c->loop;
        io_file_write(c->loop, &ops->writes[i].op, file, &iov, 1, (uint64_t)i * sizeof(block),
                      wait_op_done);
    }
    ops->timer = (struct noted_timer){{.fired_cb = note}, c->loop, 't', ops->notes, true, 0};
    loop_timer_set(c->loop, &ops->timer.timer, loop_now_ns(c->loop) + 1000000);
    assert_false(ops->writes[0].is_done);
    assert_int_equal(pthread_create(&thread, NULL, run_loop, ops), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    for (int i = 0; i < SET_UP; i++)
        assert_int_equal(ops->writes[i].result, sizeof(block));
    io_file_close(c->loop, file);
    free(ops);
}

void case_stop_and_run_again(void **state)
{
    struct loop_case *c = *state;

    loop_stop(c->loop);
    loop_run(c->loop); /* a stop before the run is not lost */
    for (int i = 0; i < 3; i++) {
        struct timed timed = {{.fired_cb = take_time}, c->loop, 0};

        loop_timer_set(c->loop, &timed.timer, loop_now_ns(c->loop) + 1000);
        loop_run(c->loop);
        assert_true(timed.fired_ns > 0);
    }
}

void case_clock_random_boot(void **state)
{
    struct loop_case *c = *state;
    uint64_t before_ns = loop_now_ns(c->loop);
    struct loop *other;

    assert_true(loop_now_ns(c->loop) >= before_ns);
    assert_true(loop_wall_ns(c->loop) > 0);
    assert_true(loop_random(c->loop) != loop_random(c->loop));
    assert_true(strlen(loop_boot_id(c->loop)) > 0);
    if (c->cases->has_threads) {
        other = c->cases->make(c->cases->arg);
        assert_string_equal(loop_boot_id(c->loop), loop_boot_id(other));
        assert_string_equal(loop_name(c->loop), loop_name(other));
        loop_free(other);
    }
}

static void forget(void *arg, const char *name)
{
    struct loop_case *c = arg;
    char path[512];

    snprintf(path, sizeof(path), "%s/%s", c->cases->folder, name);
    io_unlink(c->loop, path);
}

static int set_up(void **state)
{
    const struct loop_cases *cases = *state;
    struct loop_case *c = calloc(1, sizeof(*c));

    c->cases = cases;
    c->loop = cases->make(cases->arg);
    assert_non_null(c->loop);
    assert_int_equal(io_dir_make(c->loop, cases->folder), 0);
    assert_int_equal(io_dir_list(c->loop, cases->folder, forget, c), 0);
    snprintf(c->path[0], sizeof(c->path[0]), "%s/a", cases->folder);
    snprintf(c->path[1], sizeof(c->path[1]), "%s/b", cases->folder);
    *state = c;
    return 0;
}

static int tear_down(void **state)
{
    struct loop_case *c = *state;

    loop_free(c->loop);
    free(c);
    return 0;
}

int loop_cases_run(const struct loop_cases *cases)
{
#define LOOP_CASE_ENTRY(case_name) {#case_name, case_##case_name, set_up, tear_down, (void *)cases},
    const struct CMUnitTest tests[] = {LOOP_CASES_CORE(LOOP_CASE_ENTRY) LOOP_CASES_FILE(
        LOOP_CASE_ENTRY) LOOP_CASES_SOCKET(LOOP_CASE_ENTRY)};

    return _cmocka_run_group_tests(cases->name, tests, ARRAY_COUNT(tests), NULL, NULL);
}
