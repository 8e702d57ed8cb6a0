/* SPDX-License-Identifier: Apache-2.0 */
/* Why: both sites know the same callers, whatever was edited where while they were apart. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/roster_record.h"
#include "roster_drive.h"

#define SOON_NS UINT64_C(10000000000)

static void expect_total(struct fake_world *world, unsigned site, const char *action,
                         const char *count)
{
    char text[64];

    drive_ok(world, site, action, "TotalCount", text, "A=b");
    assert_string_equal(text, count);
}

static void test_what_is_made_here_is_there(void **state)
{
    struct fake_world *world = *state;
    struct roster_key key;

    drive_ok(world, PARIS, "CreateUser", NULL, NULL, "UserName=anna");
    roster_drive_key(world, PARIS, "anna", &key);
    roster_drive_policy(world, PARIS, "anna", "p",
                        "{'Effect':'Allow','Action':'ebs:*','Resource':'*'}");
    fake_run(world, 0);
    roster_drive_expect_key(world, LYON, key.id, key.secret);
    fake_site_crash(world, PARIS);
    roster_drive_as(world, "anna", &key); /* the first site is gone */
    drive_ok(world, LYON, "DescribeDiskReplicaPairs", NULL, NULL, "RegionId=cn-lyon");
    fake_site_crash(world, LYON);
    fake_site_start(world, LYON);
    roster_drive_expect_key(world, LYON, key.id, key.secret);
    roster_drive_as(world, NULL, NULL);
    drive_ok(world, LYON, "DeleteUser", NULL, NULL, "UserName=anna");
    fake_site_start(world, PARIS);
    fake_run(world, SOON_NS);
    roster_drive_expect_key(world, PARIS, key.id, NULL);
    expect_total(world, PARIS, "ListUsers", "0");
    expect_total(world, PARIS, "ListAccessKeys", "0");
}

static void test_both_edit_while_apart(void **state)
{
    struct fake_world *world = *state;
    struct roster_key anna, bert, paris, lyon;

    drive_ok(world, PARIS, "CreateUser", NULL, NULL, "UserName=anna");
    drive_ok(world, PARIS, "CreateUser", NULL, NULL, "UserName=bert");
    roster_drive_key(world, PARIS, "anna", &anna);
    roster_drive_key(world, PARIS, "bert", &bert);
    fake_run(world, SOON_NS);
    fake_net(world, false);
    drive_ok(world, PARIS, "DeleteUser", NULL, NULL, "UserName=anna");
    drive_ok(world, PARIS, "UpdateAccessKey", NULL, NULL, "UserAccessKeyId=%s&Status=Inactive",
             bert.id);
    roster_drive_key(world, PARIS, "bert", &paris);
    roster_drive_key(world, LYON, "anna", &lyon); /* she lives there still */
    drive_ok(world, LYON, "UpdateAccessKey", NULL, NULL, "UserAccessKeyId=%s&Status=Inactive",
             bert.id);
    drive_ok(world, LYON, "UpdateAccessKey", NULL, NULL, "UserAccessKeyId=%s&Status=Active",
             bert.id);
    fake_net(world, true);
    fake_run(world, SOON_NS);
    for (unsigned site = 0; site < 2; site++) {
        struct directory *directory = control_site(world->sites[site].control)->directory;
        struct directory_key key;

        assert_null(directory_user_uid(directory, "anna"));
        roster_drive_expect_key(world, site, anna.id, NULL);
        roster_drive_expect_key(world, site, lyon.id, NULL); /* of nobody who lives */
        roster_drive_expect_key(world, site, paris.id, paris.secret);
        assert_true(directory_find_key(directory, bert.id, &key));
        assert_true(key.is_enabled); /* lyon wrote twice: the higher version */
        expect_total(world, site, "ListUsers", "1");
    }
}

