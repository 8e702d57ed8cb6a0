/* SPDX-License-Identifier: Apache-2.0 */
/* The intrusive list: order, removal while walking, double removal. */
#include "base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct item {
    int value;
    struct list node;
};

static void test_order(void **state)
{
    struct item items[5];
    struct list head, *node, *next;
    int sum = 0, last = -1;

    list_init(&head);
    assert_true(list_is_empty(&head));
    assert_null(list_pop(&head));
    for (int i = 1; i < 5; i++) {
        items[i].value = i;
        list_append(&head, &items[i].node);
    }
    items[0].value = 0;
    list_push(&head, &items[0].node);
    list_for_each(node, next, &head)
    {
        struct item *item = list_entry(node, struct item, node);
        assert_int_equal(item->value, last + 1);
        last = item->value;
        sum += item->value;
        if (item->value % 2 == 1)
            list_remove(node);
    }
    assert_int_equal(sum, 10);
    list_remove(&items[1].node); /* a second time: no harm */
    for (int i = 0; i < 5; i += 2)
        assert_ptr_equal(list_entry(list_pop(&head), struct item, node), &items[i]);
    assert_true(list_is_empty(&head));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
