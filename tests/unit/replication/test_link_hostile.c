/* SPDX-License-Identifier: Apache-2.0 */
/* Who may not come in, and bytes that may not be used. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "link_lab.h"
#include "wire/link_message.h"

static const uint8_t key[32] = "0123456789abcdef0123456789abcde";
static const uint8_t other_key[32] = "0123456789abcdef0123456789abcdX";

#define MS 1000000ull

struct two {
    struct lab lab;
    struct lab_site paris, lyon;
    uint16_t port;
};

static struct lab_options options_of(uint64_t id, const uint8_t *psk)
{
    return (struct lab_options){.psk = psk,
                                .psk_length = 32,
                                .site_id = id,
                                .heartbeat_ns = 50 * MS,
                                .silence_ns = 2000 * MS,
                                .backoff_min_ns = 10 * MS,
                                .backoff_max_ns = 50 * MS};
}

static void start_lyon(struct two *two, const uint8_t *psk)
{
    struct lab_options lyon = options_of(2, psk);

    memset(two, 0, sizeof(*two));
    lab_init(&two->lab);
    two->port = lab_free_port();
    lyon.listens = true;
    lyon.port = two->port;
    site_start(&two->lyon, &two->lab, "lyon", "paris", &lyon);
}

static void start_paris(struct two *two, const char *name, uint64_t id, const uint8_t *psk)
{
    struct lab_options paris = options_of(id, psk);

    paris.dials = true;
    paris.peer_port = two->port;
    site_start(&two->paris, &two->lab, name, "lyon", &paris);
}

static void stop_lyon(struct two *two)
{
    site_stop(&two->lyon);
    lab_fini(&two->lab);
}

static bool has_error(void *arg)
{
    return link_status(((struct lab_site *)arg)->link)->last_error[0] != 0;
}

static bool both_up(void *arg)
{
    struct two *two = arg;

    return site_is_up(&two->paris) && site_is_up(&two->lyon);
}

/* --- strangers -------------------------------------------------------------------------------- */

static void check_refused(struct two *two, const char *text)
{
    lab_run(&two->lab, has_error, &two->paris, 5);
    lab_pass(&two->lab, 0.2); /* some tries more */
    assert_int_equal(two->paris.up_count + two->lyon.up_count, 0);
    if (strstr(link_status(two->paris.link)->last_error, text) == NULL)
        fail_msg("\"%s\" has no \"%s\"", link_status(two->paris.link)->last_error, text);
    site_stop(&two->paris);
    stop_lyon(two);
}

static void test_wrong_key(void **state)
{
    struct two two;

    start_lyon(&two, key);
    start_paris(&two, "paris", 1, other_key);
    check_refused(&two, "psk-file");
}

static void test_unknown_name(void **state)
{
    struct two two;

    start_lyon(&two, key);
    start_paris(&two, "lille", 1, key);
    check_refused(&two, "site names");
}

static void test_unknown_name_plain(void **state)
{
    struct two two;

    start_lyon(&two, NULL);
    start_paris(&two, "lille", 1, NULL);
    check_refused(&two, "closed the connection");
}

static void test_own_id(void **state)
{
    struct two two;

    start_lyon(&two, key);
    start_paris(&two, "paris", 2, key);
    check_refused(&two, "our own identity");
}

static bool contains_magic(const struct lab_raw *raw)
{
    for (size_t i = 0; i + 4 <= raw->in_length; i++)
        if (get_le32(raw->in + i) == LINK_FRAME_MAGIC)
            return true;
    return false;
}

static struct link_hello raw_hello(void)
{
    return (struct link_hello){.protocol_min = 1,
                               .protocol_max = 1,
                               .role = LINK_DIALLER,
                               .site_id = 77,
                               .nonce = 78,
                               .window = 8 << 20,
                               .site = "paris",
                               .software = "test"};
}

static size_t raw_hello_frame(uint8_t *bytes, const struct link_hello *hello)
{
    uint8_t payload[LINK_HELLO_SIZE_MAX];
    uint32_t length = link_hello_encode(hello, payload);

    return raw_frame(bytes, LINK_FRAME_HELLO, 0, 0, payload, length);
}