static void test_one_name_made_at_both(void **state)
{
    struct fake_world *world = *state;
    struct roster_key keys[2];
    char uids[2][64];

    fake_net(world, false);
    for (unsigned site = 0; site < 2; site++) {
        drive_ok(world, site, "CreateUser", NULL, NULL, "UserName=anna");
        roster_drive_key(world, site, "anna", &keys[site]);
    }
    fake_net(world, true);
    fake_run(world, SOON_NS);
    for (unsigned site = 0; site < 2; site++) {
        struct directory *directory = control_site(world->sites[site].control)->directory;

        strcpy(uids[site], directory_user_uid(directory, "anna"));
        roster_drive_expect_key(world, site, keys[PARIS].id, keys[PARIS].secret);
        roster_drive_expect_key(world, site, keys[LYON].id, NULL); /* of the anna that lost */
        expect_total(world, site, "ListAccessKeys", "1");
    }
    assert_string_equal(uids[0], uids[1]);
    for (unsigned i = 0; i < 4; i++) /* nor does it count for the five */
        drive_ok(world, LYON, "CreateAccessKey", NULL, NULL, "UserName=anna");
    drive_fails(world, LYON, 409, "LimitExceeded.User.AccessKey", NULL, "CreateAccessKey",
                "UserName=anna");
    drive_ok(world, LYON, "DeleteUser", NULL, NULL, "UserName=anna");
    expect_total(world, LYON, "ListAccessKeys", "0");
}

static unsigned count_of(struct fake_world *world, unsigned site, enum record_kind kind)
{
    struct meta_query all = {.kind = kind};
    unsigned count;

    assert_int_equal(meta_count(world->sites[site].meta, &all, &count), 0);
    return count;
}

static void meet_again(struct fake_world *world)
{
    fake_net(world, false);
    fake_run(world, SOON_NS);
    fake_net(world, true);
    fake_run(world, SOON_NS);
}

/* What was deleted long ago is forgotten at both sites, and does not stand in the way. */
static void test_the_deleted_are_forgotten(void **state)
{
    struct fake_world *world = *state;
    struct roster_key key;

    for (unsigned i = 0; i < 40; i++)
        drive_ok(world, PARIS, "CreateUser", NULL, NULL, "UserName=user-%u", i);
    roster_drive_key(world, PARIS, "user-0", &key);
    fake_run(world, SOON_NS);
    for (unsigned i = 0; i < 39; i++)
        drive_ok(world, i % 2, "DeleteUser", NULL, NULL, "UserName=user-%u", i);
    drive_ok(world, PARIS, "CreateUser", NULL, NULL, "UserName=last");
    meet_again(world);
    for (unsigned site = 0; site < 2; site++) { /* not yet */
        assert_int_equal(count_of(world, site, RECORD_USER), 41);
        assert_int_equal(count_of(world, site, RECORD_ACCESS_KEY), 1);
    }
    world->wall_jump_ns = INT64_C(31) * 86400 * 1000000000;
    fake_net(world, false); /* one of them is made anew by a site that knows of its end */
    drive_ok(world, LYON, "CreateUser", NULL, NULL, "UserName=user-1");
    fake_net(world, true);
    fake_run(world, SOON_NS);
    meet_again(world);
    for (unsigned site = 0; site < 2; site++) {
        assert_int_equal(count_of(world, site, RECORD_USER), 3);
        assert_int_equal(count_of(world, site, RECORD_ACCESS_KEY), 1); /* the last of its kind */
        expect_total(world, site, "ListUsers", "3");
    }
    drive_ok(world, LYON, "CreateUser", NULL, NULL, "UserName=user-0");
    meet_again(world);
    expect_total(world, PARIS, "ListUsers", "4");
}

