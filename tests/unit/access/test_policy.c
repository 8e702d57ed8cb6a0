/* SPDX-License-Identifier: Apache-2.0 */
/* Why: contract 4.1 and 4.2 line by line: what is taken, what is refused and where, who may what.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "access/policy.h"
#include "access/wildcard.h"
#include "base/check.h"

/* Documents are written with ' for ". */
static char *quoted(const char *text)
{
    char *copy = strdup(text);

    check(copy);
    for (char *at = copy; *at; at++)
        *at = *at == '\'' ? '"' : *at;
    return copy;
}

static struct policy *parse(const char *text)
{
    char *copy = quoted(text);
    struct policy *policy = NULL;
    struct err err = {0};

    if (policy_parse(copy, strlen(copy), &policy, &err) < 0)
        fail_msg("%s: %s", copy, err.text);
    free(copy);
    return policy;
}

#define ONE(rest) "{'Version':'1','Statement':[{" rest "}]}"
#define ALLOW(rest) ONE("'Effect':'Allow','Action':'ebs:*','Resource':'*'" rest)
#define IF(condition) ALLOW(",'Condition':{" condition "}")

static void test_refused_documents(void **state)
{
    static const struct {
        const char *text, *told;
    } rows[] = {
        {"", "line"},
        {"[]", "not a JSON object"},
        {"{'Version':'1'}", "Statement"},
        {"{'Version':'2','Statement':[]}", "Version"},
        {"{'Version':1,'Statement':[]}", "Version"},
        {"{'Version':'1','Statement':[]}", "Statement"},
        {"{'Version':'1','Statement':[7]}", "Statement[0]"},
        {"{'Version':'1','Statement':[],'Id':'x'}", "Id"},
        {"{'Version':'1','Version':'1','Statement':[]}", "line"},
        {ALLOW("") "x", "line"},
        {ONE("'Effect':'allow','Action':'*','Resource':'*'"), "Effect"},
        {ONE("'Action':'*','Resource':'*'"), "Effect"},
        {ONE("'Effect':'Allow','Resource':'*'"), "Action: is missing"},
        {ONE("'Effect':'Allow','Action':'*'"), "Resource: is missing"},
        {ONE("'Effect':'Allow','Action':'*','NotAction':'*','Resource':'*'"), "both"},
        {ONE("'Effect':'Allow','Action':[],'Resource':'*'"), "Action: an empty list"},
        {ONE("'Effect':'Allow','Action':['*',7],'Resource':'*'"), "Action"},
        {ONE("'Effect':'Allow','Action':'Start','Resource':'*'"), "Start is not"},
        {ONE("'Effect':'Allow','Action':'ebs:','Resource':'*'"), "Action"},
        {ONE("'Effect':'Allow','Action':'ebs:a b','Resource':'*'"), "Action"},
        {ONE("'Effect':'Allow','Action':'*','Resource':'disk/d-1'"), "disk/d-1 is not"},
        {ONE("'Effect':'Allow','Action':'*','Resource':'acs:ebs:*:*'"), "Resource"},
        {ONE("'Effect':'Allow','Action':'*','Resource':'acs:ebs:*:*:'"), "Resource"},
        {ONE("'Effect':'Allow','Action':'*','Resource':'*','Principal':'*'"), "Principal"},
        {IF("'StringIs':{'acs:SourceIp':'x'}"), "StringIs"},
        {IF("'StringEquals':'x'"), "StringEquals"},
        {IF("'StringEquals':{}"), "StringEquals"},
        {IF("'StringEquals':{'oss:Prefix':'x'}"), "oss:Prefix"},
        {IF("'StringEquals':{'ebs:tag/':'x'}"), "ebs:tag/"},
        {IF("'StringEquals':{'ebs:tag/a':[]}"), "ebs:tag/a"},
        {IF("'StringEquals':{'ebs:tag/a':1}"), "ebs:tag/a"},
        {IF("'StringEquals':{'ebs:tag/a':['x',null]}"), "Condition: StringEquals.ebs:tag/a"},
        {IF("'IpAddress':{'ebs:tag/a':'1.2.3.4'}"), "operator"},
        {IF("'Bool':{'acs:SourceIp':'true'}"), "operator"},
        {IF("'Bool':{'acs:SecureTransport':'yes'}"), "true or false"},
        {IF("'IpAddress':{'acs:SourceIp':'1.2.3'}"), "address"},
        {IF("'IpAddress':{'acs:SourceIp':'1.2.3.4/33'}"), "address"},
        {IF("'IpAddress':{'acs:SourceIp':'1.2.3.4/'}"), "address"},
        {IF("'IpAddress':{'acs:SourceIp':'1.2.3.4/08'}"), "address"},
        {IF("'IpAddress':{'acs:SourceIp':'::1/129'}"), "address"},
        {IF("'DateLessThan':{'acs:CurrentTime':'2026-02-29T00:00:00Z'}"), "time"},
        {IF("'DateLessThan':{'acs:CurrentTime':'2026-11-22'}"), "time"},
        {IF("'DateLessThan':{'acs:CurrentTime':'2026-11-22T08:00:00'}"), "time"},
        {IF("'NumericEquals':{'ebs:tag/a':'1e5'}"), "number"},
        {IF("'NumericEquals':{'ebs:tag/a':'1.'}"), "number"},
        {"{'Version':'1','Statement':[[[[[[[]]]]]]]}", "nested"},
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        char *text = quoted(rows[i].text);
        struct policy *policy = NULL;
        struct err err = {0};

        if (policy_parse(text, strlen(text), &policy, &err) != -EINVAL)
            fail_msg("taken: %s", text);
        if (!strstr(err.text, rows[i].told))
            fail_msg("%s: tells \"%s\", not %s", text, err.text, rows[i].told);
        free(text);
    }
}

