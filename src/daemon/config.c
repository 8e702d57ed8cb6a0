/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration: a table of keys (section, name, type, where it goes, range), read by inih.
 * What is allowed stands in the table and nowhere else.
 */
#include "daemon/config.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/nonces.h"
#include "api/door.h"
#include "base/check.h"
#include "http/http_address.h"
#include "io/posix_socket.h"

enum key_type {
    KEY_NAME,
    KEY_TEXT,
    KEY_ADDRESS,
    KEY_BYTES,
    KEY_DURATION,
    KEY_COUNT,
    KEY_IO,
    KEY_SILENT,
    KEY_YES
};

struct key {
    const char *section, *name; /* section "peer": [peer.NAME], offset inside struct config_peer */
    enum key_type type;
    size_t offset, size; /* size: of a text field */
    uint64_t min, max;   /* of a number */
};

#define CONFIG_AT(member) offsetof(struct config, member), sizeof(((struct config *)0)->member)
#define PEER_AT(member)                                                                            \
    offsetof(struct config_peer, member), sizeof(((struct config_peer *)0)->member)

#define MIB (1024ULL * 1024)
#define TIB (1024 * 1024 * MIB)
#define SECOND 1000000000ULL

static const struct key keys[] = {
    {"site", "name", KEY_NAME, CONFIG_AT(site.name), 0, 0},
    {"site", "region", KEY_NAME, CONFIG_AT(site.region), 0, 0},
    {"site", "zone", KEY_NAME, CONFIG_AT(site.zone), 0, 0},
    {"site", "data", KEY_TEXT, CONFIG_AT(site.data), 0, 0},
    {"site", "io", KEY_IO, CONFIG_AT(site.io), 0, 0},
    {"site", "sandbox", KEY_YES, CONFIG_AT(site.sandbox), 0, 0},
    {"api", "socket", KEY_TEXT, CONFIG_AT(api.socket), 0, 0},
    {"api", "listen", KEY_TEXT, CONFIG_AT(api.listen), 0, 0},
    {"api", "tls-listen", KEY_TEXT, CONFIG_AT(api.tls_listen), 0, 0},
    {"api", "tls-cert", KEY_TEXT, CONFIG_AT(api.tls_cert), 0, 0},
    {"api", "tls-key", KEY_TEXT, CONFIG_AT(api.tls_key), 0, 0},
    {"api", "allow-plain", KEY_YES, CONFIG_AT(api.allow_plain), 0, 0},
    {"api", "account-id", KEY_NAME, CONFIG_AT(api.account_id), 0, 0},
    {"api", "endpoint", KEY_TEXT, CONFIG_AT(api.endpoint), 0, 0},
    {"api", "connections-max", KEY_COUNT, CONFIG_AT(api.limits.connections_max), 8, 10000},
    {"api", "connections-per-address", KEY_COUNT, CONFIG_AT(api.limits.address_connections_max), 1,
     10000},
    {"api", "waiting-max", KEY_COUNT, CONFIG_AT(api.limits.waiting_max), 1, 10000},
    {"api", "head-time", KEY_DURATION, CONFIG_AT(api.limits.head_ns_max), SECOND, 600 * SECOND},
    {"api", "request-time", KEY_DURATION, CONFIG_AT(api.limits.request_ns_max), SECOND,
     3600 * SECOND},
    {"api", "idle-time", KEY_DURATION, CONFIG_AT(api.limits.idle_ns_max), SECOND, 3600 * SECOND},
    {"api", "head-max", KEY_BYTES, CONFIG_AT(api.limits.head_bytes_max), 4096, MIB},
    {"api", "body-max", KEY_BYTES, CONFIG_AT(api.limits.body_bytes_max), 4096, 64 * MIB},
    {"api", "body-rate-min", KEY_BYTES, CONFIG_AT(api.limits.body_rate_min), 1, MIB},
    {"api", "allow-v1", KEY_YES, CONFIG_AT(api.allow_v1), 0, 0},
    {"api", "strict", KEY_YES, CONFIG_AT(api.strict), 0, 0},
    {"api", "key-rate", KEY_COUNT, CONFIG_AT(api.key_rate), 1, 10000000},
    {"api", "nonces-max", KEY_COUNT, CONFIG_AT(api.nonces_max), 1024, 1 << 26},
    {"api", "clock-window", KEY_DURATION, CONFIG_AT(api.clock_window_ns), 10 * SECOND,
     86400 * SECOND},
    {"nbd", "socket", KEY_TEXT, CONFIG_AT(nbd.socket), 0, 0},
    {"nbd", "listen", KEY_ADDRESS, CONFIG_AT(nbd.listen), 0, 0},
    {"nbd", "connections-max", KEY_COUNT, CONFIG_AT(nbd.limits.connections_max), 1, 100000},
    {"nbd", "handshakes-max", KEY_COUNT, CONFIG_AT(nbd.limits.handshakes_max), 1, 100000},
    {"nbd", "handshakes-per-address", KEY_COUNT, CONFIG_AT(nbd.limits.handshakes_address_max), 1,
     100000},
    {"nbd", "handshake-time", KEY_DURATION, CONFIG_AT(nbd.limits.handshake_ns_max), SECOND / 10,
     600 * SECOND},
    {"nbd", "payload-time", KEY_DURATION, CONFIG_AT(nbd.limits.payload_ns_max), SECOND / 10,
     3600 * SECOND},
    {"nbd", "requests-max", KEY_COUNT, CONFIG_AT(nbd.limits.requests_max), 1, 65536},
    {"nbd", "connection-buffer-max", KEY_BYTES, CONFIG_AT(nbd.limits.connection_bytes_max),
     32 * MIB, TIB},
    {"nbd", "buffer-max", KEY_BYTES, CONFIG_AT(nbd.limits.buffer_bytes_max), 32 * MIB, TIB},
    {"link", "heartbeat", KEY_DURATION, CONFIG_AT(link.heartbeat_ns), SECOND / 10, 3600 * SECOND},
    {"link", "dead-after", KEY_DURATION, CONFIG_AT(link.silence_ns), SECOND, 3600 * SECOND},
    {"link", "listen", KEY_ADDRESS, CONFIG_AT(link.listen), 0, 0},
    {"link", "psk-file", KEY_TEXT, CONFIG_AT(link.psk_file), 0, 0},
    {"peer", "region", KEY_NAME, PEER_AT(region), 0, 0},
    {"peer", "zone", KEY_NAME, PEER_AT(zone), 0, 0},
    {"peer", "address", KEY_ADDRESS, PEER_AT(address), 0, 0},
    {"replication", "interval", KEY_DURATION, CONFIG_AT(replication.interval_ns), SECOND / 100,
     86400 * SECOND},
    {"replication", "stash-memory", KEY_BYTES, CONFIG_AT(replication.stash_memory_bytes), MIB, TIB},
    {"replication", "stash-disk", KEY_BYTES, CONFIG_AT(replication.stash_disk_bytes), 0, 64 * TIB},
    {"replication", "journal-max", KEY_BYTES, CONFIG_AT(replication.journal_bytes_max), MIB,
     64 * TIB},
    {"replication", "failover-reserve", KEY_BYTES, CONFIG_AT(replication.failover_reserve_bytes), 0,
     64 * TIB},
    {"replication", "retain-time", KEY_DURATION, CONFIG_AT(replication.retain_ns), 0,
     366 * 86400 * SECOND},
    {"replication", "retain-bytes", KEY_BYTES, CONFIG_AT(replication.retain_bytes), 0, 64 * TIB},
    {"replication", "bandwidth", KEY_BYTES, CONFIG_AT(replication.bandwidth_bytes), 0, TIB},
    {"replication", "on-peer-silent", KEY_SILENT, CONFIG_AT(replication.open_when_peer_silent), 0,
     0},
    {"replication", "peer-wait", KEY_DURATION, CONFIG_AT(replication.peer_wait_ns), 0,
     86400 * SECOND},
    {"replication", "snapshot-expiry", KEY_DURATION, CONFIG_AT(replication.snapshot_expiry_ns), 0,
     3660 * 86400 * SECOND},
    {"replication", "snapshot-bytes-max", KEY_BYTES, CONFIG_AT(replication.snapshot_bytes_max), 0,
     64 * TIB},
    {"audit", "keep-time", KEY_DURATION, CONFIG_AT(audit.keep_ns), 60 * SECOND,
     3660 * 86400 * SECOND},
    {"audit", "keep-bytes", KEY_BYTES, CONFIG_AT(audit.keep_bytes), MIB, TIB},
    {"audit", "reads-per-second", KEY_COUNT, CONFIG_AT(audit.reads_max), 1, 1000000},
    {"audit", "refused-per-second", KEY_COUNT, CONFIG_AT(audit.refused_max), 1, 1000000},
    {"replication", "group-pairs-max", KEY_COUNT, CONFIG_AT(quota.group_pairs), 1, 128},
    {"quota", "pairs", KEY_COUNT, CONFIG_AT(quota.pairs), 1, 1000000},
    {"quota", "groups", KEY_COUNT, CONFIG_AT(quota.groups), 1, 1000000},
    {"quota", "empty-groups", KEY_COUNT, CONFIG_AT(quota.empty_groups), 1, 1000000},
    {"quota", "pairs-per-group", KEY_COUNT, CONFIG_AT(quota.group_pairs), 1, 128},
    {"quota", "group-capacity", KEY_BYTES, CONFIG_AT(quota.group_bytes), 0, 1024 * TIB},
    {"quota", "disks", KEY_COUNT, CONFIG_AT(quota.disks), 1, 1000000},
    {"quota", "disk-capacity", KEY_BYTES, CONFIG_AT(quota.disk_bytes), 0, 1024 * TIB},
};

