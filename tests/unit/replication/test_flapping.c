/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between two engines: a first copy over a link that takes so many frames of blocks or
 * fingerprints, and then drops, again and again (R17). In no connection can all be compared that
 * was sent before.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "pair_lab.h"
#include "replication/engine_parts.h"
#include "replication/source_parts.h"
#include "wire/peer_life.h"
#include "wire/stream_message.h"

enum {
    READ_BLOCKS = 16,
    FRAMES = 30,        /* of a connection */
    NOISE_BLOCKS = 960, /* two connections of them; and 190 frames of fingerprints of holes */
    CUTS_MAX = 25
};

static struct {
    unsigned left; /* of this connection */
    bool is_steady, is_peer_old;
    unsigned unanswered;     /* so many answers to WHO are lost */
    unsigned shortages;      /* so many times there is no memory to doubt what is settled */
    unsigned blocks, lives;  /* sent, ever */
    uint64_t sent, consumed; /* bytes of data frames in this connection */
    uint64_t met;            /* the question before, in the next answer; 0: as it is */
    int64_t twist;           /* how much more the target is made to say that came */
    uint64_t settled;        /* blocks, at the end of begin_settled() */
} flap;

int __real_link_new(struct loop *loop, const struct link_options *options,
                    const struct link_callbacks *callbacks, struct link **ret_link,
                    struct err *err);
int __wrap_link_new(struct loop *loop, const struct link_options *options,
                    const struct link_callbacks *callbacks, struct link **ret_link,
                    struct err *err);
int __real_link_send_data(struct link *link, const char *stream, uint16_t type, const void *head,
                          uint32_t head_length, const void *payload, uint32_t payload_length);
int __wrap_link_send_data(struct link *link, const char *stream, uint16_t type, const void *head,
                          uint32_t head_length, const void *payload, uint32_t payload_length);
int __real_link_send_control(struct link *link, const char *stream, uint16_t type,
                             const void *bytes, uint32_t length);
int __wrap_link_send_control(struct link *link, const char *stream, uint16_t type,
                             const void *bytes, uint32_t length);
void __real_link_consumed(struct link *link, const char *stream, uint32_t length);
void __wrap_link_consumed(struct link *link, const char *stream, uint32_t length);
unsigned __real_link_protocol(const struct link *link);
unsigned __wrap_link_protocol(const struct link *link);

int __real_tracking_unsettle(struct volume *volume);
int __wrap_tracking_unsettle(struct volume *volume);

int __wrap_tracking_unsettle(struct volume *volume)
{
    if (flap.shortages == 0)
        return __real_tracking_unsettle(volume);
    flap.shortages--;
    return -ENOMEM;
}

/* A peer that comes and goes is else dialled less and less often. */
int __wrap_link_new(struct loop *loop, const struct link_options *options,
                    const struct link_callbacks *callbacks, struct link **ret_link, struct err *err)
{
    struct link_options hurried = *options;

    hurried.backoff_min_ns = 100 * UINT64_C(1000000);
    hurried.backoff_max_ns = 100 * UINT64_C(1000000);
    return __real_link_new(loop, &hurried, callbacks, ret_link, err);
}

int __wrap_link_send_data(struct link *link, const char *stream, uint16_t type, const void *head,
                          uint32_t head_length, const void *payload, uint32_t payload_length)
{
    bool is_counted = type == STREAM_DATA || type == STREAM_HASHES;

    assert_false(type == STREAM_WHO && flap.is_peer_old);
    if (is_counted && flap.left == 0 && !flap.is_steady)
        return -EAGAIN;
    int error =
        __real_link_send_data(link, stream, type, head, head_length, payload, payload_length);

    if (error == 0)
        flap.sent += head_length + payload_length;
    if (error == 0 && is_counted) {
        flap.left -= flap.left > 0;
        flap.blocks += type == STREAM_DATA ? payload_length / BLOCK_SIZE : 0;
    }
    return error;
}

int __wrap_link_send_control(struct link *link, const char *stream, uint16_t type,
                             const void *bytes, uint32_t length)
{
    struct peer_life life;
    uint8_t twisted[STREAM_SMALL_SIZE_MAX];

    if (type != STREAM_LIFE)
        return __real_link_send_control(link, stream, type, bytes, length);
    assert_true(peer_life_decode(bytes, length, &life));
    life.came += (uint64_t)flap.twist;
    life.met = flap.met != 0 ? flap.met : life.met;
    flap.met = 0;
    flap.lives++;
    if (flap.unanswered > 0) {
        flap.unanswered--;
        return 0;
    }
    return __real_link_send_control(link, stream, type, twisted, peer_life_encode(&life, twisted));
}

void __wrap_link_consumed(struct link *link, const char *stream, uint32_t length)
{
    flap.consumed += length;
    __real_link_consumed(link, stream, length);
}

unsigned __wrap_link_protocol(const struct link *link)
{
    return flap.is_peer_old ? 1 : __real_link_protocol(link);
}

static bool may_write(struct pair_lab *lab, void *arg)
{
    unsigned site = *(unsigned *)arg;
    const char *why;

    return engine_disk_may_write(lab->sites[site].engine, site == PARIS ? "d-paris0" : "d-lyon0",
                                 &why);
}

