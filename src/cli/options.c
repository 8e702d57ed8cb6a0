/* SPDX-License-Identifier: Apache-2.0 */
/* One table of options for all verbs: a name means the same everywhere. "--name VALUE" or
 * "--name=VALUE". */
#include "cli/options.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "cli/outcome.h"
#include "cli/safe_text.h"

static const struct {
    const char *name;
    bool is_flag;
    size_t offset;
} known[] = {
    {"--socket", false, offsetof(struct options, socket)},
    {"-o", false, offsetof(struct options, columns)},
    {"--output", false, offsetof(struct options, columns)},
    {"--name", false, offsetof(struct options, name)},
    {"--size", false, offsetof(struct options, size)},
    {"--path", false, offsetof(struct options, path)},
    {"--driver", false, offsetof(struct options, driver)},
    {"--instance", false, offsetof(struct options, instance)},
    {"--peer", false, offsetof(struct options, peer)},
    {"--disk", false, offsetof(struct options, disk)},
    {"--peer-disk", false, offsetof(struct options, peer_disk)},
    {"--pair", false, offsetof(struct options, pair)},
    {"--for", false, offsetof(struct options, for_what)},
    {"--timeout", false, offsetof(struct options, timeout)},
    {"--rpo", false, offsetof(struct options, rpo)},
    {"--description", false, offsetof(struct options, description)},
    {"--reason", false, offsetof(struct options, reason)},
    {"--force", false, offsetof(struct options, force)},
    {"--version-of-api", false, offsetof(struct options, version)},
    {"--object", false, offsetof(struct options, object)},
    {"--kind", false, offsetof(struct options, kind)},
    {"--caller", false, offsetof(struct options, caller)},
    {"--operation", false, offsetof(struct options, operation)},
    {"--since", false, offsetof(struct options, since)},
    {"--until", false, offsetof(struct options, until)},
    {"--severity", false, offsetof(struct options, severity)},
    {"--limit", false, offsetof(struct options, limit)},
    {"--reads", true, offsetof(struct options, reads)},
    {"--user", false, offsetof(struct options, user)},
    {"--file", false, offsetof(struct options, file)},
    {"--root", true, offsetof(struct options, root)},
    {"--json", true, offsetof(struct options, json)},
    {"--bytes", true, offsetof(struct options, bytes)},
    {"--utc", true, offsetof(struct options, utc)},
    {"-q", true, offsetof(struct options, quiet)},
    {"--quiet", true, offsetof(struct options, quiet)},
    {"-y", true, offsetof(struct options, yes)},
    {"--yes", true, offsetof(struct options, yes)},
    {"--no-wait", true, offsetof(struct options, no_wait)},
    {"--one-shot", true, offsetof(struct options, one_shot)},
    {"--discard-journal", true, offsetof(struct options, discard_journal)},
    {"--noheadings", true, offsetof(struct options, no_headings)},
    {"--raw", true, offsetof(struct options, raw)},
    {"--watch", true, offsetof(struct options, watch)},
    {"--tcp", true, offsetof(struct options, tcp)},
    {"--help", true, offsetof(struct options, help)},
    {"-h", true, offsetof(struct options, help)},
};

/* Takes argv[*at], and its value; 0 or OUTCOME_USAGE. */
static int take_option(int argc, char **argv, int *at, struct options *options)
{
    const char *word = argv[*at];
    const char *equals = strncmp(word, "--", 2) == 0 ? strchr(word, '=') : NULL;
    size_t length = equals ? (size_t)(equals - word) : strlen(word);

    for (unsigned i = 0; i < ARRAY_COUNT(known); i++) {
        char *field = (char *)options + known[i].offset;
        if (strlen(known[i].name) != length || strncmp(known[i].name, word, length) != 0)
            continue;
        if (known[i].is_flag) {
            if (equals)
                return outcome_usage("%s takes no value", known[i].name);
            *(bool *)field = true;
            return 0;
        }
        if (!equals && *at + 1 >= argc)
            return outcome_usage("%s needs a value", known[i].name);
        *(const char **)(void *)field = equals ? equals + 1 : argv[++*at];
        return 0;
    }
    return outcome_usage("unknown option %s", word);
}

bool options_confirm(const struct options *options, const char *act, const char *name)
{
    char answer[16];

    if (options->yes || !options->stderr_is_terminal || !options->stdin_is_terminal)
        return true;
    fprintf(stderr, "verso: %s ", act);
    safe_text_put(stderr, name);
    fputs("? [y/N] ", stderr);
    return fgets(answer, sizeof(answer), stdin) != NULL && (answer[0] == 'y' || answer[0] == 'Y');
}

static bool is_seconds(const char *text)
{
    char *end;
    double value = strtod(text, &end);

    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && value <= 1e9;
}

int options_parse(int argc, char **argv, struct options *ret_options)
{
    bool only_words = false;

    *ret_options = (struct options){.stdin_is_terminal = isatty(STDIN_FILENO) == 1,
                                    .stderr_is_terminal = isatty(STDERR_FILENO) == 1,
                                    .stdout_is_terminal = isatty(STDOUT_FILENO) == 1};
    for (int i = 1; i < argc; i++) {
        if (!only_words && strcmp(argv[i], "--") == 0) {
            only_words = true;
            continue;
        }
        if (!only_words && argv[i][0] == '-' && argv[i][1] != '\0') {
            int failed = take_option(argc, argv, &i, ret_options);
            if (failed)
                return failed;
            continue;
        }
        if (ret_options->word_count == OPTIONS_WORDS_MAX)
            return outcome_usage("more than %d words", OPTIONS_WORDS_MAX);
        ret_options->words[ret_options->word_count++] = argv[i];
    }
    if (ret_options->timeout && !is_seconds(ret_options->timeout))
        return outcome_usage("--timeout: %s is not a number of seconds", ret_options->timeout);
    return 0;
}
