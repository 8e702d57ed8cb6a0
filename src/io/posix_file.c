/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening files, and the calls on them that block.
 *
 *   1. IO_LOCK is flock(2), which belongs to the open file: a second open of this process meets it
 *      too, and the end of the process lets it go. A block device is also opened O_EXCL, which
 *      meets mounts and other users in the kernel.
 *   2. A file system that refuses O_DIRECT gets an ordinary open.
 *   3. Nothing is truncated by opening.
 *   4. Forgetting is asked of the kernel, which may leave pages that somebody else uses; so it is
 *      looked at: by cachestat(2), or, before Linux 6.5, page by page (some 15 s for each TiB).
 */
#include "io/posix_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"

enum { PREDECESSOR_TRIES = 100, PREDECESSOR_PAUSE_NS = 20000000 };
enum { FORGET_TRIES = 100, FORGET_PAUSE_NS = 20000000, LOOK_BYTES = 1 << 28, PAGE_BYTES = 4096 };
enum { SYS_CACHESTAT = 451 }; /* on every architecture; older headers do not name it */

static int open_flags(const char *path, unsigned flags)
{
    int how = O_CLOEXEC | (flags & IO_READ_ONLY ? O_RDONLY : O_RDWR);
    struct stat stat_of;

    if (flags & IO_CREATE)
        how |= O_CREAT;
    if (flags & IO_EXCLUSIVE)
        how |= O_EXCL;
    if (flags & IO_DIRECT)
        how |= O_DIRECT;
    if ((flags & IO_LOCK) && stat(path, &stat_of) == 0 && S_ISBLK(stat_of.st_mode))
        how = (how & ~O_CREAT) | O_EXCL;
    return how;
}

static int open_path(const char *path, unsigned flags, int *ret_fd, bool *ret_is_direct)
{
    int how = open_flags(path, flags);
    int fd = open(path, how, 0600);

    if (fd < 0 && errno == EINVAL && (how & O_DIRECT)) {
        how &= ~O_DIRECT;
        fd = open(path, how, 0600);
    }
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    *ret_is_direct = how & O_DIRECT;
    return 0;
}

/* Finds out what was opened; refuses what is neither file nor block device. */
static int look(struct io_file *file, const char *path, struct err *err)
{
    struct stat stat_of;
    struct statfs system_of;

    if (fstat(file->fd, &stat_of) < 0 || fstatfs(file->fd, &system_of) < 0)
        return err_set(err, -errno, "stat %s: %s", path, err_name(errno));
    if (!S_ISREG(stat_of.st_mode) && !S_ISBLK(stat_of.st_mode))
        return err_set(err, S_ISDIR(stat_of.st_mode) ? -EISDIR : -EINVAL,
                       "%s is neither a file nor a block device", path);
    file->is_block = S_ISBLK(stat_of.st_mode);
    file->is_memory =
        !file->is_block && (system_of.f_type == TMPFS_MAGIC || system_of.f_type == RAMFS_MAGIC);
    return 0;
}

enum holder { HOLDER_NONE, HOLDER_GONE, HOLDER_ALIVE };

/* Who holds the lock? A ring of a process that has ended may hold the file for some milliseconds
 * more (proc_locks(5): "1: FLOCK  ADVISORY  WRITE 4711 fe:00:1234 0 EOF"). */
static enum holder lock_holder(const struct stat *facts)
{
    enum holder is = HOLDER_NONE;
    char line[256], inode[32];
    int holder;
    FILE *locks = fopen("/proc/locks", "re");

    if (locks == NULL)
        return HOLDER_ALIVE;
    snprintf(inode, sizeof(inode), ":%llu 0 EOF", (unsigned long long)facts->st_ino);
    while (fgets(line, sizeof(line), locks) != NULL && is != HOLDER_ALIVE) {
        if (strstr(line, "FLOCK") == NULL || strstr(line, inode) == NULL)
            continue;
        bool is_gone = sscanf(line, "%*[^W]WRITE %d", &holder) == 1 && holder > 0 &&
                       kill(holder, 0) < 0 && errno == ESRCH;

        is = is_gone ? HOLDER_GONE : HOLDER_ALIVE;
    }
    fclose(locks);
    return is;
}

static void predecessor_pause(void)
{
    nanosleep(&(struct timespec){.tv_nsec = PREDECESSOR_PAUSE_NS}, NULL);
}

/* A predecessor's ring holds a block device that was opened O_EXCL as it holds the lock. Whoever
 * else has it (a mount) has no lock on it, so without a line it is tried just once more. */
