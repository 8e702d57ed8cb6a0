/* SPDX-License-Identifier: Apache-2.0 */
/* What a peer is told: once, in order, one call at a time, again after a failure. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "control/pusher.h"
#include "control/tree.h"
#include "tests/lib/fake_loop.h"

#define SECOND UINT64_C(1000000000)

struct fixture {
    struct fake_loop fake;
    struct site site;
    struct pusher pusher;
    struct data_request *asked; /* the call under way; NULL: none */
    unsigned batch;             /* marks a call */
    int list_error, make_error, done_error;
    const char *listed; /* "a b c" */
    char told[400];     /* what the peer took: "a b|c|" */
};

static struct fixture *fixture_of(struct pusher *pusher)
{
    return container_of(pusher, struct fixture, pusher);
}

static void submit(void *wing, struct data_request *request)
{
    struct fixture *fixture = wing;

    assert_int_equal(request->op, DATA_CALL);
    assert_string_equal(request->peer, "lyon");
    assert_null(fixture->asked); /* one at a time */
    fixture->asked = request;
}

static int list(struct pusher *pusher)
{
    struct fixture *fixture = fixture_of(pusher);

    for (const char *at = fixture->listed; fixture->list_error == 0 && *at; at++)
        pusher_add(pusher, (char[2]){*at, 0});
    return fixture->list_error;
}

/* A mark '-' has nothing to tell. */
static int make(struct pusher *pusher, const char **ret_call, json_t **ret_arguments)
{
    struct fixture *fixture = fixture_of(pusher);
    json_t *items = json_array();
    const char *mark;

    for (unsigned i = 0; i < fixture->batch && (mark = pusher_take(pusher)); i++)
        if (strcmp(mark, "-") != 0)
            check(json_array_append_new(items, json_string(mark)) == 0);
    if (fixture->make_error < 0 || json_array_size(items) == 0) {
        json_decref(items);
        return fixture->make_error;
    }
    *ret_call = "put";
    *ret_arguments = json_pack("{so}", "items", items);
    return 0;
}

static int done(struct pusher *pusher, const struct peer_call *call, const json_t *marks)
{
    struct fixture *fixture = fixture_of(pusher);
    const char *mark;
    json_t *value;

    assert_int_equal(call->status, 200);
    if (fixture->done_error < 0)
        return fixture->done_error;
    json_object_foreach((json_t *)marks, mark, value)
    {
        strcat(fixture->told, mark);
    }
    strcat(fixture->told, "|");
    return 0;
}

static const struct pusher_ops ops = {.list = list, .make = make, .done = done};
static const struct data_ops data_ops = {.submit = submit};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    fake_loop_init(&fixture->fake);
    fixture->site = (struct site){.magic = SITE_MAGIC,
                                  .loop = &fixture->fake.loop,
                                  .data_ops = &data_ops,
                                  .data_wing = fixture,
                                  .peer_count = 1,
                                  .is_ready = true,
                                  .retry_max_ns = 5 * SECOND};
    strcpy(fixture->site.peers[0].name, "lyon");
    fixture->site.peers[0].is_up = true;
    fixture->batch = 2;
    fixture->listed = "";
    pusher_init(&fixture->pusher, &fixture->site, 0, &ops);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    fixture->site.is_stopping = true;
    pusher_stop(&fixture->pusher);
    pusher_fini(&fixture->pusher);
    fake_loop_fini(&fixture->fake);
    free(fixture);
    return 0;
}

/* The call under way ends so: an errno, or a reply of that status. */
static void answer(struct fixture *fixture, int error, unsigned status)
{
    struct data_request *request = fixture->asked;
    char text[100];

    assert_non_null(request);
    fixture->asked = NULL;
    request->error = error;
    if (error == 0) {
        snprintf(text, sizeof(text), "{\"v\":1,\"status\":%u,\"reply\":{}}", status);
        request->reply = strdup(text);
        request->reply_length = (uint32_t)strlen(text);
    }
    request->done_cb(request);
}

static void expect(struct fixture *fixture, const char *told)
{
    while (fixture->asked)
        answer(fixture, 0, 200);
    assert_string_equal(fixture->told, told);
}