static void test_bounds(void **state)
{
    static char text[POLICY_BYTES_MAX + 200];
    struct policy *policy = NULL;
    struct err err = {0};
    unsigned at;

    (void)state;
    memset(text, ' ', sizeof(text) - 1);
    assert_int_equal(policy_parse(text, POLICY_BYTES_MAX + 1, &policy, &err), -EINVAL);
    assert_non_null(strstr(err.text, "longer"));
    at = (unsigned)sprintf(text, "{\"Version\":\"1\",\"Statement\":[{\"Effect\":\"Allow\","
                                 "\"Resource\":\"*\",\"Action\":[");
    for (unsigned i = 0; i <= POLICY_VALUES_MAX; i++)
        at += (unsigned)sprintf(text + at, "%s\"*\"", i ? "," : "");
    strcpy(text + at, "]}]}");
    assert_int_equal(policy_parse(text, strlen(text), &policy, &err), -EINVAL);
    assert_non_null(strstr(err.text, "values"));
    at = (unsigned)sprintf(text, "{\"Version\":\"1\",\"Statement\":[");
    for (unsigned i = 0; i <= POLICY_STATEMENTS_MAX; i++)
        at += (unsigned)sprintf(text + at, "%s{}", i ? "," : "");
    strcpy(text + at, "]}");
    assert_int_equal(policy_parse(text, strlen(text), &policy, &err), -EINVAL);
    assert_non_null(strstr(err.text, "more than 64"));
}

/* The resource has the tags team=a, size=10 of ebs; none of ecs. */
static const char *tag(void *arg, const char *product, const char *key)
{
    (void)arg;
    if (strcmp(product, "ebs") != 0)
        return NULL;
    return strcmp(key, "team") == 0 ? "a" : strcmp(key, "size") == 0 ? "10" : NULL;
}

#define PAIR "acs:ebs:paris:1:diskreplicapair/pair-1"

static const struct policy_question usual = {.action = "ebs:StartDiskReplicaPair",
                                             .resource = PAIR,
                                             .source = "192.0.2.77",
                                             .is_secure = true,
                                             .now_s = 1795334400, /* 2026-11-22T08:00:00Z */
                                             .tag_cb = tag};

#define RULE(effect, action, resource)                                                             \
    "{'Effect':'" effect "','Action':" action ",'Resource':" resource "}"
#define SET(statements) "{'Version':'1','Statement':[" statements "]}"

