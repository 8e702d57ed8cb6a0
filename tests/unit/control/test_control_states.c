/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every operation in every state, asked through the whole control wing, against the contract's own
 * tables: states/pair.txt and states/group.txt hold them letter for letter, and beside them what
 * was decided where they are silent. Each question has a fresh world; the state is written into
 * both sites' records, and Describe must show it at both before the question is asked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "drive.h"

enum { OPS = 9, STATES_MAX = 24, DECISIONS_MAX = 40, WORD = 64 };

struct decision {
    char op[WORD], state[WORD], answer[WORD];
};

struct states_table {
    char ops[OPS][WORD];
    char states[STATES_MAX][WORD];
    char letters[STATES_MAX][OPS];
    unsigned state_count;
    char refusals[OPS][WORD];
    struct decision decisions[DECISIONS_MAX];
    unsigned decision_count;
    char absent[WORD]; /* a state that is never shown */
};

static unsigned op_find(const struct states_table *table, const char *name)
{
    for (unsigned i = 0; i < OPS; i++)
        if (strcmp(table->ops[i], name) == 0)
            return i;
    fail_msg("no operation %s", name);
    return 0;
}

static void take_row(struct states_table *table, const char *line)
{
    unsigned row = table->state_count++;
    char letters[OPS][WORD];

    check(row < STATES_MAX);
    if (sscanf(line, "%63s %63s %63s %63s %63s %63s %63s %63s %63s %63s", table->states[row],
               letters[0], letters[1], letters[2], letters[3], letters[4], letters[5], letters[6],
               letters[7], letters[8]) != 1 + OPS)
        fail_msg("malformed: %s", line);
    for (unsigned op = 0; op < OPS; op++)
        table->letters[row][op] = letters[op][0];
}

static void take_line(struct states_table *table, const char *line)
{
    struct decision *decision = &table->decisions[table->decision_count];
    char op[WORD], text[WORD], first[WORD];

    if (sscanf(line, "%63s", first) != 1 || first[0] == '#')
        return;
    if (strcmp(first, "states") == 0) {
        if (sscanf(line, "%*s %63s %63s %63s %63s %63s %63s %63s %63s %63s", table->ops[0],
                   table->ops[1], table->ops[2], table->ops[3], table->ops[4], table->ops[5],
                   table->ops[6], table->ops[7], table->ops[8]) != OPS)
            fail_msg("malformed: %s", line);
    } else if (sscanf(line, "refusal %63s %63s", op, text) == 2) {
        strcpy(table->refusals[op_find(table, op)], text);
    } else if (sscanf(line, "decide %63s %63s %63s", decision->op, decision->state,
                      decision->answer) == 3) {
        check(++table->decision_count < DECISIONS_MAX);
        op_find(table, decision->op);
    } else if (sscanf(line, "absent %63s", text) == 1) {
        strcpy(table->absent, text);
    } else {
        take_row(table, line);
    }
}

static void table_read(struct states_table *table, const char *path)
{
    FILE *file = fopen(path, "r");
    char line[300];

    if (!file)
        fail_msg("%s cannot be read", path);
    memset(table, 0, sizeof(*table));
    while (fgets(line, sizeof(line), file))
        take_line(table, line);
    fclose(file);
    assert_int_equal(table->state_count, REPLICA_STATE_COUNT - 1); /* all but `deleted` */
}

/* "200", or the error's code. A decision that only repeats the table is an offence. */
static const char *table_answer(const struct states_table *table, unsigned row, unsigned op)
{
    const char *refusal =
        table->refusals[op][0] ? table->refusals[op] : "OperationDenied.InvalidStatus";
    const char *answer = NULL;

    switch (table->letters[row][op]) {
    case 'Y':
    case 'U':
    case 'T':
        answer = "200";
        break;
    case 'e':
        answer = "OperationDenied.GroupHasPair";
        break;
    case '.':
    case '-':
        answer = refusal;
        break;
    default:
        break;
    }
    for (unsigned i = 0; i < table->decision_count; i++) {
        const struct decision *decision = &table->decisions[i];

        if (strcmp(decision->op, table->ops[op]) == 0 &&
            strcmp(decision->state, table->states[row]) == 0) {
            if (answer && strcmp(answer, decision->answer) == 0)
                fail_msg("%s in %s: the table says so", decision->op, decision->state);
            return decision->answer;
        }
    }
    if (!answer)
        fail_msg("%s in %s: the contract is silent and nothing is decided", table->ops[op],
                 table->states[row]);
    return answer;
}

/* --- the thing that is asked ------------------------------------------------------------------ */

struct subject {
    struct fake_world *world;
    bool is_group;
    struct drive_pair pair, other;
    char group[64], empty[64];
    const char *id;
};

