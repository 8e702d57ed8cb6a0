/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A target with real files and without a link: what it would send is noted here. In what order
 * frames that came together take effect.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "replica_bench.h"
#include "replication/hash_compare.h"
#include "replication/target.h"
#include "wire/link_frame.h"
#include "wire/peer_life.h"
#include "wire/stream_message.h"

struct link { /* stands for the real one */
    struct loop *loop;
    unsigned verdicts, drops;
    uint64_t given, consumed; /* bytes */
    uint8_t differs;
    struct peer_life life; /* the newest */
};

int link_send_control(struct link *link, const char *stream, uint16_t type, const void *bytes,
                      uint32_t length)
{
    struct stream_hashes verdict;

    assert_string_equal(stream, "pg-1");
    if (type == STREAM_LIFE) {
        assert_true(peer_life_decode(bytes, length, &link->life));
        loop_stop(link->loop);
    }
    if (type != STREAM_VERDICT)
        return 0;
    assert_true(stream_hashes_decode(bytes, length, true, &verdict));
    link->verdicts++;
    link->differs = verdict.bytes[0];
    loop_stop(link->loop);
    return 0;
}

void link_consumed(struct link *link, const char *stream, uint32_t length)
{
    assert_non_null(link);
    assert_string_equal(stream, "pg-1");
    assert_true(length < LINK_FRAME_PAYLOAD_MAX);
    link->consumed += length;
}

void link_drop(struct link *link, const char *why)
{
    assert_non_null(why);
    link->drops++;
}

static void committed(void *arg, uint64_t epoch, uint64_t cut_wall_ns)
{
    assert_non_null(arg);
    assert_true(epoch > 0 && cut_wall_ns > 0);
}

static void told(void *arg, const char *text)
{
    assert_non_null(arg);
    assert_string_equal(text, "");
}

static void current(void *arg, uint64_t wall_ns)
{
    assert_non_null(arg);
    assert_true(wall_ns > 0);
}

static void settled(void *arg)
{
    assert_non_null(arg);
}

static void quiet(void *arg)
{
    loop_stop(arg);
}

static struct loop *stopped_loop;

static void stop_soon(struct loop_task *task)
{
    loop_stop(stopped_loop);
}

static void give(struct link *link, struct target *target, uint16_t type, const uint8_t *bytes,
                 uint32_t length)
{
    struct link_frame_in frame = {.stream = "pg-1", .type = type, .bytes = bytes, .length = length};
    struct err why = {0};

    link->given += length;
    assert_true(target_frame(target, &frame, &why));
}

static void give_block(struct link *link, struct target *target, uint64_t block, uint8_t content)
{
    static uint8_t frame[STREAM_DATA_HEAD_SIZE + 4 + BLOCK_SIZE], bytes[BLOCK_SIZE];
    struct stream_data data = {.codec = STREAM_CODEC_RAW,
                               .count = 1,
                               .block = block,
                               .bytes = bytes,
                               .length = BLOCK_SIZE};

    memset(bytes, content, sizeof(bytes));
    uint32_t crc = crc32c(0, bytes, sizeof(bytes));
    uint32_t head = stream_data_encode(&data, &crc, frame);

    memcpy(frame + head, bytes, sizeof(bytes));
    give(link, target, STREAM_DATA, frame, head + BLOCK_SIZE);
}

static void ask_for_zeros(struct link *link, struct target *target, uint64_t block)
{
    uint8_t hashes[STREAM_HASH_SIZE], frame[STREAM_HASHES_SIZE_MAX];
    struct stream_hashes question = {.token = 1, .block = block, .count = 1, .bytes = hashes};

    hash_zero_blocks(1, hashes);
    give(link, target, STREAM_HASHES, frame, stream_hashes_encode(&question, false, frame));
}

static void ask_who(struct link *link, struct target *target, uint64_t token)
{
    uint8_t frame[STREAM_SMALL_SIZE_MAX];

    give(link, target, STREAM_WHO, frame, stream_number_encode(token, frame));
    loop_run(link->loop);
    assert_int_equal(link->life.token, token);
}

