/* SPDX-License-Identifier: Apache-2.0 */
/* The table of operations: whole, consistent, and what the issue asks for is in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/table.h"
#include "base/check.h"

static void test_rows_are_whole(void **state)
{
    const struct operation *row;

    for (unsigned i = 0; (row = table_at(i)); i++) {
        assert_non_null(row->name);
        assert_non_null(row->version);
        assert_non_null(row->run);
        assert_ptr_equal(table_find(row->name, row->version), row); /* so: unique */
        for (unsigned k = 0; row->parameters[k].name; k++) {
            const struct parameter *parameter = &row->parameters[k];
            assert_true(k + 1 < OPERATION_PARAMETERS_MAX);
            if (parameter->kind == PARAMETER_INT)
                assert_true(parameter->min <= parameter->max);
            if (parameter->kind == PARAMETER_CHOICE)
                assert_non_null(parameter->choices);
            for (unsigned m = 0; m < k; m++)
                assert_string_not_equal(row->parameters[m].name, parameter->name);
        }
    }
}

static bool has_parameter(const struct operation *row, const char *name)
{
    for (unsigned i = 0; row->parameters[i].name; i++)
        if (strcmp(row->parameters[i].name, name) == 0)
            return row->parameters[i].is_required;
    return false;
}

static void test_rules_have_what_they_need(void **state)
{
    const struct operation *row;

    for (unsigned i = 0; (row = table_at(i)); i++) {
        bool is_relation =
            row->rule == SITE_SOURCE || row->rule == SITE_TARGET || row->rule == SITE_PRODUCTION;
        if (is_relation) {
            assert_non_null(row->object);
            assert_true(has_parameter(row, row->object));
            assert_true(has_parameter(row, "RegionId"));
            assert_true(row->is_group ? row->group_op >= 0 : row->pair_op >= 0);
            assert_int_equal(row->is_group, strcmp(row->object, "ReplicaGroupId") == 0);
        }
        if (row->rule == SITE_ZONE)
            assert_non_null(row->zone);
    }
}

static void test_the_issue_s_operations_are_there(void **state)
{
    static const char *const ebs[] = {"Create%",   "Start%",     "Stop%",
                                      "Failover%", "Reprotect%", "Delete%"};
    static const char *const nouns[] = {"DiskReplicaPair", "DiskReplicaGroup"};
    static const char *const ecs[] = {"CreateDisk", "DeleteDisk", "DescribeDisks", "AttachDisk",
                                      "DetachDisk"};
    static const char *const others[] = {
        "DescribeDiskReplicaPairs", "DescribeDiskReplicaPairProgress", "DescribeDiskReplicaGroups",
        "AddDiskReplicaPair", "RemoveDiskReplicaPair"};
    char name[64];

    for (unsigned i = 0; i < ARRAY_COUNT(ebs); i++)
        for (unsigned k = 0; k < ARRAY_COUNT(nouns); k++) {
            strcpy(name, ebs[i]);
            strcpy(strchr(name, '%'), nouns[k]);
            assert_non_null(table_find(name, "2021-07-30"));
        }
    for (unsigned i = 0; i < ARRAY_COUNT(ecs); i++)
        assert_non_null(table_find(ecs[i], "2014-05-26"));
    for (unsigned i = 0; i < ARRAY_COUNT(others); i++)
        assert_non_null(table_find(others[i], "2021-07-30"));
    assert_null(table_find("CreateDisk", "2021-07-30"));
    assert_null(table_find("createdisk", "2014-05-26"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_are_whole),
        cmocka_unit_test(test_rules_have_what_they_need),
        cmocka_unit_test(test_the_issue_s_operations_are_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