/* site.db and its log, as a backup does it while the daemon is down. */
static void copy_file(const char *from, const char *to, const char *ending)
{
    char names[2][200], bytes[4096];
    size_t length;

    snprintf(names[0], sizeof(names[0]), "%s%s", from, ending);
    snprintf(names[1], sizeof(names[1]), "%s%s", to, ending);
    unlink(names[1]);
    FILE *in = fopen(names[0], "rb");

    if (!in)
        return;
    FILE *out = fopen(names[1], "wb");

    assert_non_null(out);
    while ((length = fread(bytes, 1, sizeof(bytes), in)) > 0)
        assert_int_equal(fwrite(bytes, 1, length, out), length);
    assert_int_equal(fclose(out), 0);
    fclose(in);
}

static void copy_records(const char *from, const char *to)
{
    copy_file(from, to, "");
    copy_file(from, to, "-wal");
    copy_file(from, to, "-shm");
}

static bool is_gone(struct fake_world *world, unsigned site, enum record_kind kind, const char *id)
{
    union roster_record record;

    return meta_get(world->sites[site].meta, kind, id, &record) == -ENOENT;
}

/* Paris comes back out of an old copy, from which a user and a key were deleted since; nobody
 * remembers them. They do not come to life again, at either site; what was made since stays. */
static void test_an_old_copy_brings_nothing_back(void **state)
{
    struct fake_world *world = *state;
    char backup[200];
    struct roster_key gone, kept, later;

    drive_ok(world, PARIS, "CreateUser", NULL, NULL, "UserName=anna");
    drive_ok(world, PARIS, "CreateUser", NULL, NULL, "UserName=bert");
    roster_drive_key(world, PARIS, "anna", &gone);
    roster_drive_key(world, PARIS, "bert", &kept);
    fake_run(world, SOON_NS);
    fake_site_crash(world, PARIS);
    snprintf(backup, sizeof(backup), "%s-backup", world->sites[PARIS].path);
    copy_records(world->sites[PARIS].path, backup);
    fake_site_start(world, PARIS);
    fake_run(world, SOON_NS);
    drive_ok(world, LYON, "DeleteUser", NULL, NULL, "UserName=anna");
    roster_drive_key(world, LYON, "bert", &later);
    drive_ok(world, LYON, "CreateUser", NULL, NULL, "UserName=carl");
    world->wall_jump_ns = INT64_C(31) * 86400 * 1000000000;
    meet_again(world);
    for (unsigned site = 0; site < 2; site++) {
        assert_true(is_gone(world, site, RECORD_USER, "anna"));
        assert_true(is_gone(world, site, RECORD_ACCESS_KEY, gone.id));
    }
    fake_site_crash(world, PARIS);
    copy_records(backup, world->sites[PARIS].path);
    copy_file("/nowhere", backup, "");
    copy_file("/nowhere", backup, "-wal");
    copy_file("/nowhere", backup, "-shm");
    fake_net(world, false);
    fake_site_start(world, PARIS);
    fake_run(world, SOON_NS);
    roster_drive_expect_key(world, PARIS, gone.id, gone.secret); /* until it meets its peer */
    fake_net(world, true);
    fake_run(world, SOON_NS);
    for (unsigned site = 0; site < 2; site++) {
        struct directory *directory = control_site(world->sites[site].control)->directory;

        assert_null(directory_user_uid(directory, "anna"));
        roster_drive_expect_key(world, site, gone.id, NULL);
        roster_drive_expect_key(world, site, kept.id, kept.secret);
        roster_drive_expect_key(world, site, later.id, later.secret);
        expect_total(world, site, "ListUsers", "2");
    }
}

