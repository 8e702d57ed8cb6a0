/* SPDX-License-Identifier: Apache-2.0 */
/* The pure parts of the link: queue, intake, judgement of a HELLO. */
#include "replication/link_queue.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "replication/link_hello.h"
#include "replication/link_intake.h"

static uint8_t payload[LINK_FRAME_PAYLOAD_MAX];

static int setup(void **state)
{
    struct link_queue *queue = malloc(sizeof(*queue));

    link_queue_init(queue);
    link_queue_open(queue, 8 << 20, NULL);
    *state = queue;
    return 0;
}

static int teardown(void **state)
{
    link_queue_fini(*state);
    free(*state);
    return 0;
}

/* Takes a frame, checks it as a receiver would, frees it; 0: none. */
static uint8_t take(struct link_queue *queue, struct link_frame *ret_frame)
{
    struct link_queue_frame *taken = link_queue_take(queue);

    if (taken == NULL)
        return 0;
    assert_int_equal(link_frame_decode(taken->bytes, ret_frame, NULL), 0);
    assert_int_equal(ret_frame->length, taken->frame.length);
    free(taken);
    return ret_frame->kind;
}

static void test_order(void **state)
{
    struct link_queue *queue = *state;
    struct link_frame frame;

    assert_int_equal(link_queue_data(queue, "pg-1", 1, "ab", 2, "cd", 2), 0);
    assert_int_equal(link_queue_control(queue, "pg-1", 2, "x", 1), 0);
    assert_int_equal(link_queue_control(queue, "pg-1", 3, "x", 1), 0);
    assert_int_equal(link_queue_own(queue, LINK_FRAME_PING, 0, "12345678", 8), 0);
    assert_int_equal(take(queue, &frame), LINK_FRAME_OPEN);
    assert_int_equal(frame.channel, 1);
    assert_int_equal(frame.sequence, 0);
    assert_int_equal(take(queue, &frame), LINK_FRAME_PING);
    assert_int_equal(take(queue, &frame), LINK_FRAME_CONTROL);
    assert_int_equal(frame.type, 2);
    assert_int_equal(take(queue, &frame), LINK_FRAME_CONTROL);
    assert_int_equal(frame.type, 3);
    assert_int_equal(take(queue, &frame), LINK_FRAME_DATA);
    assert_int_equal(frame.length, 4);
    assert_int_equal(frame.sequence, 4);
    assert_int_equal(take(queue, &frame), 0);
    assert_int_equal(queue->bytes, 0);
    /* The call channel needs no announcement. */
    assert_int_equal(link_queue_control(queue, "", 1, "x", 1), 0);
    assert_int_equal(take(queue, &frame), LINK_FRAME_CONTROL);
    assert_int_equal(frame.channel, 0);
}

static void test_window(void **state)
{
    struct link_queue *queue = *state;
    struct link_frame frame;
    uint64_t sent = 0;

    for (unsigned round = 0; round < 100; round++) {
        int rc = link_queue_data(queue, "pg-1", 1, NULL, 0, payload, 1 << 20);

        if (rc == 0) {
            sent += 1 << 20;
            continue;
        }
        assert_int_equal(rc, -EAGAIN);
        if (take(queue, &frame) == 0)
            break;
    }
    assert_int_equal(sent, 8 << 20);
    assert_null(link_queue_next_room(queue));
    assert_false(link_queue_credit(queue, 1, (8 << 20) + 1));
    assert_false(link_queue_credit(queue, 2, 1));
    assert_true(link_queue_credit(queue, 1, 1 << 20));
    assert_null(link_queue_next_room(queue)); /* not yet for the longest frame */
    assert_true(link_queue_credit(queue, 1, 1 << 20));
    assert_string_equal(link_queue_next_room(queue), "pg-1");
    assert_null(link_queue_next_room(queue));
    assert_int_equal(link_queue_data(queue, "pg-1", 1, NULL, 0, payload, 1 << 20), 0);
}

