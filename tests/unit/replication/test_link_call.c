/* SPDX-License-Identifier: Apache-2.0 */
/* Calls over a link: replies, long ones, time out, link down, late replies, malformed frames. */
#include "replication/link_call.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "link_lab.h"

#define MS 1000000ull

struct side {
    struct lab_site site;
    struct link_call_desk *desk;
    unsigned request_count;
    bool answers;
    uint64_t tokens[4096];
};

struct answer {
    unsigned count;
    int error;
    uint32_t length;
    uint8_t first, last;
};

struct two {
    struct lab lab;
    struct side paris, lyon;
};

static void take_answer(void *arg, int error, const void *bytes, uint32_t length)
{
    struct answer *answer = arg;

    answer->count++;
    answer->error = error;
    answer->length = length;
    if (length > 0) {
        answer->first = ((const uint8_t *)bytes)[0];
        answer->last = ((const uint8_t *)bytes)[length - 1];
    }
}

static bool has_answer(void *arg)
{
    return ((struct answer *)arg)->count > 0;
}

static bool side_frame(struct lab_site *site, const struct link_frame_in *frame, struct err *why)
{
    struct side *side = site->user;

    return link_call_frame(side->desk, frame, why);
}

static void side_down(struct lab_site *site)
{
    struct side *side = site->user;

    link_call_down(side->desk);
}

/* Answers with the same bytes. */
static void take_request(void *arg, uint64_t token, const void *bytes, uint32_t length)
{
    struct side *side = arg;

    side->tokens[side->request_count++] = token;
    if (side->answers)
        link_call_reply(side->desk, token, bytes, length);
}

static void start_side(struct side *side, struct lab *lab, const char *name, const char *peer,
                       const struct lab_options *options)
{
    struct link_call_callbacks callbacks = {.request_cb = take_request, .arg = side};

    memset(side, 0, sizeof(*side));
    site_start(&side->site, lab, name, peer, options);
    side->answers = true;
    side->site.user = side;
    side->site.frame_cb = side_frame;
    side->site.down_cb = side_down;
    assert_int_equal(link_call_new(lab->loop, side->site.link, &callbacks, &side->desk, NULL), 0);
}

static bool both_up(void *arg)
{
    struct two *two = arg;

    return site_is_up(&two->paris.site) && site_is_up(&two->lyon.site);
}

static bool none_is_open(void *arg)
{
    return link_call_count(arg) == 0;
}

static int setup(void **state)
{
    struct two *two = calloc(1, sizeof(*two));
    struct lab_options paris = {
        .site_id = 1, .heartbeat_ns = 50 * MS, .silence_ns = 2000 * MS, .backoff_min_ns = 10 * MS};
    struct lab_options lyon = paris;

    lyon.site_id = 2;
    lyon.listens = paris.dials = true;
    lyon.port = paris.peer_port = lab_free_port();
    lab_init(&two->lab);
    start_side(&two->lyon, &two->lab, "lyon", "paris", &lyon);
    start_side(&two->paris, &two->lab, "paris", "lyon", &paris);
    lab_run(&two->lab, both_up, two, 5);
    *state = two;
    return 0;
}

static int teardown(void **state)
{
    struct two *two = *state;

    site_stop(&two->paris.site);
    site_stop(&two->lyon.site);
    lab_run(&two->lab, none_is_open, two->paris.desk, 5);
    lab_run(&two->lab, none_is_open, two->lyon.desk, 5);
    link_call_free(two->paris.desk);
    link_call_free(two->lyon.desk);
    lab_fini(&two->lab);
    free(two);
    return 0;
}

static void test_reply(void **state)
{
    struct two *two = *state;
    struct answer there = {0}, back = {0}, empty = {0};

    assert_int_equal(link_call_send(two->paris.desk, "question", 8, 1000 * MS, take_answer, &there),
                     0);
    assert_int_equal(link_call_send(two->lyon.desk, "x", 1, 1000 * MS, take_answer, &back), 0);
    assert_int_equal(link_call_send(two->paris.desk, NULL, 0, 1000 * MS, take_answer, &empty), 0);
    assert_int_equal(there.count, 0);
    lab_run(&two->lab, has_answer, &there, 5);
    lab_run(&two->lab, has_answer, &back, 5);
    lab_run(&two->lab, has_answer, &empty, 5);
    assert_int_equal(there.error, 0);
    assert_int_equal(there.length, 8);
    assert_int_equal(there.first, 'q');
    assert_int_equal(there.last, 'n');
    assert_int_equal(back.length, 1);
    assert_int_equal(empty.error, 0);
    assert_int_equal(empty.length, 0);
}

static void test_long(void **state)
{
    struct two *two = *state;
    uint8_t *bytes = malloc(CALL_BYTES_MAX + 1);
    struct answer full = {0}, over = {0};

    memset(bytes, 1, CALL_BYTES_MAX + 1);
    bytes[CALL_BYTES_MAX - 1] = 9;
    assert_int_equal(
        link_call_send(two->paris.desk, bytes, CALL_BYTES_MAX, 5000 * MS, take_answer, &full), 0);
    assert_int_equal(
        link_call_send(two->paris.desk, bytes, CALL_BYTES_MAX + 1, 5000 * MS, take_answer, &over),
        0);
    assert_int_equal(over.count, 0);
    lab_run(&two->lab, has_answer, &full, 5);
    lab_run(&two->lab, has_answer, &over, 5);
    assert_int_equal(full.length, CALL_BYTES_MAX);
    assert_int_equal(full.last, 9);
    assert_int_equal(over.error, -EMSGSIZE);
    free(bytes);
}