/* Made at a site that knew of nothing, long apart, while the other deleted many: it stays. */
static void test_made_while_apart_is_no_old_copy(void **state)
{
    struct fake_world *world = *state;
    struct roster_key key, paris;

    fake_net(world, false);
    for (unsigned i = 0; i < 40; i++)
        drive_ok(world, PARIS, "CreateUser", NULL, NULL, "UserName=user-%u", i);
    for (unsigned i = 0; i < 39; i++)
        drive_ok(world, PARIS, "DeleteUser", NULL, NULL, "UserName=user-%u", i);
    drive_ok(world, PARIS, "CreateUser", NULL, NULL, "UserName=last");
    roster_drive_key(world, PARIS, "last", &paris);
    for (unsigned i = 0; i < 30; i++)
        drive_ok(world, LYON, "CreateUser", NULL, NULL, "UserName=lyon-%u", i);
    roster_drive_key(world, LYON, "lyon-29", &key);
    world->wall_jump_ns = INT64_C(31) * 86400 * 1000000000;
    fake_net(world, true);
    fake_run(world, SOON_NS);
    meet_again(world); /* what came from the peer is forgotten at the next contact */
    for (unsigned site = 0; site < 2; site++) {
        expect_total(world, site, "ListUsers", "32");
        roster_drive_expect_key(world, site, key.id, key.secret);
        assert_true(is_gone(world, site, RECORD_USER, "user-0")); /* forgotten all the same */
        assert_int_equal(count_of(world, site, RECORD_USER), 32);
    }
    drive_ok(world, LYON, "CreateUser", NULL, NULL, "UserName=user-7"); /* nor a name */
    meet_again(world);
    expect_total(world, PARIS, "ListUsers", "33");
}

/* Whoever deleted it may have had to: nothing that the other site did, apart, brings it back. */
static void test_a_deleted_key_stays_so(void **state)
{
    struct fake_world *world = *state;
    struct roster_key key, kept;
    struct access_key_record records[2];

    drive_ok(world, PARIS, "CreateUser", NULL, NULL, "UserName=anna");
    roster_drive_key(world, PARIS, "anna", &key);
    roster_drive_key(world, PARIS, "anna", &kept);
    fake_run(world, SOON_NS);
    fake_net(world, false);
    drive_ok(world, PARIS, "DeleteAccessKey", NULL, NULL, "UserAccessKeyId=%s", key.id);
    for (unsigned i = 0; i < 6; i++) /* back to Active, and newer by far */
        drive_ok(world, LYON, "UpdateAccessKey", NULL, NULL, "UserAccessKeyId=%s&Status=%s", key.id,
                 i % 2 ? "Active" : "Inactive");
    roster_drive_expect_key(world, LYON, key.id, key.secret);
    fake_net(world, true);
    fake_run(world, SOON_NS);
    for (unsigned site = 0; site < 2; site++) {
        roster_drive_expect_key(world, site, key.id, NULL);
        roster_drive_expect_key(world, site, kept.id, kept.secret);
        assert_int_equal(
            meta_get(world->sites[site].meta, RECORD_ACCESS_KEY, key.id, &records[site]), 0);
        assert_true(records[site].access.is_deleted);
        assert_string_equal(records[site].sealed, "");
    }
    assert_int_equal(records[PARIS].access.version, records[LYON].access.version);
    assert_string_equal(records[PARIS].access.site, records[LYON].access.site);
}

/* Who gets the user's name next does not get his keys. */
static void test_a_key_that_went_with_its_user_stays_so(void **state)
{
    struct fake_world *world = *state;
    struct access_key_record record;
    struct roster_key key, next;

    drive_ok(world, PARIS, "CreateUser", NULL, NULL, "UserName=anna");
    roster_drive_key(world, PARIS, "anna", &key);
    fake_run(world, SOON_NS);
    fake_net(world, false);
    drive_ok(world, PARIS, "DeleteUser", NULL, NULL, "UserName=anna");
    drive_ok(world, PARIS, "CreateUser", NULL, NULL, "UserName=anna");
    roster_drive_key(world, PARIS, "anna", &next);
    for (unsigned i = 0; i < 6; i++)
        drive_ok(world, LYON, "UpdateAccessKey", NULL, NULL, "UserAccessKeyId=%s&Status=%s", key.id,
                 i % 2 ? "Active" : "Inactive");
    fake_net(world, true);
    fake_run(world, SOON_NS);
    for (unsigned site = 0; site < 2; site++) {
        roster_drive_expect_key(world, site, key.id, NULL);
        roster_drive_expect_key(world, site, next.id, next.secret);
        assert_int_equal(meta_get(world->sites[site].meta, RECORD_ACCESS_KEY, key.id, &record), 0);
        assert_true(record.access.is_deleted);
    }
}