struct reading {
    struct config *config;
    struct err *err;
    bool is_given[1 + CONFIG_PEERS_MAX][ARRAY_COUNT(keys)]; /* 0: in no [peer.NAME] */
};

static int parse_scaled(const char *text, const char *const *units, const uint64_t *factors,
                        uint64_t *ret_value)
{
    char *end;
    unsigned long long value;

    if (*text < '0' || *text > '9')
        return -EINVAL;
    errno = 0;
    value = strtoull(text, &end, 10);
    if (errno != 0)
        return -EINVAL;
    for (unsigned i = 0; units[i] != NULL; i++) {
        if (strcmp(end, units[i]) != 0)
            continue;
        if (value > UINT64_MAX / factors[i])
            return -EINVAL;
        *ret_value = value * factors[i];
        return 0;
    }
    return -EINVAL;
}

int config_parse_bytes(const char *text, uint64_t *ret_bytes)
{
    static const char *const units[] = {"",  "B",   "K", "KiB", "M", "MiB",
                                        "G", "GiB", "T", "TiB", NULL};
    static const uint64_t factors[] = {1,       1,        1 << 10,    1 << 10,    1 << 20,
                                       1 << 20, 1U << 30, 1ULL << 30, 1ULL << 40, 1ULL << 40};
    return parse_scaled(text, units, factors, ret_bytes);
}