/* Behind TLS a well-formed greeting without it meets nothing but an alert and the end. */
static void test_no_tls(void **state)
{
    struct two two;
    struct lab_raw *raw = malloc(sizeof(*raw));
    struct link_hello hello = raw_hello();
    uint8_t bytes[300];
    size_t length = raw_hello_frame(bytes, &hello);

    start_lyon(&two, key);
    raw_start(raw, &two.lab, two.port, bytes, length);
    raw_finish(raw);
    assert_false(contains_magic(raw));
    assert_true(raw->in_length <= 7); /* one TLS alert */
    assert_int_equal(two.lyon.up_count, 0);
    stop_lyon(&two);
    free(raw);
}

/* Greetings that may not be: not a byte comes back, the connection ends. */
static void test_raw_refused(void **state)
{
    static const uint8_t ping[8];
    struct two two;
    struct lab_raw *raw = malloc(sizeof(*raw));

    start_lyon(&two, NULL);
    for (unsigned row = 0; row < 6; row++) {
        struct link_hello hello = raw_hello();
        uint8_t bytes[300];
        size_t length;

        if (row == 0)
            strcpy(hello.site, "nice");
        if (row == 1)
            strcpy(hello.site, "lyon");
        length = raw_hello_frame(bytes, &hello);
        if (row == 2)
            bytes[50] ^= 1;
        if (row == 3)
            length = raw_frame(bytes, LINK_FRAME_PING, 0, 0, ping, 8);
        if (row == 4)
            length = raw_frame(bytes, LINK_FRAME_READY, 0, 0, ping, 8);
        if (row == 5)
            memset(bytes, 'A', length);
        raw_start(raw, &two.lab, two.port, bytes, length);
        raw_finish(raw);
        assert_int_equal(raw->in_length, 0);
    }
    assert_int_equal(two.lyon.up_count, 0);
    stop_lyon(&two);
    free(raw);
}

static void test_other_version(void **state)
{
    struct two two;
    struct lab_raw *raw = malloc(sizeof(*raw));
    struct link_hello hello = raw_hello();
    struct link_decoder decoder;
    struct link_frame frame;
    struct link_refuse refuse;
    uint8_t bytes[300];
    size_t room, length;

    start_lyon(&two, NULL);
    hello.protocol_min = hello.protocol_max = 7;
    length = raw_hello_frame(bytes, &hello);
    raw_start(raw, &two.lab, two.port, bytes, length);
    raw_finish(raw);
    assert_int_equal(link_decoder_init(&decoder, 2048, 0), 0);
    memcpy(link_decoder_room(&decoder, &room), raw->in, raw->in_length);
    link_decoder_fill(&decoder, raw->in_length);
    assert_int_equal(link_decoder_next(&decoder, &frame, NULL), 1);
    assert_int_equal(frame.kind, LINK_FRAME_REFUSE);
    assert_true(link_refuse_decode(frame.payload, frame.length, &refuse));
    assert_int_equal(refuse.reason, LINK_REFUSAL_VERSION);
    assert_non_null(strstr(refuse.text, "7 to 7"));
    assert_non_null(strstr(refuse.text, "1 to 2"));
    link_decoder_fini(&decoder);
    assert_int_equal(two.lyon.up_count, 0);
    stop_lyon(&two);
    free(raw);
}

/* --- an accepted peer that breaks the rules --------------------------------------------------- */

static bool lyon_was_down(void *arg)
{
    return ((struct two *)arg)->lyon.down_count > 0;
}

static bool raw_has_hello(void *arg)
{
    return ((struct lab_raw *)arg)->in_length > LINK_FRAME_HEADER_SIZE + 40;
}

