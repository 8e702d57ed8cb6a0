/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks that forget: an nbdkit plugin whose disks lie in memory, have a volatile cache, and lose at
 * a power cut what was not flushed, in whole or in part.
 *
 *   nbdkit forget_plugin.so control=SOCKET device=NAME:BYTES[:WHOLE]...
 *
 * The devices are exports; all lose power in the same instant. Orders come over the unix socket
 * `control`, one a connection, one line, answered by one line:
 *
 *   cut MODE SEED PERMILLE   the power goes; from now on every request fails. Of the writes since
 *                            the last flush stay: none | all | prefix (a random number of the first
 *                            ones) | writes (each with that chance) | 512 | 4096 (each sector of
 *                            that size of each write with that chance; never less than the
 *                            device's WHOLE bytes, which it does not tear). "lost N of M" pieces.
 *   restore                  the power is back: the disks show what stayed. "ok"
 *
 * What must be right here, or the test is void: a flush makes durable every write that was answered
 * before it began; FUA makes its own write durable; a cut never touches durable bytes, and of two
 * writes to one place the older never comes to lie over the newer one.
 */
#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

enum { DEVICES_MAX = 16, NAME_MAX_BYTES = 32, ORDER_MAX = 100 };

struct device {
    char name[NAME_MAX_BYTES];
    uint64_t size;
    uint64_t whole;   /* bytes that no power cut tears; 512 when not told */
    uint8_t *durable; /* what a power cut leaves */
    uint8_t *current; /* what a reader sees */
};

/* A write since the last flush, in order of arrival over all devices. */
struct pending {
    struct device *device;
    uint64_t offset;
    uint32_t length;
    bool is_forced; /* FUA: durable already, kept here for its place in the order */
    uint8_t *bytes; /* NULL: zeros */
};

/* nbdkit gives its callbacks no other place; all behind the lock. */
static struct {
    pthread_mutex_t lock;
    struct device devices[DEVICES_MAX];
    unsigned device_count;
    const char *control;
    int listener;
    bool is_cut;
    struct pending *pending;
    size_t pending_count, pending_room;
    uint64_t random;
} disk = {.lock = PTHREAD_MUTEX_INITIALIZER, .listener = -1};

/* splitmix64 */
static uint64_t next_random(void)
{
    uint64_t z = disk.random += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static bool is_lucky(unsigned permille)
{
    return next_random() % 1000 < permille;
}

static void put(uint8_t *image, const struct pending *write, uint64_t from, uint64_t length)
{
    if (write->bytes)
        memcpy(image + write->offset + from, write->bytes + from, length);
    else
        memset(image + write->offset + from, 0, length);
}

static void drop_pending(void)
{
    for (size_t i = 0; i < disk.pending_count; i++)
        free(disk.pending[i].bytes);
    disk.pending_count = 0;
}

/* Each sector of one write for itself; returns how many were lost. */
static uint64_t keep_sectors(const struct pending *write, uint64_t sector, unsigned permille,
                             uint64_t *ret_pieces)
{
    uint64_t lost = 0;

    if (sector < write->device->whole)
        sector = write->device->whole;
    for (uint64_t from = 0; from < write->length;) {
        uint64_t until = ((write->offset + from) / sector + 1) * sector - write->offset;
        if (until > write->length)
            until = write->length;
        ++*ret_pieces;
        if (write->is_forced || is_lucky(permille))
            put(write->device->durable, write, from, until - from);
        else
            lost++;
        from = until;
    }
    return lost;
}

/* The lock is held. */
static void cut(const char *mode, unsigned permille, char *answer)
{
    uint64_t sector = strtoull(mode, NULL, 10), lost = 0, pieces = 0;
    size_t prefix = disk.pending_count;

    if (strcmp(mode, "prefix") == 0)
        prefix = disk.pending_count ? next_random() % (disk.pending_count + 1) : 0;
    for (size_t i = 0; i < disk.pending_count; i++) {
        const struct pending *write = &disk.pending[i];
        bool stays = strcmp(mode, "all") == 0 || (strcmp(mode, "prefix") == 0 && i < prefix) ||
                     (strcmp(mode, "writes") == 0 && is_lucky(permille));
        if (sector) {
            lost += keep_sectors(write, sector, permille, &pieces);
            continue;
        }
        pieces++;
        if (stays || write->is_forced)
            put(write->device->durable, write, 0, write->length);
        else
            lost++;
    }
    for (size_t i = 0; i < disk.pending_count; i++) {
        const struct pending *write = &disk.pending[i];
        memcpy(write->device->current + write->offset, write->device->durable + write->offset,
               write->length);
    }
    drop_pending();
    disk.is_cut = true;
    snprintf(answer, ORDER_MAX, "lost %" PRIu64 " of %" PRIu64 "\n", lost, pieces);
}

static void obey(const char *order, char *answer)
{
    char mode[16];
    uint64_t seed;
    unsigned permille;

    pthread_mutex_lock(&disk.lock);
    if (sscanf(order, "cut %15s %" SCNu64 " %u", mode, &seed, &permille) == 3) {
        disk.random = seed;
        cut(mode, permille, answer);
    } else if (strncmp(order, "restore", 7) == 0) {
        disk.is_cut = false;
        snprintf(answer, ORDER_MAX, "ok\n");
    } else {
        snprintf(answer, ORDER_MAX, "what?\n");
    }
    pthread_mutex_unlock(&disk.lock);
}

static void *serve_orders(void *unused)
{
    for (;;) {
        char order[ORDER_MAX] = "", answer[ORDER_MAX];
        int fd = accept(disk.listener, NULL, NULL);
        if (fd < 0)
            continue;
        if (read(fd, order, sizeof(order) - 1) > 0) {
            obey(order, answer);
            if (write(fd, answer, strlen(answer)) < 0)
                nbdkit_debug("the one who gave the order is gone");
        }
        close(fd);
    }
    return NULL;
}

static int forget_config(const char *key, const char *value)
{
    struct device *device = &disk.devices[disk.device_count];
    const char *colon = strchr(value, ':');
    char *end;

    if (strcmp(key, "control") == 0) {
        disk.control = value;
        return 0;
    }
    if (strcmp(key, "device") != 0 || disk.device_count == DEVICES_MAX || colon == NULL ||
        colon - value >= NAME_MAX_BYTES) {
        nbdkit_error("control=SOCKET, device=NAME:BYTES[:WHOLE]; not %s=%s", key, value);
        return -1;
    }
    memcpy(device->name, value, (size_t)(colon - value));
    device->size = strtoull(colon + 1, &end, 10);
    device->whole = *end == ':' ? strtoull(end + 1, NULL, 10) : 512;
    disk.device_count++;
    return 0;
}

static uint8_t *map(uint64_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

static int forget_get_ready(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    for (unsigned i = 0; i < disk.device_count; i++) {
        struct device *device = &disk.devices[i];
        device->durable = map(device->size);
        device->current = map(device->size);
        if (device->durable == NULL || device->current == NULL) {
            nbdkit_error("no memory for %s", device->name);
            return -1;
        }
    }
    if (disk.control == NULL || strlen(disk.control) >= sizeof(address.sun_path)) {
        nbdkit_error("control=SOCKET is needed, and short");
        return -1;
    }
    memcpy(address.sun_path, disk.control, strlen(disk.control));
    disk.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (disk.listener < 0 ||
        bind(disk.listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(disk.listener, 4) < 0) {
        nbdkit_error("%s: %m", disk.control);
        return -1;
    }
    return 0;
}

static int forget_after_fork(void)
{
    pthread_t thread;
    int error = pthread_create(&thread, NULL, serve_orders, NULL);

    if (error) {
        nbdkit_error("a thread: %s", strerror(error));
        return -1;
    }
    pthread_detach(thread);
    return 0;
}

static void *forget_open(int readonly)
{
    const char *name = nbdkit_export_name();

    for (unsigned i = 0; name && i < disk.device_count; i++) {
        if (strcmp(disk.devices[i].name, name) == 0)
            return &disk.devices[i];
    }
    nbdkit_error("no device is called %s", name ? name : "");
    return NULL;
}

static int64_t forget_get_size(void *handle)
{
    return (int64_t)((struct device *)handle)->size;
}

static int yes(void *handle)
{
    return 1;
}

static int can_fua(void *handle)
{
    return NBDKIT_FUA_NATIVE;
}

/* The lock is held. Puts a write into the current image and remembers it until the next flush. */
static int store(struct device *device, uint64_t offset, uint32_t length, const void *bytes,
                 uint32_t flags)
{
    struct pending write = {
        .device = device, .offset = offset, .length = length, .is_forced = flags & NBDKIT_FLAG_FUA};

    if (disk.pending_count == disk.pending_room) {
        size_t room = disk.pending_room ? 2 * disk.pending_room : 1024;
        struct pending *larger = realloc(disk.pending, room * sizeof(write));
        if (larger == NULL)
            return -1;
        disk.pending = larger;
        disk.pending_room = room;
    }
    if (bytes) {
        write.bytes = malloc(length);
        if (write.bytes == NULL)
            return -1;
        memcpy(write.bytes, bytes, length);
    }
    disk.pending[disk.pending_count++] = write;
    put(device->current, &write, 0, length);
    if (write.is_forced)
        put(device->durable, &write, 0, length);
    return 0;
}

static int power_is_gone(void)
{
    nbdkit_set_error(EIO);
    return -1;
}

static int change(void *handle, const void *bytes, uint32_t count, uint64_t offset, uint32_t flags)
{
    int result;

    pthread_mutex_lock(&disk.lock);
    result = disk.is_cut ? power_is_gone() : store(handle, offset, count, bytes, flags);
    pthread_mutex_unlock(&disk.lock);
    return result;
}

static int forget_pwrite(void *handle, const void *bytes, uint32_t count, uint64_t offset,
                         uint32_t flags)
{
    return change(handle, bytes, count, offset, flags);
}

static int forget_zero(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
    return change(handle, NULL, count, offset, flags);
}

static int forget_pread(void *handle, void *bytes, uint32_t count, uint64_t offset, uint32_t flags)
{
    const struct device *device = handle;
    int result = 0;

    pthread_mutex_lock(&disk.lock);
    if (disk.is_cut)
        result = power_is_gone();
    else
        memcpy(bytes, device->current + offset, count);
    pthread_mutex_unlock(&disk.lock);
    return result;
}

/* Of one device: the others' caches are their own. */
static int forget_flush(void *handle, uint32_t flags)
{
    struct device *device = handle;
    size_t kept = 0;
    int result = 0;

    pthread_mutex_lock(&disk.lock);
    if (disk.is_cut) {
        result = power_is_gone();
    } else {
        for (size_t i = 0; i < disk.pending_count; i++) {
            struct pending *write = &disk.pending[i];
            if (write->device == device) {
                put(device->durable, write, 0, write->length);
                free(write->bytes);
            } else {
                disk.pending[kept++] = *write;
            }
        }
        disk.pending_count = kept;
    }
    pthread_mutex_unlock(&disk.lock);
    return result;
}

static struct nbdkit_plugin plugin = {
    .name = "forget",
    .version = "1",
    .config = forget_config,
    .get_ready = forget_get_ready,
    .after_fork = forget_after_fork,
    .open = forget_open,
    .get_size = forget_get_size,
    .can_write = yes,
    .can_flush = yes,
    .can_trim = yes,
    .can_zero = yes,
    .can_multi_conn = yes,
    .can_fua = can_fua,
    .pread = forget_pread,
    .pwrite = forget_pwrite,
    .zero = forget_zero,
    .trim = forget_zero,
    .flush = forget_flush,
};

NBDKIT_REGISTER_PLUGIN(plugin)