/* The peer has not been there for years. */
static void test_too_many_deleted(void **state)
{
    struct fake_world *world = *state;
    struct meta *meta = world->sites[PARIS].meta;
    struct user_record user = {
        .access = {.version = 1, .site = "paris", .is_deleted = true, .created_s = 1}, .uid = "2"};
    struct err err;

    fake_net(world, false);
    assert_int_equal(meta_begin(meta, &err), 0);
    for (unsigned i = 0; i < ROSTER_RECORDS_MAX; i++) {
        snprintf(user.access.id, sizeof(user.access.id), "user-%u", i);
        assert_int_equal(meta_put(meta, RECORD_USER, &user, &err), 0);
    }
    assert_int_equal(meta_commit(meta, &err), 0);
    drive_ok(world, PARIS, "CreateUser", NULL, NULL, "UserName=anna");
    drive_ok(world, PARIS, "DeleteUser", NULL, NULL, "UserName=anna");
    assert_int_equal(count_of(world, PARIS, RECORD_USER), ROSTER_RECORDS_MAX);
    assert_int_equal(meta_get(meta, RECORD_USER, "user-0", &user), -ENOENT);
    assert_int_equal(meta_get(meta, RECORD_USER, "anna", &user), 0);
    /* It never heard of the end of user-0, which it has. */
    meta = world->sites[LYON].meta;
    user = (struct user_record){.access = {.id = "user-0", .version = 1, .site = "lyon"}};
    strcpy(user.uid, "2");
    assert_int_equal(meta_begin(meta, &err), 0);
    assert_int_equal(meta_put(meta, RECORD_USER, &user, &err), 0);
    assert_int_equal(meta_commit(meta, &err), 0);
    fake_site_crash(world, LYON);
    fake_site_start(world, LYON);
    fake_net(world, true);
    fake_run(world, SOON_NS);
    assert_int_equal(meta_get(world->sites[LYON].meta, RECORD_USER, "user-0", &user), 0);
    assert_true(user.access.is_deleted);
}

/* One site has forgotten it, the other not yet: what is made anew there stands at both. */
static void test_forgotten_at_one_site(void **state)
{
    struct fake_world *world = *state;
    struct roster_key key;
    struct err err;

    drive_ok(world, PARIS, "CreateUser", NULL, NULL, "UserName=anna");
    for (unsigned i = 0; i < 5; i++) { /* its version rises */
        roster_drive_key(world, PARIS, "anna", &key);
        drive_ok(world, PARIS, "UpdateAccessKey", NULL, NULL, "UserAccessKeyId=%s&Status=Inactive",
                 key.id);
    }
    drive_ok(world, PARIS, "DeleteUser", NULL, NULL, "UserName=anna");
    drive_ok(world, PARIS, "CreateUser", NULL, NULL, "UserName=bob");
    fake_run(world, SOON_NS);
    assert_int_equal(meta_begin(world->sites[PARIS].meta, &err), 0);
    assert_int_equal(meta_remove(world->sites[PARIS].meta, RECORD_USER, "anna", &err), 0);
    assert_int_equal(meta_commit(world->sites[PARIS].meta, &err), 0);
    meet_again(world); /* it does not come back ... */
    assert_int_equal(count_of(world, PARIS, RECORD_USER), 1);
    drive_ok(world, PARIS, "CreateUser", NULL, NULL, "UserName=anna");
    meet_again(world); /* ... and does not take her along */
    for (unsigned site = 0; site < 2; site++) {
        expect_total(world, site, "ListUsers", "2");
    }
}

