/* SPDX-License-Identifier: Apache-2.0 */
/* Records that cannot be read once: nothing is forgotten, nothing is taken for "not there". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "drive.h"
#include "fake_meta.h"

static const uint64_t moment_ns = UINT64_C(30) * 1000000000;

static void cannot_list(struct fake_world *world, unsigned site, enum record_kind kind,
                        unsigned count)
{
    fake_meta_fail(world->sites[site].meta, kind, false, count);
}

static void cannot_get(struct fake_world *world, unsigned site, enum record_kind kind)
{
    fake_meta_fail(world->sites[site].meta, kind, true, 1);
}

static void expect_read(struct fake_world *world, unsigned site)
{
    assert_int_equal(fake_meta_left(world->sites[site].meta), 0);
}

/* Made while the link was cut; at its return the records could not be listed. */
static void test_link_up_is_not_missed(void **state)
{
    static const enum record_kind kinds[] = {RECORD_GROUP, RECORD_PAIR, RECORD_TOMBSTONE};
    struct fake_world *world = *state;
    char group[64];

    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        fake_net(world, false);
        drive_group(world, group);
        cannot_list(world, PARIS, kinds[i], 3);
        fake_net(world, true);
        fake_run(world, moment_ns);
        expect_read(world, PARIS);
        drive_status(world, group, "created");
    }
}

static void test_mark_is_not_missed(void **state)
{
    struct fake_world *world = *state;
    char group[64];

    cannot_get(world, PARIS, RECORD_GROUP);
    drive_group(world, group);
    fake_run(world, moment_ns);
    expect_read(world, PARIS);
    drive_status(world, group, "created");
}

#define STORY(test) cmocka_unit_test_setup_teardown(test, drive_setup, drive_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(test_link_up_is_not_missed),
        STORY(test_mark_is_not_missed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
