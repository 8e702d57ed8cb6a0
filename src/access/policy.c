/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: a policy is written by hand and decides who may fail over a site, so what is not understood
 * whole is refused whole, with the place named. The tree of the document is kept: patterns and
 * values are its texts.
 */
#include "access/policy.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "access/policy_condition.h"
#include "access/wildcard.h"
#include "base/check.h"

enum { POLICY_MAGIC = 0x706f6c69 };

/* Of Action or Resource. */
struct patterns {
    const json_t *tree; /* one text, or a list */
    bool is_negated;    /* NotAction, NotResource */
};

struct statement {
    bool is_deny;
    struct patterns actions, resources;
    struct policy_conditions *conditions; /* NULL: none */
};

struct policy {
    uint32_t magic;
    json_t *tree;
    unsigned count, value_count;
    bool asks_tags;
    struct statement statements[POLICY_STATEMENTS_MAX];
};

/* --- parsing --------------------------------------------------------------------------------- */

/* Before anything is made of it. */
static bool is_shallow(const char *text, size_t length)
{
    unsigned depth = 0;
    bool is_text = false;

    for (size_t i = 0; i < length; i++) {
        if (is_text) {
            if (text[i] == '\\')
                i++;
            else
                is_text = text[i] != '"';
            continue;
        }
        is_text = text[i] == '"';
        if (text[i] == '{' || text[i] == '[')
            depth++;
        else if ((text[i] == '}' || text[i] == ']') && depth > 0)
            depth--;
        if (depth > POLICY_DEPTH_MAX)
            return false;
    }
    return true;
}

/* "*", or <product>:<pattern> */
static bool is_action(const char *text)
{
    const char *colon = strchr(text, ':');

    if (strcmp(text, "*") == 0)
        return true;
    if (!colon || colon == text || !colon[1])
        return false;
    for (const char *at = text; *at; at++)
        if (at != colon && !isalnum((unsigned char)*at) && !strchr("*?-", *at))
            return false;
    return true;
}

/* "*", or acs:<product>:<region>:<account>:<relative id> */
static bool is_resource(const char *text)
{
    unsigned colons = 0;

    if (strcmp(text, "*") == 0)
        return true;
    if (strncmp(text, "acs:", 4) != 0)
        return false;
    for (const char *at = text; *at; at++) {
        colons += *at == ':';
        if (colons == 4)
            return at[1] != 0;
    }
    return false;
}

static const json_t *item_at(const json_t *tree, size_t index)
{
    if (json_is_array(tree))
        return json_array_get(tree, index);
    return index == 0 ? tree : NULL;
}

static int parse_list(struct policy *policy, const json_t *tree, bool (*is_good)(const char *),
                      const char *form, struct err *err)
{
    const json_t *item;
    size_t i;

    for (i = 0; (item = item_at(tree, i)) != NULL; i++) {
        if (!json_is_string(item))
            return err_set(err, -EINVAL, "not a quoted string, nor a list of them");
        if (!is_good(json_string_value(item)))
            return err_set(err, -EINVAL, "%.100s is not \"*\" and not %s", json_string_value(item),
                           form);
        if (++policy->value_count > POLICY_VALUES_MAX)
            return err_set(err, -EINVAL, "more than %d values in the policy", POLICY_VALUES_MAX);
    }
    return i > 0 ? 0 : err_set(err, -EINVAL, "an empty list");
}

/* Exactly one of `name` and "Not" `name`. */
static int parse_patterns(struct policy *policy, const json_t *tree, const char *name,
                          const char *negated, bool (*is_good)(const char *), const char *form,
                          struct patterns *ret_patterns, struct err *err)
{
    const json_t *plain = json_object_get(tree, name), *other = json_object_get(tree, negated);

    if (!plain == !other)
        return err_set(err, -EINVAL, "%s", plain ? "both it and its complement" : "is missing");
    ret_patterns->tree = plain ? plain : other;
    ret_patterns->is_negated = !plain;
    return parse_list(policy, ret_patterns->tree, is_good, form, err);
}

