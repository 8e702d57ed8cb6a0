/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: the metadata must survive what the disks survive, and the code that sees to it is SQLite's.
 *
 * 1. Every call goes through struct loop (io/file.h), so an armed crash strikes between any two of
 *    them, in the middle of a commit too; longjmp() leaves SQLite and the site's memory goes.
 * 2. SQLite keeps nothing of a database outside of that memory: one thread, no mutexes, no shared
 *    page cache; its memory comes from malloc(), which has an owner here (sim_alloc.h).
 * 3. As unix does: the first sync of a new journal syncs its folder too, a deletion when it is
 *    asked for. Locks are the advisory lock of the file, held while it is open, as
 *    locking_mode=EXCLUSIVE does.
 */
#include "sim_sqlite.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "io/file.h"
#include "sim_alloc.h"

struct sim_sqlite {
    sqlite3_vfs vfs; /* first */
    struct sim_site *site;
    char name[40];
    bool skips_syncs;
};

struct sqlite_file {
    sqlite3_file base; /* first */
    struct sim_sqlite *sqlite;
    struct io_file *file;
    char path[128];
    bool syncs_folder, is_temporary;
};

static struct sim_sqlite *sqlite_of(sqlite3_vfs *vfs)
{
    return (struct sim_sqlite *)vfs;
}

static struct sqlite_file *file_of(sqlite3_file *base)
{
    return (struct sqlite_file *)base;
}

static struct loop *loop_of(const struct sqlite_file *file)
{
    return sim_site_loop(file->sqlite->site);
}