/* What is shown of a started relation is a matter of its newest point, so there is none, a fresh
 * one or an old one, as the state wants it. */
static void subject_new(struct subject *subject, bool is_group, enum replica_state state)
{
    bool has_point = state != REPLICA_INITIAL_SYNCING && state != REPLICA_CREATING &&
                     state != REPLICA_CREATED && state != REPLICA_CREATE_FAILED;

    *subject = (struct subject){.world = fake_world_new(false), .is_group = is_group};
    drive_pair(subject->world, &subject->pair);
    drive_pair(subject->world, &subject->other);
    drive_group(subject->world, subject->empty);
    drive_group(subject->world, subject->group);
    if (is_group)
        drive_add(subject->world, subject->group, &subject->pair);
    subject->id = is_group ? subject->group : subject->pair.id;
    if (has_point) {
        drive_ok(subject->world, PARIS, is_group ? "StartDiskReplicaGroup" : "StartDiskReplicaPair",
                 NULL, NULL, "RegionId=cn-paris&%s=%s",
                 is_group ? "ReplicaGroupId" : "ReplicaPairId", subject->id);
        fake_copy(subject->world);
        if (state == REPLICA_SYNCING)
            fake_run(subject->world, UINT64_C(2000) * 1000000000);
    }
    for (unsigned site = 0; site < 2; site++)
        drive_write_state(subject->world, site, subject->id, state);
}

/* Fills in the question; the site is where the operation belongs. */
static unsigned question(const struct subject *subject, const char *op, char *action, char *query)
{
    bool is_at_target = strcmp(op, "Failover") == 0 || strcmp(op, "Reprotect") == 0;
    const char *kind = subject->is_group ? "Group" : "Pair";
    char more[200] = "";

    if (strcmp(op, "Add") == 0 || strcmp(op, "Remove") == 0) {
        const char *pair = subject->is_group && op[0] == 'A' ? subject->other.id : subject->pair.id;
        bool is_other_group = !subject->is_group && op[0] == 'A';

        sprintf(action, "%sDiskReplicaPair", op);
        sprintf(query, "RegionId=cn-paris&ReplicaGroupId=%s&ReplicaPairId=%s",
                is_other_group ? subject->empty : subject->group, pair);
        return PARIS;
    }
    if (strcmp(op, "Modify") == 0)
        strcpy(more, "&Description=changed");
    else if (strcmp(op, "OneShot") == 0)
        strcpy(more, "&OneShot=true");
    sprintf(action, "%sDiskReplica%s", strcmp(op, "OneShot") == 0 ? "Start" : op, kind);
    sprintf(query, "RegionId=%s&Replica%sId=%s%s", drive_regions[is_at_target ? LYON : PARIS], kind,
            subject->id, more);
    return is_at_target ? LYON : PARIS;
}

/* False, and told, when the answer is another one. */
static bool ask_one(const struct states_table *table, bool is_group, unsigned row, unsigned op)
{
    const char *wanted = table_answer(table, row, op), *name = table->states[row];
    struct subject subject;
    enum replica_state state;
    char action[100], query[600];
    unsigned status = 0, site;
    json_t *reply;
    const char *got;
    bool is_right;

    assert_true(replica_state_parse(name, &state));
    subject_new(&subject, is_group, state);
    drive_status(subject.world, subject.id, name);
    site = question(&subject, table->ops[op], action, query);
    reply = fake_ask(subject.world, site, action, query, &status);
    assert_non_null(reply);
    got = status == 200 ? "200" : json_string_value(json_object_get(reply, "Code"));
    is_right = strcmp(got, wanted) == 0;
    if (!is_right)
        print_error("%s of a %s in %s: %s, not %s\n", table->ops[op], is_group ? "group" : "pair",
                    name, got, wanted);
    json_decref(reply);
    fake_world_free(subject.world);
    return is_right;
}

static void walk(const char *path, bool is_group)
{
    struct states_table table;
    unsigned wrong = 0;

    table_read(&table, path);
    for (unsigned row = 0; row < table.state_count; row++)
        for (unsigned op = 0; op < OPS; op++)
            if (strcmp(table.states[row], table.absent) != 0 && table.letters[row][op] != 'g' &&
                !ask_one(&table, is_group, row, op))
                wrong++;
    assert_int_equal(wrong, 0);
}

static void test_every_state_of_a_pair(void **state)
{
    walk(STATES_FOLDER "/pair.txt", false);
}

static void test_every_state_of_a_group(void **state)
{
    walk(STATES_FOLDER "/group.txt", true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_state_of_a_pair),
        cmocka_unit_test(test_every_state_of_a_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