int config_parse_duration(const char *text, uint64_t *ret_ns)
{
    static const char *const units[] = {"", "s", "ms", "m", "h", "d", NULL};
    static const uint64_t factors[] = {SECOND,      SECOND,        SECOND / 1000,
                                       60 * SECOND, 3600 * SECOND, 86400 * SECOND};
    return parse_scaled(text, units, factors, ret_ns);
}

static bool name_is_valid(const char *text)
{
    size_t length =
        strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");
    return length > 0 && text[length] == '\0';
}

static int store_text(struct err *err, const struct key *key, const char *value, char *at)
{
    struct posix_address address;

    if (key->type == KEY_NAME && !name_is_valid(value))
        return err_set(err, -EINVAL, "\"%.60s\" is no name: use letters, digits, '-', '_' and '.'",
                       value);
    if (strlen(value) >= key->size)
        return err_set(err, -EINVAL, "longer than %zu characters", key->size - 1);
    if (key->type == KEY_ADDRESS && value[0] != '\0' && posix_address_parse(value, &address) < 0)
        return err_set(err, -EINVAL,
                       "\"%.60s\" is no address: a number and a port, such as 192.0.2.2:10909 or "
                       "[2001:db8::2]:10909; names are not looked up",
                       value);
    memcpy(at, value, strlen(value) + 1);
    return 0;
}