static void test_in_order_and_once(void **state)
{
    struct fixture *fixture = *state;

    pusher_mark(&fixture->pusher, "a");
    pusher_mark(&fixture->pusher, "b");
    pusher_mark(&fixture->pusher, "c");
    pusher_mark(&fixture->pusher, "b");
    pusher_mark(&fixture->pusher, "-");
    pusher_mark(&fixture->pusher, "-");
    pusher_mark(&fixture->pusher, "d");
    expect(fixture, "a|bc|-d|");
    pusher_mark(&fixture->pusher, "-"); /* nothing to tell */
    assert_null(fixture->asked);
    assert_int_equal(json_object_size(fixture->pusher.batch), 0);
}

/* What is marked while it is under way may have changed since. */
static void test_marked_while_under_way(void **state)
{
    struct fixture *fixture = *state;

    pusher_mark(&fixture->pusher, "a");
    pusher_mark(&fixture->pusher, "a");
    expect(fixture, "a|a|");
}

static void test_again_after_a_failure(void **state)
{
    struct fixture *fixture = *state;

    pusher_mark(&fixture->pusher, "a");
    pusher_mark(&fixture->pusher, "b");
    answer(fixture, -ETIMEDOUT, 0);
    assert_null(fixture->asked);
    pusher_mark(&fixture->pusher, "c"); /* not before its time */
    assert_null(fixture->asked);
    fake_loop_advance(&fixture->fake, SECOND);
    answer(fixture, 0, 503);
    fake_loop_advance(&fixture->fake, SECOND);
    fixture->done_error = -EAGAIN;
    answer(fixture, 0, 200);
    fixture->done_error = 0;
    fixture->make_error = -EIO;
    fake_loop_advance(&fixture->fake, SECOND);
    assert_null(fixture->asked);
    fixture->make_error = 0;
    fake_loop_advance(&fixture->fake, SECOND);
    assert_non_null(fixture->asked);
    while (fixture->asked)
        answer(fixture, 0, 200);
    assert_int_equal(strlen(fixture->told), 5); /* three marks in two calls */
    for (const char *at = "abc"; *at; at++)
        assert_non_null(strchr(fixture->told, *at));
}

static void test_a_peer_that_comes_up_is_told_all(void **state)
{
    struct fixture *fixture = *state;

    fixture->listed = "abc";
    fixture->site.peers[0].is_up = false;
    pusher_mark(&fixture->pusher, "x");
    assert_null(fixture->asked);
    fixture->site.peers[0].is_up = true;
    fixture->list_error = -EIO; /* it is listed as soon as it can be read */
    pusher_peer_up(&fixture->pusher);
    assert_null(fixture->asked);
    fixture->list_error = 0;
    fake_loop_advance(&fixture->fake, SECOND);
    expect(fixture, "xa|bc|");
    fixture->told[0] = 0;
    pusher_mark_all_later(&fixture->pusher);
    assert_null(fixture->asked);
    fake_loop_advance(&fixture->fake, SECOND);
    expect(fixture, "ab|c|");
}

static void test_many_are_found_at_once(void **state)
{
    struct fixture *fixture = *state;
    char mark[16];

    fixture->site.is_ready = false;
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < 50000; i++) {
            snprintf(mark, sizeof(mark), "%u", i);
            pusher_mark(&fixture->pusher, mark);
        }
    assert_int_equal(json_object_size(fixture->pusher.marks), 50000);
    assert_string_equal(pusher_take(&fixture->pusher), "0");
    assert_string_equal(pusher_take(&fixture->pusher), "1");
    json_object_clear(fixture->pusher.batch);
}

static void test_stopped_while_under_way(void **state)
{
    struct fixture *fixture = *state;

    pusher_mark(&fixture->pusher, "a");
    pusher_mark(&fixture->pusher, "b");
    fixture->site.is_stopping = true;
    pusher_stop(&fixture->pusher);
    answer(fixture, 0, 200);
    assert_null(fixture->asked);
    assert_string_equal(fixture->told, "");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_in_order_and_once),      TEST(test_marked_while_under_way),
        TEST(test_again_after_a_failure),  TEST(test_a_peer_that_comes_up_is_told_all),
        TEST(test_many_are_found_at_once), TEST(test_stopped_while_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