/* R17: all that came counts, over all connections; another target has another life. */
static void tells_its_life(void **state)
{
    struct replica_bench bench;
    struct target_options options = {.stream = "pg-1", .volume_count = BENCH_DISKS};
    struct target_callbacks callbacks = {.committed_cb = committed,
                                         .current_cb = current,
                                         .trouble_cb = told,
                                         .settled_cb = settled};
    struct generation generation = {.term = 1, .site = 1, .incarnation = 1};
    struct link link = {0};
    struct target *target;
    uint64_t life = 0, met;

    (void)state;
    replica_bench_begin(&bench, true);
    link.loop = callbacks.arg = bench.loop;
    options.replica = bench.replica;
    options.volumes = bench.volumes;
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(target_new(bench.loop, &options, &callbacks, &target), 0);
        met = 0;
        for (unsigned connection = 0; connection < 3; connection++) {
            target_connected(target, &link, &generation);
            ask_who(&link, target, 70 + connection); /* before the ABORT, too */
            assert_int_equal(link.life.came, 6 * connection);
            assert_int_equal(link.life.met, met);
            assert_int_equal(link.life.life, target_life(target));
            give_block(&link, target, 9, 9); /* which is dropped */
            give(&link, target, STREAM_ABORT, NULL, 0);
            for (unsigned block = 0; block < 5; block++)
                give_block(&link, target, block, 5);
            ask_who(&link, target, 80 + connection);
            assert_int_equal(link.life.came, 6 * connection + 6);
            assert_int_equal(link.life.met, 70 + connection);
            met = 80 + connection;
            target_disconnected(target);
            target_on_quiet(target, quiet, bench.loop);
            loop_run(bench.loop);
        }
        assert_true(link.life.life != 0 && link.life.life != life);
        life = link.life.life;
        target_free(target);
    }
    assert_int_equal(link.consumed, link.given);
    replica_bench_end(&bench);
}

/* In a first copy: a host wrote a block, it went out; he made it zeros again, as it was, and the
 * copy was cut short. The block is compared while its data are under way: "equal" would be wrong
 * as soon as they have come. */
static void compares_behind_the_data(void **state)
{
    struct replica_bench bench;
    struct target_options options = {.stream = "pg-1", .volume_count = BENCH_DISKS};
    struct target_callbacks callbacks = {.committed_cb = committed,
                                         .current_cb = current,
                                         .trouble_cb = told,
                                         .settled_cb = settled};
    struct generation generation = {.term = 1, .site = 1, .incarnation = 1};
    struct link link = {0};
    struct target *target;

    (void)state;
    replica_bench_begin(&bench, true);
    link.loop = callbacks.arg = bench.loop;
    options.replica = bench.replica;
    options.volumes = bench.volumes;
    assert_int_equal(target_new(bench.loop, &options, &callbacks, &target), 0);
    target_connected(target, &link, &generation);
    give(&link, target, STREAM_ABORT, NULL, 0);
    for (unsigned block = 0; block < 64; block++) { /* who comes first is chance otherwise */
        give_block(&link, target, block, 5);
        ask_for_zeros(&link, target, block);
        loop_run(bench.loop);
        assert_int_equal(link.differs, 1);
    }
    ask_for_zeros(&link, target, 64);
    loop_run(bench.loop);
    assert_int_equal(link.differs, 0);
    /* What waits when the two part is forgotten; its credit goes back, for the link may stay: else
     * the window would be smaller for good, and nothing would pass in the end. */
    give_block(&link, target, 65, 5);
    ask_for_zeros(&link, target, 65);
    target_disconnected(target);
    target_on_quiet(target, quiet, bench.loop);
    loop_run(bench.loop);
    assert_true(target_is_quiet(target));
    assert_int_equal(link.verdicts, 65);
    assert_int_equal(link.drops, 0);
    assert_int_equal(link.consumed, link.given);
    target_free(target);
    replica_bench_end(&bench);
}

/* Behind a commit that takes long, holes of an empty disk: the window lets more than 300,000 of
 * them come. They are taken, and worked on some in a turn. */
static void takes_as_many_holes_as_come(void **state)
{
    enum { HOLES = (8 << 20) / 24, TURN_MAX = 8 * 256 };
    struct replica_bench bench;
    struct target_options options = {.stream = "pg-1", .volume_count = BENCH_DISKS};
    struct target_callbacks callbacks = {.committed_cb = committed,
                                         .current_cb = current,
                                         .trouble_cb = told,
                                         .settled_cb = settled};
    struct generation generation = {.term = 1, .site = 1, .incarnation = 1};
    struct stream_hole hole = {.block = 1, .count = 1};
    uint8_t frame[STREAM_SMALL_SIZE_MAX];
    uint32_t length = stream_hole_encode(&hole, frame);
    struct loop_task stop = {.run_cb = stop_soon};
    struct link link = {0};
    struct target *target;

    (void)state;
    replica_bench_begin(&bench, false);
    link.loop = callbacks.arg = bench.loop;
    options.replica = bench.replica;
    options.volumes = bench.volumes;
    assert_int_equal(target_new(bench.loop, &options, &callbacks, &target), 0);
    target_connected(target, &link, &generation);
    for (unsigned i = 0; i < HOLES; i++) /* before the ABORT they are dropped, one by one */
        give(&link, target, STREAM_HOLE, frame, length);
    stopped_loop = bench.loop;
    list_init(&stop.node);
    loop_defer(bench.loop, &stop);
    loop_run(bench.loop);
    assert_in_range(link.consumed, length, TURN_MAX * length);
    target_on_quiet(target, quiet, bench.loop);
    target_disconnected(target);
    loop_run(bench.loop);
    assert_int_equal(link.drops, 0);
    assert_int_equal(link.consumed, link.given);
    target_free(target);
    replica_bench_end(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compares_behind_the_data),
        cmocka_unit_test(takes_as_many_holes_as_come),
        cmocka_unit_test(tells_its_life),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
