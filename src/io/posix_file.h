/* SPDX-License-Identifier: Apache-2.0 */
/* Files of the loops on a real kernel: opening and everything that blocks. Slots of loop_ops. */
#ifndef IO_POSIX_FILE_H
#define IO_POSIX_FILE_H

#include "io/posix_loop.h"

enum { POSIX_FILE_MAGIC = 0x7066696c };

struct io_file {
    struct io_handle handle;
    uint32_t magic;
    int fd;
    bool is_block;
    bool is_direct; /* O_DIRECT was asked for and given */
    bool is_memory; /* lies in memory (tmpfs): its calls never wait for a device */
};

static inline struct io_file *posix_file_check(struct io_file *file)
{
    check_magic(file, POSIX_FILE_MAGIC);
    return file;
}

int posix_file_open(struct loop *loop, const char *path, unsigned flags, struct io_file **ret_file,
                    struct err *err);
void posix_file_close(struct loop *loop, struct io_file *file);
int posix_file_forget(struct loop *loop, struct io_file *file);
bool posix_file_is_block_device(struct io_file *file);
int posix_file_size(struct loop *loop, struct io_file *file, uint64_t *ret_bytes);
int posix_file_resize_now(struct loop *loop, struct io_file *file, uint64_t bytes);
int posix_file_allocate_now(struct loop *loop, struct io_file *file, uint64_t bytes);
int posix_file_read_now(struct loop *loop, struct io_file *file, void *bytes, size_t length,
                        uint64_t offset);
uint64_t posix_file_data_now(struct loop *loop, struct io_file *file, uint64_t from, uint64_t to);
int posix_file_write_now(struct loop *loop, struct io_file *file, const void *bytes, size_t length,
                         uint64_t offset);
int posix_file_sync_now(struct loop *loop, struct io_file *file);
int posix_file_stamp(struct loop *loop, struct io_file *file, uint64_t *ret_stamp);

#endif
