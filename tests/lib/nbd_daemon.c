/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data path alone: stores, volumes and the NBD server, without control, metadata or
 * replication. For client tests and for the benchmark of NBD.
 *
 *   nbd_daemon [--io uring|threads] [--socket PATH] [--listen HOST:PORT]
 *              (--file PATH --size BYTES [--name NAME] [--read-only])...
 *
 * Prints "ready" (and "port N" for --listen) when it serves, ends on SIGTERM. SIGUSR1 takes the
 * last export away and prints "removed".
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "nbd/server.h"
#include "store/store.h"
#include "volume/volume.h"

enum { DISK_COUNT_MAX = 16, POLL_NS = 20 * 1000 * 1000 };

struct disk {
    const char *path, *name;
    uint64_t size_bytes;
    bool is_read_only;
    struct volume *volume;
    struct nbd_export *export;
};

struct test_daemon {
    enum loop_kind kind;
    struct nbd_server_options options;
    char sockets[4][128];
    bool has_port;
    struct disk disks[DISK_COUNT_MAX];
    unsigned disk_count, export_count;
    struct loop *loop;
    struct nbd_server *server;
    struct loop_timer poll;
    bool is_stopping;
};

/* A signal handler has nowhere else to leave its news. */
static volatile sig_atomic_t wants_stop, wants_removal;

static void take_signal(int number)
{
    if (number == SIGUSR1)
        wants_removal = 1;
    else
        wants_stop = 1;
}

static void fail(const char *what, const struct err *err)
{
    fprintf(stderr, "nbd_daemon: %s: %s\n", what, err->text);
    exit(1);
}

static void open_disk(struct test_daemon *daemon, struct disk *disk)
{
    const struct store_options options = {
        .driver = "file",
        .path = disk->path,
        .name = disk->name,
        .size_bytes = disk->size_bytes,
        .create = access(disk->path, F_OK) != 0,
        .read_only = disk->is_read_only,
    };
    struct store *store;
    struct err err = {0};

    if (store_open(daemon->loop, &options, &store, &err) != 0)
        fail(disk->path, &err);
    check(volume_new(daemon->loop, store, disk->name, &disk->volume) == 0);
    check(nbd_export_add_volume(daemon->server, disk->name, disk->volume,
                                volume_size_bytes(disk->volume), &disk->export) == 0);
    daemon->export_count++;
}

static void stopped(void *arg)
{
    struct test_daemon *daemon = arg;

    nbd_server_free(daemon->server);
    for (unsigned i = 0; i < daemon->disk_count; i++)
        volume_free(daemon->disks[i].volume);
    loop_stop(daemon->loop);
}

static void removed(void *arg)
{
    printf("removed\n");
    fflush(stdout);
}

static void poll_signals(struct loop_timer *timer)
{
    struct test_daemon *daemon = container_of(timer, struct test_daemon, poll);

    if (wants_removal && daemon->export_count > 0) {
        wants_removal = 0;
        nbd_export_remove(daemon->disks[--daemon->export_count].export, removed, daemon);
    }
    if (wants_stop) {
        nbd_server_stop(daemon->server, stopped, daemon);
        return;
    }
    loop_timer_set(daemon->loop, timer, loop_now_ns(daemon->loop) + POLL_NS);
}

static void usage(void)
{
    fprintf(stderr, "usage: nbd_daemon [--io uring|threads|auto] [--socket PATH] [--listen ADDR]"
                    " (--file PATH --size N [--name NAME] [--read-only])...\n");
    exit(2);
}

static enum loop_kind parse_kind(const char *text)
{
    if (strcmp(text, "uring") == 0)
        return LOOP_URING;
    return strcmp(text, "threads") == 0 ? LOOP_THREADS : LOOP_AUTO;
}

static void parse_options(struct test_daemon *daemon, int argc, char **argv)
{
    static const struct option options[] = {
        {"io", required_argument, NULL, 'i'},
        {"socket", required_argument, NULL, 's'},
        {"listen", required_argument, NULL, 'l'},
        {"file", required_argument, NULL, 'f'},
        {"size", required_argument, NULL, 'z'},
        {"name", required_argument, NULL, 'n'},
        {"read-only", no_argument, NULL, 'r'},
        {"connections", required_argument, NULL, 'c'},
        {NULL, 0, NULL, 0},
    };
    struct disk *disk = NULL;
    unsigned address_count = 0;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (strchr("znr", option) && disk == NULL)
            usage();
        switch (option) {
        case 'i':
            daemon->kind = parse_kind(optarg);
            break;
        case 's':
            snprintf(daemon->sockets[address_count], sizeof(daemon->sockets[0]), "unix:%s", optarg);
            daemon->options.addresses[address_count] = daemon->sockets[address_count];
            address_count++;
            break;
        case 'l':
            daemon->has_port = true;
            daemon->options.addresses[address_count++] = optarg;
            break;
        case 'f':
            check(daemon->disk_count < DISK_COUNT_MAX);
            disk = &daemon->disks[daemon->disk_count++];
            *disk = (struct disk){.path = optarg, .name = "disk"};
            break;
        case 'z':
            disk->size_bytes = strtoull(optarg, NULL, 10);
            break;
        case 'n':
            disk->name = optarg;
            break;
        case 'r':
            disk->is_read_only = true;
            break;
        case 'c':
            daemon->options.limits.connections_max = (unsigned)strtoul(optarg, NULL, 10);
            break;
        default:
            usage();
        }
        check(address_count < ARRAY_COUNT(daemon->options.addresses));
    }
    if (address_count == 0)
        usage();
}

int main(int argc, char **argv)
{
    struct test_daemon daemon = {.kind = LOOP_AUTO, .poll.fired_cb = poll_signals};
    struct sigaction action = {.sa_handler = take_signal};
    struct err err = {0};
    unsigned port_index;

    parse_options(&daemon, argc, argv);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    if (loop_new(daemon.kind, &daemon.loop, &err) != 0)
        fail("loop", &err);
    if (nbd_server_new(daemon.loop, &daemon.options, &daemon.server, &err) != 0)
        fail("server", &err);
    for (unsigned i = 0; i < daemon.disk_count; i++)
        open_disk(&daemon, &daemon.disks[i]);
    loop_timer_set(daemon.loop, &daemon.poll, loop_now_ns(daemon.loop) + POLL_NS);
    for (port_index = 0; daemon.has_port; port_index++)
        if (strncmp(daemon.options.addresses[port_index], "unix:", 5) != 0)
            break;
    if (daemon.has_port)
        printf("port %u\n", nbd_server_port(daemon.server, port_index));
    printf("ready %s\n", loop_name(daemon.loop));
    fflush(stdout);
    loop_run(daemon.loop);
    loop_free(daemon.loop);
    return 0;
}
