/* SPDX-License-Identifier: Apache-2.0 */
/* Options of a command line: the global ones and what a verb declares, parsed by one table-driven
 * parser. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>

#include "cli/client.h"

enum { OPTIONS_WORDS_MAX = 64 };

struct options {
    const char *socket, *columns, *name, *size, *path, *instance, *peer, *disk, *peer_disk, *pair,
        *for_what, *timeout, *point, *rpo, *description, *zone, *reason, *force, *driver, *version,
        *object, *kind, *caller, *user, *file, *operation, *since, *until, *severity, *limit;
    bool json, bytes, utc, quiet, yes, no_wait, one_shot, discard_journal, no_headings, raw, tcp,
        help, reads, root, watch;
    const char *words[OPTIONS_WORDS_MAX]; /* what is not an option */
    unsigned word_count;
    bool stdin_is_terminal, stderr_is_terminal, stdout_is_terminal;
};

/* 0, or OUTCOME_USAGE told on standard error. */
/* Asks a person; true without asking for --yes, and where there is no terminal: scripts mean what
 * they say. */
bool options_confirm(const struct options *options, const char *act, const char *name);
int options_parse(int argc, char **argv, struct options *ret_options);

/* A running command: options, the daemon, and the site that answers. */
struct command {
    struct options options;
    struct client *client;
};

#endif