static struct stream *stream_at(struct pair_lab *lab, unsigned site)
{
    return engine_find_stream(lab->sites[site].engine, "pg-lab");
}

static uint64_t count_of(struct pair_lab *lab, enum tracking_set which)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < DISKS; i++)
        count += blockset_count(tracking_set(stream_at(lab, PARIS)->volumes[i], which));
    return count;
}

/* All that may be sent is sent, has come, and is answered. */
static bool is_used_up(struct pair_lab *lab, void *arg)
{
    const struct source *source = stream_at(lab, PARIS)->source;

    (void)arg;
    if (pair_status(lab, PARIS).has_point)
        return true;
    for (unsigned i = 0; i < SLOT_COUNT; i++)
        if (source->slots[i].state == SLOT_ASKED || source->slots[i].is_reading)
            return false;
    return flap.left == 0 && flap.consumed == flap.sent;
}

static bool is_connected(struct pair_lab *lab, void *arg)
{
    const struct stream *stream = stream_at(lab, PARIS);

    (void)arg;
    return stream->source != NULL && source_is_connected(stream->source);
}

static bool is_apart(struct pair_lab *lab, void *arg)
{
    return !is_connected(lab, arg);
}

static bool has_met(struct pair_lab *lab, void *arg)
{
    return is_connected(lab, arg) && source_settled_life(stream_at(lab, PARIS)->source) != 0;
}

static void cut_the_link(struct pair_lab *lab, unsigned frames)
{
    link_drop(stream_at(lab, PARIS)->link, "cut by the test");
    pair_wait(lab, is_apart, NULL);
    flap.left = frames;
    flap.sent = flap.consumed = 0;
    pair_wait(lab, is_connected, NULL);
}

static void begin(struct pair_lab *lab)
{
    unsigned site = PARIS;

    memset(&flap, 0, sizeof(flap));
    flap.left = FRAMES;
    pair_lab_prepare(lab);
    lab->pieces.read_blocks = READ_BLOCKS;
    pair_lab_start(lab);
    pair_wait(lab, may_write, &site);
    pair_write(lab, PARIS, 0, 0, NOISE_BLOCKS, PAIR_NOISE);
    assert_int_equal(pair_start(lab, PARIS, false), 0);
    pair_wait(lab, is_used_up, NULL);
}

/* What the first connection sent and this one asked for. The reads of SLOT_COUNT frames end in any
 * order, so the last few frames of a connection need not be the first ones on the disk. */
static void check_settled(struct pair_lab *lab)
{
    flap.settled = count_of(lab, TRACKING_SETTLED);
    assert_in_range(flap.settled, (FRAMES - 2 * SLOT_COUNT) * READ_BLOCKS, FRAMES * READ_BLOCKS);
}

/* As far as the second connection: what the first one sent is settled, and nothing else. */
static void begin_settled(struct pair_lab *lab)
{
    begin(lab);
    assert_int_equal(count_of(lab, TRACKING_SETTLED), 0);
    cut_the_link(lab, FRAMES);
    pair_wait(lab, is_used_up, NULL);
    check_settled(lab);
}

static void end(struct pair_lab *lab)
{
    flap.is_steady = true;
    cut_the_link(lab, FRAMES); /* what was kept back is tried again */
    pair_settle(lab, PARIS);
    assert_int_equal(count_of(lab, TRACKING_SETTLED), 0);
    pair_lab_close(lab);
}

static void first_copy_over_a_link_that_drops(void **state)
{
    struct pair_lab lab;
    unsigned cuts = 0;

    begin(&lab);
    while (!pair_status(&lab, PARIS).has_point) {
        assert_true(cuts++ < CUTS_MAX);
        cut_the_link(&lab, FRAMES);
        pair_wait(&lab, is_used_up, NULL);
    }
    assert_true(cuts > 3);
    end(&lab);
    assert_int_equal(flap.blocks, NOISE_BLOCKS);
}

/* What it held in its memory alone is gone, and only its life tells. */
static void lose_power(unsigned shortages)
{
    static const uint8_t zeros[100 * BLOCK_SIZE];
    struct pair_lab lab;
    char path[300];

    begin_settled(&lab);
    pair_site_kill(&lab, LYON);
    snprintf(path, sizeof(path), "%s/disks/d-lyon0.raw", lab.sites[LYON].folder);
    int file = open(path, O_WRONLY);

    assert_true(file >= 0);
    assert_int_equal(pwrite(file, zeros, sizeof(zeros), 0), sizeof(zeros));
    assert_int_equal(close(file), 0);
    assert_int_equal(count_of(&lab, TRACKING_SETTLED), flap.settled);
    const struct source *source = stream_at(&lab, PARIS)->source;

    flap.twist = (int64_t)(source->shipped_blocks - source->peer.lost);
    flap.met = source->peer.whos[0];
    flap.left = 0;
    flap.shortages = shortages;
    pair_site_start(&lab, LYON, false);
    pair_wait(&lab, has_met, NULL);
    assert_int_equal(flap.shortages, 0);
    assert_int_equal(count_of(&lab, TRACKING_SETTLED), 0);
    flap.twist = 0;
    end(&lab);
}

