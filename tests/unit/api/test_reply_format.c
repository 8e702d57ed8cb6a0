/* SPDX-License-Identifier: Apache-2.0 */
/* What leaves: the two forms, and the rules that hold for every operation's reply. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/json_text.h"
#include "api/reply_format.h"
#include "api/table.h"
#include "base/check.h"
#include "control/call.h"

#define PROLOG "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"

static struct reply make(enum reply_form form, unsigned status, const char *action,
                         const json_t *tree)
{
    struct reply_head head = {.form = form,
                              .http_status = status,
                              .action = action,
                              .request_id = "R-1",
                              .host_id = "paris"};
    struct reply reply;

    reply_make(&head, tree, &reply);
    assert_int_equal(strlen(reply.text), reply.length);
    return reply;
}

/* `tree`: JSON text. */
static void expect(enum reply_form form, unsigned status, const char *tree, const char *text)
{
    json_t *parsed = json_loads(tree, 0, NULL);
    struct reply reply = make(form, status, "DescribeThings", parsed);

    assert_non_null(parsed);
    assert_string_equal(reply.text, text);
    assert_false(reply.is_broken);
    assert_int_equal(reply.http_status, status);
    free(reply.text);
    json_decref(parsed);
}

static void expect_form(enum reply_scheme scheme, const char *format, const char *accept, bool good,
                        enum reply_form form)
{
    enum reply_form got = (enum reply_form)77;

    assert_int_equal(reply_form_choose(scheme, format, accept, &got), good);
    assert_int_equal(got, form);
}

static void test_which_form(void **state)
{
    expect_form(REPLY_V1, NULL, NULL, true, REPLY_XML);
    expect_form(REPLY_V1, "", "application/json", true, REPLY_XML);
    expect_form(REPLY_V1, "json", NULL, true, REPLY_JSON);
    expect_form(REPLY_V1, "Json", "text/xml", true, REPLY_JSON);
    expect_form(REPLY_V1, "xML", NULL, true, REPLY_XML);
    expect_form(REPLY_V1, "yaml", NULL, false, REPLY_JSON);
    expect_form(REPLY_V1, "JSONX", NULL, false, REPLY_JSON);
    expect_form(REPLY_UNSIGNED, NULL, "text/xml", true, REPLY_JSON);
    expect_form(REPLY_UNSIGNED, "XML", NULL, true, REPLY_XML);
    expect_form(REPLY_UNSIGNED, "x", NULL, false, REPLY_JSON);
    expect_form(REPLY_V3, NULL, NULL, true, REPLY_JSON);
    expect_form(REPLY_V3, "XML", "application/json", true, REPLY_JSON);
    expect_form(REPLY_V3, "rubbish", "*/*", true, REPLY_JSON);
    expect_form(REPLY_V3, NULL, "application/xml", true, REPLY_XML);
    expect_form(REPLY_V3, NULL, "Text/XML;q=0.9", true, REPLY_XML);
    expect_form(REPLY_V3, NULL, "application/xml, application/json", true, REPLY_JSON);
}

static void test_success_in_both_forms(void **state)
{
    const char *tree = "{\"Groups\":[{\"Ids\":[\"a\",\"b\"],\"N\":3,\"Is\":true},{\"Ids\":[]}],"
                       "\"Disks\":{\"Disk\":[{\"Id\":\"d\"}]},\"None\":null,\"Real\":0.5,"
                       "\"NextToken\":\"\"}";

    expect(REPLY_JSON, 200, tree,
           "{\"RequestId\":\"R-1\",\"Groups\":[{\"Ids\":[\"a\",\"b\"],\"N\":3,\"Is\":true},"
           "{\"Ids\":[]}],\"Disks\":{\"Disk\":[{\"Id\":\"d\"}]},\"None\":null,\"Real\":0.5,"
           "\"NextToken\":\"\"}");
    expect(REPLY_XML, 200, tree,
           PROLOG "<DescribeThingsResponse><RequestId>R-1</RequestId>"
                  "<Groups><Ids>a</Ids><Ids>b</Ids><N>3</N><Is>true</Is></Groups><Groups></Groups>"
                  "<Disks><Disk><Id>d</Id></Disk></Disks><Real>0.5</Real><NextToken></NextToken>"
                  "</DescribeThingsResponse>");
    expect(REPLY_JSON, 200, "{}", "{\"RequestId\":\"R-1\"}");
    expect(REPLY_XML, 200, "{\"RequestId\":\"other\"}",
           PROLOG "<DescribeThingsResponse><RequestId>R-1</RequestId></DescribeThingsResponse>");
}