/* Three streams with frames of different size get the same share, within a quantum each. */
static void test_turns(void **state)
{
    static const uint32_t sizes[3] = {1000, 200000, LINK_FRAME_PAYLOAD_MAX};
    struct link_queue *queue = *state;
    uint64_t sent[4] = {0};
    struct link_frame frame;

    for (unsigned step = 0; step < 20000; step++) {
        for (unsigned i = 0; i < 3; i++) {
            char stream[8];

            snprintf(stream, sizeof(stream), "pg-%u", i);
            while (link_queue_data(queue, stream, 1, NULL, 0, payload, sizes[i]) == 0)
                ;
        }
        if (take(queue, &frame) != LINK_FRAME_DATA)
            continue;
        sent[frame.channel] += LINK_FRAME_HEADER_SIZE + frame.length;
        assert_true(link_queue_credit(queue, frame.channel, frame.length));
        while (link_queue_next_room(queue) != NULL)
            ;
        if (sent[1] + sent[2] + sent[3] > 64 << 20)
            break;
    }
    for (unsigned i = 1; i < 3; i++) {
        int64_t difference = (int64_t)(sent[i] - sent[i + 1]);

        assert_true(llabs(difference) < LINK_FRAME_PAYLOAD_MAX + 2 * LINK_QUEUE_QUANTUM);
    }
}

static void test_bounds(void **state)
{
    struct link_queue *queue = *state;
    char stream[LINK_STREAM_SIZE];
    struct link_frame frame;
    unsigned count = 0;
    int rc;

    while ((rc = link_queue_control(queue, "", 1, payload, 1 << 20)) == 0)
        count++;
    assert_int_equal(rc, -ENOBUFS);
    assert_int_equal(count, 15);
    count = 0;
    while ((rc = link_queue_own(queue, LINK_FRAME_PONG, 0, "12345678", 8)) == 0)
        count++;
    assert_int_equal(rc, -ENOBUFS);
    assert_int_equal(count, LINK_QUEUE_OWN_MAX / 40);
    while (take(queue, &frame) != 0)
        ;
    for (unsigned i = 1; i <= LINK_FRAME_CHANNEL_MAX; i++) {
        snprintf(stream, sizeof(stream), "pg-%u", i);
        assert_int_equal(link_queue_control(queue, stream, 1, NULL, 0), 0);
    }
    assert_int_equal(link_queue_control(queue, "pg-more", 1, NULL, 0), -ENOSPC);
    link_queue_part(queue, "pg-more"); /* it has none */
    assert_false(link_queue_has_parted(queue));
    link_queue_part(queue, "pg-7");
    link_queue_part(queue, "pg-7");
    assert_true(link_queue_has_parted(queue));
    assert_int_equal(link_queue_control(queue, "pg-more", 1, NULL, 0), -ENOSPC);
    assert_int_equal(link_queue_control(queue, "pg-7", 1, NULL, 0), 0); /* it is back */
    assert_false(link_queue_has_parted(queue));
    /* Empty data frames are bounded too. */
    count = 0;
    while ((rc = link_queue_data(queue, "pg-1", 1, NULL, 0, NULL, 0)) == 0)
        count++;
    assert_int_equal(rc, -EAGAIN);
    assert_int_equal(count, LINK_QUEUE_DATA_MAX / LINK_FRAME_HEADER_SIZE);
}

/* Small pieces (pieces.h): the window, the queue and what counts as room are those that were given.
 */
static void test_small_pieces(void **state)
{
    const struct link_pieces pieces = {
        .frame_bytes = 1000, .window_bytes = 2500, .queue_bytes = 100000, .turn_bytes = 10};
    struct link_queue queue;

    link_queue_init(&queue);
    link_queue_open(&queue, 8 << 20, &pieces);
    assert_int_equal(link_queue_data(&queue, "pg-1", 1, NULL, 0, payload, 1000), 0);
    assert_int_equal(link_queue_data(&queue, "pg-1", 1, NULL, 0, payload, 1000), 0);
    assert_int_equal(link_queue_data(&queue, "pg-1", 1, NULL, 0, payload, 1000), -EAGAIN);
    assert_null(link_queue_next_room(&queue));
    for (unsigned i = 0; i < 3; i++) /* its OPEN, then its frames, though a turn pays none */
        free(link_queue_take(&queue));
    assert_null(link_queue_next_room(&queue)); /* what is sent waits for credit */
    assert_false(link_queue_credit(&queue, 1, 2001));
    assert_true(link_queue_credit(&queue, 1, 500));
    assert_string_equal(link_queue_next_room(&queue), "pg-1");
    assert_null(link_queue_next_room(&queue));
    assert_null(link_queue_take(&queue));
    link_queue_fini(&queue);
}