static void test_verdicts(void **state)
{
    static const struct {
        const char *text;
        enum policy_verdict verdict;
    } rows[] = {
        {SET(RULE("Allow", "'*'", "'*'")), POLICY_ALLOWED},
        {SET(RULE("Allow", "'ebs:*'", "'*'")), POLICY_ALLOWED},
        {SET(RULE("Allow", "'EBS:startdiskreplicapair'", "'*'")), POLICY_ALLOWED},
        {SET(RULE("Allow", "['ecs:*','ebs:Start?iskReplica*']", "'*'")), POLICY_ALLOWED},
        {SET(RULE("Allow", "'ebs:Start'", "'*'")), POLICY_UNNAMED},
        {SET(RULE("Allow", "'ecs:*'", "'*'")), POLICY_UNNAMED},
        {SET(RULE("Allow", "'*'", "'" PAIR "'")), POLICY_ALLOWED},
        {SET(RULE("Allow", "'*'", "'acs:ebs:*:*:diskreplicapair/*'")), POLICY_ALLOWED},
        {SET(RULE("Allow", "'*'", "'acs:ebs:*:*:diskreplicapair/pair-2'")), POLICY_UNNAMED},
        {SET(RULE("Allow", "'*'", "'acs:ebs:*:*:diskreplicapair/PAIR-1'")), POLICY_UNNAMED},
        {SET(RULE("Allow", "'*'", "'acs:ebs:lyon:*:*'")), POLICY_UNNAMED},
        {SET(RULE("Allow", "'*'", "'acs:ebs:*:2:*'")), POLICY_UNNAMED},
        {SET(RULE("Allow", "'*'", "'*'") "," RULE("Deny", "'ebs:Start*'", "'*'")), POLICY_DENIED},
        {SET(RULE("Deny", "'ebs:Start*'", "'*'") "," RULE("Allow", "'*'", "'*'")), POLICY_DENIED},
        {SET(RULE("Allow", "'*'", "'*'") "," RULE("Deny", "'ebs:Stop*'", "'*'")), POLICY_ALLOWED},
        {SET("{'Effect':'Allow','NotAction':'ebs:Stop*','Resource':'*'}"), POLICY_ALLOWED},
        {SET("{'Effect':'Allow','NotAction':'ebs:Start*','Resource':'*'}"), POLICY_UNNAMED},
        {SET("{'Effect':'Allow','Action':'*','NotResource':'" PAIR "'}"), POLICY_UNNAMED},
        {SET("{'Effect':'Deny','Action':'*','NotResource':'acs:ebs:*:*:diskreplicagroup/*'}"),
         POLICY_DENIED},
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        struct policy *policy = parse(rows[i].text);
        const struct policy *list[] = {policy};

        if (policy_evaluate(list, 1, &usual) != rows[i].verdict)
            fail_msg("%s: %d", rows[i].text, policy_evaluate(list, 1, &usual));
        policy_free(policy);
    }
    assert_int_equal(policy_evaluate(NULL, 0, &usual), POLICY_UNNAMED);
}