static void target_that_lost_power(void **state)
{
    lose_power(0);
}

/* The connection on which it is seen ends for that; the next one must see it, too. */
static void target_that_lost_power_while_memory_is_short(void **state)
{
    lose_power(2);
}

static void host_writes_what_was_settled(void **state)
{
    struct pair_lab lab;

    begin_settled(&lab);
    pair_write(&lab, PARIS, 0, 10, 100, PAIR_NOISE + 1);
    cut_the_link(&lab, 0);
    pair_wait(&lab, has_met, NULL);
    assert_int_equal(count_of(&lab, TRACKING_SETTLED), flap.settled);
    pair_write(&lab, PARIS, 0, 200, 10, PAIR_NOISE + 2);
    end(&lab);
}

/* A machine that is put back with its memory goes on in the life that it had. */
static void counts_wrong(int64_t twist, bool stays)
{
    struct pair_lab lab;

    begin_settled(&lab);
    flap.twist = twist;
    cut_the_link(&lab, 0);
    pair_wait(&lab, has_met, NULL);
    assert_int_equal(count_of(&lab, TRACKING_SETTLED), stays ? flap.settled : 0);
    flap.twist = 0;
    end(&lab);
}

static void target_put_back_with_its_memory(void **state)
{
    counts_wrong(-1, false);
}

static void source_put_back_with_its_memory(void **state)
{
    counts_wrong(1, false);
}

static void life_that_goes_on(void **state)
{
    counts_wrong(0, true);
}

/* What was in flight at that moment, and lost, hides in the counts what was sent since. */
static void source_put_back_whose_count_fits(void **state)
{
    struct pair_lab lab;

    begin_settled(&lab);
    struct source *source = stream_at(&lab, PARIS)->source;
    struct source_peer_life peer = source->peer;

    cut_the_link(&lab, FRAMES);
    pair_wait(&lab, is_used_up, NULL);
    source->peer = peer;
    cut_the_link(&lab, 0);
    pair_wait(&lab, has_met, NULL);
    assert_int_equal(count_of(&lab, TRACKING_SETTLED), 0);
    end(&lab);
}

/* The target has met us, all the same. */
static void answers_that_are_lost(void **state)
{
    enum { COUNT = WHO_COUNT + 1 };
    struct pair_lab lab;

    begin_settled(&lab);
    flap.unanswered = COUNT;
    for (unsigned i = 0; i < COUNT; i++) {
        cut_the_link(&lab, 0);
        while (flap.unanswered > COUNT - i - 1)
            pair_run_ms(&lab, 1);
    }
    cut_the_link(&lab, 0);
    pair_wait(&lab, has_met, NULL);
    assert_int_equal(count_of(&lab, TRACKING_SETTLED), flap.settled);
    end(&lab);
}

/* One of link protocol 1 is never asked, and gets its copy when the link stays. */
static void peer_of_before(void **state)
{
    struct pair_lab lab;

    begin_settled(&lab);
    flap.is_peer_old = true;
    flap.lives = 0;
    cut_the_link(&lab, 0);
    assert_int_equal(count_of(&lab, TRACKING_SETTLED), 0);
    end(&lab);
    assert_int_equal(flap.lives, 0);
}

/* A stop, clean or by a person, forgets what is settled, and nothing else. */
static void stops_in_the_middle(void **state)
{
    struct pair_lab lab;
    uint64_t all = DISKS * DISK_BLOCKS;

    begin_settled(&lab);
    assert_int_equal(pair_stop(&lab, PARIS), 0);
    assert_int_equal(count_of(&lab, TRACKING_SETTLED), 0);
    assert_int_equal(count_of(&lab, TRACKING_SUSPECT) + count_of(&lab, TRACKING_OPEN), all);
    flap.left = FRAMES;
    assert_int_equal(pair_start(&lab, PARIS, false), 0);
    pair_wait(&lab, is_used_up, NULL);
    check_settled(&lab);
    pair_site_stop(&lab, PARIS);
    flap.left = 0;
    pair_site_start(&lab, PARIS, false);
    pair_wait(&lab, is_connected, NULL);
    assert_int_equal(count_of(&lab, TRACKING_SUSPECT) + count_of(&lab, TRACKING_OPEN), all);
    end(&lab);
    assert_int_equal(flap.blocks, NOISE_BLOCKS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_copy_over_a_link_that_drops),
        cmocka_unit_test(target_that_lost_power),
        cmocka_unit_test(target_that_lost_power_while_memory_is_short),
        cmocka_unit_test(host_writes_what_was_settled),
        cmocka_unit_test(target_put_back_with_its_memory),
        cmocka_unit_test(source_put_back_with_its_memory),
        cmocka_unit_test(source_put_back_whose_count_fits),
        cmocka_unit_test(answers_that_are_lost),
        cmocka_unit_test(life_that_goes_on),
        cmocka_unit_test(peer_of_before),
        cmocka_unit_test(stops_in_the_middle),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
