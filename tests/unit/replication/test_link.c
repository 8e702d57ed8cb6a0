/* SPDX-License-Identifier: Apache-2.0 */
/* Two links over 127.0.0.1: up, transfer, credit, fairness, loss, both dialling. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "link_lab.h"

static const uint8_t key[32] = "0123456789abcdef0123456789abcde";

#define MS 1000000ull

struct two {
    struct lab lab;
    struct lab_site paris, lyon;
    uint16_t paris_port, lyon_port;
    unsigned lost; /* connections, so far */
};

static bool both_up(void *arg)
{
    struct two *two = arg;

    return site_is_up(&two->paris) && site_is_up(&two->lyon);
}

/* They may be up again before somebody looks: what is counted stays. */
static bool both_were_down(void *arg)
{
    struct two *two = arg;

    return two->paris.down_count > two->lost && two->lyon.down_count > two->lost;
}

static struct lab_options options_of(uint64_t id, const uint8_t *psk)
{
    return (struct lab_options){.psk = psk,
                                .psk_length = 32,
                                .site_id = id,
                                .heartbeat_ns = 50 * MS,
                                .silence_ns = 2000 * MS,
                                .backoff_min_ns = 10 * MS,
                                .backoff_max_ns = 200 * MS};
}

/* Paris dials lyon. */
static void start_two(struct two *two, const uint8_t *psk)
{
    struct lab_options paris = options_of(1, psk), lyon = options_of(2, psk);

    lab_init(&two->lab);
    two->lost = 0;
    two->lyon_port = lab_free_port();
    paris.dials = lyon.listens = true;
    paris.peer_port = lyon.port = two->lyon_port;
    site_start(&two->lyon, &two->lab, "lyon", "paris", &lyon);
    site_start(&two->paris, &two->lab, "paris", "lyon", &paris);
}

static void stop_two(struct two *two)
{
    site_stop(&two->paris);
    site_stop(&two->lyon);
    lab_fini(&two->lab);
}

static bool both_have_text(void *arg)
{
    struct two *two = arg;

    return two->paris.last_text[0] != 0 && two->lyon.last_text[0] != 0;
}

static bool has_round_trip(void *arg)
{
    const struct link_status *status = link_status(((struct two *)arg)->paris.link);

    return status->is_up && status->round_trip_ns > 0;
}

static void check_up_and_talk(const uint8_t *psk)
{
    struct two two;
    const struct link_status *status;

    start_two(&two, psk);
    assert_int_equal(link_send_control(two.paris.link, "pg-1", 1, "x", 1), -ENOTCONN);
    lab_run(&two.lab, both_up, &two, 5);
    assert_int_equal(link_send_control(two.paris.link, "pg-1", 1, "bonjour", 7), 0);
    assert_int_equal(link_send_control(two.lyon.link, "", 1, "salut", 5), 0);
    lab_run(&two.lab, both_have_text, &two, 5);
    assert_string_equal(two.lyon.last_text, "pg-1:bonjour");
    assert_string_equal(two.paris.last_text, ":salut");
    lab_run(&two.lab, has_round_trip, &two, 5);
    status = link_status(two.paris.link);
    assert_int_equal(status->peer_site_id, 2);
    assert_true(status->bytes_in > 100 && status->bytes_out > 100);
    assert_int_equal(two.paris.up_count, 1);
    assert_int_equal(two.lyon.up_count, 1);
    stop_two(&two);
}

static void test_plain(void **state)
{
    check_up_and_talk(NULL);
}

static void test_tls(void **state)
{
    check_up_and_talk(key);
}

/* --- transfers -------------------------------------------------------------------------------- */

enum { FRAME = 100000 };

struct pump {
    struct two *two;
    uint64_t next, limit; /* frames of pg-0 */
    bool saw_full;
    uint64_t queued_max, seen_bytes;
    unsigned still_looks;
};

static void pump_stream(struct lab_site *site, const char *stream)
{
    struct pump *pump = site->user;
    static const uint8_t payload[FRAME];
    uint8_t head[8];

    while (pump->next < pump->limit) {
        int rc;

        put_le64(head, pump->next);
        rc = link_send_data(site->link, stream, 2, head, sizeof(head), payload, FRAME);
        if (link_status(site->link)->queued_bytes > pump->queued_max)
            pump->queued_max = link_status(site->link)->queued_bytes;
        if (rc == -EAGAIN) {
            pump->saw_full = true;
            return;
        }
        assert_int_equal(rc, 0);
        pump->next++;
    }
}

