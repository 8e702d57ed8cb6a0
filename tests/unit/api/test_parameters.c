/* SPDX-License-Identifier: Apache-2.0 */
/* Texts to typed values: every kind, its bounds, its error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/parameters.h"
#include "base/check.h"

static enum api_error parse(struct parameter parameter, const char *text, json_t **ret_value)
{
    struct operation operation = {.parameters = {parameter}};
    json_t *texts = json_object(), *typed = NULL;
    const char *name = NULL;
    enum api_error error;

    if (text)
        json_object_set_new(texts, parameter.name, json_string(text));
    error = parameters_parse(&operation, texts, &typed, &name);
    json_decref(texts);
    if (error != API_OK) {
        assert_string_equal(name, parameter.name);
        assert_null(typed);
        return error;
    }
    *ret_value = json_incref(json_object_get(typed, parameter.name));
    json_decref(typed);
    return API_OK;
}

static void good(struct parameter parameter, const char *text, json_t *wanted)
{
    json_t *value = NULL;

    assert_int_equal(parse(parameter, text, &value), API_OK);
    if (!(value == wanted || json_equal(value, wanted)))
        fail_msg("%s: %s", parameter.name, text ? text : "(absent)");
    json_decref(value);
    json_decref(wanted);
}

static void bad(struct parameter parameter, const char *text, enum api_error error)
{
    json_t *value = NULL;
    enum api_error got = parse(parameter, text, &value);

    if (got != error)
        fail_msg("%s: %s: %d, not %d", parameter.name, text ? text : "(absent)", got, error);
}

static void test_text_and_absence(void **state)
{
    struct parameter text = {.name = "P", .kind = PARAMETER_TEXT, .min = 2, .max = 3};

    good(text, "ab", json_string("ab"));
    good(text, "\xc3\xa4", json_string("\xc3\xa4"));
    bad(text, "\xc3\xa4\xc3\xa4", API_INVALID_NAME); /* bytes count: records hold bytes */
    bad(text, "a", API_INVALID_NAME);
    bad(text, "abcd", API_INVALID_NAME);
    good(text, NULL, NULL);
    good(text, "", NULL); /* empty counts as absent */
    text.is_required = true;
    bad(text, NULL, API_MISSING_NAME);
    bad(text, "", API_INVALID_NAME);
    text.missing = API_DISK_ZONE_MISSING;
    text.error = API_DISK_ZONE_MISSING;
    bad(text, NULL, API_DISK_ZONE_MISSING);
    bad(text, "a", API_DISK_ZONE_MISSING);
}

static void test_numbers(void **state)
{
    struct parameter number = {
        .name = "N", .kind = PARAMETER_INT, .min = 1, .max = 900, .absent = "90"};

    good(number, "1", json_integer(1));
    good(number, "900", json_integer(900));
    good(number, NULL, json_integer(90));
    static const char *const wrong[] = {"0",  "901", "-1",  "1.0", " 1", "1 ",
                                        "+1", "0x1", "1e2", "--1", "-",  "99999999999999999999999"};
    for (unsigned i = 0; i < ARRAY_COUNT(wrong); i++)
        bad(number, wrong[i], API_INVALID_NAME);
}

static void test_booleans_and_choices(void **state)
{
    struct parameter flag = {.name = "B", .kind = PARAMETER_BOOL, .absent = "true"};
    struct parameter choice = {.name = "C", .kind = PARAMETER_CHOICE, .choices = "all|data|a"};

    good(flag, "TRUE", json_true());
    good(flag, "False", json_false());
    good(flag, NULL, json_true());
    bad(flag, "1", API_INVALID_PARAMETER);
    bad(flag, "yes", API_INVALID_PARAMETER);
    good(choice, "all", json_string("all"));
    good(choice, "a", json_string("a"));
    bad(choice, "al", API_INVALID_NAME);
    bad(choice, "All", API_INVALID_NAME);
    bad(choice, "all|data", API_INVALID_NAME);
    bad(choice, "data|", API_INVALID_NAME);
}

static void test_names(void **state)
{
    struct parameter name = {.name = "N", .kind = PARAMETER_NAME, .min = 2, .max = 128};
    struct parameter note = {.name = "D", .kind = PARAMETER_NOTE, .min = 2, .max = 256};
    char longer[300];

    good(name, "log:a_b.c-9", json_string("log:a_b.c-9"));
    good(name, "\xe7\x9b\x98\xe7\x9b\x98", json_string("\xe7\x9b\x98\xe7\x9b\x98"));
    bad(name, "a", API_INVALID_PARAMETER);
    bad(name, "9a", API_INVALID_PARAMETER);
    bad(name, "a b", API_INVALID_PARAMETER);
    bad(name, "a/b", API_INVALID_PARAMETER);
    bad(name, "http://x", API_INVALID_PARAMETER);
    bad(name, "HTTPS://x", API_INVALID_PARAMETER);
    good(note, "any thing, 9 % of it", json_string("any thing, 9 % of it"));
    bad(note, "https://x", API_INVALID_PARAMETER);
    memset(longer, 'a', sizeof(longer));
    longer[129] = 0;
    bad(name, longer, API_INVALID_PARAMETER);
    longer[128] = 0;
    good(name, longer, json_string(longer));
    /* Letters: ASCII and Chinese; for disks of any script. */
    bad(name, "caf\xc3\xa9", API_INVALID_PARAMETER);
    bad(name, "ab\xf0\x9f\x98\x80", API_INVALID_PARAMETER);
    good(name, "\xf0\xa0\x80\x80-1", json_string("\xf0\xa0\x80\x80-1"));
    name.choices = ":_-";
    bad(name, "a.b", API_INVALID_PARAMETER);
    good(name, "a-b_c:9", json_string("a-b_c:9"));
    name = (struct parameter){.name = "N", .kind = PARAMETER_NAME_ANY, .min = 2, .max = 128};
    good(name, "caf\xc3\xa9.9", json_string("caf\xc3\xa9.9"));
    bad(name, "9\xc3\xa9", API_INVALID_PARAMETER);
    bad(name, "a b", API_INVALID_PARAMETER);
}