/* As somebody would write it. */
static void format_number(enum key_type type, uint64_t number, char *text, size_t size)
{
    static const struct {
        const char *unit;
        uint64_t factor;
    } times[] = {{"d", 86400 * SECOND},
                 {"h", 3600 * SECOND},
                 {"m", 60 * SECOND},
                 {"s", SECOND},
                 {"ms", SECOND / 1000}},
      sizes[] = {{"T", TIB}, {"G", 1024 * MIB}, {"M", MIB}, {"K", 1024}};
    const bool is_time = type == KEY_DURATION;
    const unsigned count = is_time ? ARRAY_COUNT(times) : ARRAY_COUNT(sizes);

    for (unsigned i = 0; i < count && type != KEY_COUNT && number > 0; i++) {
        const uint64_t factor = is_time ? times[i].factor : sizes[i].factor;

        if (number % factor == 0) {
            snprintf(text, size, "%llu%s", (unsigned long long)(number / factor),
                     is_time ? times[i].unit : sizes[i].unit);
            return;
        }
    }
    snprintf(text, size, "%llu", (unsigned long long)number);
}

static int store_number(struct err *err, const struct key *key, const char *value, char *at)
{
    uint64_t number;
    char min[32], max[32];
    int failed = key->type == KEY_DURATION ? config_parse_duration(value, &number)
                                           : config_parse_bytes(value, &number);

    format_number(key->type, key->min, min, sizeof(min));
    format_number(key->type, key->max, max, sizeof(max));
    if (failed)
        return err_set(err, -EINVAL, "\"%.60s\" is not %s", value,
                       key->type == KEY_DURATION ? "a time: a whole number and ms, s, m, h or d"
                       : key->type == KEY_BYTES  ? "a size: a whole number and K, M, G or T"
                                                 : "a whole number");
    if (number < key->min || number > key->max)
        return err_set(err, -ERANGE, "%.60s is out of range: %s to %s", value, min, max);
    if (key->type == KEY_COUNT)
        *(unsigned *)(void *)at = (unsigned)number;
    else
        *(uint64_t *)(void *)at = number;
    return 0;
}

/* One of two words: the first is false, the second true. */
static int store_choice(struct err *err, const char *value, const char *no, const char *yes,
                        char *at)
{
    if (strcmp(value, no) != 0 && strcmp(value, yes) != 0)
        return err_set(err, -EINVAL, "\"%.60s\" is not %s or %s", value, no, yes);
    *(bool *)at = strcmp(value, yes) == 0;
    return 0;
}

static int store_value(struct err *err, const struct key *key, const char *value, char *base)
{
    static const char *const kinds[] = {"auto", "uring", "threads"};
    char *at = base + key->offset;

    switch (key->type) {
    case KEY_NAME:
    case KEY_TEXT:
    case KEY_ADDRESS:
        return store_text(err, key, value, at);
    case KEY_BYTES:
    case KEY_DURATION:
    case KEY_COUNT:
        return store_number(err, key, value, at);
    case KEY_IO:
        for (unsigned i = 0; i < ARRAY_COUNT(kinds); i++) {
            if (strcmp(value, kinds[i]) == 0) {
                *(enum loop_kind *)(void *)at = (enum loop_kind)i;
                return 0;
            }
        }
        return err_set(err, -EINVAL, "\"%.60s\" is not auto, uring or threads", value);
    case KEY_SILENT:
        return store_choice(err, value, "hold", "open", at);
    case KEY_YES:
        return store_choice(err, value, "no", "yes", at);
    }
    return err_set(err, -EINVAL, "unknown type");
}

