/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verso user create|list|delete, verso key create|list|enable|disable|delete, verso policy
 * create|set|list|show|attach|detach|delete.
 *
 * A secret is printed once, on standard output; it is never an argument.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "cli/commands.h"
#include "cli/outcome.h"
#include "cli/output.h"
#include "cli/safe_text.h"

enum { DOCUMENT_MAX = 65536 }; /* the daemon says how long it may be */

static const struct output_column user_columns[] = {
    {"USER", "UserName", OUTPUT_TEXT, false, false},
    {"ID", "UserId", OUTPUT_TEXT, false, true},
    {"CREATED", "CreateDate", OUTPUT_TEXT, false, false},
    {"DESCRIPTION", "Description", OUTPUT_TEXT, false, false},
};

static const struct output_column key_columns[] = {
    {"KEY", "AccessKeyId", OUTPUT_TEXT, false, false},
    {"USER", "UserName", OUTPUT_TEXT, false, false},
    {"STATUS", "Status", OUTPUT_TEXT, false, false},
    {"CREATED", "CreateDate", OUTPUT_TEXT, false, false},
    {"USED", "LastUsedDate", OUTPUT_TEXT, false, false},
};

static const struct output_column policy_columns[] = {
    {"POLICY", "PolicyName", OUTPUT_TEXT, false, false},
    {"USERS", "AttachmentCount", OUTPUT_NUMBER, true, false},
    {"CREATED", "CreateDate", OUTPUT_TEXT, false, false},
    {"DESCRIPTION", "Description", OUTPUT_TEXT, false, false},
};

struct verb {
    const char *name;
    int (*run)(struct command *command, const struct verb *verb);
    const char *action;
    const char *parameter; /* for words[2]; NULL: there is none */
    bool needs_user, asks;
    const char *status; /* of a key */
};

static bool is_confirmed(struct command *command)
{
    char act[32];

    snprintf(act, sizeof(act), "delete %s", command->options.words[0]);
    return options_confirm(&command->options, act, command->options.words[2]);
}

/* Takes `params` over. 0: *ret_reply is the caller's. */
static int call(struct command *command, const char *action, struct params *params,
                struct reply *ret_reply)
{
    const struct options *options = &command->options;
    int outcome = 0;

    client_call(command->client, action, NULL, params, ret_reply);
    params_fini(params);
    if (!reply_is_good(ret_reply)) {
        outcome = (int)outcome_tell(ret_reply, "%s %s", options->words[0], options->words[1]);
        reply_fini(ret_reply);
    }
    return outcome;
}

/* What the words and --user say. */
static int fill(struct command *command, const struct verb *verb, struct params *params)
{
    const struct options *options = &command->options;

    if (verb->parameter && options->word_count < 3)
        return outcome_usage("%s %s needs a name", options->words[0], verb->name);
    if (verb->needs_user && !options->user)
        return outcome_usage("%s %s needs --user", options->words[0], verb->name);
    if (verb->parameter)
        params_add(params, verb->parameter, options->words[2]);
    if (options->user)
        params_add(params, "UserName", options->user);
    if (verb->status)
        params_add(params, "Status", verb->status);
    return 0;
}

static int run_simple(struct command *command, const struct verb *verb)
{
    struct params params = {0};
    struct reply reply;
    int outcome = fill(command, verb, &params);

    if (outcome == 0 && command->options.description)
        params_add(&params, "Description", command->options.description);
    if (outcome == 0 && verb->asks && !is_confirmed(command))
        outcome = OUTCOME_CANCELLED;
    if (outcome) {
        params_fini(&params);
        return outcome;
    }
    outcome = call(command, verb->action, &params, &reply);
    if (outcome)
        return outcome;
    if (command->options.json)
        output_json(reply.body);
    reply_fini(&reply);
    return 0;
}

static int run_list(struct command *command, const struct verb *verb)
{
    static const struct {
        const char *noun, *list, *name;
        const struct output_column *columns;
        unsigned count;
    } kinds[] = {
        {"user", "Users", "users", user_columns, ARRAY_COUNT(user_columns)},
        {"key", "AccessKeys", "keys", key_columns, ARRAY_COUNT(key_columns)},
        {"policy", "Policies", "policies", policy_columns, ARRAY_COUNT(policy_columns)},
    };
    struct params params = {0};
    int outcome = fill(command, verb, &params);
    unsigned i = 0;
    json_t *rows;

    if (outcome == 0) {
        while (strcmp(kinds[i].noun, command->options.words[0]) != 0)
            i++;
        params_add(&params, "MaxResults", "500");
        rows = objects_pages(command, verb->action, &params, kinds[i].list, NULL, &outcome);
        if (rows)
            outcome = output_rows(&command->options, kinds[i].name, rows, kinds[i].columns,
                                  kinds[i].count);
        json_decref(rows);
    }
    params_fini(&params);
    return outcome;
}

/* --- keys ------------------------------------------------------------------------------------ */