static void test_time_out(void **state)
{
    struct two *two = *state;
    struct answer answer = {0}, next = {0};

    two->lyon.answers = false;
    assert_int_equal(link_call_send(two->paris.desk, "a", 1, 50 * MS, take_answer, &answer), 0);
    lab_run(&two->lab, has_answer, &answer, 5);
    assert_int_equal(answer.error, -ETIMEDOUT);
    /* The late reply meets nobody; the next call is answered once, by its own. */
    link_call_reply(two->lyon.desk, two->lyon.tokens[0], "late", 4);
    link_call_reply(two->lyon.desk, two->lyon.tokens[0], "twice", 5);
    two->lyon.answers = true;
    assert_int_equal(link_call_send(two->paris.desk, "bb", 2, 1000 * MS, take_answer, &next), 0);
    lab_run(&two->lab, has_answer, &next, 5);
    assert_int_equal(next.error, 0);
    assert_int_equal(next.length, 2);
    lab_pass(&two->lab, 0.05);
    assert_int_equal(answer.count, 1);
    assert_int_equal(next.count, 1);
}

static void test_link_down(void **state)
{
    struct two *two = *state;
    struct answer answer = {0}, unsent = {0}, after = {0};

    two->lyon.answers = false;
    assert_int_equal(link_call_send(two->paris.desk, "a", 1, 5000 * MS, take_answer, &answer), 0);
    lab_pass(&two->lab, 0.05);
    assert_int_equal(two->lyon.request_count, 1);
    link_drop(two->paris.site.link, "test");
    assert_int_equal(link_call_send(two->paris.desk, "b", 1, 5000 * MS, take_answer, &unsent), 0);
    assert_int_equal(answer.count + unsent.count, 0);
    lab_run(&two->lab, has_answer, &answer, 1);
    lab_run(&two->lab, has_answer, &unsent, 1);
    assert_int_equal(answer.error, -ENOTCONN);
    assert_int_equal(unsent.error, -EHOSTUNREACH);
    lab_run(&two->lab, both_up, two, 5);
    /* The old token's reply goes nowhere, and nothing was sent a second time. */
    link_call_reply(two->lyon.desk, two->lyon.tokens[0], "old", 3);
    assert_int_equal(two->lyon.request_count, 1);
    two->lyon.answers = true;
    assert_int_equal(link_call_send(two->paris.desk, "c", 1, 5000 * MS, take_answer, &after), 0);
    lab_run(&two->lab, has_answer, &after, 5);
    assert_int_equal(after.error, 0);
    assert_int_equal(answer.count, 1);
}

struct loss {
    const struct lab_site *site;
    unsigned downs; /* before it */
};

/* It may be up again before somebody looks. */
static bool is_lost(void *arg)
{
    const struct loss *loss = arg;

    return loss->site->down_count > loss->downs;
}

static void test_malformed(void **state)
{
    static const struct {
        uint16_t type;
        uint32_t length;
    } rows[] = {{1, 7}, {2, 0}, {3, 8}, {0, 8}};
    struct two *two = *state;

    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        struct loss loss = {&two->lyon.site, two->lyon.site.down_count};

        lab_run(&two->lab, both_up, two, 5);
        assert_int_equal(
            link_send_control(two->paris.site.link, "", rows[i].type, "12345678", rows[i].length),
            0);
        lab_run(&two->lab, is_lost, &loss, 5);
        assert_int_equal(two->lyon.site.down_count, loss.downs + 1);
        lab_run(&two->lab, both_up, two, 5);
    }
    assert_int_equal(two->lyon.request_count, 0);
}

static void test_many(void **state)
{
    struct two *two = *state;
    struct answer answer = {0};

    for (unsigned i = 0; i < CALL_COUNT_MAX; i++)
        assert_int_equal(
            link_call_send(two->paris.desk, "12345678", 8, 9000 * MS, take_answer, &answer), 0);
    lab_run(&two->lab, none_is_open, two->paris.desk, 10);
    assert_int_equal(answer.count, CALL_COUNT_MAX);
    assert_int_equal(answer.error, 0);

    two->lyon.answers = false;
    answer.count = 0;
    for (unsigned i = 0; i < CALL_COUNT_MAX; i++)
        assert_int_equal(link_call_send(two->paris.desk, "x", 1, 200 * MS, take_answer, &answer),
                         0);
    struct answer over = {0};
    assert_int_equal(link_call_send(two->paris.desk, "x", 1, 9000 * MS, take_answer, &over), 0);
    lab_run(&two->lab, has_answer, &over, 1);
    assert_int_equal(over.error, -ENOBUFS);
    lab_run(&two->lab, none_is_open, two->paris.desk, 10);
    assert_int_equal(answer.error, -ETIMEDOUT);

    /* lyon still has them, and takes no more; the link stays. */
    unsigned downs = two->lyon.site.down_count, requests = two->lyon.request_count;

    answer.count = 0;
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(link_call_send(two->paris.desk, "x", 1, 200 * MS, take_answer, &answer),
                         0);
    lab_run(&two->lab, none_is_open, two->paris.desk, 10);
    assert_int_equal(answer.error, -ETIMEDOUT);
    assert_int_equal(two->lyon.request_count, requests);
    assert_int_equal(two->lyon.site.down_count, downs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reply, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long, setup, teardown),
        cmocka_unit_test_setup_teardown(test_time_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_link_down, setup, teardown),
        cmocka_unit_test_setup_teardown(test_malformed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
