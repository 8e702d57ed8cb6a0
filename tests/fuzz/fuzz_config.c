/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration file. Input: the file. The key file that it may name is `key` in the current
 * folder; inputs that would read elsewhere are left alone.
 *
 * Checked: every text ends inside its field, every number is inside its bounds, an error has a
 * message.
 *
 * Covers: daemon/config.c.
 */
#include <stdlib.h>
#include <unistd.h>

#include "daemon/config.h"
#include "fuzz.h"

static bool reads_elsewhere(const char *text)
{
    const char *at = text;

    while ((at = strstr(at, "psk-file"))) {
        size_t line = strcspn(at, "\n");

        if (memchr(at, '/', line) || memchr(at, '.', line))
            return true;
        at += line;
    }
    return false;
}

#define ENDS(text) check(memchr(text, 0, sizeof(text)) != NULL)

static void check_config(const struct config *config)
{
    ENDS(config->site.name);
    ENDS(config->site.region);
    ENDS(config->site.zone);
    ENDS(config->site.data);
    ENDS(config->api.socket);
    ENDS(config->nbd.socket);
    ENDS(config->nbd.listen);
    ENDS(config->link.listen);
    ENDS(config->link.psk_file);
    check(config->peer_count <= CONFIG_PEERS_MAX);
    for (unsigned i = 0; i < config->peer_count; i++) {
        ENDS(config->peers[i].name);
        ENDS(config->peers[i].address);
        check(config->peers[i].region[0] && config->peers[i].zone[0]);
    }
    check(config->site.name[0] && config->site.data[0] == '/' && config->api.socket[0] == '/');
    check(config->replication.interval_ns > 0 && config->replication.journal_bytes_max > 0);
    check(config->link.psk_length == 0 ||
          (config->link.psk_length >= 32 && config->link.psk_length < CONFIG_PSK_MAX));
    check(config->peer_count == 0 || config->link.psk_length > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static struct config config;
    static bool is_ready;
    struct err err = {0};
    char *text = malloc(length + 1);
    uint64_t number;

    if (!is_ready) {
        fuzz_file("key", (const uint8_t *)"0123456789abcdef0123456789abcdef\n", 33);
        fuzz_file("weak", (const uint8_t *)"short\n", 6);
        check(chdir(fuzz_folder()) == 0);
        is_ready = true;
    }
    check(text);
    if (length > 0)
        memcpy(text, bytes, length);
    text[length] = 0;
    (void)config_parse_bytes(text, &number);
    (void)config_parse_duration(text, &number);
    if (!reads_elsewhere(text)) {
        if (config_load(fuzz_file("conf", bytes, length), &config, &err) == 0)
            check_config(&config);
        else
            check(err.text[0]);
    }
    free(text);
    return 0;
}