static void test_tokens_and_lists(void **state)
{
    struct parameter token = {.name = "T", .kind = PARAMETER_TOKEN};
    struct parameter ids = {.name = "I", .kind = PARAMETER_IDS, .max = 2};
    struct parameter list = {.name = "L", .kind = PARAMETER_IDS_JSON, .max = 2};
    char longer[80];

    memset(longer, 'a', sizeof(longer));
    longer[64] = 0;
    good(token, longer, json_string(longer));
    longer[64] = 'a';
    longer[65] = 0;
    bad(token, longer, API_INVALID_NAME);
    bad(token, "\xc3\xa9", API_INVALID_NAME);
    bad(token, "a\n", API_INVALID_NAME);
    good(ids, "a,b", json_pack("[ss]", "a", "b"));
    good(ids, " a , b ", json_pack("[ss]", "a", "b"));
    bad(ids, "a, ", API_INVALID_NAME);
    bad(ids, " ", API_INVALID_NAME);
    bad(ids, "a,b,c", API_INVALID_NAME);
    bad(ids, ",", API_INVALID_NAME);
    bad(ids, "a,", API_INVALID_NAME);
    good(list, "[]", json_array());
    good(list, "[\"d-1\",\"d-2\"]", json_pack("[ss]", "d-1", "d-2"));
    bad(list, "[\"1\",\"2\",\"3\"]", API_DISK_IDS_TOO_MANY);
    bad(list, "{}", API_INVALID_NAME);
    bad(list, "[1]", API_INVALID_NAME);
    bad(list, "[\"1\"", API_INVALID_NAME);
    bad(list, "d-1", API_INVALID_NAME);
}

/* Many texts: "Name=value" each, NULL last. */
static enum api_error parse_many(struct parameter parameter, bool is_ecs, const char *const *pairs,
                                 json_t **ret_value, const char **ret_name)
{
    struct operation operation = {.parameters = {parameter}, .is_ecs = is_ecs};
    json_t *texts = json_object(), *typed = NULL;
    enum api_error error;

    for (; *pairs; pairs++) {
        const char *equals = strchr(*pairs, '=');
        char name[64] = "";
        memcpy(name, *pairs, (size_t)(equals - *pairs));
        json_object_set_new(texts, name, json_string(equals + 1));
    }
    error = parameters_parse(&operation, texts, &typed, ret_name);
    *ret_value = error == API_OK ? json_incref(json_object_get(typed, parameter.name)) : NULL;
    json_decref(typed);
    json_decref(texts);
    return error;
}

static void many(struct parameter parameter, bool is_ecs, const char *const *pairs,
                 const char *wanted)
{
    const char *name = NULL;
    json_t *value, *tree = wanted ? json_loads(wanted, 0, NULL) : NULL;

    assert_int_equal(parse_many(parameter, is_ecs, pairs, &value, &name), API_OK);
    if (!(value == tree || json_equal(value, tree)))
        fail_msg("%s: %s", pairs[0] ? pairs[0] : "(none)", json_dumps(value, JSON_ENCODE_ANY));
    json_decref(value);
    json_decref(tree);
}

static void many_bad(struct parameter parameter, bool is_ecs, const char *const *pairs,
                     enum api_error error, const char *about)
{
    const char *name = NULL;
    json_t *value;

    if (parse_many(parameter, is_ecs, pairs, &value, &name) != error)
        fail_msg("%s: not %d", pairs[0], error);
    if (about)
        assert_string_equal(name, about);
}