/* The peer of section [peer.NAME], made when it is new. */
static struct config_peer *peer_of_section(struct reading *reading, const char *name)
{
    struct config *config = reading->config;

    for (unsigned i = 0; i < config->peer_count; i++) {
        if (strcmp(config->peers[i].name, name) == 0)
            return &config->peers[i];
    }
    if (!name_is_valid(name) || strlen(name) >= CONFIG_NAME_MAX ||
        config->peer_count == CONFIG_PEERS_MAX) {
        err_set(reading->err, -EINVAL, "[peer.%.60s]: no valid name, or more than %d peers", name,
                CONFIG_PEERS_MAX);
        return NULL;
    }
    memcpy(config->peers[config->peer_count].name, name, strlen(name) + 1);
    return &config->peers[config->peer_count++];
}

static int take_key(struct reading *reading, unsigned i, unsigned scope, const char *value,
                    char *base)
{
    if (reading->is_given[scope][i])
        return err_set(reading->err, -EINVAL,
                       "is given twice (a line that begins with a space goes on with the one "
                       "before it)");
    reading->is_given[scope][i] = true;
    return store_value(reading->err, &keys[i], value, base);
}

static void tell_unknown(struct reading *reading, const char *group, const char *section,
                         const char *name)
{
    unsigned i = 0;

    while (i < ARRAY_COUNT(keys) && strcmp(keys[i].section, group) != 0)
        i++;
    if (i < ARRAY_COUNT(keys))
        err_set(reading->err, -EINVAL, "unknown key %.60s in [%.60s]", name, section);
    else
        err_set(reading->err, -EINVAL, "unknown section [%.60s]", section);
}

/* inih's callback: 1 goes on, 0 stops; then `err` tells why. */
static int take_line(void *arg, const char *section, const char *name, const char *value)
{
    struct reading *reading = arg;
    char *base = (char *)reading->config;
    const char *group = strcmp(section, "peer") == 0 ? "" : section; /* it wants a name */
    unsigned scope = 0;

    if (reading->err->code < 0)
        return 0; /* the first error is the one to tell */
    if (strncmp(section, "peer.", 5) == 0) {
        struct config_peer *peer = peer_of_section(reading, section + 5);

        if (peer == NULL)
            return 0;
        group = "peer";
        base = (char *)peer;
        scope = 1 + (unsigned)(peer - reading->config->peers);
    }
    for (unsigned i = 0; i < ARRAY_COUNT(keys); i++) {
        if (strcmp(keys[i].section, group) != 0 || strcmp(keys[i].name, name) != 0)
            continue;
        if (take_key(reading, i, scope, value, base) == 0)
            return 1;
        err_wrap(reading->err, "[%.60s] %s", section, name);
        return 0;
    }
    tell_unknown(reading, group, section, name);
    return 0;
}

static void set_defaults(struct config *config)
{
    memset(config, 0, sizeof(*config));
    config->site.sandbox = true;
    snprintf(config->site.data, sizeof(config->site.data), "/var/lib/verso");
    snprintf(config->api.socket, sizeof(config->api.socket), "/run/verso/api.sock");
    config->api.key_rate = DOOR_RATE;
    config->api.nonces_max = NONCES_DEFAULT;
    config->api.clock_window_ns = NONCES_WINDOW_S * SECOND;
    config->replication.interval_ns = SECOND;
    config->replication.stash_memory_bytes = 64 * MIB;
    config->replication.stash_disk_bytes = 4096 * MIB;
    config->replication.journal_bytes_max = 16 * 1024 * MIB;
    config->replication.failover_reserve_bytes = 1024 * MIB;
    config->replication.retain_ns = 600 * SECOND;
    config->replication.retain_bytes = 1024 * MIB;
    config->replication.peer_wait_ns = 30 * SECOND;
}

/* A bare name is a credential of the service manager (LoadCredential=), or, without one, a file
 * beside the configuration. */
