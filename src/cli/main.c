/* SPDX-License-Identifier: Apache-2.0 */
/* verso: the command line of Verso. A table of nouns; each verb is in its noun's file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "cli/commands.h"
#include "cli/outcome.h"

static const char usage[] =
    "usage: verso [--socket PATH] COMMAND\n"
    "\n"
    "  status [OBJECT] [--watch]                           what runs, how old the copies are\n"
    "  wait OBJECT --for STATE|recovery-point [--timeout S]\n"
    "  disk   create --size S [--name N] | import --path P [--name N] | list | show D\n"
    "         attach D --instance I | detach D | url D [--tcp] | resize D --size S | delete D\n"
    "  pair   create --disk D --peer SITE --peer-disk D2 [--name N] [--rpo S] | list | show P\n"
    "         start P [--one-shot] | stop P | failover P | reprotect P | cancel-failover P | "
    "delete P\n"
    "  group  create --peer SITE [--name N] [--rpo S] | list | show G | add G P | remove G P\n"
    "         start G [--one-shot] | stop G | failover G | reprotect G | cancel-failover G | "
    "delete G\n"
    "  pair, group  force-open O --reason TEXT             opens a source with a silent peer\n"
    "  pair, group  forget O --force NAME --reason TEXT [--discard-journal]\n"
    "                                                      gives it up at this site alone\n"
    "  user   create U | list | delete U\n"
    "  key    create --user U | create --root | list [--user U] | enable K | disable K | delete K\n"
    "  policy create P --file F | set P --file F | list [--user U] | show P\n"
    "         attach P --user U | detach P --user U | delete P\n"
    "  event  list [--limit N] | follow [--timeout S]      what happened; both take --object O,\n"
    "         --kind K, --caller C, --operation A, --severity S, --since T, --until T, --reads\n"
    "  api    ACTION [Key=Value ...] [--version-of-api V]  any call, the reply as it is\n"
    "\n"
    "options: --json, -o COL,... or +COL, --noheadings, --raw, --bytes, --utc, -q, -y, --no-wait,\n"
    "         --timeout S. The socket is --socket, else VERSO_SOCKET, else /run/verso/api.sock.\n"
    "exit:    0 done, 1 failed, 2 usage, 3 not found, 4 refused by state, 5 not allowed, 6 timed "
    "out\n"
    "         (the work goes on), 8 daemon or peer unreachable, 9 cancelled. See verso(1).\n";

/* A word that nobody takes is a mistake: "disk delete A B" must not delete A alone. */
static int check_words(const struct options *options)
{
    static const struct {
        const char *noun, *verb; /* NULL: any */
        unsigned count;
    } limits[] = {
        {"api", NULL, OPTIONS_WORDS_MAX},
        {"status", NULL, 2},
        {"wait", NULL, 2},
        {"group", "add", 4},
        {"group", "remove", 4},
        {"user", "create", 3},
        {"policy", "create", 3},
        {NULL, "create", 2},
        {NULL, "import", 2},
        {NULL, "list", 2},
        {NULL, "ls", 2},
        {NULL, "follow", 2},
        {NULL, NULL, 3},
    };
    const char *noun = options->word_count > 0 ? options->words[0] : "status";
    const char *verb = options->word_count > 1 ? options->words[1] : "";
    unsigned i = 0;

    while ((limits[i].noun && strcmp(limits[i].noun, noun) != 0) ||
           (limits[i].verb && strcmp(limits[i].verb, verb) != 0))
        i++;
    if (options->word_count <= limits[i].count)
        return 0;
    return outcome_usage("one word too many: %s", options->words[limits[i].count]);
}

static int run(struct command *command)
{
    const char *noun = command->options.word_count > 0 ? command->options.words[0] : "status";

    for (unsigned i = 0; i < ARRAY_COUNT(replica_kinds); i++) {
        if (strcmp(replica_kinds[i].noun, noun) == 0)
            return replica_command(command, &replica_kinds[i]);
    }
    if (strcmp(noun, "disk") == 0)
        return disk_command(command);
    if (access_command_is_noun(noun))
        return access_command(command);
    if (strcmp(noun, "event") == 0)
        return event_command(command);
    if (strcmp(noun, "status") == 0)
        return status_command(command);
    if (strcmp(noun, "wait") == 0)
        return wait_command(command);
    if (strcmp(noun, "api") == 0)
        return api_command(command);
    return outcome_usage("unknown command %s", noun);
}

int main(int argc, char **argv)
{
    struct command command;
    const char *socket;
    int outcome;

    if (argc == 2 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0)) {
        puts("verso " VERSO_VERSION);
        return 0;
    }
    outcome = options_parse(argc, argv, &command.options);
    if (outcome)
        return outcome;
    if (command.options.help ||
        (command.options.word_count > 0 && strcmp(command.options.words[0], "help") == 0)) {
        fputs(usage, stdout);
        return 0;
    }
    outcome = check_words(&command.options);
    if (outcome)
        return outcome;
    socket = command.options.socket ? command.options.socket : getenv("VERSO_SOCKET");
    command.client = client_new(socket && *socket ? socket : "/run/verso/api.sock");
    outcome = run(&command);
    client_free(command.client);
    return outcome;
}