#define TEXTS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void test_repeated(void **state)
{
    struct parameter list = {
        .name = "Id", .kind = PARAMETER_LIST, .max = 2, .error = API_NUMBER_EXCEED_RESOURCE_IDS};

    many(list, false, TEXTS("Id.2=b", "Id.1=a", "Other=x"), "[\"a\",\"b\"]");
    many(list, false, TEXTS("Id.7=a", "Id.3=a"), "[\"a\"]");
    many(list, false, TEXTS("Idx.1=a", "Id=b", "Id.x=c", "Id.1.Key=d"), NULL);
    many_bad(list, false, TEXTS("Id.0=a"), API_INVALID_PARAMETER, "Id");
    many_bad(list, false, TEXTS("Id.01=a"), API_INVALID_PARAMETER, "Id");
    many_bad(list, false, TEXTS("Id.10000=a"), API_INVALID_PARAMETER, "Id");
    many_bad(list, false, TEXTS("Id.99999999999999999999=a"), API_INVALID_PARAMETER, "Id");
    many_bad(list, false, TEXTS("Id.1="), API_INVALID_PARAMETER, "Id");
    many_bad(list, false, TEXTS("Id.1=a", "Id.2=b", "Id.3=c"), API_NUMBER_EXCEED_RESOURCE_IDS,
             NULL);
    list.twice = API_DUPLICATE_TAG_KEY;
    many_bad(list, false, TEXTS("Id.7=a", "Id.3=a"), API_DUPLICATE_TAG_KEY, NULL);
    list.is_required = true;
    many_bad(list, false, TEXTS("Other=a"), API_MISSING_NAME, "Id");
}

static void test_tags(void **state)
{
    struct parameter tags = {.name = "Tag", .kind = PARAMETER_TAGS, .max = 2};
    struct parameter filter = {.name = "Tag", .kind = PARAMETER_TAG_FILTER, .max = 2};
    char longer[160] = "Tag.1.Key=";

    many(tags, false, TEXTS("Tag.2.Key=b", "Tag.2.Value=2", "Tag.1.Key=a"),
         "[{\"Key\":\"a\",\"Value\":\"\"},{\"Key\":\"b\",\"Value\":\"2\"}]");
    many(tags, true, TEXTS("Tag.1.key=a", "Tag.1.value=acs:x"),
         "[{\"Key\":\"a\",\"Value\":\"acs:x\"}]");
    many(tags, false, TEXTS("Tag.1.key=low", "Tag.1.Key=high"),
         "[{\"Key\":\"high\",\"Value\":\"\"}]");
    many(filter, false, TEXTS("Tag.1.Key=a", "Tag.2.Key=b", "Tag.2.Value="),
         "[{\"Key\":\"a\"},{\"Key\":\"b\"}]");
    many(tags, false, TEXTS("Tag.1.Scope=x"), NULL);
    many_bad(tags, false, TEXTS("Tag.1.Key=a", "Tag.2.Key=a"), API_DUPLICATE_TAG_KEY, NULL);
    many_bad(tags, false, TEXTS("Tag.1.Key=a", "Tag.2.Key=b", "Tag.3.Key=c"),
             API_NUMBER_EXCEED_TAGS, NULL);
    many_bad(tags, true, TEXTS("Tag.1.Key=a", "Tag.2.Key=b", "Tag.3.Key=c"), API_DISK_TAGS_EXCEED,
             NULL);
    many_bad(filter, true, TEXTS("Tag.1.Key=a", "Tag.2.Key=b", "Tag.3.Key=c"), API_DISK_TAG_COUNT,
             NULL);
    many_bad(tags, false, TEXTS("Tag.1.Key="), API_INVALID_PARAMETER, "Tag.N.Key");
    many_bad(tags, true, TEXTS("Tag.1.Key="), API_DISK_TAG_KEY, NULL);
    many_bad(tags, false, TEXTS("Tag.1.Key=Aliyun-x"), API_INVALID_PARAMETER, "Tag.N.Key");
    many_bad(tags, false, TEXTS("Tag.1.Key=acs:x"), API_INVALID_PARAMETER, "Tag.N.Key");
    many_bad(tags, false, TEXTS("Tag.1.Key=see http://x"), API_INVALID_PARAMETER, "Tag.N.Key");
    many_bad(tags, false, TEXTS("Tag.1.Key=k", "Tag.1.Value=acs:x"), API_INVALID_PARAMETER,
             "Tag.N.Value");
    many_bad(tags, true, TEXTS("Tag.1.Key=k", "Tag.1.Value=https://x"), API_DISK_TAG_VALUE,
             "Tag.N.Value");
    many_bad(tags, false, TEXTS("Tag.1.Value=x"), API_MISSING_PARAMETER, "Tag.N.Key");
    many_bad(filter, false, TEXTS("Tag.1.Value=x"), API_INVALID_TAG_VALUE, NULL);
    many_bad(filter, true, TEXTS("Tag.1.Value=x"), API_DISK_TAG_MISMATCH, NULL);
    many_bad(filter, false, TEXTS("Tag.0.Key=x"), API_INVALID_PARAMETER, NULL);
    memset(longer + 10, 'k', 129);
    many_bad(tags, false, TEXTS(longer), API_INVALID_PARAMETER, "Tag.N.Key");
    longer[138] = 0;
    assert_int_equal(strlen(longer), 138);
    const char *name;
    json_t *value;
    assert_int_equal(parse_many(tags, false, TEXTS(longer), &value, &name), API_OK);
    json_decref(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_and_absence),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_booleans_and_choices),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_tokens_and_lists),
        cmocka_unit_test(test_repeated),
        cmocka_unit_test(test_tags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