static void folder_of(const char *path, char *ret_folder, size_t size)
{
    const char *slash = strrchr(path, '/');

    check(slash);
    snprintf(ret_folder, size, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

/* --- files ----------------------------------------------------------------------------------- */

static int file_close(sqlite3_file *base)
{
    struct sqlite_file *file = file_of(base);

    io_file_close(loop_of(file), file->file);
    if (file->is_temporary)
        io_unlink(loop_of(file), file->path);
    return SQLITE_OK;
}

static int file_read(sqlite3_file *base, void *bytes, int length, sqlite3_int64 offset)
{
    struct sqlite_file *file = file_of(base);
    uint64_t size, at = (uint64_t)offset, wanted = (uint64_t)length, there;

    if (io_file_size(loop_of(file), file->file, &size) < 0)
        return SQLITE_IOERR_READ;
    there = at >= size ? 0 : size - at < wanted ? size - at : wanted;
    if (there > 0 && io_file_read_now(loop_of(file), file->file, bytes, there, at) < 0)
        return SQLITE_IOERR_READ;
    memset((char *)bytes + there, 0, wanted - there);
    return there == wanted ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

static int file_write(sqlite3_file *base, const void *bytes, int length, sqlite3_int64 offset)
{
    struct sqlite_file *file = file_of(base);
    int error =
        io_file_write_now(loop_of(file), file->file, bytes, (size_t)length, (uint64_t)offset);

    return error == 0 ? SQLITE_OK : error == -ENOSPC ? SQLITE_FULL : SQLITE_IOERR_WRITE;
}

static int file_truncate(sqlite3_file *base, sqlite3_int64 size)
{
    struct sqlite_file *file = file_of(base);

    return io_file_resize_now(loop_of(file), file->file, (uint64_t)size) < 0 ? SQLITE_IOERR_TRUNCATE
                                                                             : SQLITE_OK;
}

static int file_sync(sqlite3_file *base, int flags)
{
    struct sqlite_file *file = file_of(base);
    char folder[128];

    if (file->sqlite->skips_syncs && strstr(file->path, "-wal"))
        return SQLITE_OK;
    if (io_file_sync_now(loop_of(file), file->file) < 0)
        return SQLITE_IOERR_FSYNC;
    if (!file->syncs_folder)
        return SQLITE_OK;
    file->syncs_folder = false;
    folder_of(file->path, folder, sizeof(folder));
    return io_dir_sync(loop_of(file), folder) < 0 ? SQLITE_IOERR_DIR_FSYNC : SQLITE_OK;
}

static int file_size(sqlite3_file *base, sqlite3_int64 *ret_size)
{
    struct sqlite_file *file = file_of(base);
    uint64_t size;

    if (io_file_size(loop_of(file), file->file, &size) < 0)
        return SQLITE_IOERR_FSTAT;
    *ret_size = (sqlite3_int64)size;
    return SQLITE_OK;
}

static int file_lock(sqlite3_file *base, int level)
{
    return SQLITE_OK;
}

static int file_is_reserved(sqlite3_file *base, int *ret_is_reserved)
{
    *ret_is_reserved = 0;
    return SQLITE_OK;
}

static int file_control(sqlite3_file *base, int op, void *arg)
{
    return SQLITE_NOTFOUND;
}

static int file_sector_size(sqlite3_file *base)
{
    return 4096;
}

static int file_characteristics(sqlite3_file *base)
{
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE; /* as unix says: a torn write spares its neighbours */
}

static const sqlite3_io_methods file_methods = {
    .iVersion = 1, /* no shared memory: locking_mode=EXCLUSIVE needs none */
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_lock,
    .xCheckReservedLock = file_is_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
};

/* --- the file system ------------------------------------------------------------------------- */

static bool is_there(struct loop *loop, const char *path)
{
    struct io_file *file;

    if (io_file_open(loop, path, IO_READ_ONLY, &file, NULL) < 0)
        return false;
    io_file_close(loop, file);
    return true;
}

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *base, int flags,
                    int *ret_flags)
{
    struct sim_sqlite *sqlite = sqlite_of(vfs);
    struct loop *loop = sim_site_loop(sqlite->site);
    struct sqlite_file *file = file_of(base);
    unsigned io_flags = (flags & SQLITE_OPEN_CREATE ? IO_CREATE : 0u) |
                        (flags & SQLITE_OPEN_EXCLUSIVE ? IO_EXCLUSIVE : 0u) |
                        (flags & SQLITE_OPEN_MAIN_DB ? IO_LOCK : 0u);
    bool is_journal =
        flags & (SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL | SQLITE_OPEN_WAL);
    int error;

    memset(file, 0, sizeof(*file));
    file->sqlite = sqlite;
    file->is_temporary = !name || (flags & SQLITE_OPEN_DELETEONCLOSE);
    if (name)
        snprintf(file->path, sizeof(file->path), "%s", name);
    else
        snprintf(file->path, sizeof(file->path), "/temporary-%016llx",
                 (unsigned long long)loop_random(loop));
    file->syncs_folder = is_journal && (flags & SQLITE_OPEN_CREATE) && !is_there(loop, file->path);
    error = io_file_open(loop, file->path, io_flags, &file->file, NULL);
    if (error < 0)
        return error == -EBUSY ? SQLITE_BUSY : SQLITE_CANTOPEN;
    file->base.pMethods = &file_methods;
    if (ret_flags)
        *ret_flags = flags;
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *path, int syncs_folder)
{
    struct loop *loop = sim_site_loop(sqlite_of(vfs)->site);
    char folder[128];
    int error = io_unlink(loop, path);

    if (error < 0)
        return error == -ENOENT ? SQLITE_IOERR_DELETE_NOENT : SQLITE_IOERR_DELETE;
    folder_of(path, folder, sizeof(folder));
    if (syncs_folder && io_dir_sync(loop, folder) < 0)
        return SQLITE_IOERR_DIR_FSYNC;
    return SQLITE_OK;
}

static int vfs_access(sqlite3_vfs *vfs, const char *path, int flags, int *ret_is_there)
{
    *ret_is_there = is_there(sim_site_loop(sqlite_of(vfs)->site), path);
    return SQLITE_OK;
}

static int vfs_full_path(sqlite3_vfs *vfs, const char *name, int size, char *ret_path)
{
    snprintf(ret_path, (size_t)size, "%s", name);
    return SQLITE_OK;
}

static int vfs_random(sqlite3_vfs *vfs, int length, char *ret_bytes)
{
    /* Of SQLite's own generator, which all sites share: the same in every world. */
    memset(ret_bytes, 0x5a, (size_t)length);
    return length;
}

static int vfs_sleep(sqlite3_vfs *vfs, int microseconds)
{
    return microseconds;
}

static int vfs_time(sqlite3_vfs *vfs, double *ret_days)
{
    *ret_days = 2461000.5; /* only SQL functions ask, and ours does not use them */
    return SQLITE_OK;
}

static int vfs_error(sqlite3_vfs *vfs, int size, char *ret_text)
{
    return 0;
}

struct sim_sqlite *sim_sqlite_new(struct sim_site *site, const char *file,
                                  char ret_path[SIM_SQLITE_PATH_SIZE])
{
    struct sim_sqlite *sqlite = sim_kernel_alloc(sizeof(*sqlite));

    sqlite->site = site;
    snprintf(sqlite->name, sizeof(sqlite->name), "sim-%s", sim_site_name(site));
    sqlite->vfs = (sqlite3_vfs){
        .iVersion = 1,
        .szOsFile = sizeof(struct sqlite_file),
        .mxPathname = 100,
        .zName = sqlite->name,
        .xOpen = vfs_open,
        .xDelete = vfs_delete,
        .xAccess = vfs_access,
        .xFullPathname = vfs_full_path,
        .xRandomness = vfs_random,
        .xSleep = vfs_sleep,
        .xCurrentTime = vfs_time,
        .xGetLastError = vfs_error,
    };
    check(sqlite3_vfs_register(&sqlite->vfs, 1) == SQLITE_OK);
    sqlite3_randomness(0, NULL);
    snprintf(ret_path, SIM_SQLITE_PATH_SIZE, "file:%s?vfs=%s", file, sqlite->name);
    return sqlite;
}

void sim_sqlite_free(struct sim_sqlite *sqlite)
{
    check(sqlite3_vfs_unregister(&sqlite->vfs) == SQLITE_OK);
    sim_kernel_free(sqlite);
}

/* --- memory ---------------------------------------------------------------------------------- */

/* SQLite asks for sizes: each allocation begins with its own. */
enum { HEAD = 16 };

static void *memory_take(int size)
{
    char *at = malloc((size_t)size + HEAD);

    if (!at)
        return NULL;
    memcpy(at, &size, sizeof(size));
    return at + HEAD;
}

static void memory_give(void *at)
{
    free(at ? (char *)at - HEAD : NULL);
}

static int memory_size(void *at)
{
    int size;

    memcpy(&size, (char *)at - HEAD, sizeof(size));
    return size;
}

static void *memory_change(void *old, int size)
{
    char *at = realloc((char *)old - HEAD, (size_t)size + HEAD);

    if (!at)
        return NULL;
    memcpy(at, &size, sizeof(size));
    return at + HEAD;
}

static int memory_round(int size)
{
    return (size + 7) & ~7;
}

static int memory_init(void *arg)
{
    return SQLITE_OK;
}

static void memory_end(void *arg)
{
}

void sim_sqlite_init(void)
{
    static const sqlite3_mem_methods memory = {
        .xMalloc = memory_take,
        .xFree = memory_give,
        .xRealloc = memory_change,
        .xSize = memory_size,
        .xRoundup = memory_round,
        .xInit = memory_init,
        .xShutdown = memory_end,
    };

    if (sqlite3_config(SQLITE_CONFIG_SINGLETHREAD) != SQLITE_OK)
        return; /* done before */
    check(sqlite3_config(SQLITE_CONFIG_MALLOC, &memory) == SQLITE_OK);
    check(sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0) == SQLITE_OK);
    check(sqlite3_config(SQLITE_CONFIG_URI, 1) == SQLITE_OK);
    check(sqlite3_initialize() == SQLITE_OK);
}

void sim_sqlite_skip_log_syncs(struct sim_sqlite *sqlite)
{
    sqlite->skips_syncs = true;
}
