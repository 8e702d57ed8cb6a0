/* SPDX-License-Identifier: Apache-2.0 */
/* The buffer pool: classes, the limit and its exception, reuse, waiters. */
#include "nbd/buffer_pool.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/check.h"

static void test_classes(void **state)
{
    struct buffer_pool pool;
    struct buffer *buffer;

    assert_int_equal(buffer_pool_size(1), 4096);
    assert_int_equal(buffer_pool_size(4096), 4096);
    assert_int_equal(buffer_pool_size(4097), 8192);
    assert_int_equal(buffer_pool_size(32 << 20), 32 << 20);
    buffer_pool_init(&pool, UINT64_C(1) << 30);
    for (uint32_t bytes = 512; bytes <= 32 << 20; bytes *= 4) {
        assert_int_equal(buffer_pool_get(&pool, bytes, false, &buffer), 0);
        assert_true(buffer->size_bytes >= bytes);
        assert_int_equal((uintptr_t)buffer->bytes % 4096, 0);
        assert_int_equal(pool.used_bytes, buffer->size_bytes);
        buffer_pool_put(&pool, buffer);
        assert_int_equal(pool.used_bytes, 0);
    }
    assert_true(pool.kept_bytes <= 16 << 20);
    buffer_pool_fini(&pool);
}

static void test_reuse(void **state)
{
    struct buffer_pool pool;
    struct buffer *one, *two;

    buffer_pool_init(&pool, 1 << 20);
    assert_int_equal(buffer_pool_get(&pool, 4096, true, &one), 0);
    buffer_pool_put(&pool, one);
    assert_int_equal(pool.kept_bytes, 4096);
    assert_int_equal(buffer_pool_get(&pool, 512, true, &two), 0);
    assert_ptr_equal(one, two);
    assert_int_equal(pool.kept_bytes, 0);
    buffer_pool_put(&pool, two);
    buffer_pool_fini(&pool);
}

struct counting_waiter {
    struct buffer_waiter waiter;
    unsigned count;
};

static void count_ready(struct buffer_waiter *waiter)
{
    container_of(waiter, struct counting_waiter, waiter)->count++;
}

static void test_limit_and_waiters(void **state)
{
    struct buffer_pool pool;
    struct buffer *large, *small, *none = NULL;
    struct counting_waiter one = {.count = 0}, two = {.count = 0};

    buffer_pool_init(&pool, 1 << 20);
    buffer_waiter_init(&one.waiter, count_ready);
    buffer_waiter_init(&two.waiter, count_ready);
    assert_int_equal(buffer_pool_get(&pool, 1 << 20, true, &large), 0);
    assert_int_equal(buffer_pool_get(&pool, 4096, false, &none), -EAGAIN);
    assert_int_equal(buffer_pool_get(&pool, 256 << 10, true, &none), -EAGAIN);
    assert_null(none);
    assert_int_equal(buffer_pool_get(&pool, 128 << 10, true, &small), 0);
    buffer_pool_wait(&pool, &one.waiter);
    buffer_pool_wait(&pool, &one.waiter);
    buffer_pool_wait(&pool, &two.waiter);
    buffer_waiter_cancel(&two.waiter);
    buffer_pool_put(&pool, small);
    assert_int_equal(one.count, 1);
    assert_int_equal(two.count, 0);
    buffer_pool_put(&pool, large);
    assert_int_equal(one.count, 1); /* once a wait */
    buffer_waiter_cancel(&one.waiter);
    buffer_pool_fini(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_reuse),
        cmocka_unit_test(test_limit_and_waiters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