static void test_a_crash_between_is_caught_up(void **state)
{
    struct fake_world *world = *state;
    struct roster_key key;

    drive_ok(world, PARIS, "CreateUser", NULL, NULL, "UserName=anna");
    fake_run(world, SOON_NS);
    fake_hold(world, PARIS, DATA_CALL, false); /* what it wants to tell does not get out */
    roster_drive_key(world, PARIS, "anna", &key);
    roster_drive_expect_key(world, LYON, key.id, NULL);
    fake_site_crash(world, PARIS);
    fake_site_start(world, PARIS);
    fake_run(world, SOON_NS);
    roster_drive_expect_key(world, LYON, key.id, key.secret);
}

/* Users that cannot be read are not taken for none. */
static void test_the_start_waits_for_what_cannot_be_read(void **state)
{
    struct fake_world *world = *state;
    struct roster_key key;

    roster_drive_key(world, PARIS, NULL, &key);
    fake_net(world, false);
    fake_site_crash(world, PARIS);
    world->sites[PARIS].unread_kind = RECORD_ACCESS_KEY;
    world->sites[PARIS].unread_count = 3;
    fake_site_start(world, PARIS);
    assert_false(control_site(world->sites[PARIS].control)->is_ready);
    fake_run(world, SOON_NS);
    assert_true(control_site(world->sites[PARIS].control)->is_ready);
    roster_drive_expect_key(world, PARIS, key.id, key.secret);
}

static void test_many(void **state)
{
    struct fake_world *world = *state;

    fake_net(world, false);
    for (unsigned i = 0; i < 100; i++)
        drive_ok(world, i % 2, "CreateUser", NULL, NULL, "UserName=u%u", i);
    fake_net(world, true);
    fake_run(world, SOON_NS);
    expect_total(world, PARIS, "ListUsers", "100");
    expect_total(world, LYON, "ListUsers", "100");
}

static void test_use_is_written_down(void **state)
{
    struct fake_world *world = *state;
    struct roster_key key;
    struct site *site = control_site(world->sites[PARIS].control);

    roster_drive_key(world, PARIS, NULL, &key);
    directory_use_key(site->directory, key.id, 12345);
    fake_run(world, UINT64_C(61000000000));
    fake_site_crash(world, PARIS);
    fake_site_start(world, PARIS);
    site = control_site(world->sites[PARIS].control);
    assert_int_equal(directory_used_s(site->directory, key.id), 12345);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_made_here_is_there, drive_setup,
                                        drive_teardown),
        cmocka_unit_test_setup_teardown(test_both_edit_while_apart, drive_setup, drive_teardown),
        cmocka_unit_test_setup_teardown(test_one_name_made_at_both, drive_setup, drive_teardown),
        cmocka_unit_test_setup_teardown(test_the_deleted_are_forgotten, drive_setup,
                                        drive_teardown),
        cmocka_unit_test_setup_teardown(test_an_old_copy_brings_nothing_back, drive_setup,
                                        drive_teardown),
        cmocka_unit_test_setup_teardown(test_made_while_apart_is_no_old_copy, drive_setup,
                                        drive_teardown),
        cmocka_unit_test_setup_teardown(test_a_deleted_key_stays_so, drive_setup, drive_teardown),
        cmocka_unit_test_setup_teardown(test_a_key_that_went_with_its_user_stays_so, drive_setup,
                                        drive_teardown),
        cmocka_unit_test_setup_teardown(test_too_many_deleted, drive_setup, drive_teardown),
        cmocka_unit_test_setup_teardown(test_forgotten_at_one_site, drive_setup, drive_teardown),
        cmocka_unit_test_setup_teardown(test_a_crash_between_is_caught_up, drive_setup,
                                        drive_teardown),
        cmocka_unit_test_setup_teardown(test_the_start_waits_for_what_cannot_be_read, drive_setup,
                                        drive_teardown),
        cmocka_unit_test_setup_teardown(test_many, drive_setup, drive_teardown),
        cmocka_unit_test_setup_teardown(test_use_is_written_down, drive_setup, drive_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