static void test_error_in_both_forms(void **state)
{
    const char *tree = "{\"Code\":\"Forbidden\",\"Message\":\"No <way>.\",\"HostId\":7,"
                       "\"AccessDeniedDetail\":{\"AuthAction\":\"ebs:X\"},\"Site\":\"lyon\"}";

    expect(REPLY_JSON, 403, tree,
           "{\"RequestId\":\"R-1\",\"HostId\":\"paris\",\"Code\":\"Forbidden\","
           "\"Message\":\"No <way>.\",\"Recommend\":\"docs/api.md#errors: Forbidden\","
           "\"AccessDeniedDetail\":{\"AuthAction\":\"ebs:X\"},\"Site\":\"lyon\"}");
    expect(REPLY_XML, 403, tree,
           PROLOG "<Error><RequestId>R-1</RequestId><HostId>paris</HostId><Code>Forbidden</Code>"
                  "<Message>No &lt;way&gt;.</Message>"
                  "<Recommend>docs/api.md#errors: Forbidden</Recommend>"
                  "<AccessDeniedDetail><AuthAction>ebs:X</AuthAction></AccessDeniedDetail>"
                  "<Site>lyon</Site></Error>");
    expect(REPLY_JSON, 404, "{\"Code\":\"C\",\"Message\":\"M\",\"AccessDeniedDetail\":\"text\"}",
           "{\"RequestId\":\"R-1\",\"HostId\":\"paris\",\"Code\":\"C\",\"Message\":\"M\","
           "\"Recommend\":\"docs/api.md#errors: C\"}");
}

static void test_characters(void **state)
{
    expect(REPLY_XML, 200, "{\"T\":\"<&>\\\"'\\u0001\\u001f\\t\\n\\r|\\ufffe\\uffff\\ufffd\"}",
           PROLOG "<DescribeThingsResponse><RequestId>R-1</RequestId>"
                  "<T>&lt;&amp;&gt;&quot;&apos;\xef\xbf\xbd\xef\xbf\xbd\t\n&#13;|"
                  "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd</T></DescribeThingsResponse>");
    expect(REPLY_XML, 200, "{\"1 a/\xc3\xa9\":1,\"\":2}",
           PROLOG "<DescribeThingsResponse><RequestId>R-1</RequestId><__a___>1</__a___><_>2</_>"
                  "</DescribeThingsResponse>");
    expect(REPLY_JSON, 200, "{\"T\":\"\\u0001\\u2028 \\ud83d\\ude00\"}",
           "{\"RequestId\":\"R-1\",\"T\":\"\\u0001\xe2\x80\xa8 \xf0\x9f\x98\x80\"}");
}

static void test_integers_that_readers_would_round(void **state)
{
    expect(REPLY_JSON, 200,
           "{\"A\":[9007199254740991,9007199254740992],\"B\":{\"C\":-9223372036854775807}}",
           "{\"RequestId\":\"R-1\",\"A\":[9007199254740991,9007199254740991],"
           "\"B\":{\"C\":-9007199254740991}}");
}

static void expect_broken(unsigned status, const char *tree)
{
    for (int form = REPLY_JSON; form <= REPLY_XML; form++) {
        json_t *parsed = tree ? json_loads(tree, JSON_DECODE_ANY, NULL) : NULL;
        struct reply reply = make((enum reply_form)form, status, "X", parsed);

        assert_true(reply.is_broken);
        assert_int_equal(reply.http_status, 500);
        assert_non_null(strstr(reply.text, "InternalError"));
        assert_non_null(strstr(reply.text, "R-1"));
        free(reply.text);
        json_decref(parsed);
    }
}

static void test_no_broken_reply_leaves(void **state)
{
    expect_broken(200, "{\"Code\":\"OK\"}");
    expect_broken(200, "[]");
    expect_broken(200, NULL);
    expect_broken(204, "{}");
    expect_broken(301, "{}");
    expect_broken(0, "{}");
    expect_broken(403, "{\"Code\":\"X\"}");
    expect_broken(403, "{\"Code\":7,\"Message\":\"m\"}");
    expect_broken(403, "{\"Code\":\"X\",\"Message\":null}");
    expect_broken(403, "{\"Code\":\"\",\"Message\":\"m\"}");
    expect_broken(999, "{\"Code\":\"X\",\"Message\":\"m\"}");
}

static void expect_texts(const json_t *tree)
{
    static const char *const names[] = {"RequestId", "HostId", "Code", "Message", "Recommend"};

    for (unsigned i = 0; i < ARRAY_COUNT(names); i++)
        assert_true(json_is_string(json_object_get(tree, names[i])));
}