static void test_intake(void **state)
{
    struct link_intake intake;
    uint16_t number = 99;

    assert_int_equal(link_intake_init(&intake), 0);
    assert_string_equal(link_intake_stream(&intake, 0), "");
    assert_null(link_intake_stream(&intake, 1));
    for (uint16_t i = 1; i <= LINK_FRAME_CHANNEL_MAX; i++) {
        char name[LINK_STREAM_SIZE];

        snprintf(name, sizeof(name), "pg-%u", i);
        assert_int_equal(
            link_intake_open(&intake, i, (const uint8_t *)name, (uint32_t)strlen(name), NULL), 0);
    }
    assert_int_equal(
        link_intake_open(&intake, LINK_FRAME_CHANNEL_MAX + 1, (const uint8_t *)"more", 4, NULL),
        -EPROTO);
    assert_int_equal(link_intake_data(&intake, 2, LINK_INTAKE_WINDOW, NULL), 0);
    assert_int_equal(link_intake_data(&intake, 2, 1, NULL), -EPROTO);
    assert_int_equal(link_intake_consumed(&intake, "pg-2", 1000, &number), 0);
    assert_int_equal(link_intake_data(&intake, 2, 1, NULL), -EPROTO); /* credit not yet given */
    assert_int_equal(link_intake_consumed(&intake, "pg-2", 300000, &number), 301000);
    assert_int_equal(number, 2);
    assert_int_equal(link_intake_data(&intake, 2, 301000, NULL), 0);
    assert_int_equal(link_intake_data(&intake, 2, 1, NULL), -EPROTO);
    assert_int_equal(link_intake_consumed(&intake, "pg-2", UINT32_MAX, &number),
                     LINK_INTAKE_WINDOW);
    assert_int_equal(link_intake_consumed(&intake, "pg-none", 1, &number), 0);
    link_intake_fini(&intake);
}

static void test_announced_twice(void **state)
{
    struct link_intake intake;

    assert_int_equal(link_intake_init(&intake), 0);
    assert_int_equal(link_intake_open(&intake, 1, (const uint8_t *)"pg-1", 4, NULL), 0);
    assert_int_equal(link_intake_open(&intake, 2, (const uint8_t *)"pg-1", 4, NULL), -EPROTO);
    link_intake_fini(&intake);
}

static void test_judge(void **state)
{
    static const struct link_hello ours = {.protocol_min = 2,
                                           .protocol_max = 3,
                                           .role = LINK_DIALLER,
                                           .site_id = 1,
                                           .nonce = 10,
                                           .site = "paris",
                                           .software = "a"};
    static const struct link_hello good = {.protocol_min = 3,
                                           .protocol_max = 9,
                                           .role = LINK_ACCEPTOR,
                                           .site_id = 2,
                                           .nonce = 20,
                                           .echo = 10,
                                           .site = "lyon",
                                           .software = "b"};
    struct link_hello bad = good;
    struct err err = {0};

    assert_int_equal(link_hello_judge(&ours, "lyon", &good, NULL), 0);
    assert_int_equal(link_hello_judge(&ours, "nice", &good, NULL), -ENOENT);
    bad.site_id = 1;
    assert_int_equal(link_hello_judge(&ours, "lyon", &bad, NULL), -ELOOP);
    bad = good;
    strcpy(bad.site, "paris");
    assert_int_equal(link_hello_judge(&ours, "lyon", &bad, NULL), -ELOOP);
    bad = good;
    bad.nonce = 10;
    assert_int_equal(link_hello_judge(&ours, "lyon", &bad, NULL), -ELOOP);
    bad = good;
    bad.protocol_min = 4;
    assert_int_equal(link_hello_judge(&ours, "lyon", &bad, &err), -EPROTONOSUPPORT);
    assert_non_null(strstr(err.text, "4 to 9"));
    assert_non_null(strstr(err.text, "2 to 3"));
    bad.protocol_min = bad.protocol_max = 1;
    assert_int_equal(link_hello_judge(&ours, "lyon", &bad, NULL), -EPROTONOSUPPORT);
    bad = good;
    bad.role = LINK_DIALLER;
    assert_int_equal(link_hello_judge(&ours, "lyon", &bad, NULL), -EPROTO);
    bad = good;
    bad.echo = 11;
    assert_int_equal(link_hello_judge(&ours, "lyon", &bad, NULL), -EPROTO);
    assert_true(link_hello_is_winner(1, 2));
    assert_false(link_hello_is_winner(2, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_window, setup, teardown),
        cmocka_unit_test_setup_teardown(test_turns, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bounds, setup, teardown),
        cmocka_unit_test(test_small_pieces),
        cmocka_unit_test(test_intake),
        cmocka_unit_test(test_announced_twice),
        cmocka_unit_test(test_judge),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