static int parse_effect(const json_t *tree, bool *ret_is_deny, struct err *err)
{
    const char *effect = json_string_value(json_object_get(tree, "Effect"));

    if (!effect || (strcmp(effect, "Allow") != 0 && strcmp(effect, "Deny") != 0))
        return err_set(err, -EINVAL, "Effect: neither \"Allow\" nor \"Deny\"");
    *ret_is_deny = effect[0] == 'D';
    return 0;
}

/* Every member is one of the names. */
static int check_names(const json_t *tree, const char *const *names, unsigned count,
                       struct err *err)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)tree, name, value)
    {
        unsigned i = 0;

        while (i < count && strcmp(names[i], name) != 0)
            i++;
        if (i == count)
            return err_set(err, -EINVAL, "%.60s: no such element", name);
    }
    return 0;
}

static int parse_statement(struct policy *policy, const json_t *tree, struct statement *statement,
                           struct err *err)
{
    static const char *const names[] = {"Effect",      "Action",    "NotAction", "Resource",
                                        "NotResource", "Condition", "Sid"};
    const json_t *conditions = json_object_get(tree, "Condition");
    int result;

    if (!json_is_object(tree))
        return err_set(err, -EINVAL, "not an object");
    result = check_names(tree, names, ARRAY_COUNT(names), err);
    if (result == 0)
        result = parse_effect(tree, &statement->is_deny, err);
    if (result < 0)
        return result;
    result = parse_patterns(policy, tree, "Action", "NotAction", is_action, "<product>:<Operation>",
                            &statement->actions, err);
    if (result < 0)
        return err_wrap(err, "Action");
    result = parse_patterns(policy, tree, "Resource", "NotResource", is_resource,
                            "acs:<product>:<region>:<account>:<id>", &statement->resources, err);
    if (result < 0)
        return err_wrap(err, "Resource");
    if (conditions &&
        policy_condition_parse(conditions, &policy->value_count, &statement->conditions, err) < 0)
        return err_wrap(err, "Condition");
    policy->asks_tags |= policy_condition_asks_tags(statement->conditions);
    return 0;
}

static int parse_tree(struct policy *policy, struct err *err)
{
    static const char *const names[] = {"Version", "Statement"};
    const json_t *statements = json_object_get(policy->tree, "Statement");
    const char *version = json_string_value(json_object_get(policy->tree, "Version"));
    int result;

    if (!json_is_object(policy->tree))
        return err_set(err, -EINVAL, "not a JSON object");
    result = check_names(policy->tree, names, ARRAY_COUNT(names), err);
    if (result < 0)
        return result;
    if (!version || strcmp(version, "1") != 0)
        return err_set(err, -EINVAL, "Version: is not \"1\"");
    if (!json_is_array(statements) || json_array_size(statements) == 0)
        return err_set(err, -EINVAL, "Statement: not a list of statements");
    if (json_array_size(statements) > POLICY_STATEMENTS_MAX)
        return err_set(err, -EINVAL, "Statement: more than %d", POLICY_STATEMENTS_MAX);
    for (unsigned i = 0; i < json_array_size(statements); i++) {
        policy->count = i + 1;
        result =
            parse_statement(policy, json_array_get(statements, i), &policy->statements[i], err);
        if (result < 0)
            return err_wrap(err, "Statement[%u]", i);
    }
    return 0;
}

int policy_parse(const char *text, size_t length, struct policy **ret_policy, struct err *err)
{
    json_error_t why;
    struct policy *policy;
    int result;

    if (length > POLICY_BYTES_MAX)
        return err_set(err, -EINVAL, "longer than %d bytes", POLICY_BYTES_MAX);
    if (!is_shallow(text, length))
        return err_set(err, -EINVAL, "nested deeper than %d", POLICY_DEPTH_MAX);
    policy = calloc(1, sizeof(*policy));
    if (!policy)
        return err_set(err, -ENOMEM, "out of memory");
    policy->magic = POLICY_MAGIC;
    policy->tree = json_loadb(text, length, JSON_REJECT_DUPLICATES, &why);
    result = policy->tree ? parse_tree(policy, err)
                          : err_set(err, -EINVAL, "line %d: %s", why.line, why.text);
    if (result < 0) {
        policy_free(policy);
        return result;
    }
    *ret_policy = policy;
    return 0;
}

