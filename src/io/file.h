/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files on a loop.
 *
 * The calls named io_file_*_now and the namespace calls block. They are for opening, recovery and
 * rare changes of state (a segment more, a stream opened), never for the path of a host's request.
 *
 * Durability, real and simulated: written bytes survive the end of the process at once and a power
 * loss only after io_file_sync() ended with 0. A created, renamed or removed name survives a power
 * loss after io_dir_sync() of its folder. When a sync failed once, what it covered is unknown: the
 * caller must fence, a later sync may answer 0 over lost bytes.
 */
#ifndef IO_FILE_H
#define IO_FILE_H

#include "io/loop.h"

struct io_file;

enum io_file_flags {
    IO_CREATE = 1,    /* make it if missing (mode 0600) */
    IO_EXCLUSIVE = 2, /* with IO_CREATE: -EEXIST if it is there */
    IO_READ_ONLY = 4,
    IO_LOCK = 8,    /* take the advisory lock; -EBUSY when another holder has it */
    IO_DIRECT = 16, /* past the page cache if possible: aligned requests only */
    /* Nothing is read ahead. Room that was kept and never written counts as data once the page
     * cache has it (io_file_data_now()). */
    IO_SCATTERED = 32,
};

enum io_discard_mode {
    IO_DISCARD_HOLE,      /* free the space, read back zeros */
    IO_DISCARD_ZERO,      /* read back zeros, keep the space */
    IO_DISCARD_ZERO_FAST, /* as ZERO, but -ENOTSUP rather than writing zeros */
};

struct io_extent {
    uint64_t offset, length;
    bool is_hole; /* reads as zeros and takes no space */
};

int io_file_open(struct loop *loop, const char *path, unsigned flags, struct io_file **ret_file,
                 struct err *err);
/* No operation may be in flight. */
void io_file_close(struct loop *loop, struct io_file *file);
bool io_file_is_block_device(struct io_file *file);
int io_file_size(struct loop *loop, struct io_file *file, uint64_t *ret_bytes);
int io_file_resize_now(struct loop *loop, struct io_file *file, uint64_t bytes);
/* Room for the first `bytes`, which the file has from then on, as far as the file system can
 * promise any; what is there stays, what comes to it reads as zeros and counts as a hole. -ENOSPC:
 * some of it may be taken. */
int io_file_allocate_now(struct loop *loop, struct io_file *file, uint64_t bytes);
/* All bytes or a negative errno; reading past the end gives -ENODATA. */
int io_file_read_now(struct loop *loop, struct io_file *file, void *bytes, size_t length,
                     uint64_t offset);
/* The first byte in [from, to) that does not lie in a hole; `to`: none. A file that cannot tell
 * says `from`. Sync first: some file systems do not count what is not yet written back. */
uint64_t io_file_data_now(struct loop *loop, struct io_file *file, uint64_t from, uint64_t to);
int io_file_write_now(struct loop *loop, struct io_file *file, const void *bytes, size_t length,
                      uint64_t offset);
int io_file_sync_now(struct loop *loop, struct io_file *file);
/* What the kernel keeps of it goes, behind a sync; -EBUSY: somebody else uses some of that. */
int io_file_forget_now(struct loop *loop, struct io_file *file);
/* When it was written last, durably so; 0: not known (a block device). Compares for being equal. */
int io_file_stamp(struct loop *loop, struct io_file *file, uint64_t *ret_stamp);

/* Asynchronous. `iov` and what it names must stay until done. The result is the full length or a
 * negative errno (short transfers are continued inside; a read past the end gives -ENODATA). */
void io_file_read(struct loop *loop, struct io_op *op, struct io_file *file,
                  const struct iovec *iov, unsigned iov_count, uint64_t offset, io_done_fn done_cb);
void io_file_write(struct loop *loop, struct io_op *op, struct io_file *file,
                   const struct iovec *iov, unsigned iov_count, uint64_t offset,
                   io_done_fn done_cb);
void io_file_sync(struct loop *loop, struct io_op *op, struct io_file *file, io_done_fn done_cb);
/* -ENOTSUP where the file system or device cannot. */
void io_file_discard(struct loop *loop, struct io_op *op, struct io_file *file, uint64_t offset,
                     uint64_t length, enum io_discard_mode mode, io_done_fn done_cb);
/* Fills extents[] from `offset` on, in order, without gaps, at most `extent_max` of them; the
 * result is how many (at least one). Files that cannot tell answer one data extent; what lies
 * behind a file's end is data, which cannot be read. */
void io_file_extents(struct loop *loop, struct io_op *op, struct io_file *file, uint64_t offset,
                     uint64_t length, struct io_extent *extents, unsigned extent_max,
                     io_done_fn done_cb);

/* Kill-safe memory: `bytes` of `path` (made if missing) mapped shared. What is stored there
 * survives the end of the process at once, and a power loss never for sure; pair it with
 * loop_boot_id(). */
int io_map_open(struct loop *loop, const char *path, uint64_t bytes, void **ret_at,
                struct err *err);
void io_map_close(struct loop *loop, void *at, uint64_t bytes);

/* Namespace; all block. Missing files: -ENOENT. */
int io_dir_make(struct loop *loop, const char *path); /* an existing one is fine */
/* The same, and its name survives a power loss: the folder that it lies in is synced. */
int io_dir_make_durable(struct loop *loop, const char *path);
int io_dir_sync(struct loop *loop, const char *path);
int io_dir_list(struct loop *loop, const char *path, void (*entry_cb)(void *arg, const char *name),
                void *arg);                         /* sorted by name */
int io_unlink(struct loop *loop, const char *path); /* files and empty folders */
int io_rename(struct loop *loop, const char *from, const char *to);
/* folder/name holds these bytes, durably; after an error or a crash these, or what it held before,
 * never a part. Beside it folder/name.new may be left, which the next call writes over. */
int io_file_replace(struct loop *loop, const char *folder, const char *name, const void *bytes,
                    size_t length, struct err *err);

#endif