static void test_conditions(void **state)
{
    static const struct {
        const char *text;
        bool holds;
    } rows[] = {
        {"", true},
        {"'StringEquals':{'ebs:tag/team':'a'}", true},
        {"'StringEquals':{'ebs:tag/team':['b','a']}", true},
        {"'StringEquals':{'ebs:tag/team':'A'}", false},
        {"'StringEquals':{'ebs:tag/none':'a'}", false},
        {"'StringEquals':{'ecs:tag/team':'a'}", false},
        {"'StringNotEquals':{'ebs:tag/team':'a'}", false},
        {"'StringNotEquals':{'ebs:tag/team':['a','b']}", false},
        {"'StringNotEquals':{'ebs:tag/team':'b'}", true},
        {"'StringNotEquals':{'ebs:tag/none':'b'}", true},
        {"'StringEqualsIgnoreCase':{'ebs:tag/team':'A'}", true},
        {"'StringNotEqualsIgnoreCase':{'ebs:tag/team':'A'}", false},
        {"'StringLike':{'ebs:tag/team':'?'}", true},
        {"'StringLike':{'ebs:tag/team':'?*b'}", false},
        {"'StringNotLike':{'ebs:tag/team':'?*b'}", true},
        {"'NumericEquals':{'ebs:tag/size':'10.0'}", true},
        {"'NumericNotEquals':{'ebs:tag/size':'10'}", false},
        {"'NumericLessThan':{'ebs:tag/size':'10'}", false},
        {"'NumericLessThanEquals':{'ebs:tag/size':'10'}", true},
        {"'NumericGreaterThan':{'ebs:tag/size':'9.5'}", true},
        {"'NumericGreaterThanEquals':{'ebs:tag/size':'11'}", false},
        {"'NumericGreaterThan':{'ebs:tag/team':'0'}", false}, /* "a" is no number */
        {"'DateEquals':{'acs:CurrentTime':'2026-11-22T08:00:00Z'}", true},
        {"'DateEquals':{'acs:CurrentTime':'2026-11-22T16:00:00+08:00'}", true},
        {"'DateNotEquals':{'acs:CurrentTime':'2026-11-22T08:00:00Z'}", false},
        {"'DateLessThan':{'acs:CurrentTime':'2026-11-22T08:00:01Z'}", true},
        {"'DateLessThanEquals':{'acs:CurrentTime':'2026-11-22T07:59:59Z'}", false},
        {"'DateGreaterThan':{'acs:CurrentTime':'2026-01-01T00:00:00Z'}", true},
        {"'DateGreaterThanEquals':{'acs:CurrentTime':'2027-01-01T00:00:00Z'}", false},
        {"'Bool':{'acs:SecureTransport':'true'}", true},
        {"'Bool':{'acs:SecureTransport':'false'}", false},
        {"'Bool':{'acs:MFAPresent':'true'}", false},
        {"'IpAddress':{'acs:SourceIp':'192.0.2.77'}", true},
        {"'IpAddress':{'acs:SourceIp':'192.0.2.0/24'}", true},
        {"'IpAddress':{'acs:SourceIp':'192.0.2.64/27'}", true},
        {"'IpAddress':{'acs:SourceIp':'192.0.2.96/27'}", false},
        {"'IpAddress':{'acs:SourceIp':['10.0.0.0/8','192.0.2.77']}", true},
        {"'IpAddress':{'acs:SourceIp':'0.0.0.0/0'}", true},
        {"'IpAddress':{'acs:SourceIp':'::/0'}", false},
        {"'IpAddress':{'acs:SourceIp':'::ffff:192.0.2.0/120'}", true},
        {"'NotIpAddress':{'acs:SourceIp':'192.0.2.0/24'}", false},
        {"'NotIpAddress':{'acs:SourceIp':['10.0.0.0/8','192.0.2.0/24']}", false},
        {"'NotIpAddress':{'acs:SourceIp':'10.0.0.0/8'}", true},
        /* all must hold */
        {"'Bool':{'acs:SecureTransport':'true'},'StringEquals':{'ebs:tag/team':'a'}", true},
        {"'Bool':{'acs:SecureTransport':'false'},'StringEquals':{'ebs:tag/team':'a'}", false},
        {"'StringEquals':{'ebs:tag/size':'10','ebs:tag/team':'b'}", false},
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        char text[400];
        struct policy *policy;
        const struct policy *list[1];

        snprintf(text, sizeof(text), ALLOW(",'Condition':{%s}"), rows[i].text);
        list[0] = policy = parse(text);
        if ((policy_evaluate(list, 1, &usual) == POLICY_ALLOWED) != rows[i].holds)
            fail_msg("%s: not %d", rows[i].text, rows[i].holds);
        policy_free(policy);
    }
}

static void test_other_addresses(void **state)
{
    static const struct {
        const char *range, *source;
        bool holds;
    } rows[] = {
        {"2001:db8::/32", "2001:db8:1::5", true},
        {"2001:db8::/33", "2001:db8:8000::5", false},
        {"2001:db8::5", "2001:db8::5", true},
        {"2001:db8::5", "2001:db8::6", false},
        {"::/0", "2001:db8::6", true},
        {"192.0.2.0/24", "::ffff:192.0.2.9", true},
        {"192.0.2.0/24", "nonsense", false},
        {"192.0.2.0/24", "", false},
        {"192.0.2.0/24", "192.0.2.1/8", false},
        {"0.0.0.0/0", "::1", false},
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        struct policy_question question = usual;
        char text[400];
        struct policy *policy;
        const struct policy *list[1];

        snprintf(text, sizeof(text), IF("'IpAddress':{'acs:SourceIp':'%s'}"), rows[i].range);
        list[0] = policy = parse(text);
        question.source = rows[i].source;
        if ((policy_evaluate(list, 1, &question) == POLICY_ALLOWED) != rows[i].holds)
            fail_msg("%s in %s: not %d", rows[i].source, rows[i].range, rows[i].holds);
        policy_free(policy);
    }
}

static void test_unknown_tags_never_help(void **state)
{
    struct policy *allow = parse(IF("'StringNotEquals':{'ebs:tag/team':'b'}"));
    struct policy *deny =
        parse(SET("{'Effect':'Allow','Action':'*','Resource':'*'},{'Effect':'Deny','Action':'*',"
                  "'Resource':'*','Condition':{'StringEquals':{'ebs:tag/team':'secret'}}}"));
    const struct policy *lists[] = {allow, deny};
    struct policy_question question = usual;

    (void)state;
    assert_int_equal(policy_evaluate(&lists[0], 1, &question), POLICY_ALLOWED);
    assert_int_equal(policy_evaluate(&lists[1], 1, &question), POLICY_ALLOWED);
    question.are_tags_unknown = true;
    assert_int_equal(policy_evaluate(&lists[0], 1, &question), POLICY_UNNAMED);
    assert_int_equal(policy_evaluate(&lists[1], 1, &question), POLICY_DENIED);
    policy_free(allow);
    policy_free(deny);
}

