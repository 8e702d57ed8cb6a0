/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration file of versod: one INI file, `key=value` lines in the sections [site], [api],
 * [nbd], [link], [peer.NAME], [replication] and [audit]; verso.conf(5). Unknown sections and keys
 * are errors, and so are values out of range: each message names file, line, key and what is
 * allowed.
 */
#ifndef DAEMON_CONFIG_H
#define DAEMON_CONFIG_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "control/site.h"
#include "http/http_patrol.h"
#include "io/loop.h"
#include "nbd/nbd_limits.h"

enum { CONFIG_PEERS_MAX = 8, CONFIG_NAME_MAX = 64, CONFIG_PSK_MAX = 257, CONFIG_LIST_MAX = 1024 };

struct config_peer {
    char name[CONFIG_NAME_MAX];
    char region[CONFIG_NAME_MAX], zone[CONFIG_NAME_MAX];
    char address[108]; /* "": wait to be dialled */
};

struct config {
    struct {
        char name[CONFIG_NAME_MAX], region[CONFIG_NAME_MAX], zone[CONFIG_NAME_MAX];
        char data[PATH_MAX / 2];
        enum loop_kind io;
        bool sandbox;
    } site;
    struct {
        char socket[108];
        char listen[CONFIG_LIST_MAX], tls_listen[CONFIG_LIST_MAX]; /* addresses; "": none */
        char tls_cert[PATH_MAX / 2], tls_key[PATH_MAX / 2];        /* for tls_listen */
        bool allow_plain;          /* `listen` may name other than loopback */
        char account_id[64];       /* "": the default */
        char endpoint[108];        /* what clients are told; "": nothing */
        struct http_limits limits; /* a field that is 0: its default */
        bool allow_v1;
        bool strict;       /* what the contract forbids is refused, where we could do it */
        unsigned key_rate; /* requests a second of an access key */
        unsigned nonces_max;
        uint64_t clock_window_ns;
    } api;
    struct {
        char socket[108];         /* "": none */
        char listen[108];         /* "": none */
        struct nbd_limits limits; /* a field that is 0: its default */
    } nbd;
    struct {
        char listen[108]; /* "": none */
        char psk_file[PATH_MAX / 2];
        uint8_t psk[CONFIG_PSK_MAX]; /* read from psk_file by config_load() */
        size_t psk_length;
        uint64_t heartbeat_ns, silence_ns; /* 0: 5 s, 15 s */
    } link;
    struct config_peer peers[CONFIG_PEERS_MAX];
    unsigned peer_count;
    struct { /* a field that is 0: its default */
        uint64_t keep_ns, keep_bytes;
        unsigned reads_max, refused_max; /* lines a second */
    } audit;
    struct {
        uint64_t interval_ns;
        uint64_t stash_memory_bytes, stash_disk_bytes, journal_bytes_max;
        uint64_t failover_reserve_bytes;
        uint64_t retain_ns, retain_bytes;
        uint64_t bandwidth_bytes; /* a second; 0: no limit */
        bool open_when_peer_silent;
        uint64_t peer_wait_ns;
        uint64_t snapshot_expiry_ns, snapshot_bytes_max; /* 0: never, none */
    } replication;
    struct site_quota quota;
};

/* Reads and checks `path` and the key file it names (which must not be readable by others). */
int config_load(const char *path, struct config *ret_config, struct err *err);

/* "64M", "1GiB", "4096" -> bytes (powers of 1024); "1s", "500ms", "10m", "2h", "7d" -> nanoseconds
 * (a bare number: seconds). -EINVAL. */
int config_parse_bytes(const char *text, uint64_t *ret_bytes);
int config_parse_duration(const char *text, uint64_t *ret_ns);

#endif
