/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A peer that is known and proved its key, and then says anything: well-formed messages in any
 * order and with any values, and noise. The engine must live, its source's disks must never be
 * changed by it, and it must stop cleanly. (Assertions are always on: a violated one aborts.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "pair_lab.h"
#include "replication/link.h"
#include "replication/target.h"
#include "wire/stream_message.h"

enum { SAYINGS = 4000 };

struct liar {
    struct pair_lab *lab;
    struct link *link;
    struct loop_timer timer;
    uint64_t random;
    struct stream_generation newest; /* of what the engine told last */
    struct stream_line line;
    uint64_t nonce, epoch, token;
    uint64_t digest, blocks; /* of a partial epoch as an honest source counts */
    unsigned said, ups;
    bool is_stopped;
};

static uint64_t draw(struct liar *liar)
{
    liar->random ^= liar->random << 13;
    liar->random ^= liar->random >> 7;
    liar->random ^= liar->random << 17;
    return liar->random;
}

static uint64_t pick(struct liar *liar, uint64_t limit)
{
    return draw(liar) % limit;
}

static void send_it(struct liar *liar, uint16_t type, const void *bytes, uint32_t length)
{
    if (target_is_counted(type))
        (void)link_send_data(liar->link, "pg-lab", type, bytes, length, NULL, 0);
    else
        (void)link_send_control(liar->link, "pg-lab", type, bytes, length);
}

static void say_hello(struct liar *liar)
{
    static struct stream_hello hello;
    static uint8_t bytes[STREAM_HELLO_SIZE_MAX];

    memset(&hello, 0, sizeof(hello));
    hello.role = (uint8_t)pick(liar, 4);
    hello.is_started = pick(liar, 2);
    hello.is_reprotect_open = pick(liar, 4) == 0;
    hello.is_reprotect_reverse = pick(liar, 2);
    hello.wants_reply = pick(liar, 3) == 0;
    hello.has_point = pick(liar, 2);
    hello.epoch = pick(liar, 8) == 0 ? UINT64_MAX / 2 - 1 - pick(liar, 9) : pick(liar, 30);
    hello.line = liar->line;
    if (pick(liar, 3) == 0 && hello.line.count < STREAM_MESSAGE_LINE_MAX) {
        uint64_t term = hello.line.count > 0
                            ? hello.line.entries[hello.line.count - 1].id.term + 1 + pick(liar, 3)
                            : 1;

        hello.line.entries[hello.line.count++].id = (struct stream_generation){term, 7, 7};
    }
    if (pick(liar, 6) == 0)
        hello.line.count = 0;
    hello.disk_count = DISKS;
    for (unsigned i = 0; i < DISKS; i++) {
        hello.disks[i].size_bytes = DISK_BLOCKS * BLOCK_SIZE;
        hello.disks[i].is_initial = pick(liar, 2);
    }
    send_it(liar, STREAM_HELLO, bytes, stream_hello_encode(&hello, bytes));
}

static void say_data(struct liar *liar)
{
    static uint8_t bytes[STREAM_DATA_HEAD_SIZE + 16 * 4 + 16 * BLOCK_SIZE];
    uint32_t crcs[16];
    struct stream_data data = {.disk = (uint16_t)pick(liar, DISKS + (pick(liar, 20) == 0)),
                               .count = (uint32_t)(1 + pick(liar, 16)),
                               .block = pick(liar, DISK_BLOCKS - 16)};
    uint8_t fill = (uint8_t)draw(liar);

    data.length = data.count * BLOCK_SIZE;
    memset(bytes, fill, sizeof(bytes));
    for (unsigned i = 0; i < data.count; i++)
        crcs[i] = crc32c(0, bytes, BLOCK_SIZE);
    if (pick(liar, 30) == 0)
        crcs[0]++;
    uint32_t head = stream_data_encode(&data, crcs, bytes);

    liar->digest = stream_digest(liar->digest, data.disk, data.block, data.count,
                                 bytes + STREAM_DATA_HEAD_SIZE);
    liar->blocks += data.count;
    send_it(liar, STREAM_DATA, bytes, head + data.length);
}

static void say_cut(struct liar *liar)
{
    uint8_t bytes[STREAM_SMALL_SIZE_MAX];
    struct stream_cut cut = {.epoch = ++liar->epoch + pick(liar, 2),
                             .generation = liar->newest,
                             .cut_wall_ns = draw(liar),
                             .block_count = liar->blocks,
                             .digest = liar->digest};

    if (pick(liar, 10) == 0)
        cut.digest++;
    send_it(liar, STREAM_CUT, bytes, stream_cut_encode(&cut, bytes));
    liar->digest = liar->blocks = 0;
}

static void say_hashes(struct liar *liar, bool is_verdict)
{
    uint8_t bytes[STREAM_HASHES_SIZE_MAX], content[STREAM_MESSAGE_BLOCKS_MAX * STREAM_HASH_SIZE];
    struct stream_hashes hashes = {.token = liar->token + pick(liar, 3),
                                   .disk = (uint16_t)pick(liar, DISKS),
                                   .count = (uint32_t)(1 + pick(liar, 256)),
                                   .block = pick(liar, DISK_BLOCKS - 256),
                                   .bytes = content};

    memset(content, (int)draw(liar), sizeof(content));
    send_it(liar, is_verdict ? STREAM_VERDICT : STREAM_HASHES, bytes,
            stream_hashes_encode(&hashes, is_verdict, bytes));
}

static void say_dirty(struct liar *liar)
{
    uint8_t bytes[16 + 32];
    struct stream_dirty dirty = {.nonce = liar->nonce,
                                 .disk = (uint16_t)pick(liar, DISKS),
                                 .is_suspect = pick(liar, 2),
                                 .run_count = 2};
    struct stream_dirty_end end = {.nonce = liar->nonce, .run_count = pick(liar, 5), .epoch = 9};

    if (pick(liar, 3) == 0) {
        send_it(liar, STREAM_DIRTY_END, bytes, stream_dirty_end_encode(&end, bytes));
        return;
    }
    (void)stream_dirty_encode(&dirty, bytes);
    put_le64(bytes + 16, pick(liar, DISK_BLOCKS));
    put_le64(bytes + 24, 1 + pick(liar, 20));
    put_le64(bytes + 32, pick(liar, DISK_BLOCKS));
    put_le64(bytes + 40, 1);
    send_it(liar, STREAM_DIRTY, bytes, sizeof(bytes));
}

static void say_commit(struct liar *liar)
{
    static uint8_t bytes[STREAM_COMMIT_SIZE_MAX];
    static struct stream_commit commit;

    commit.nonce = liar->nonce;
    commit.epoch = pick(liar, 100);
    commit.line = liar->line;
    if (pick(liar, 2) == 0 && commit.line.count > 0 && commit.line.count < 60) {
        uint64_t term = commit.line.entries[commit.line.count - 1].id.term + 1;

        commit.line.entries[commit.line.count++].id = (struct stream_generation){term, 8, 8};
    }
    if (commit.line.count > 0)
        send_it(liar, STREAM_COMMIT, bytes, stream_commit_encode(&commit, bytes));
}

static void say_small(struct liar *liar)
{
    static const uint16_t numbers[] = {STREAM_CURRENT, STREAM_BLOCKED, STREAM_DONE};
    uint8_t bytes[STREAM_SMALL_SIZE_MAX];
    struct stream_ack ack = {.generation = liar->newest, .epoch = pick(liar, 20)};
    struct stream_refused refused = {.nonce = liar->nonce, .code = 16, .text = "no"};
    struct stream_reprotect reprotect = {.nonce = liar->nonce = draw(liar),
                                         .is_reverse = pick(liar, 2)};

    switch (pick(liar, 7)) {
    case 0:
        send_it(liar, STREAM_ACK, bytes, stream_ack_encode(&ack, bytes));
        break;
    case 1:
        send_it(liar, STREAM_ABORT, NULL, 0);
        liar->digest = liar->blocks = 0;
        break;
    case 2:
        send_it(liar, STREAM_RESUME, NULL, 0);
        break;
    case 3:
        send_it(liar, pick(liar, 2) ? STREAM_REFUSED : STREAM_TROUBLE, bytes,
                stream_refused_encode(&refused, bytes));
        break;
    case 4:
        if (pick(liar, 8) == 0)
            send_it(liar, STREAM_REPROTECT, bytes, stream_reprotect_encode(&reprotect, bytes));
        break;
    default:
        send_it(liar, numbers[pick(liar, 3)], bytes,
                stream_number_encode(pick(liar, 2) ? liar->nonce : draw(liar), bytes));
    }
}

static void say_noise(struct liar *liar)
{
    uint8_t bytes[300];

    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(draw(liar) & (pick(liar, 2) ? 0xff : 3));
    send_it(liar, (uint16_t)pick(liar, STREAM_MESSAGE_COUNT + 2), bytes,
            (uint32_t)pick(liar, sizeof(bytes)));
}

static void say(struct loop_timer *timer)
{
    struct liar *liar = container_of(timer, struct liar, timer);

    loop_timer_set(liar->lab->loop, timer, loop_now_ns(liar->lab->loop) + 200000);
    if (!link_is_up(liar->link))
        return;
    for (unsigned i = 0; i < 8; i++) {
        liar->said++;
        switch (pick(liar, 40)) {
        case 0 ... 3:
            say_hello(liar);
            break;
        case 4 ... 14:
            say_data(liar);
            break;
        case 15 ... 18:
            say_cut(liar);
            break;
        case 19 ... 21:
            say_hashes(liar, pick(liar, 2));
            break;
        case 22 ... 24:
            say_dirty(liar);
            break;
        case 25:
            say_commit(liar);
            break;
        case 26:
            if (pick(liar, 10) == 0)
                say_noise(liar);
            break;
        default:
            say_small(liar);
        }
    }
}

static void liar_up(void *arg)
{
    struct liar *liar = arg;

    liar->ups++;
    liar->digest = liar->blocks = 0;
    say_hello(liar);
}

static void liar_down(void *arg, const char *why)
{
    assert_non_null(why);
    assert_non_null(arg);
}

/* It listens, so as to lie well. */
static bool liar_frame(void *arg, const struct link_frame_in *frame, struct err *why)
{
    static struct stream_hello hello;
    struct liar *liar = arg;
    struct stream_hashes hashes;
    struct stream_reprotect reprotect;

    if (target_is_counted(frame->type))
        link_consumed(liar->link, frame->stream, frame->length);
    if (frame->type == STREAM_HELLO && stream_hello_decode(frame->bytes, frame->length, &hello) &&
        hello.line.count > 0) {
        liar->line = hello.line;
        liar->newest = hello.line.entries[hello.line.count - 1].id;
        if (hello.epoch < 1000)
            liar->epoch = hello.epoch;
    } else if (frame->type == STREAM_HASHES &&
               stream_hashes_decode(frame->bytes, frame->length, false, &hashes)) {
        liar->token = hashes.token;
    } else if (frame->type == STREAM_REPROTECT &&
               stream_reprotect_decode(frame->bytes, frame->length, &reprotect)) {
        liar->nonce = reprotect.nonce;
    }
    return true;
}

static void liar_room(void *arg, const char *stream)
{
    assert_string_equal(stream, "pg-lab");
    assert_non_null(arg);
}

static void liar_stopped(void *arg)
{
    ((struct liar *)arg)->is_stopped = true;
}

static bool has_said_enough(struct pair_lab *lab, void *arg)
{
    return ((struct liar *)arg)->said > SAYINGS;
}

static bool has_stopped(struct pair_lab *lab, void *arg)
{
    return ((struct liar *)arg)->is_stopped;
}

static void lie_to(struct pair_lab *lab, uint64_t seed)
{
    struct liar liar = {.lab = lab, .random = seed * 2654435761u + 88172645463325252u};
    struct link_options options = {.site_name = "lyon",
                                   .site_id = 77,
                                   .peer_name = "paris",
                                   .peer_address = lab->sites[PARIS].listen,
                                   .backoff_min_ns = 1000000,
                                   .backoff_max_ns = 2000000};
    struct link_callbacks callbacks = {.up_cb = liar_up,
                                       .down_cb = liar_down,
                                       .frame_cb = liar_frame,
                                       .room_cb = liar_room,
                                       .arg = &liar};
    struct err err = {0};

    assert_int_equal(link_new(lab->loop, &options, &callbacks, &liar.link, &err), 0);
    link_start(liar.link);
    liar.timer.fired_cb = say;
    loop_timer_set(lab->loop, &liar.timer, loop_now_ns(lab->loop));
    pair_wait(lab, has_said_enough, &liar);
    loop_timer_cancel(lab->loop, &liar.timer);
    link_stop(liar.link, liar_stopped, &liar);
    pair_wait(lab, has_stopped, &liar);
    assert_true(liar.ups > 0);
    link_free(liar.link);
}

/* paris alone, in a role; what it is told to be again and again. */
static void survives_as(enum stream_role role, bool is_started)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct pair_lab lab;

        pair_lab_prepare(&lab);
        lab.roles[PARIS] = role;
        pair_site_start(&lab, PARIS, true);
        if (is_started)
            assert_int_equal(pair_start(&lab, PARIS, false), 0);
        lie_to(&lab, seed);
        pair_lab_close(&lab);
    }
}

static void source_survives_lies(void **state)
{
    survives_as(STREAM_ROLE_SOURCE, true);
}

static void target_survives_lies(void **state)
{
    survives_as(STREAM_ROLE_TARGET, false);
}

static void promoted_survives_lies(void **state)
{
    struct pair_lab lab;

    for (uint64_t seed = 1; seed <= 6; seed++) {
        pair_lab_open(&lab);
        assert_int_equal(pair_start(&lab, PARIS, false), 0);
        pair_settle(&lab, PARIS);
        /* To the other side: lyon's place is taken by the liar, so paris must be the promoted. */
        assert_int_equal(pair_failover(&lab, LYON), 0);
        assert_int_equal(pair_reprotect_met(&lab, LYON, true), 0);
        assert_int_equal(pair_start(&lab, LYON, false), 0);
        pair_settle(&lab, LYON);
        assert_int_equal(pair_failover(&lab, PARIS), 0);
        pair_site_stop(&lab, LYON);
        lie_to(&lab, seed);
        pair_lab_close(&lab);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(source_survives_lies),
        cmocka_unit_test(target_survives_lies),
        cmocka_unit_test(promoted_survives_lies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
