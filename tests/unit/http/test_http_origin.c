/* SPDX-License-Identifier: Apache-2.0 */
/* Counting by address, and the lists of addresses that a configuration names. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

#include "base/check.h"
#include "http/http_address.h"
#include "http/http_origin.h"

static const struct sockaddr *address_of(const char *text, struct posix_address *address)
{
    assert_int_equal(posix_address_parse(text, address), 0);
    return &address->any;
}

static struct http_origin *join(struct http_origins *origins, const char *text)
{
    struct posix_address address;

    return http_origins_join(origins, address_of(text, &address));
}

static void test_counts(void **state)
{
    struct http_origins origins;
    struct http_origin *four, *six, *many[1000];
    struct posix_address address;
    char text[64];

    http_origins_init(&origins, 4711);
    four = join(&origins, "192.0.2.1:1");
    assert_non_null(four);
    assert_ptr_equal(join(&origins, "192.0.2.1:2"), four); /* the port is no matter */
    assert_int_equal(four->count, 2);
    assert_ptr_not_equal(join(&origins, "192.0.2.2:1"), four);
    six = join(&origins, "[2001:db8:0:1::1]:1");
    assert_ptr_equal(join(&origins, "[2001:db8:0:1:ffff::2]:1"), six); /* one /64 */
    assert_null(http_origins_find(&origins, address_of("[2001:db8:0:2::1]:1", &address)));
    for (unsigned i = 0; i < ARRAY_COUNT(many); i++) {
        snprintf(text, sizeof(text), "10.0.%u.%u:1", i / 200, i % 200);
        many[i] = join(&origins, text);
        assert_int_equal(many[i]->count, 1);
    }
    for (unsigned i = 0; i < ARRAY_COUNT(many); i++)
        http_origin_leave(many[i]);
    http_origin_leave(four);
    assert_ptr_equal(http_origins_find(&origins, address_of("192.0.2.1:3", &address)), four);
    http_origin_leave(four);
    assert_null(http_origins_find(&origins, address_of("192.0.2.1:3", &address)));
    http_origin_leave(http_origins_find(&origins, address_of("192.0.2.2:1", &address)));
    http_origin_leave(six);
    http_origin_leave(six);
    assert_null(join(&origins, "unix:/tmp/x"));
    assert_null(http_origins_join(&origins, NULL));
}

static void test_lists(void **state)
{
    struct posix_address addresses[HTTP_ADDRESSES_MAX];
    struct err err;
    char text[64], list[1000] = "127.0.0.1:1";
    static const char *const bad[] = {
        ",",           "127.0.0.1:1,",   ",127.0.0.1:1", "127.0.0.1:1,,[::1]:1",
        "localhost:1", "127.0.0.1",      "unix:/tmp/x",  "::1:80",
        "1:1 2:2",     "127.0.0.1:99999"};

    assert_int_equal(http_addresses_parse("", addresses, &err), 0);
    assert_int_equal(http_addresses_parse("  ", addresses, &err), 0);
    assert_int_equal(http_addresses_parse(" 192.0.2.7:80 ,[::1]:81, 127.1.2.3:82", addresses, &err),
                     3);
    http_address_format(&addresses[0].any, text, sizeof(text));
    assert_string_equal(text, "192.0.2.7");
    assert_false(http_address_is_loopback(&addresses[0].any));
    http_address_format(&addresses[1].any, text, sizeof(text));
    assert_string_equal(text, "::1");
    assert_true(http_address_is_loopback(&addresses[1].any));
    assert_true(http_address_is_loopback(&addresses[2].any));
    assert_int_equal(http_addresses_parse("0.0.0.0:1,[::]:1,[::ffff:127.0.0.1]:1", addresses, &err),
                     3);
    for (unsigned i = 0; i < 3; i++)
        assert_false(http_address_is_loopback(&addresses[i].any));
    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++)
        if (http_addresses_parse(bad[i], addresses, &err) != -EINVAL)
            fail_msg("taken: %s", bad[i]);
    for (unsigned i = 1; i < HTTP_ADDRESSES_MAX; i++)
        strcat(list, ",127.0.0.1:1");
    assert_int_equal(http_addresses_parse(list, addresses, &err), HTTP_ADDRESSES_MAX);
    strcat(list, ",127.0.0.1:1");
    assert_int_equal(http_addresses_parse(list, addresses, &err), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
