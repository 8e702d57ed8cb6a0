/* SPDX-License-Identifier: Apache-2.0 */
/* JSON of a hostile peer: depth and number of tokens are bounded before anything is made of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/tree.h"
#include "control/tree_memory.h"

static bool parses(const char *text, unsigned token_max)
{
    json_t *tree = tree_parse(text, strlen(text), token_max);
    bool is_good = tree != NULL;

    json_decref(tree);
    return is_good;
}

static void test_depth(void **state)
{
    char text[2 * 100000 + 1];

    for (unsigned depth = TREE_DEPTH_MAX; depth <= TREE_DEPTH_MAX + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        text[2 * depth] = 0;
        assert_int_equal(parses(text, 100), depth <= TREE_DEPTH_MAX);
    }
    memset(text, '[', 100000);
    text[100000] = 0;
    assert_false(parses(text, 1000000));
    for (unsigned i = 0; i < 30; i++)
        memcpy(text + 5 * i, "{\"a\":", 6);
    assert_false(parses(text, 100));
}

static void test_tokens(void **state)
{
    static const struct {
        const char *text;
        unsigned tokens;
    } cases[] = {
        {"{}", 1},
        {"[1,2, 3]", 4},
        {"{\"a\":1,\"b\":[true,null,-1.5e3]}", 8},
        {"{\"a\\\"b,1,2,3\":\"\\\\\"}", 3},
        {"[\"{[,,,]}\"]", 2},
        {"  [ \"\" , \"\" ]", 3},
    };
    char *text = calloc(1, 3 * TREE_TOKENS_MAX);

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_true(parses(cases[i].text, cases[i].tokens));
        assert_false(parses(cases[i].text, cases[i].tokens - 1));
    }
    strcpy(text, "[1");
    for (unsigned i = 2; i < TREE_TOKENS_MAX; i++)
        strcat(text + 2 * i - 3, ",1");
    strcat(text, "]");
    assert_true(parses(text, TREE_TOKENS_MAX));
    assert_false(parses(text, TREE_TOKENS_MAX - 1));
    free(text);
}

static void test_malformed(void **state)
{
    static const char *const texts[] = {
        "",    "{",          "\"",   "[\"\\",     "{\"a\":1,\"a\":2}", "[1] [2]",
        "nul", "[\"\xff\"]", "[01]", "{\"a\" 1}", "[1e9999]",          "[1,2,]"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_false(parses(texts[i], 100));
}

/* Pieces of every size are apart from each other and keep what is written, whoever had them before,
 * and however many there are. */
static void test_memory(void **state)
{
    enum { COUNT = 3000 };
    static unsigned char *pieces[COUNT];

    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < COUNT; i++) {
            size_t size = 1 + (i * 7 + round) % 300;

            pieces[i] = tree_memory_take(size);
            memset(pieces[i], (int)(i % 251), size);
        }
        for (unsigned i = 0; i < COUNT; i++) {
            size_t size = 1 + (i * 7 + round) % 300;

            for (size_t at = 0; at < size; at++)
                assert_int_equal(pieces[i][at], i % 251);
        }
        for (unsigned i = 0; i < COUNT; i++)
            tree_memory_give(pieces[i]);
    }
    tree_memory_give(NULL);
    tree_memory_give(malloc(20)); /* of others, too */
    tree_memory_give(calloc(1, 100000));
    tree_memory_drop();
    tree_memory_drop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