static bool pump_is_done(void *arg)
{
    struct pump *pump = arg;

    return pump->two->lyon.data_bytes == pump->limit * (FRAME + 8);
}

/* All that was taken has come, and for twenty looks nothing was taken. */
static bool stands_still(void *arg)
{
    struct pump *pump = arg;
    uint64_t bytes = pump->two->lyon.data_bytes;
    bool is_still = bytes == pump->seen_bytes && bytes == pump->next * (FRAME + 8);

    pump->still_looks = is_still ? pump->still_looks + 1 : 0;
    pump->seen_bytes = bytes;
    return pump->still_looks > 20;
}

static void check_transfer(const uint8_t *psk)
{
    struct two two;
    struct pump pump = {.two = &two, .limit = 500};
    uint64_t stuck_bytes;

    start_two(&two, psk);
    two.paris.user = &pump;
    two.paris.room_cb = pump_stream;
    lab_run(&two.lab, both_up, &two, 5);
    /* The receiver does not consume: exactly a window of it is under way, then all stands still. */
    two.lyon.keeps_credit = true;
    pump_stream(&two.paris, "pg-0");
    assert_true(pump.saw_full);
    lab_run(&two.lab, stands_still, &pump, 20);
    stuck_bytes = two.lyon.data_bytes;
    assert_in_range(stuck_bytes, 6 << 20, 8 << 20);
    lab_pass(&two.lab, 0.1);
    assert_int_equal(two.lyon.data_bytes, stuck_bytes);
    assert_true(pump.queued_max <= 4 << 20);
    /* It consumes: everything comes, in order. */
    two.lyon.keeps_credit = false;
    link_consumed(two.lyon.link, "pg-0", (uint32_t)stuck_bytes);
    link_consumed(two.lyon.link, "pg-0", 1 << 30); /* more than is owed: ignored */
    link_consumed(two.lyon.link, "pg-x", 1 << 20);
    lab_run(&two.lab, pump_is_done, &pump, 20);
    assert_false(two.lyon.has_order_error);
    assert_true(pump.queued_max <= 4 << 20);
    assert_true(two.paris.room_count > 1);
    assert_int_equal(link_status(two.paris.link)->queued_bytes, 0);
    assert_int_equal(two.paris.down_count + two.lyon.down_count, 0);
    stop_two(&two);
}

static void test_transfer_plain(void **state)
{
    check_transfer(NULL);
}

static void test_transfer_tls(void **state)
{
    check_transfer(key);
}

/* Two streams that always have more, one in large frames and one in small: equal bytes. */
static void feed_fair(struct lab_site *site, const char *stream)
{
    static uint8_t payload[LINK_FRAME_PAYLOAD_MAX - 8];
    uint32_t length = stream[3] == '1' ? sizeof(payload) : 5000;

    while (link_send_data(site->link, stream, 2, "12345678", 8, payload, length) == 0)
        ;
}

static bool has_64_mib(void *arg)
{
    return ((struct lab_site *)arg)->data_bytes > 64 << 20;
}

static void test_fairness(void **state)
{
    struct two two;
    uint64_t large, small;

    start_two(&two, NULL);
    two.paris.room_cb = feed_fair;
    lab_run(&two.lab, both_up, &two, 5);
    feed_fair(&two.paris, "pg-1");
    feed_fair(&two.paris, "pg-2");
    lab_run(&two.lab, has_64_mib, &two.lyon, 30);
    large = two.lyon.stream_bytes[1];
    small = two.lyon.stream_bytes[2];
    assert_true(large < small * 3 / 2 && small < large * 3 / 2);
    stop_two(&two);
}

/* Control frames pass before data that waits. */
static bool lyon_has_text(void *arg)
{
    return ((struct two *)arg)->lyon.last_text[0] != 0;
}

