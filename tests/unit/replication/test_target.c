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
#include "wire/stream_message.h"

struct link { /* stands for the real one */
    struct loop *loop;
    unsigned verdicts, drops;
    uint64_t given, consumed; /* bytes */
    uint8_t differs;
};

int link_send_control(struct link *link, const char *stream, uint16_t type, const void *bytes,
                      uint32_t length)
{
    struct stream_hashes verdict;

    assert_string_equal(stream, "pg-1");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compares_behind_the_data),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
