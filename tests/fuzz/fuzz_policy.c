/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A policy document, and questions to it. Input: action, resource and source address of the
 * question, each ended by a zero byte, then the document.
 *
 * Checked: it is taken, or refused with a reason; a verdict is the same twice; what is allowed is
 * named; with a Deny of everything beside it nothing is allowed; what is allowed while nobody knows
 * the tags is allowed whatever they are; wildcards match as a table of all prefixes says.
 *
 * Covers: access/policy.c access/policy_condition.c access/wildcard.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "access/policy.h"
#include "access/wildcard.h"
#include "fuzz.h"

enum { SHORT_MAX = 60 };

static const char nothing[] = "{\"Version\":\"1\",\"Statement\":[{\"Effect\":\"Deny\",\"Action\":"
                              "\"*\",\"Resource\":\"*\"}]}";

static const char *tag(void *arg, const char *product, const char *key)
{
    check(product[0] && key[0]);
    return arg;
}

static struct policy *parse(const char *text, size_t length)
{
    struct policy *policy = NULL;
    struct err err = {0};
    int result = policy_parse(text, length, &policy, &err);

    check(result == 0 ? policy != NULL : (!policy && result == -EINVAL && err.text[0]));
    return policy;
}

static void check_verdicts(const struct policy *policy, struct policy_question question)
{
    static const char *const values[] = {NULL, "", "a", "10", "true"};
    struct policy *deny = parse(nothing, strlen(nothing));
    const struct policy *both[] = {policy, deny};
    enum policy_verdict unknown;

    question.are_tags_unknown = true;
    unknown = policy_evaluate(both, 1, &question);
    question.are_tags_unknown = false;
    for (unsigned i = 0; i < ARRAY_COUNT(values); i++) {
        enum policy_verdict verdict;

        question.arg = (void *)(uintptr_t)values[i];
        verdict = policy_evaluate(both, 1, &question);
        check(verdict == policy_evaluate(both, 1, &question));
        check(unknown != POLICY_ALLOWED || verdict == POLICY_ALLOWED);
        check(verdict != POLICY_ALLOWED || policy_names_action(both, 1, question.action));
        check(verdict != POLICY_ALLOWED || policy_may_allow(both, 1, &question));
        check(policy_evaluate(both, 2, &question) == POLICY_DENIED);
    }
    policy_free(deny);
}

/* The length of the character at `text`. */
static size_t character(const char *text)
{
    size_t length = 1;

    while ((text[length] & 0xc0) == 0x80)
        length++;
    return length;
}

/* can[i][k]: does the pattern from i match the text from k? Filled from the ends. */
static bool match_by_table(const char *pattern, const char *text)
{
    bool can[SHORT_MAX + 2][SHORT_MAX + 2] = {{false}};
    size_t rows = strlen(pattern), columns = strlen(text);

    can[rows][columns] = true;
    for (size_t i = rows; i-- > 0;)
        for (size_t k = columns + 1; k-- > 0;) {
            if (pattern[i] == '*')
                can[i][k] = can[i + 1][k] || (k < columns && can[i][k + 1]);
            else if (k < columns && pattern[i] == '?')
                can[i][k] = can[i + 1][k + character(text + k)];
            else
                can[i][k] = k < columns && pattern[i] == text[k] && can[i + 1][k + 1];
        }
    return can[0][0];
}

/* The text up to the next zero byte. */
static const char *take_text(struct bytes_reader *input)
{
    const uint8_t *end = memchr(input->at, 0, input->left);
    const char *text = (const char *)input->at;

    if (!end)
        return NULL;
    input->left -= (size_t)(end + 1 - input->at);
    input->at = end + 1;
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct bytes_reader input = {.at = bytes, .left = length};
    struct policy_question question = {
        .is_secure = length % 2 == 0, .now_s = (int64_t)length * 86400, .tag_cb = tag};
    struct policy *policy;
    char *text;

    question.action = length ? take_text(&input) : NULL;
    question.resource = question.action ? take_text(&input) : NULL;
    question.source = question.resource ? take_text(&input) : NULL;
    if (!question.source)
        return 0;
    if (strlen(question.action) <= SHORT_MAX && strlen(question.resource) <= SHORT_MAX)
        check(wildcard_match(question.action, question.resource, false) ==
              match_by_table(question.action, question.resource));
    text = (char *)fuzz_copy(input.at, input.left);
    policy = parse(text, input.left);
    free(text);
    if (policy)
        check_verdicts(policy, question);
    policy_free(policy);
    return 0;
}
