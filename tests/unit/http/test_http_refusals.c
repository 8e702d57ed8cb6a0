/* SPDX-License-Identifier: Apache-2.0 */
/* What is told of requests that were none: of each address now and then, of a crowd a few lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "http/http_refusals.h"
#include "io/loop_ops.h"

#define SECOND UINT64_C(1000000000)

struct fixture {
    struct loop loop;
    uint64_t now_ns;
    struct loop_message *posted;
    struct http_refusals *refusals;
    char told[4000]; /* "source more others|" */
    unsigned lines;
};

static uint64_t now_ns(struct loop *loop)
{
    return container_of(loop, struct fixture, loop)->now_ns;
}

static void post(struct loop *loop, struct loop_message *message)
{
    struct fixture *fixture = container_of(loop, struct fixture, loop);

    assert_null(fixture->posted); /* one at a time, however many are noted */
    fixture->posted = message;
}

static const struct loop_ops ops = {.now_ns = now_ns, .post = post};

static void told(void *arg, const struct http_refusal *refusal)
{
    struct fixture *fixture = arg;

    assert_string_equal(refusal->code, "InvalidRequest");
    assert_int_equal(refusal->status, 400);
    fixture->lines++;
    if (strlen(fixture->told) < 3900)
        sprintf(fixture->told + strlen(fixture->told), "%s %u %u|", refusal->source, refusal->more,
                refusal->others);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    fixture->loop.magic = LOOP_MAGIC;
    fixture->loop.ops = &ops;
    fixture->now_ns = 100 * SECOND;
    fixture->refusals = http_refusals_new(&fixture->loop, told, fixture);
    assert_non_null(fixture->refusals);
    *state = fixture;
    return 0;
}

static void turn(struct fixture *fixture)
{
    struct loop_message *message = fixture->posted;

    fixture->posted = NULL;
    if (message)
        message->run_cb(message);
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    http_refusals_free(fixture->refusals);
    turn(fixture); /* of one that was given up */
    free(fixture);
    return 0;
}

static void note(struct fixture *fixture, const char *source)
{
    http_refusals_note(fixture->refusals, source, 400, "InvalidRequest", "No HTTP.", "R-1");
}

static void expect(struct fixture *fixture, const char *wanted)
{
    turn(fixture);
    assert_string_equal(fixture->told, wanted);
    fixture->told[0] = 0;
}

static void test_now_and_then(void **state)
{
    struct fixture *fixture = *state;

    note(fixture, "192.0.2.1");
    expect(fixture, "192.0.2.1 0 0|");
    for (unsigned i = 0; i < 7; i++)
        note(fixture, "192.0.2.1");
    note(fixture, "192.0.2.2");
    note(fixture, ""); /* the unix socket */
    expect(fixture, "192.0.2.2 0 0| 0 0|");
    fixture->now_ns += 10 * SECOND;
    note(fixture, "192.0.2.1");
    expect(fixture, "192.0.2.1 7 0|");
    fixture->now_ns += 10 * SECOND;
    note(fixture, "192.0.2.1");
    expect(fixture, "192.0.2.1 0 0|");
}

static void test_a_crowd(void **state)
{
    struct fixture *fixture = *state;
    char source[64];

    for (unsigned round = 0; round < 10; round++)
        for (unsigned i = 0; i < 1000; i++) {
            snprintf(source, sizeof(source), "2001:db8::%x", i);
            note(fixture, source);
            if (i % 50 == 0)
                turn(fixture);
        }
    turn(fixture);
    assert_int_equal(fixture->lines, HTTP_REFUSAL_ADDRESSES);
    fixture->told[0] = 0;
    fixture->now_ns += 10 * SECOND;
    note(fixture, "192.0.2.1");
    turn(fixture);
    assert_int_equal(fixture->lines, HTTP_REFUSAL_ADDRESSES + 1);
    assert_int_equal(strncmp(fixture->told, "192.0.2.1 0 ", 12), 0);
    assert_true(atoi(fixture->told + 12) > 9000); /* the others are counted */
}

static void test_more_than_the_queue(void **state)
{
    struct fixture *fixture = *state;

    note(fixture, "192.0.2.1");
    for (unsigned i = 0; i < 999; i++)
        note(fixture, "192.0.2.2");
    expect(fixture, "192.0.2.1 0 936|192.0.2.2 0 0|");
}

static void test_given_up_with_a_message_under_way(void **state)
{
    struct fixture *fixture = *state;

    note(fixture, "192.0.2.1"); /* the teardown frees */
    assert_non_null(fixture->posted);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_now_and_then),
        TEST(test_a_crowd),
        TEST(test_more_than_the_queue),
        TEST(test_given_up_with_a_message_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
