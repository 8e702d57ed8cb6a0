/* SPDX-License-Identifier: Apache-2.0 */
/* The catalogue: complete, and the contract's odd points as published. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/api_error.h"

static void expect(enum api_error error, unsigned status, const char *code, const char *message)
{
    assert_int_equal(api_error_entry(error)->http_status, status);
    assert_string_equal(api_error_entry(error)->code, code);
    assert_string_equal(api_error_entry(error)->message, message);
}

static void test_every_error_has_an_entry(void **state)
{
    for (unsigned error = API_OK + 1; error < API_ERROR_COUNT; error++) {
        const struct api_error_entry *entry = api_error_entry(error);
        assert_non_null(entry->code);
        assert_non_null(entry->message);
        assert_in_range(entry->http_status, 400, 599);
    }
    assert_int_equal(api_error_find("OperationDenied.InvalidStatus"), API_INVALID_STATUS);
    assert_int_equal(api_error_find("nonsense"), API_INTERNAL_ERROR);
}

static void test_odd_points(void **state)
{
    expect(API_STANDBY_ATTACHED, 400, "OperationDenied.StandbyDeviceAttached",
           "The secondary disk is attached.");
    expect(API_PAIR_INITIALIZING, 403, "OperationDenied.PairInitializing",
           "The operation is not allowed due to pair initializing,  please try again later.");
    expect(API_PAIR_STATUS_CANNOT_REMOVE, 403, "OperationDenied.PairStatusCannotRemoveFromGroup",
           "The pair cannot be removed in pair  current status.");
    expect(API_DISK_IN_USE, 404, "InvalidDisk.InUse", "The specified disk has been occupied.");
    expect(API_NOT_FOR_PRIMARY, 403, "OperationDenied.OperateNotAllowedForPrimary",
           "Operation is not allowed on the primary site.");
    expect(API_REQUEST_TIMEOUT, 504, "RequestTimeout",
           "The request is timeout, please try again later.");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_error_has_an_entry),
        cmocka_unit_test(test_odd_points),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