static int open_waiting(const char *path, unsigned flags, int *ret_fd, bool *ret_is_direct)
{
    int result = open_path(path, flags, ret_fd, ret_is_direct);
    bool was_held = false;
    struct stat facts;

    for (unsigned tries = 0; result == -EBUSY && (flags & IO_LOCK) && tries < PREDECESSOR_TRIES;
         tries++) {
        enum holder holder = stat(path, &facts) == 0 ? lock_holder(&facts) : HOLDER_ALIVE;

        was_held = was_held || holder == HOLDER_GONE;
        if (holder == HOLDER_ALIVE || (!was_held && tries > 0))
            break;
        predecessor_pause();
        result = open_path(path, flags, ret_fd, ret_is_direct);
    }
    return result;
}

static int lock_file(struct io_file *file, const char *path, struct err *err)
{
    int failed = flock(file->fd, LOCK_EX | LOCK_NB);
    struct stat facts;

    for (unsigned tries = 0; failed && errno == EWOULDBLOCK && tries < PREDECESSOR_TRIES; tries++) {
        if (fstat(file->fd, &facts) < 0 || lock_holder(&facts) == HOLDER_ALIVE) {
            errno = EWOULDBLOCK;
            break;
        }
        predecessor_pause();
        failed = flock(file->fd, LOCK_EX | LOCK_NB);
    }
    if (!failed)
        return 0;
    if (errno == EWOULDBLOCK)
        return err_set(err, -EBUSY, "%s is in use by another holder of its lock", path);
    return err_set(err, -errno, "lock %s: %s", path, err_name(errno));
}

int posix_file_open(struct loop *loop, const char *path, unsigned flags, struct io_file **ret_file,
                    struct err *err)
{
    struct io_file *file = calloc(1, sizeof(*file));
    int result;

    if (file == NULL)
        return err_set(err, -ENOMEM, "open %s: no memory", path);
    file->handle.loop = loop;
    file->magic = POSIX_FILE_MAGIC;
    result = open_waiting(path, flags, &file->fd, &file->is_direct);
    if (result < 0) {
        free(file);
        return err_set(err, result, "open %s: %s", path, err_name(result));
    }
    if (flags & IO_SCATTERED)
        (void)posix_fadvise(file->fd, 0, 0, POSIX_FADV_RANDOM);
    result = look(file, path, err);
    if (result == 0 && (flags & IO_LOCK))
        result = lock_file(file, path, err);
    if (result < 0) {
        close(file->fd);
        free(file);
        return result;
    }
    posix_loop_of(loop)->open_count++;
    *ret_file = file;
    return 0;
}

void posix_file_close(struct loop *loop, struct io_file *file)
{
    struct posix_loop *posix = posix_loop_of(loop);

    posix_file_check(file);
    check(file->handle.loop == loop && posix->open_count > 0);
    posix->open_count--;
    close(file->fd);
    file->magic = 0;
    free(file);
}

/* linux/mman.h, since 6.5 */
struct cache_range {
    uint64_t offset, length; /* 0: to the end */
};

struct cache_facts {
    uint64_t cached, dirty, writeback, evicted, recently_evicted;
};

/* Does the kernel hold a page of that part? */
static int is_part_cached(int fd, uint64_t offset, size_t length, unsigned char *marks,
                          bool *ret_is_cached)
{
    void *at = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, (off_t)offset);
    int error = 0;

    if (at == MAP_FAILED)
        return -errno;
    if (mincore(at, length, marks) < 0)
        error = -errno;
    for (size_t i = 0; i < (length + PAGE_BYTES - 1) / PAGE_BYTES && error == 0; i++)
        *ret_is_cached = *ret_is_cached || (marks[i] & 1);
    munmap(at, length);
    return error;
}

static int look_at_pages(struct loop *loop, struct io_file *file, bool *ret_is_cached)
{
    unsigned char *marks = malloc(LOOK_BYTES / PAGE_BYTES);
    uint64_t bytes = 0;
    int error = marks == NULL ? -ENOMEM : posix_file_size(loop, file, &bytes);

    for (uint64_t at = 0; at < bytes && error == 0 && !*ret_is_cached; at += LOOK_BYTES)
        error = is_part_cached(file->fd, at, bytes - at < LOOK_BYTES ? bytes - at : LOOK_BYTES,
                               marks, ret_is_cached);
    free(marks);
    return error;
}

static int look_at_cache(struct loop *loop, struct io_file *file, bool *ret_is_cached)
{
    struct cache_range all = {0, 0};
    struct cache_facts facts = {0};

    *ret_is_cached = false;
    if (syscall(SYS_CACHESTAT, file->fd, &all, &facts, 0) < 0)
        return look_at_pages(loop, file, ret_is_cached);
    *ret_is_cached = facts.cached > 0;
    return 0;
}