static int find_file(char *file, size_t size, const char *key, const char *path, struct err *err)
{
    const char *folder = getenv("CREDENTIALS_DIRECTORY"), *end = strrchr(path, '/');
    char name[PATH_MAX];
    int length;

    if (strchr(file, '/') != NULL)
        return 0;
    check(size <= sizeof(name));
    memcpy(name, file, size);
    if (folder != NULL)
        length = snprintf(file, size, "%s/%s", folder, name);
    else
        length = snprintf(file, size, "%.*s%s", end ? (int)(end - path) + 1 : 0, path, name);
    if (length >= (int)size)
        return err_set(err, -ENAMETOOLONG, "%s %s: the path is too long", key, name);
    return 0;
}

static int load_psk(struct config *config, const char *path, struct err *err)
{
    struct stat facts;
    ssize_t length;
    int fd;

    if (find_file(config->link.psk_file, sizeof(config->link.psk_file), "psk-file", path, err) < 0)
        return err->code;
    fd = open(config->link.psk_file, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &facts) != 0) {
        int code = errno ? -errno : -EIO;
        if (fd >= 0)
            close(fd);
        return err_set(err, code, "psk-file %s: %s", config->link.psk_file, err_name(code));
    }
    length = read(fd, config->link.psk, sizeof(config->link.psk));
    if (length < 0)
        err_set(err, -errno, "psk-file %s: %s", config->link.psk_file, err_name(errno));
    close(fd);
    if (length < 0)
        return err->code;
    if (facts.st_mode & 077)
        return err_set(err, -EPERM, "psk-file %s: others may read it: chmod 600",
                       config->link.psk_file);
    while (length > 0 &&
           (config->link.psk[length - 1] == '\n' || config->link.psk[length - 1] == '\r'))
        length--;
    if (length == 4 && memcmp(config->link.psk, "none", 4) == 0) /* the unit's SetCredential= */
        return err_set(err, -ENOENT,
                       "psk-file %s: there was no /etc/verso/link.psk when the service manager "
                       "started this: make it (the same at both sites) and start again",
                       config->link.psk_file);
    if (length < 32 || length == CONFIG_PSK_MAX)
        return err_set(err, -EINVAL,
                       "psk-file %s: the key must have 32 to 256 bytes; make one with: "
                       "openssl rand -hex 32, the same for both sites",
                       config->link.psk_file);
    config->link.psk_length = (size_t)length;
    return 0;
}

static int check_plain(const struct config *config, const char *path,
                       const struct posix_address *addresses, int count, struct err *err)
{
    for (int i = 0; i < count && !config->api.allow_plain; i++) {
        char text[64];

        if (http_address_is_loopback(&addresses[i].any))
            continue;
        http_address_format(&addresses[i].any, text, sizeof(text));
        return err_set(err, -EINVAL,
                       "%s: [api] listen: %s is not loopback, and whoever is on the way would read "
                       "and change what passes: use tls-listen, or set allow-plain=yes",
                       path, text);
    }
    return 0;
}

static int check_doors(struct config *config, const char *path, struct err *err)
{
    struct posix_address addresses[HTTP_ADDRESSES_MAX];
    int count = http_addresses_parse(config->api.listen, addresses, err);

    if (count < 0)
        return err_wrap(err, "%s: [api] listen", path);
    if (check_plain(config, path, addresses, count, err) < 0)
        return err->code;
    count = http_addresses_parse(config->api.tls_listen, addresses, err);
    if (count < 0)
        return err_wrap(err, "%s: [api] tls-listen", path);
    if (count == 0)
        return 0;
    if (config->api.tls_cert[0] == '\0' || config->api.tls_key[0] == '\0')
        return err_set(err, -EINVAL, "%s: [api] tls-listen needs tls-cert and tls-key", path);
    if (find_file(config->api.tls_cert, sizeof(config->api.tls_cert), "tls-cert", path, err) < 0)
        return err->code;
    return find_file(config->api.tls_key, sizeof(config->api.tls_key), "tls-key", path, err);
}