static void expect_error_of_row(const struct operation *row, enum api_error error)
{
    json_t *tree = call_error_tree(error, "RegionId", "And more.");
    unsigned status = api_error_entry(error)->http_status;
    struct reply reply = make(REPLY_JSON, status, row->name, tree);
    json_t *parsed = json_loads(reply.text, 0, NULL);

    assert_false(reply.is_broken);
    assert_string_equal(reply.content_type, "application/json;charset=utf-8");
    expect_texts(parsed);
    json_decref(parsed);
    free(reply.text);
    reply = make(REPLY_XML, status, row->name, tree);
    assert_string_equal(reply.content_type, "text/xml;charset=utf-8");
    assert_int_equal(strncmp(reply.text, PROLOG "<Error><RequestId>R-1</RequestId>", 70), 0);
    free(reply.text);
    json_decref(tree);
}

static void test_every_row_and_every_error(void **state)
{
    const struct operation *row;

    for (unsigned i = 0; (row = table_at(i)); i++) {
        json_t *tree = json_pack("{s:s, s:[i,i], s:I}", "RequestId", "old", "List", 1, 2, "Big",
                                 (json_int_t)1 << 60);
        struct reply reply = make(REPLY_JSON, 200, row->name, tree);
        json_t *parsed = json_loads(reply.text, 0, NULL);
        char root[200];

        assert_null(json_object_get(parsed, "Code"));
        assert_string_equal(json_string_value(json_object_get(parsed, "RequestId")), "R-1");
        assert_int_equal(json_integer_value(json_object_get(parsed, "Big")), (1LL << 53) - 1);
        free(reply.text);
        reply = make(REPLY_XML, 200, row->name, tree);
        snprintf(root, sizeof(root), PROLOG "<%sResponse><RequestId>R-1</RequestId>", row->name);
        assert_int_equal(strncmp(reply.text, root, strlen(root)), 0);
        snprintf(root, sizeof(root), "</%sResponse>", row->name);
        assert_string_equal(reply.text + reply.length - strlen(root), root);
        free(reply.text);
        json_decref(parsed);
        json_decref(tree);
        for (int error = API_OK + 1; error < API_ERROR_COUNT; error++)
            expect_error_of_row(row, (enum api_error)error);
    }
}

/* The bytes of json_text_make() are the library's. */
static void expect_same(json_t *tree)
{
    char *text = json_dumps(tree, JSON_COMPACT), *ours;
    size_t length;

    assert_non_null(text);
    ours = json_text_make(tree, &length);
    assert_string_equal(ours, text);
    assert_int_equal(length, strlen(text));
    free(ours);
    free(text);
    json_decref(tree);
}

static void test_json_as_the_library_writes_it(void **state)
{
    json_t *tree = json_object(), *list = json_array();

    for (unsigned byte = 0; byte < 0x80; byte++) { /* each where a text begins, ends and between */
        char text[] = {(char)byte, 'a', (char)byte, (char)byte, 'b', (char)byte};
        json_t *item = json_stringn(text, sizeof(text));

        assert_non_null(item);
        json_array_append_new(list, item);
    }
    json_object_set(tree, "a\"\\\n\x01/\x7f \xe4\xb8\xad\xf0\x9f\x98\x80", list);
    expect_same(list);
    json_object_set_new(tree, "", json_string("\xc2\x80 \xe2\x80\xa8 \xef\xbf\xbf"));
    json_object_set_new(tree, "None", json_object());
    json_object_set_new(tree, "Nobody", json_array());
    json_object_set_new(tree, "All",
                        json_pack("[b, b, n, I, I, i, f, s]", 1, 0, (json_int_t)9007199254740991,
                                  (json_int_t)-9007199254740991, 0, 0.25, ""));
    json_object_set_new(tree, "Long", json_pack("s+", "x", "y"));
    for (unsigned i = 0; i < 300; i++) { /* past every room that was first made */
        char name[20];

        snprintf(name, sizeof(name), "Name%u", i);
        json_object_set_new(tree, name, json_integer(i * 77));
    }
    expect_same(tree);
}

static void test_what_is_too_deep(void **state)
{
    json_t *tree = json_array();
    char *text;
    size_t length;

    for (unsigned i = 0; i < 100; i++) {
        json_t *outer = json_array();

        json_array_append_new(outer, tree);
        tree = outer;
    }
    text = json_text_make(tree, &length);
    assert_int_equal(length, 2 * (JSON_TEXT_DEPTH_MAX + 1) + 4);
    assert_non_null(strstr(text, "[null]"));
    free(text);
    json_decref(tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_which_form),
        cmocka_unit_test(test_success_in_both_forms),
        cmocka_unit_test(test_error_in_both_forms),
        cmocka_unit_test(test_characters),
        cmocka_unit_test(test_integers_that_readers_would_round),
        cmocka_unit_test(test_no_broken_reply_leaves),
        cmocka_unit_test(test_every_row_and_every_error),
        cmocka_unit_test(test_json_as_the_library_writes_it),
        cmocka_unit_test(test_what_is_too_deep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