void policy_free(struct policy *policy)
{
    if (!policy)
        return;
    check_magic(policy, POLICY_MAGIC);
    for (unsigned i = 0; i < policy->count; i++)
        policy_condition_free(policy->statements[i].conditions);
    json_decref(policy->tree);
    policy->magic = 0;
    free(policy);
}

/* --- asking ---------------------------------------------------------------------------------- */

static bool matches(const struct patterns *patterns, const char *text, bool folds_case)
{
    const json_t *item;
    bool is_one = false;

    for (size_t i = 0; !is_one && (item = item_at(patterns->tree, i)) != NULL; i++)
        is_one = wildcard_match(json_string_value(item), text, folds_case);
    return is_one != patterns->is_negated;
}

static bool applies(const struct statement *statement, const struct policy_question *question)
{
    return matches(&statement->actions, question->action, true) &&
           matches(&statement->resources, question->resource, false) &&
           policy_condition_holds(statement->conditions, question, statement->is_deny);
}

enum policy_verdict policy_evaluate(const struct policy *const *policies, unsigned count,
                                    const struct policy_question *question)
{
    bool is_allowed = false;

    for (unsigned i = 0; i < count; i++) {
        check_magic(policies[i], POLICY_MAGIC);
        for (unsigned k = 0; k < policies[i]->count; k++) {
            const struct statement *statement = &policies[i]->statements[k];

            if ((is_allowed && !statement->is_deny) || !applies(statement, question))
                continue;
            if (statement->is_deny)
                return POLICY_DENIED;
            is_allowed = true;
        }
    }
    return is_allowed ? POLICY_ALLOWED : POLICY_UNNAMED;
}

/* Does it hold for each resource that there may be? */
static bool is_for_all(const struct statement *statement)
{
    const json_t *item;

    for (size_t i = 0; (item = item_at(statement->resources.tree, i)) != NULL; i++)
        if (!statement->resources.is_negated && strcmp(json_string_value(item), "*") == 0)
            return true;
    return false;
}

/* What the statement says of the action at large; UNNAMED: nothing. `question` NULL: whatever its
 * conditions are asked. */
static enum policy_verdict survey_one(const struct statement *statement, const char *action,
                                      const struct policy_question *question)
{
    bool holds = question
                     ? policy_condition_holds(statement->conditions, question, !statement->is_deny)
                     : !statement->is_deny || !statement->conditions;

    if (!holds || !matches(&statement->actions, action, true))
        return POLICY_UNNAMED;
    if (!statement->is_deny)
        return POLICY_ALLOWED;
    return is_for_all(statement) ? POLICY_DENIED : POLICY_UNNAMED;
}

static bool survey(const struct policy *const *policies, unsigned count, const char *action,
                   const struct policy_question *question)
{
    bool is_allowed = false;

    for (unsigned i = 0; i < count; i++) {
        check_magic(policies[i], POLICY_MAGIC);
        for (unsigned k = 0; k < policies[i]->count; k++) {
            switch (survey_one(&policies[i]->statements[k], action, question)) {
            case POLICY_DENIED:
                return false;
            case POLICY_ALLOWED:
                is_allowed = true;
                break;
            case POLICY_UNNAMED:
                break;
            }
        }
    }
    return is_allowed;
}

bool policy_names_action(const struct policy *const *policies, unsigned count, const char *action)
{
    return survey(policies, count, action, NULL);
}

bool policy_may_allow(const struct policy *const *policies, unsigned count,
                      const struct policy_question *question)
{
    struct policy_question any = *question;

    any.are_tags_unknown = true;
    return survey(policies, count, question->action, &any);
}

bool policy_asks_tags(const struct policy *const *policies, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (policies[i]->asks_tags)
            return true;
    return false;
}