static bool is_place_taken(const struct config *config, unsigned peer)
{
    for (unsigned i = 0; i < peer; i++) {
        if (strcmp(config->peers[i].region, config->peers[peer].region) == 0 &&
            strcmp(config->peers[i].zone, config->peers[peer].zone) == 0)
            return true;
    }
    return false;
}

/* One that is silent for as long as it may be before anybody asks is ended all the time. */
static int check_beat(const struct config *config, const char *path, struct err *err)
{
    const uint64_t beat_ns = config->link.heartbeat_ns ? config->link.heartbeat_ns : 5 * SECOND;
    const uint64_t dead_ns = config->link.silence_ns ? config->link.silence_ns : 15 * SECOND;

    if (beat_ns < dead_ns)
        return 0;
    return err_set(
        err, -EINVAL,
        "%s: [link] dead-after (15s unless set) must be longer than heartbeat (5s unless "
        "set), better three times as long",
        path);
}

static int check_whole(struct config *config, const char *path, struct err *err)
{
    if (config->site.name[0] == '\0' || config->site.region[0] == '\0' ||
        config->site.zone[0] == '\0')
        return err_set(err, -EINVAL, "%s: [site] needs name, region and zone", path);
    if (config->site.data[0] != '/' || config->api.socket[0] != '/')
        return err_set(err, -EINVAL, "%s: [site] data and [api] socket must be absolute paths",
                       path);
    if (check_doors(config, path, err) < 0 || check_beat(config, path, err) < 0)
        return err->code;
    if (config->nbd.socket[0] == '\0' && config->nbd.listen[0] == '\0')
        return err_set(err, -EINVAL, "%s: [nbd] needs socket or listen", path);
    if (config->peer_count > 0 && config->link.psk_file[0] == '\0')
        return err_set(err, -EINVAL, "%s: a peer needs [link] psk-file", path);
    for (unsigned i = 0; i < config->peer_count; i++) {
        const struct config_peer *peer = &config->peers[i];
        if (peer->region[0] == '\0' || peer->zone[0] == '\0')
            return err_set(err, -EINVAL, "%s: [peer.%s] needs region and zone", path, peer->name);
        if (strcmp(peer->name, config->site.name) == 0)
            return err_set(err, -EINVAL, "%s: [peer.%s] has the name of this site", path,
                           peer->name);
        if (is_place_taken(config, i))
            return err_set(err, -EINVAL, "%s: [peer.%s] has the region and zone of another peer",
                           path, peer->name);
        if (strcmp(peer->zone, config->site.zone) == 0 &&
            strcmp(peer->region, config->site.region) == 0)
            return err_set(err, -EINVAL, "%s: [peer.%s] has the region and zone of this site", path,
                           peer->name);
        if (peer->address[0] == '\0' && config->link.listen[0] == '\0')
            return err_set(
                err, -EINVAL,
                "%s: [peer.%s] has no address and [link] no listen: neither side could dial", path,
                peer->name);
    }
    return 0;
}

int config_load(const char *path, struct config *ret_config, struct err *err)
{
    struct reading reading = {.config = ret_config, .err = err};
    bool is_cut;
    FILE *file;
    int line;

    set_defaults(ret_config);
    err->code = 0;
    file = fopen(path, "re");
    if (!file)
        return err_set(err, -errno, "%s: cannot be opened: %s", path, err_name(errno));
    line = ini_parse_file(file, take_line, &reading);
    is_cut = ferror(file);
    fclose(file);
    if (is_cut) /* what was not read would be a default */
        return err_set(err, -EIO, "%s: cannot be read", path);
    if (err->code < 0)
        return err_wrap(err, "%s:%d", path, line);
    if (line != 0)
        return err_set(err, -EINVAL, "%s: line %d is neither a [section] nor key=value", path,
                       line);
    if (check_whole(ret_config, path, err) < 0)
        return err->code;
    return ret_config->link.psk_file[0] ? load_psk(ret_config, path, err) : 0;
}