static void test_control_first(void **state)
{
    struct two two;
    static uint8_t payload[1 << 20];
    unsigned count = 0;

    start_two(&two, NULL);
    lab_run(&two.lab, both_up, &two, 5);
    while (link_send_data(two.paris.link, "pg-1", 2, NULL, 0, payload, sizeof(payload)) == 0)
        count++;
    assert_int_equal(count, 3); /* 4 MiB with headers do not fit the queue */
    assert_int_equal(link_send_control(two.paris.link, "pg-1", 1, "now", 3), 0);
    two.lyon.keeps_credit = true;
    lab_run(&two.lab, lyon_has_text, &two, 5);
    assert_true(two.lyon.bytes_before_text < 3 << 20);
    stop_two(&two);
}

/* --- losses ----------------------------------------------------------------------------------- */

static void test_drop_and_reconnect(void **state)
{
    struct two two;

    start_two(&two, key);
    for (unsigned i = 1; i <= 5; i++) {
        lab_run(&two.lab, both_up, &two, 5);
        link_drop(i % 2 ? two.paris.link : two.lyon.link, "test");
        assert_false(link_is_up(i % 2 ? two.paris.link : two.lyon.link));
        assert_int_equal(two.paris.down_count, i - 1); /* not from inside */
        two.lost = i - 1;
        lab_run(&two.lab, both_were_down, &two, 5);
        assert_int_equal(two.paris.down_count, i);
        assert_int_equal(two.lyon.down_count, i);
        assert_string_equal(i % 2 ? two.paris.down_why : two.lyon.down_why, "test");
    }
    lab_run(&two.lab, both_up, &two, 5);
    stop_two(&two);
}

static bool is_up_again(void *arg)
{
    struct two *two = arg;

    return two->paris.up_count == 2 && two->lyon.up_count == 2 && both_up(two);
}

/* 1023 streams have a number in a connection. Those of streams that are past come back with the
 * next one, which begins when one is wanted; no connection ends for what would be in vain. */
static void test_numbers_come_back(void **state)
{
    struct two two;
    char stream[16];

    start_two(&two, NULL);
    lab_run(&two.lab, both_up, &two, 5);
    for (unsigned i = 0; i < LINK_FRAME_CHANNEL_MAX; i++) {
        snprintf(stream, sizeof(stream), "pg-%u", i);
        assert_int_equal(link_send_control(two.paris.link, stream, 1, "x", 1), 0);
    }
    assert_int_equal(link_send_control(two.paris.link, "pg-more", 1, "x", 1), -ENOSPC);
    assert_true(link_is_up(two.paris.link));
    link_part(two.paris.link, "pg-7");
    assert_int_equal(link_send_control(two.paris.link, "pg-more", 1, "x", 1), -ENOTCONN);
    lab_run(&two.lab, is_up_again, &two, 5);
    assert_int_equal(link_send_control(two.paris.link, "pg-more", 1, "x", 1), 0);
    stop_two(&two);
}

static void test_owner_refuses(void **state)
{
    struct two two;

    start_two(&two, key);
    lab_run(&two.lab, both_up, &two, 5);
    two.lyon.refuses_frames = true;
    assert_int_equal(link_send_control(two.paris.link, "pg-0", 1, "x", 1), 0);
    assert_int_equal(link_send_control(two.paris.link, "pg-0", 1, "y", 1), 0);
    lab_run(&two.lab, both_were_down, &two, 5);
    assert_string_equal(two.lyon.down_why, "I do not like it");
    assert_int_equal(two.lyon.frame_count, 1);
    two.lyon.refuses_frames = false;
    lab_run(&two.lab, both_up, &two, 5);
    stop_two(&two);
}