static int run_create_key(struct command *command, const struct verb *verb)
{
    const struct options *options = &command->options;
    struct params params = {0};
    struct reply reply;
    const json_t *key;
    int outcome;

    if (!options->root == !options->user)
        return outcome_usage(
            "key create needs --user NAME, or --root for a key that may everything");
    outcome = fill(command, verb, &params);
    if (outcome == 0)
        outcome = call(command, verb->action, &params, &reply);
    if (outcome)
        return outcome;
    key = json_object_get(reply.body, "AccessKey");
    if (options->json)
        output_json(reply.body);
    else
        printf("AccessKeyId      %s\nAccessKeySecret  %s\n", reply_text(key, "AccessKeyId"),
               reply_text(key, "AccessKeySecret"));
    reply_fini(&reply);
    if (!options->quiet && !options->json)
        fputs("verso: the secret is shown this once; nobody can read it again\n", stderr);
    return 0;
}

/* --- policies -------------------------------------------------------------------------------- */

/* The whole of the file, "-": standard input; NULL after telling why. */
static char *read_document(const char *path)
{
    char *text = calloc(1, DOCUMENT_MAX + 1);
    size_t length;
    FILE *file;

    check(text);
    file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (file == NULL) {
        fprintf(stderr, "verso: %s: %m\n", path);
        free(text);
        return NULL;
    }
    length = fread(text, 1, DOCUMENT_MAX, file);
    if (ferror(file) || length == DOCUMENT_MAX || strlen(text) != length) {
        fprintf(stderr, "verso: %s: cannot be read, too long, or no text\n", path);
        free(text);
        text = NULL;
    }
    if (file != stdin)
        fclose(file);
    return text;
}

static int run_write_policy(struct command *command, const struct verb *verb)
{
    const struct options *options = &command->options;
    struct params params = {0};
    struct reply reply;
    char *document;
    int outcome;

    if (!options->file)
        return outcome_usage("policy %s needs --file, a policy document, - for standard input",
                             verb->name);
    outcome = fill(command, verb, &params);
    document = outcome == 0 ? read_document(options->file) : NULL;
    if (document == NULL) {
        params_fini(&params);
        return outcome ? outcome : OUTCOME_FAILED;
    }
    params_add(&params, "PolicyDocument", document);
    free(document);
    if (options->description)
        params_add(&params, "Description", options->description);
    outcome = call(command, verb->action, &params, &reply);
    if (outcome)
        return outcome;
    if (options->json)
        output_json(reply.body);
    reply_fini(&reply);
    return 0;
}

static int run_show_policy(struct command *command, const struct verb *verb)
{
    struct params params = {0};
    struct reply reply;
    int outcome = fill(command, verb, &params);

    if (outcome == 0)
        outcome = call(command, verb->action, &params, &reply);
    if (outcome)
        return outcome;
    if (command->options.json) {
        output_json(reply.body);
    } else {
        safe_text_put_json(stdout,
                           reply_text(json_object_get(reply.body, "Policy"), "PolicyDocument"));
        putchar('\n');
    }
    reply_fini(&reply);
    return 0;
}

/* --- nouns ----------------------------------------------------------------------------------- */

static const struct verb user_verbs[] = {
    {"create", run_simple, "CreateUser", "UserName"},
    {"list", run_list, "ListUsers", NULL},
    {"delete", run_simple, "DeleteUser", "UserName", .asks = true},
};

static const struct verb key_verbs[] = {
    {"create", run_create_key, "CreateAccessKey", NULL},
    {"list", run_list, "ListAccessKeys", NULL},
    {"enable", run_simple, "UpdateAccessKey", "UserAccessKeyId", .status = "Active"},
    {"disable", run_simple, "UpdateAccessKey", "UserAccessKeyId", .status = "Inactive"},
    {"delete", run_simple, "DeleteAccessKey", "UserAccessKeyId", .asks = true},
};

static const struct verb policy_verbs[] = {
    {"create", run_write_policy, "CreatePolicy", "PolicyName"},
    {"set", run_write_policy, "PutPolicy", "PolicyName"},
    {"list", run_list, "ListPolicies", NULL},
    {"show", run_show_policy, "GetPolicy", "PolicyName"},
    {"attach", run_simple, "AttachPolicy", "PolicyName", .needs_user = true},
    {"detach", run_simple, "DetachPolicy", "PolicyName", .needs_user = true},
    {"delete", run_simple, "DeletePolicy", "PolicyName", .asks = true},
};

static const struct {
    const char *noun;
    const struct verb *verbs;
    unsigned count;
} nouns[] = {
    {"user", user_verbs, ARRAY_COUNT(user_verbs)},
    {"key", key_verbs, ARRAY_COUNT(key_verbs)},
    {"policy", policy_verbs, ARRAY_COUNT(policy_verbs)},
};

bool access_command_is_noun(const char *noun)
{
    for (unsigned i = 0; i < ARRAY_COUNT(nouns); i++)
        if (strcmp(nouns[i].noun, noun) == 0)
            return true;
    return false;
}

int access_command(struct command *command)
{
    struct options *options = &command->options;
    unsigned i = 0;

    while (strcmp(nouns[i].noun, options->words[0]) != 0)
        i++;
    if (options->word_count < 2) {
        options->words[1] = "list";
        options->word_count = 2;
    }
    for (unsigned k = 0; k < nouns[i].count; k++)
        if (strcmp(nouns[i].verbs[k].name, options->words[1]) == 0)
            return nouns[i].verbs[k].run(command, &nouns[i].verbs[k]);
    return outcome_usage("%s: unknown verb %s", options->words[0], options->words[1]);
}