/* Greets as paris and says READY in the same breath as what follows. */
static void greet_and_send(struct two *two, struct lab_raw *raw, const void *after, size_t length)
{
    struct link_hello hello = raw_hello(), theirs;
    uint8_t bytes[600], nonce[8];
    size_t size = raw_hello_frame(bytes, &hello);

    raw_start(raw, &two->lab, two->port, bytes, size);
    lab_run(&two->lab, raw_has_hello, raw, 5);
    assert_true(link_hello_decode(raw->in + LINK_FRAME_HEADER_SIZE,
                                  raw->in_length - LINK_FRAME_HEADER_SIZE, &theirs));
    assert_int_equal(theirs.echo, 78);
    put_le64(nonce, theirs.nonce);
    size = raw_frame(bytes, LINK_FRAME_READY, 0, 1, nonce, 8);
    memcpy(bytes + size, after, length);
    raw_send_more(raw, bytes, size + length);
}

static void test_rule_breakers(void **state)
{
    static const uint8_t zeros[64];
    static const uint8_t much[4] = {0, 0, 1, 0};
    static const struct {
        uint8_t kind;
        uint16_t channel;
        const void *payload;
        uint32_t length;
        const char *why;
    } rows[] = {
        {LINK_FRAME_DATA, 1, zeros, 64, "not announced"},
        {LINK_FRAME_CONTROL, 5, zeros, 64, "not announced"},
        {LINK_FRAME_OPEN, 2, "pg-1", 4, "where 1 was due"},
        {LINK_FRAME_OPEN, 0, "pg-1", 4, "where 1 was due"},
        {LINK_FRAME_OPEN, 1, "pg/1", 4, "no valid name"},
        {LINK_FRAME_OPEN, 1, "\0bcd", 4, "no valid name"},
        {LINK_FRAME_CREDIT, 0, much, 4, "credit"},
        {LINK_FRAME_CREDIT, 9, much, 4, "credit"},
        {LINK_FRAME_PONG, 0, "\377\377\377\377\377\377\377\377", 8, "heartbeat"},
        {LINK_FRAME_READY, 0, zeros, 8, "greeting"},
    };
    struct lab_raw *raw = malloc(sizeof(*raw));

    for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
        uint8_t bytes[200];
        struct two two;
        size_t length = raw_frame(bytes, rows[row].kind, rows[row].channel, 2, rows[row].payload,
                                  rows[row].length);

        start_lyon(&two, NULL);
        greet_and_send(&two, raw, bytes, length);
        lab_run(&two.lab, lyon_was_down, &two, 5);
        if (strstr(two.lyon.down_why, rows[row].why) == NULL)
            fail_msg("row %zu: \"%s\"", row, two.lyon.down_why);
        assert_int_equal(two.lyon.frame_count, 0);
        raw_finish(raw);
        stop_lyon(&two);
    }
    free(raw);
}

/* A peer that sends more than its window: refused at the first byte too many. */
static void test_window_breaker(void **state)
{
    enum { COUNT = 9, LENGTH = 1 << 20 };
    struct lab_raw *raw = malloc(sizeof(*raw));
    uint8_t *bytes = malloc((size_t)COUNT * (LENGTH + LINK_FRAME_HEADER_SIZE));
    uint8_t *payload = calloc(1, LENGTH);
    struct two two;
    size_t length = 0;

    for (unsigned i = 0; i < COUNT; i++)
        length += raw_frame(bytes + length, LINK_FRAME_DATA, 0, 2 + i, payload, LENGTH);
    start_lyon(&two, NULL);
    two.lyon.keeps_credit = true;
    greet_and_send(&two, raw, "", 0);
    raw_send_long(raw, bytes, length);
    lab_run(&two.lab, lyon_was_down, &two, 5);
    assert_non_null(strstr(two.lyon.down_why, "beyond its window"));
    assert_int_equal(two.lyon.frame_count, 8);
    raw_finish(raw);
    stop_lyon(&two);
    free(raw);
    free(bytes);
    free(payload);
}

