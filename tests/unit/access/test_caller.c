/* SPDX-License-Identifier: Apache-2.0 */
/* Why: an identity comes over the link as it was sent, or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "access/caller.h"
#include "base/check.h"

static void comes_back(void **state)
{
    struct caller user = {.kind = CALLER_USER,
                          .user = "anna",
                          .key_id = "LTAI1",
                          .source = "2001:db8::1",
                          .is_secure = true,
                          .now_s = 77,
                          .nonce = "n-1",
                          .signed_s = 76};
    struct caller local = caller_local(5), back;
    json_t *tree = caller_tree(&user);

    (void)state;
    assert_true(caller_parse(tree, &back));
    assert_int_equal(back.kind, CALLER_USER);
    assert_string_equal(back.user, "anna");
    assert_string_equal(back.key_id, "LTAI1");
    assert_string_equal(back.source, "2001:db8::1");
    assert_true(back.is_secure);
    assert_int_equal(back.now_s, 77);
    assert_string_equal(back.nonce, "n-1");
    assert_int_equal(back.signed_s, 76);
    json_decref(tree);
    tree = caller_tree(&local);
    assert_true(caller_parse(tree, &back));
    assert_true(caller_is_root(&back));
    json_decref(tree);
}

static void refuses(void **state)
{
    static const char *const texts[] = {
        "null",
        "{}",
        "{'kind':'god','user':'root','key':'','source':'','secure':true,'now':1,'nonce':'','signed'"
        ":0}",
        "{'kind':'local','user':'anna','key':'','source':'','secure':true,'now':1,'nonce':'','"
        "signed':0}",
        "{'kind':'local','user':'root','key':'K','source':'','secure':true,'now':1,'nonce':'','"
        "signed':0}",
        "{'kind':'local','user':'root','key':'','source':'1.2.3.4','secure':true,'now':1,'nonce':''"
        ",'signed':0}",
        "{'kind':'user','user':'root','key':'K','source':'','secure':true,'now':1,'nonce':'','"
        "signed':0}",
        "{'kind':'root-key','user':'anna','key':'K','source':'','secure':true,'now':1,'nonce':'','"
        "signed':0}",
        "{'kind':'root-key','user':'root','key':'','source':'','secure':true,'now':1,'nonce':'','"
        "signed':0}",
        "{'kind':'user','user':'','key':'K','source':'','secure':true,'now':1,'nonce':'','signed':"
        "0}",
        "{'kind':'user','user':'anna','key':'K','source':'','secure':1,'now':1,'nonce':'','signed':"
        "0}",
        "{'kind':'user','user':'anna','key':'K','source':'','secure':true,'now':-1,'nonce':'','"
        "signed':0}",
        "{'kind':'user','user':'anna','key':'K','source':'','secure':true,'nonce':'','signed':0}",
        "{'kind':'user','user':'anna','key':'K','secure':true,'now':1,'nonce':'','signed':0}",
        "{'kind':'user','user':'an\\u0000na','key':'K','source':'','secure':true,'now':1,'nonce':''"
        ",'signed':0}",
        "{'kind':'local','user':'root','key':'','source':'','secure':true,'now':1,'nonce':'n',"
        "'signed':0}",
        "{'kind':'user','user':'anna','key':'K','source':'','secure':true,'now':1,'signed':0}",
        "{'kind':'user','user':'anna','key':'K','source':'','secure':true,'now':1,'nonce':'n'}",
        "{'kind':'user','user':'anna','key':'K','source':'','secure':true,'now':1,'nonce':"
        "'01234567890123456789012345678901234567890123456789012345678901234','signed':0}",
        "{'kind':'user','user':'0123456789012345678901234567890123456789012345678901234567890123',"
        "'key':'K','source':'','secure':true,'now':1,'nonce':'','signed':0}",
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(texts); i++) {
        char text[400];
        struct caller caller;
        json_t *tree;

        strcpy(text, texts[i]);
        for (char *c = text; *c; c++)
            *c = *c == '\'' ? '"' : *c;
        tree = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        assert_non_null(tree);
        if (caller_parse(tree, &caller))
            fail_msg("taken: %s", text);
        json_decref(tree);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(comes_back), cmocka_unit_test(refuses)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
