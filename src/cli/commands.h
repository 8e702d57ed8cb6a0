/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs of verso, each a function that returns an exit code (enum outcome). */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include <stdint.h>

#include "cli/objects.h"

int disk_command(struct command *command); /* words[1]: the verb */
int replica_command(struct command *command,
                    const struct replica_kind *kind); /* words[1]: the verb */
int event_command(struct command *command);           /* words[1]: the verb */
int status_command(struct command *command);
int wait_command(struct command *command);
int api_command(struct command *command);
/* Users, keys, policies: words[0] is one of these nouns. */
bool access_command_is_noun(const char *noun);
int access_command(struct command *command);

/* "1G", "512M", "4096" -> bytes; false: not a size. */
bool commands_parse_size(const char *text, uint64_t *ret_bytes);

#endif