/* A READY that answers another HELLO (a recording) is refused. */
static void test_wrong_echo(void **state)
{
    struct lab_raw *raw = malloc(sizeof(*raw));
    struct link_hello hello = raw_hello();
    uint8_t bytes[300];
    struct two two;
    size_t length = raw_hello_frame(bytes, &hello);

    start_lyon(&two, NULL);
    raw_start(raw, &two.lab, two.port, bytes, length);
    lab_run(&two.lab, raw_has_hello, raw, 5);
    length = raw_frame(bytes, LINK_FRAME_READY, 0, 1, "recorded", 8);
    raw_send_more(raw, bytes, length);
    raw_finish(raw);
    assert_int_equal(two.lyon.up_count, 0);
    stop_lyon(&two);
    free(raw);
}

/* Silent connections hold no place: the peer comes in, the oldest of them goes. */
static void test_silent_crowd(void **state)
{
    enum { CROWD = 20 };
    struct lab_raw *raws = calloc(CROWD, sizeof(*raws));
    unsigned closed_count = 0;
    struct two two;

    start_lyon(&two, key);
    for (unsigned i = 0; i < CROWD; i++) {
        raw_start(&raws[i], &two.lab, two.port, NULL, 0);
        lab_pass(&two.lab, 0.01);
    }
    start_paris(&two, "paris", 1, key);
    lab_run(&two.lab, both_up, &two, 5);
    for (unsigned i = 0; i < CROWD; i++)
        closed_count += raws[i].is_closed;
    assert_in_range(closed_count, CROWD - 16, CROWD - 15);
    assert_true(raws[0].is_closed);
    site_stop(&two.paris);
    site_stop(&two.lyon);
    for (unsigned i = 0; i < CROWD; i++)
        raw_finish(&raws[i]);
    lab_fini(&two.lab);
    free(raws);
}

/* --- damage on the way ------------------------------------------------------------------------ */

static bool paris_was_down(void *arg)
{
    return ((struct two *)arg)->paris.down_count > 0;
}

static void send_five(struct two *two)
{
    static uint8_t payload[20000];
    uint8_t head[8];

    for (unsigned i = 0; i < 5; i++) {
        put_le64(head, i);
        memset(payload, (int)i, sizeof(payload));
        assert_int_equal(
            link_send_data(two->paris.link, "pg-0", 2, head, 8, payload, sizeof(payload)), 0);
    }
}

static void check_flip(const uint8_t *psk, int64_t bit)
{
    struct lab_proxy *proxy = malloc(sizeof(*proxy));
    struct lab_options paris = options_of(1, psk);
    uint16_t proxy_port = lab_free_port();
    struct two two;

    start_lyon(&two, psk);
    proxy_start(proxy, &two.lab, proxy_port, two.port);
    paris.dials = true;
    paris.peer_port = proxy_port;
    site_start(&two.paris, &two.lab, "paris", "lyon", &paris);
    lab_run(&two.lab, both_up, &two, 5);
    lab_pass(&two.lab, 0.02);
    proxy->flip_bit = (int64_t)proxy->ways[0].passed * 8 + bit;
    send_five(&two);
    lab_run(&two.lab, paris_was_down, &two, 5);
    assert_true(two.lyon.down_count > 0);
    assert_false(two.lyon.has_order_error);
    assert_true(two.lyon.data_bytes < 5 * 20008);
    proxy->flip_bit = -1;
    lab_run(&two.lab, both_up, &two, 15);
    site_stop(&two.paris);
    site_stop(&two.lyon);
    proxy_stop(proxy);
    lab_fini(&two.lab);
    free(proxy);
}

static void test_flips(void **state)
{
    srandom(5);
    for (unsigned i = 0; i < 12; i++)
        check_flip(i % 4 == 3 ? key : NULL, i < 2 ? i * 32 : random() % (90000 * 8));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong_key),     cmocka_unit_test(test_unknown_name),
        cmocka_unit_test(test_own_id),        cmocka_unit_test(test_unknown_name_plain),
        cmocka_unit_test(test_no_tls),        cmocka_unit_test(test_raw_refused),
        cmocka_unit_test(test_other_version), cmocka_unit_test(test_rule_breakers),
        cmocka_unit_test(test_wrong_echo),    cmocka_unit_test(test_window_breaker),
        cmocka_unit_test(test_silent_crowd),  cmocka_unit_test(test_flips),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
