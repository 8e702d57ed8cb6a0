/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every operation at each of the two places, before and after a reverse, against contract 5.10 in
 * states/sites.txt: through the place's own door and through the other one, since RegionId decides.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "drive.h"

enum { WORD = 64, PLACES = 4 };

struct row {
    bool is_group;
    char op[WORD / 2];
    char answers[PLACES][WORD];
};

struct scene {
    struct fake_world *world;
    const struct row *row;
    bool is_reversed, is_one_region;
    struct drive_pair pair, other;
    char group[WORD];
    const char *id, *kind;
};

static const char *region_of(const struct scene *scene, unsigned place)
{
    return scene->world->sites[place].region;
}

/* Something that the scene needs, at the site where it belongs. */
static void act(struct scene *scene, unsigned place, const char *op, const char *more)
{
    char action[2 * WORD];

    sprintf(action, "%sDiskReplica%s", op, scene->kind);
    drive_ok(scene->world, place, action, NULL, NULL, "RegionId=%s&Replica%sId=%s%s",
             region_of(scene, place), scene->kind, scene->id, more);
    fake_run(scene->world, UINT64_C(1000000000));
}

static void copy(struct scene *scene, unsigned source)
{
    act(scene, source, "Start", "");
    fake_copy(scene->world);
}

static bool is_op(const struct scene *scene, const char *name)
{
    return strcmp(scene->row->op, name) == 0;
}

/* A relation that was copied once, in the direction and the state that the operation wants. */
static void scene_make(struct scene *scene)
{
    unsigned source = scene->is_reversed ? LYON : PARIS;

    scene->world = fake_world_new(scene->is_one_region);
    scene->kind = scene->row->is_group ? "Group" : "Pair";
    drive_pair(scene->world, &scene->pair);
    drive_pair(scene->world, &scene->other);
    drive_group(scene->world, scene->group);
    if (scene->row->is_group)
        drive_add(scene->world, scene->group, &scene->pair);
    scene->id = scene->row->is_group ? scene->group : scene->pair.id;
    copy(scene, PARIS);
    if (scene->is_reversed) {
        act(scene, LYON, "Failover", "");
        act(scene, LYON, "Reprotect", "&ReverseReplicate=true");
        copy(scene, LYON);
    }
    if (is_op(scene, "Reprotect"))
        act(scene, 1 - source, "Failover", "");
    else if (!is_op(scene, "Stop") && !is_op(scene, "Failover"))
        act(scene, source, "Stop", "");
    if (!scene->row->is_group || (!is_op(scene, "Delete") && !is_op(scene, "Add")))
        return;
    /* To be deleted it must be empty; to take a pair, of the same direction, it must lack one. */
    drive_ok(scene->world, PARIS, "RemoveDiskReplicaPair", NULL, NULL,
             "RegionId=%s&ReplicaGroupId=%s&ReplicaPairId=%s", region_of(scene, PARIS),
             scene->group, scene->pair.id);
    fake_run(scene->world, UINT64_C(1000000000));
}

static void question(const struct scene *scene, unsigned place, char *action, char *query)
{
    const char *region = region_of(scene, place);

    if (is_op(scene, "Describe")) {
        sprintf(action, "DescribeDiskReplica%ss", scene->kind);
        sprintf(query, "RegionId=%s&%sIds=%s", region, scene->kind, scene->id);
    } else if (is_op(scene, "Progress")) {
        strcpy(action, "DescribeDiskReplicaPairProgress");
        sprintf(query, "RegionId=%s&ReplicaPairId=%s", region, scene->id);
    } else if (is_op(scene, "Add") || is_op(scene, "Remove")) {
        sprintf(action, "%sDiskReplicaPair", scene->row->op);
        sprintf(query, "RegionId=%s&ReplicaGroupId=%s&ReplicaPairId=%s", region, scene->group,
                scene->pair.id);
    } else {
        sprintf(action, "%sDiskReplica%s", scene->row->op, scene->kind);
        sprintf(query, "RegionId=%s&Replica%sId=%s%s", region, scene->kind, scene->id,
                is_op(scene, "Modify") ? "&Description=changed" : "");
    }
}

/* False, and told, when the answer is another one. */
static bool ask_one(struct scene *scene, unsigned place, unsigned door, const char *wanted)
{
    char action[2 * WORD], query[300];
    const char *got;
    unsigned status = 0;
    json_t *reply;
    bool is_right;

    scene_make(scene);
    question(scene, place, action, query);
    reply = fake_ask(scene->world, door, action, query, &status);
    assert_non_null(reply);
    got = status == 200 ? "200" : json_string_value(json_object_get(reply, "Code"));
    is_right = strcmp(got, wanted) == 0;
    if (!is_right)
        print_error("%s of a %s at %u through %u%s%s: %s, not %s\n", scene->row->op, scene->kind,
                    place, door, scene->is_reversed ? ", reversed" : "",
                    scene->is_one_region ? ", one region" : "", got, wanted);
    json_decref(reply);
    fake_world_free(scene->world);
    return is_right;
}

static unsigned walk_row(const struct row *row)
{
    unsigned wrong = 0;

    for (unsigned at = 0; at < PLACES; at++)
        for (unsigned door = 0; door < 2; door++) {
            struct scene scene = {.row = row, .is_reversed = at >= 2};

            wrong += !ask_one(&scene, at % 2, door, row->answers[at]);
        }
    /* In one region the place cannot be named: either door will do. */
    for (unsigned at = 0; at < PLACES; at++) {
        struct scene scene = {.row = row, .is_reversed = at >= 2, .is_one_region = true};

        wrong += !ask_one(&scene, at % 2, at % 2, "200");
    }
    return wrong;
}

static void walk(bool is_group)
{
    FILE *file = fopen(STATES_FOLDER "/sites.txt", "r");
    unsigned wrong = 0, row_count = 0;
    char line[400], kind[WORD];

    assert_non_null(file);
    while (fgets(line, sizeof(line), file)) {
        struct row row;

        if (sscanf(line, "%63s", kind) != 1 || kind[0] == '#')
            continue;
        if (sscanf(line, "%63s %31s %63s %63s %63s %63s", kind, row.op, row.answers[0],
                   row.answers[1], row.answers[2], row.answers[3]) != 2 + PLACES)
            fail_msg("malformed: %s", line);
        row.is_group = strcmp(kind, "group") == 0;
        if (row.is_group != is_group)
            continue;
        row_count++;
        wrong += walk_row(&row);
    }
    fclose(file);
    assert_in_range(row_count, 8, 20);
    assert_int_equal(wrong, 0);
}

static void test_pairs_at_each_place(void **state)
{
    walk(false);
}

static void test_groups_at_each_place(void **state)
{
    walk(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pairs_at_each_place),
        cmocka_unit_test(test_groups_at_each_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
