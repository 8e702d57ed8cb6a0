/* SPDX-License-Identifier: Apache-2.0 */
/* A stream's state as bytes: round trip at its limits, every flipped byte, hostile bodies. */
#include "replication/state_codec.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/crc32c.h"

static struct stream_state *make_state(unsigned disks, unsigned generations, unsigned id_length)
{
    struct stream_state *state = calloc(1, sizeof(*state));

    assert_non_null(state);
    snprintf(state->peer, sizeof(state->peer), "lyon");
    state->role = STREAM_ROLE_PROMOTED;
    state->is_started = state->has_point = state->is_drained = true;
    state->epoch = 77;
    state->point_wall_ns = UINT64_MAX;
    state->applying = 12;
    state->applied = 11;
    state->point = 10;
    state->peer_newest = (struct generation){3, 4, 5};
    state->peer_epoch = 9;
    state->line.count = generations;
    for (unsigned i = 0; i < generations; i++) {
        state->line.entries[i].id = (struct generation){i + 1, 100 + i, 200 + i};
        state->line.entries[i].parent_epoch = 1000 + i;
    }
    state->disk_count = disks;
    for (unsigned i = 0; i < disks; i++) {
        memset(state->disks[i].disk, 'a' + (int)(i % 26), id_length);
        state->disks[i].size_bytes = (uint64_t)i << 40;
        state->disks[i].is_initial = i % 2;
        state->disks[i].is_seeded = i % 3 == 0;
    }
    return state;
}

static void check_round_trip(unsigned disks, unsigned generations, unsigned id_length)
{
    struct stream_state *state = make_state(disks, generations, id_length);
    struct stream_state *back = calloc(1, sizeof(*back));
    uint8_t *slot = malloc(STATE_SLOT_BYTES);
    uint64_t sequence;

    state_encode(state, 42, slot);
    assert_int_equal(state_slot_check(slot, &sequence), 0);
    assert_int_equal(sequence, 42);
    assert_int_equal(state_decode(slot, back), 0);
    assert_memory_equal(state, back, sizeof(*state));
    free(slot);
    free(back);
    free(state);
}

static void test_round_trip(void **test)
{
    check_round_trip(2, 3, 22);
    check_round_trip(0, 0, 0);
    check_round_trip(STREAM_DISKS_MAX, GENERATION_COUNT_MAX, 39); /* the largest fits the slot */
}

static void test_every_flip_is_seen(void **test)
{
    struct stream_state *state = make_state(2, 2, 10);
    uint8_t *slot = malloc(STATE_SLOT_BYTES);
    uint64_t sequence;

    state_encode(state, 1, slot);
    for (size_t i = 0; i < STATE_SLOT_BYTES; i++) {
        slot[i] ^= (uint8_t)(1 << (i % 8));
        assert_int_equal(state_slot_check(slot, &sequence), -EBADMSG);
        slot[i] ^= (uint8_t)(1 << (i % 8));
    }
    assert_int_equal(state_slot_check(slot, &sequence), 0);
    free(slot);
    free(state);
}

static void seal(uint8_t *slot)
{
    put_le32(slot + 12, 0);
    put_le32(slot + 12, crc32c(0, slot, STATE_SLOT_BYTES));
}

/* Bodies with a right CRC and any content: an answer, never a crash or an overrun. */
static void test_hostile_bodies(void **test)
{
    struct stream_state *state = make_state(3, 2, 10);
    struct stream_state *back = calloc(1, sizeof(*back));
    uint8_t *slot = malloc(STATE_SLOT_BYTES);
    uint64_t sequence;
    uint32_t length, seed = 1;

    state_encode(state, 1, slot);
    length = get_le32(slot + 24);
    for (uint32_t cut = 0; cut < length; cut++) {
        put_le32(slot + 24, cut);
        seal(slot);
        assert_int_equal(state_slot_check(slot, &sequence), 0);
        assert_int_equal(state_decode(slot, back), -EBADMSG);
    }
    put_le32(slot + 24, STATE_SLOT_BYTES);
    seal(slot);
    assert_int_equal(state_slot_check(slot, &sequence), -EBADMSG);
    state_encode(state, STATE_SEQUENCE_MAX, slot);
    assert_int_equal(state_slot_check(slot, &sequence), 0);
    state_encode(state, UINT64_MAX, slot); /* the next save would be the older one */
    assert_int_equal(state_slot_check(slot, &sequence), -EBADMSG);
    for (unsigned round = 0; round < 2000; round++) {
        int error;

        state_encode(state, 1, slot);
        for (unsigned i = 0; i < 4; i++) {
            seed = seed * 1664525u + 1013904223u;
            slot[32 + (seed >> 8) % length] = (uint8_t)(seed >> 24);
        }
        seal(slot);
        assert_int_equal(state_slot_check(slot, &sequence), 0);
        error = state_decode(slot, back);
        assert_true(error == 0 || error == -EBADMSG);
        assert_true(back->disk_count <= STREAM_DISKS_MAX);
        assert_true(back->line.count <= GENERATION_COUNT_MAX);
    }
    free(slot);
    free(back);
    free(state);
}

/* A failover counts on from the newest term, a line only rises: others are in no file of ours. */
static void test_terms_have_bounds(void **test)
{
    static const struct {
        uint64_t first, second;
        int error;
    } lines[] = {
        {1, 2, 0},
        {GENERATION_TERM_LIMIT - 2, GENERATION_TERM_LIMIT - 1, 0},
        {1, GENERATION_TERM_LIMIT, -EBADMSG},
        {1, UINT64_MAX, -EBADMSG},
        {2, 2, -EBADMSG},
        {2, 1, -EBADMSG},
    };
    struct stream_state *state = make_state(3, 2, 10);
    uint8_t *slot = malloc(STATE_SLOT_BYTES);

    for (unsigned i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        state->line.entries[0].id.term = lines[i].first;
        state->line.entries[1].id.term = lines[i].second;
        state_encode(state, 1, slot);
        assert_int_equal(state_decode(slot, state), lines[i].error);
    }
    free(slot);
    free(state);
}

static void test_newer_version(void **test)
{
    struct stream_state *state = make_state(1, 1, 10);
    uint8_t *slot = malloc(STATE_SLOT_BYTES);
    uint64_t sequence;

    state_encode(state, 1, slot);
    put_le32(slot + 8, 2);
    seal(slot);
    assert_int_equal(state_slot_check(slot, &sequence), -EPROTONOSUPPORT);
    free(slot);
    free(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),        cmocka_unit_test(test_every_flip_is_seen),
        cmocka_unit_test(test_terms_have_bounds), cmocka_unit_test(test_hostile_bodies),
        cmocka_unit_test(test_newer_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