/* The path swallows everything: both notice by themselves, and come back when it is healed. */
static void test_silence(void **state)
{
    struct two two;
    struct lab_proxy *proxy = malloc(sizeof(*proxy));
    struct lab_options paris = options_of(1, key), lyon = options_of(2, key);
    uint16_t proxy_port = lab_free_port();

    lab_init(&two.lab);
    two.lyon_port = lab_free_port();
    proxy_start(proxy, &two.lab, proxy_port, two.lyon_port);
    paris.silence_ns = lyon.silence_ns = 1000 * MS; /* more than a busy machine holds us up */
    paris.dials = lyon.listens = true;
    paris.peer_port = proxy_port;
    lyon.port = two.lyon_port;
    site_start(&two.lyon, &two.lab, "lyon", "paris", &lyon);
    site_start(&two.paris, &two.lab, "paris", "lyon", &paris);
    lab_run(&two.lab, both_up, &two, 5);
    lab_pass(&two.lab, 1.5); /* heartbeats keep it */
    assert_int_equal(two.paris.down_count, 0);
    proxy->holds = true;
    two.lost = 0;
    lab_run(&two.lab, both_were_down, &two, 15);
    /* One notices first and closes, which the proxy passes on. */
    assert_true(strstr(two.paris.down_why, "nothing was heard") != NULL ||
                strstr(two.lyon.down_why, "nothing was heard") != NULL);
    proxy->holds = false;
    lab_run(&two.lab, both_up, &two, 15);
    site_stop(&two.paris);
    site_stop(&two.lyon);
    proxy_stop(proxy);
    lab_fini(&two.lab);
    free(proxy);
}

static bool lyon_tells_of_a_twin(void *arg)
{
    struct two *two = arg;

    return two->lyon.up_count >= 2 && strstr(two->lyon.down_why, "a copy of its data folder");
}

/* A copy of paris' data folder runs, too: each ends the other's connection, but not in a tight
 * loop. */
static void test_twins(void **state)
{
    struct two two;
    struct lab_site twin;
    struct lab_options paris = options_of(1, key), lyon = options_of(2, key);

    lab_init(&two.lab);
    two.lyon_port = lab_free_port();
    paris.dials = lyon.listens = true;
    paris.peer_port = lyon.port = two.lyon_port;
    paris.backoff_max_ns = 2000 * MS;
    site_start(&two.lyon, &two.lab, "lyon", "paris", &lyon);
    site_start(&two.paris, &two.lab, "paris", "lyon", &paris);
    site_start(&twin, &two.lab, "paris", "lyon", &paris);
    lab_run(&two.lab, lyon_tells_of_a_twin, &two, 10);
    lab_pass(&two.lab, 2);
    assert_true(two.lyon.up_count <= 40);
    site_stop(&twin);
    lab_run(&two.lab, both_up, &two, 10);
    stop_two(&two);
}

/* --- both dial -------------------------------------------------------------------------------- */

/* Both may have dialled, and one connection goes: then this one stays. */
static bool stays_up(struct two *two)
{
    unsigned ups = two->paris.up_count;

    lab_pass(&two->lab, 0.3);
    return two->paris.up_count == ups && both_up(two);
}

static void test_both_dial(void **state)
{
    struct two two;
    struct lab_options paris, lyon;

    lab_init(&two.lab);
    two.paris_port = lab_free_port();
    two.lyon_port = lab_free_port();
    for (unsigned round = 0; round < 8; round++) {
        paris = options_of(round % 2 ? 1 : 3, round % 4 < 2 ? key : NULL);
        lyon = options_of(2, round % 4 < 2 ? key : NULL);
        paris.dials = lyon.dials = paris.listens = lyon.listens = true;
        paris.port = lyon.peer_port = two.paris_port;
        lyon.port = paris.peer_port = two.lyon_port;
        site_start(&two.lyon, &two.lab, "lyon", "paris", &lyon);
        site_start(&two.paris, &two.lab, "paris", "lyon", &paris);
        for (unsigned drop = 0; drop < 4; drop++) {
            unsigned tries = 0;

            do {
                assert_true(tries++ < 3);
                lab_run(&two.lab, both_up, &two, 5);
            } while (!stays_up(&two));
            link_drop(two.paris.link, "test");
            link_drop(two.lyon.link, "test");
        }
        site_stop(&two.paris);
        site_stop(&two.lyon);
    }
    lab_fini(&two.lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_transfer_plain),
        cmocka_unit_test(test_transfer_tls),
        cmocka_unit_test(test_fairness),
        cmocka_unit_test(test_control_first),
        cmocka_unit_test(test_owner_refuses),
        cmocka_unit_test(test_drop_and_reconnect),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_twins),
        cmocka_unit_test(test_numbers_come_back),
        cmocka_unit_test(test_both_dial),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
