/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: what a stream knows of its disks holds as long as nobody else writes to them. Somebody puts
 * an image back from a backup, or repairs a file system in it, while the daemon is down: then a
 * source ships what it knows to differ, and no more.
 *
 * Little-endian:
 *
 *   0   4  magic "VSEA"       12   4  0
 *   4   4  version, 1         16      seals, 16 bytes each: 8 stamp (0: none), 8 size in bytes
 *   8   4  disks              end  4  CRC32C of all before
 */
#include "replication/seals.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "replication/stream_state.h"
#include "store/store.h"

enum {
    SEALS_MAGIC = 0x41455356,
    SEALS_VERSION = 1,
    SEALS_HEAD = 16,
    SEAL_BYTES = 16,
    SEALS_BYTES_MAX = SEALS_HEAD + STREAM_DISKS_MAX * SEAL_BYTES + 4,
};

static int take_seal(struct volume *volume, uint8_t *ret_seal)
{
    uint64_t stamp = 0;
    int error = store_stamp(volume_store(volume), &stamp);

    put_le64(ret_seal, stamp);
    put_le64(ret_seal + 8, volume_size_bytes(volume));
    return error;
}

int seals_save(struct loop *loop, const char *folder, struct volume *const *volumes, unsigned count,
               struct err *err)
{
    uint8_t bytes[SEALS_BYTES_MAX] = {0};
    size_t length = SEALS_HEAD + (size_t)count * SEAL_BYTES;
    int error = 0;

    check(count <= STREAM_DISKS_MAX);
    put_le32(bytes, SEALS_MAGIC);
    put_le32(bytes + 4, SEALS_VERSION);
    put_le32(bytes + 8, count);
    for (unsigned i = 0; i < count && error == 0; i++)
        error = take_seal(volumes[i], bytes + SEALS_HEAD + (size_t)i * SEAL_BYTES);
    put_le32(bytes + length, crc32c(0, bytes, length));
    if (error != 0)
        return err_set(err, error, "%s/seals: %s", folder, err_name(error));
    return io_file_replace(loop, folder, "seals", bytes, length + 4, err);
}

static int read_whole(struct loop *loop, const char *folder, uint8_t *ret_bytes, size_t length)
{
    char path[PATH_MAX];
    struct io_file *file;
    uint64_t has = 0;

    snprintf(path, sizeof(path), "%s/seals", folder);
    int error = io_file_open(loop, path, IO_READ_ONLY, &file, NULL);

    if (error != 0)
        return error;
    error = io_file_size(loop, file, &has);
    if (error == 0 && has != length)
        error = -EBADMSG;
    if (error == 0)
        error = io_file_read_now(loop, file, ret_bytes, length, 0);
    io_file_close(loop, file);
    return error;
}

/* Not written to: tools that copy a file with its time, and file systems, may cut that short. What
 * was written since is later. */
static bool is_same_stamp(uint64_t sealed, uint64_t now)
{
    static const uint64_t units[] = {1, 100, 1000, 1000000, 1000000000}; /* ns */

    for (unsigned i = 0; i < ARRAY_COUNT(units); i++)
        if (now == sealed - sealed % units[i])
            return true;
    return false;
}

static bool is_same(const uint8_t *seal, const uint8_t *now)
{
    return get_le64(seal + 8) == get_le64(now + 8) && is_same_stamp(get_le64(seal), get_le64(now));
}

int seals_check(struct loop *loop, const char *folder, struct volume *const *volumes,
                unsigned count, bool *ret_changed, struct err *err)
{
    uint8_t bytes[SEALS_BYTES_MAX] = {0}, now[SEAL_BYTES];
    size_t length = SEALS_HEAD + (size_t)count * SEAL_BYTES;

    check(count <= STREAM_DISKS_MAX);
    memset(ret_changed, 0, count * sizeof(*ret_changed));
    int error = read_whole(loop, folder, bytes, length + 4);

    if (error == 0 &&
        (get_le32(bytes) != SEALS_MAGIC || get_le32(bytes + 4) != SEALS_VERSION ||
         get_le32(bytes + 8) != count || get_le32(bytes + length) != crc32c(0, bytes, length)))
        error = -EBADMSG;
    for (unsigned i = 0; i < count && error == 0; i++) {
        const uint8_t *seal = bytes + SEALS_HEAD + (size_t)i * SEAL_BYTES;

        error = take_seal(volumes[i], now);
        ret_changed[i] = get_le64(seal) != 0 && !is_same(seal, now);
    }
    if (error == 0)
        return 0;
    memset(ret_changed, 0, count * sizeof(*ret_changed));
    return err_set(err, error, "%s/seals: %s", folder, err_name(error));
}

void seals_end(struct loop *loop, const char *folder)
{
    char path[PATH_MAX];
    int error;

    snprintf(path, sizeof(path), "%s/seals", folder);
    error = io_unlink(loop, path);
    if (error != 0 && error != -ENOENT)
        log_warning("stream", "%s: %s; it means nothing now", path, err_name(error));
}