int posix_file_forget(struct loop *loop, struct io_file *file)
{
    bool is_cached = true;

    if (posix_file_check(file)->is_memory)
        return 0;
    for (unsigned tries = 0; is_cached && tries < FORGET_TRIES; tries++) {
        int error;

        if (tries > 0)
            nanosleep(&(struct timespec){.tv_nsec = FORGET_PAUSE_NS}, NULL);
        if (fdatasync(file->fd) < 0)
            return -errno;
        error = -posix_fadvise(file->fd, 0, 0, POSIX_FADV_DONTNEED);
        if (error == 0)
            error = look_at_cache(loop, file, &is_cached);
        if (error < 0)
            return error;
    }
    return is_cached ? -EBUSY : 0;
}

bool posix_file_is_block_device(struct io_file *file)
{
    return posix_file_check(file)->is_block;
}

int posix_file_size(struct loop *loop, struct io_file *file, uint64_t *ret_bytes)
{
    struct stat stat_of;

    posix_file_check(file);
    if (file->is_block)
        return ioctl(file->fd, BLKGETSIZE64, ret_bytes) < 0 ? -errno : 0;
    if (fstat(file->fd, &stat_of) < 0)
        return -errno;
    *ret_bytes = (uint64_t)stat_of.st_size;
    return 0;
}

int posix_file_resize_now(struct loop *loop, struct io_file *file, uint64_t bytes)
{
    if (posix_file_check(file)->is_block)
        return -ENOTSUP;
    return ftruncate(file->fd, (off_t)bytes) < 0 ? -errno : 0;
}

/* Asked first: a call that fails for want of room takes all there is before it gives it back, and
 * whoever writes at that moment has none. */
static bool is_room(int fd, const struct stat *stat_of, uint64_t bytes)
{
    uint64_t has_bytes = (uint64_t)stat_of->st_blocks * 512;
    struct statfs system;

    return bytes <= has_bytes || fstatfs(fd, &system) < 0 || system.f_blocks == 0 ||
           (bytes - has_bytes) / (uint64_t)system.f_bsize < system.f_bavail;
}

int posix_file_allocate_now(struct loop *loop, struct io_file *file, uint64_t bytes)
{
    struct stat stat_of;

    if (posix_file_check(file)->is_block)
        return -ENOTSUP;
    if (fstat(file->fd, &stat_of) < 0)
        return -errno;
    /* tmpfs calls room that is asked for twice data. */
    if ((uint64_t)stat_of.st_size >= bytes && (uint64_t)stat_of.st_blocks * 512 >= bytes)
        return 0;
    if (!is_room(file->fd, &stat_of, bytes))
        return -ENOSPC;
    while (fallocate(file->fd, 0, 0, (off_t)bytes) < 0) {
        if (errno == EINTR)
            continue;
        if (errno != EOPNOTSUPP)
            return -errno;
        return (uint64_t)stat_of.st_size < bytes ? posix_file_resize_now(loop, file, bytes) : 0;
    }
    return 0;
}

int posix_file_read_now(struct loop *loop, struct io_file *file, void *bytes, size_t length,
                        uint64_t offset)
{
    posix_file_check(file);
    while (length > 0) {
        ssize_t count = pread(file->fd, bytes, length, (off_t)offset);

        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return -errno;
        if (count == 0)
            return -ENODATA;
        bytes = (char *)bytes + count;
        length -= (size_t)count;
        offset += (uint64_t)count;
    }
    return 0;
}

uint64_t posix_file_data_now(struct loop *loop, struct io_file *file, uint64_t from, uint64_t to)
{
    off_t at = lseek(posix_file_check(file)->fd, (off_t)from, SEEK_DATA);

    if (at < 0)
        return errno == ENXIO ? to : from;
    return (uint64_t)at < from || (uint64_t)at > to ? to : (uint64_t)at;
}

int posix_file_write_now(struct loop *loop, struct io_file *file, const void *bytes, size_t length,
                         uint64_t offset)
{
    posix_file_check(file);
    while (length > 0) {
        ssize_t count = pwrite(file->fd, bytes, length, (off_t)offset);

        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return count < 0 ? -errno : -EIO;
        bytes = (const char *)bytes + count;
        length -= (size_t)count;
        offset += (uint64_t)count;
    }
    return 0;
}

int posix_file_sync_now(struct loop *loop, struct io_file *file)
{
    return fdatasync(posix_file_check(file)->fd) < 0 ? -errno : 0;
}

/* A sync of the data alone may leave the old time on the disk. */
int posix_file_stamp(struct loop *loop, struct io_file *file, uint64_t *ret_stamp)
{
    struct stat stat_of;

    *ret_stamp = 0;
    if (posix_file_check(file)->is_block)
        return 0;
    if (fsync(file->fd) < 0 || fstat(file->fd, &stat_of) < 0)
        return -errno;
    *ret_stamp =
        (uint64_t)stat_of.st_mtim.tv_sec * UINT64_C(1000000000) + (uint64_t)stat_of.st_mtim.tv_nsec;
    return 0;
}
