/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names. All of it blocks.
 *
 * A mapping's file gets its space when it is made: a store into a page that has none, on a full
 * file system, would be a SIGBUS and not an error code.
 */
#include "io/posix_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"

int posix_dir_make(struct loop *loop, const char *path)
{
    struct stat stat_of;

    if (mkdir(path, 0700) == 0)
        return 0;
    if (errno != EEXIST)
        return -errno;
    if (stat(path, &stat_of) < 0)
        return -errno;
    return S_ISDIR(stat_of.st_mode) ? 0 : -ENOTDIR;
}

int posix_dir_sync(struct loop *loop, const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), result;

    if (fd < 0)
        return -errno;
    result = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return result;
}

static int is_entry(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

int posix_dir_list(struct loop *loop, const char *path,
                   void (*entry_cb)(void *arg, const char *name), void *arg)
{
    struct dirent **entries;
    int count = scandir(path, &entries, is_entry, by_bytes);

    if (count < 0)
        return -errno;
    for (int i = 0; i < count; i++) {
        entry_cb(arg, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return 0;
}

int posix_dir_unlink(struct loop *loop, const char *path)
{
    return remove(path) < 0 ? -errno : 0;
}

int posix_dir_rename(struct loop *loop, const char *from, const char *to)
{
    return rename(from, to) < 0 ? -errno : 0;
}

/* Space for `bytes`, without touching what is there. */
static int reserve(int fd, uint64_t bytes)
{
    struct stat stat_of;

    if (fallocate(fd, 0, 0, (off_t)bytes) == 0)
        return 0;
    if (errno != EOPNOTSUPP)
        return -errno;
    if (fstat(fd, &stat_of) < 0)
        return -errno;
    if ((uint64_t)stat_of.st_size < bytes && ftruncate(fd, (off_t)bytes) < 0)
        return -errno;
    return 0;
}

int posix_dir_map(struct loop *loop, const char *path, uint64_t bytes, void **ret_at,
                  struct err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), result;
    void *at;

    if (fd < 0)
        return err_set(err, -errno, "open %s: %s", path, err_name(errno));
    result = reserve(fd, bytes);
    if (result < 0) {
        close(fd);
        return err_set(err, result, "reserve %llu bytes for %s: %s", (unsigned long long)bytes,
                       path, err_name(result));
    }
    at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    result = -errno;
    close(fd);
    if (at == MAP_FAILED)
        return err_set(err, result, "map %s: %s", path, err_name(result));
    *ret_at = at;
    return 0;
}

void posix_dir_unmap(struct loop *loop, void *at, uint64_t bytes)
{
    check(munmap(at, bytes) == 0);
}