static void test_names_action(void **state)
{
    struct policy *policy = parse(
        SET(RULE("Allow", "'ebs:Start*'", "'" PAIR "'") "," RULE("Deny", "'ebs:Stop*'", "'*'")));
    const struct policy *list[] = {policy};

    (void)state;
    assert_true(policy_names_action(list, 1, "ebs:StartDiskReplicaGroup"));
    assert_false(policy_names_action(list, 1, "ebs:StopDiskReplicaGroup"));
    assert_false(policy_names_action(list, 0, "ebs:StartDiskReplicaGroup"));
    policy_free(policy);
}

/* What can be said of an action before a resource is known. */
static void test_may_allow(void **state)
{
    static const struct {
        const char *statements;
        bool is_named, may_allow;
    } rows[] = {
        {RULE("Allow", "'*'", "'" PAIR "'"), true, true},
        {RULE("Allow", "'*'", "'*'") "," RULE("Deny", "'ebs:*'", "'" PAIR "'"), true, true},
        {RULE("Allow", "'*'", "'*'") "," RULE("Deny", "'ebs:*'", "['" PAIR "','*']"), false, false},
        {RULE("Allow", "'*'", "'*'") ",{'Effect':'Deny','Action':'*','NotResource':'" PAIR "'}",
         true, true},
        {RULE("Allow", "'*'", "'*'") ",{'Effect':'Deny','Action':'*','Resource':'*','Condition':"
                                     "{'Bool':{'acs:SecureTransport':'false'}}}",
         true, false},
        {RULE("Allow", "'*'", "'*'") ",{'Effect':'Deny','Action':'*','Resource':'*','Condition':"
                                     "{'StringEquals':{'ebs:tag/a':'b'}}}",
         true, true},
        {"{'Effect':'Allow','Action':'*','Resource':'*','Condition':"
         "{'StringEquals':{'ebs:tag/a':'b'}}}",
         true, true},
        {"{'Effect':'Allow','Action':'*','Resource':'*','Condition':"
         "{'Bool':{'acs:SecureTransport':'true'}}}",
         true, false},
    };
    struct policy_question question = usual;

    (void)state;
    question.is_secure = false;
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        char text[2000];
        struct policy *policy;
        const struct policy *list[1];

        snprintf(text, sizeof(text), SET("%s"), rows[i].statements);
        policy = parse(text);
        list[0] = policy;
        assert_int_equal(policy_names_action(list, 1, question.action), rows[i].is_named);
        assert_int_equal(policy_may_allow(list, 1, &question), rows[i].may_allow);
        policy_free(policy);
    }
}

static void test_wildcards(void **state)
{
    static const struct {
        const char *pattern, *text;
        bool matches;
    } rows[] = {
        {"", "", true},        {"", "a", false},         {"*", "", true},
        {"**", "", true},      {"?", "", false},         {"?", "\xe4\xb8\xad", true},
        {"a*c", "abbc", true}, {"a*c", "abcb", false},   {"a*b*c", "aXbYbZc", true},
        {"*a", "aab", false},  {"*ab*ab", "abab", true}, {"*ab*ab", "aab", false},
        {"A*", "abc", true},   {"a?c*", "abcd", true},   {"a\\*", "a\\bc", true},
    };
    char pattern[2001], text[6001];

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++)
        if (wildcard_match(rows[i].pattern, rows[i].text, true) != rows[i].matches)
            fail_msg("%s %s: not %d", rows[i].pattern, rows[i].text, rows[i].matches);
    assert_false(wildcard_match("A*", "abc", false));
    /* What takes for ever with a matcher that goes back to each star. */
    for (unsigned i = 0; i < 2000; i += 2)
        memcpy(pattern + i, "*a", 2);
    pattern[1999] = 'b';
    pattern[2000] = 0;
    memset(text, 'a', 6000);
    text[6000] = 0;
    assert_false(wildcard_match(pattern, text, true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_documents), cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_verdicts),          cmocka_unit_test(test_conditions),
        cmocka_unit_test(test_other_addresses),   cmocka_unit_test(test_unknown_tags_never_help),
        cmocka_unit_test(test_names_action),      cmocka_unit_test(test_wildcards),
        cmocka_unit_test(test_may_allow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
