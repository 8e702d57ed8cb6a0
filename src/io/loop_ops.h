/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a loop implementation provides; the public calls of loop.h, file.h and socket.h dispatch to
 * it. `struct loop` is the first member of each implementation's own struct. Every slot is
 * required.
 */
#ifndef IO_LOOP_OPS_H
#define IO_LOOP_OPS_H

#include "io/file.h"
#include "io/socket.h"

struct loop_ops {
    const char *name;
    void (*free)(struct loop *loop);
    void (*run)(struct loop *loop);
    void (*stop)(struct loop *loop);
    uint64_t (*now_ns)(struct loop *loop);
    uint64_t (*wall_ns)(struct loop *loop);
    uint64_t (*random)(struct loop *loop);
    const char *(*boot_id)(struct loop *loop);
    void (*post)(struct loop *loop, struct loop_message *message);
    void (*defer)(struct loop *loop, struct loop_task *task);
    void (*timer_set)(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ns);
    void (*timer_cancel)(struct loop *loop, struct loop_timer *timer);

    int (*file_open)(struct loop *loop, const char *path, unsigned flags, struct io_file **ret_file,
                     struct err *err);
    void (*file_close)(struct loop *loop, struct io_file *file);
    /* Writes back what the kernel keeps of the file, and drops it: reads show what its device has.
     * -EBUSY: some of it is held by others. */
    int (*file_forget)(struct loop *loop, struct io_file *file);
    bool (*file_is_block_device)(struct io_file *file);
    int (*file_size)(struct loop *loop, struct io_file *file, uint64_t *ret_bytes);
    int (*file_resize_now)(struct loop *loop, struct io_file *file, uint64_t bytes);
    int (*file_allocate_now)(struct loop *loop, struct io_file *file, uint64_t bytes);
    int (*file_read_now)(struct loop *loop, struct io_file *file, void *bytes, size_t length,
                         uint64_t offset);
    uint64_t (*file_data_now)(struct loop *loop, struct io_file *file, uint64_t from, uint64_t to);
    int (*file_write_now)(struct loop *loop, struct io_file *file, const void *bytes, size_t length,
                          uint64_t offset);
    int (*file_sync_now)(struct loop *loop, struct io_file *file);
    int (*file_stamp)(struct loop *loop, struct io_file *file, uint64_t *ret_stamp);
    void (*file_read)(struct loop *loop, struct io_op *op, struct io_file *file,
                      const struct iovec *iov, unsigned iov_count, uint64_t offset);
    void (*file_write)(struct loop *loop, struct io_op *op, struct io_file *file,
                       const struct iovec *iov, unsigned iov_count, uint64_t offset);
    void (*file_sync)(struct loop *loop, struct io_op *op, struct io_file *file);
    void (*file_discard)(struct loop *loop, struct io_op *op, struct io_file *file, uint64_t offset,
                         uint64_t length, enum io_discard_mode mode);
    void (*file_extents)(struct loop *loop, struct io_op *op, struct io_file *file, uint64_t offset,
                         uint64_t length, struct io_extent *extents, unsigned extent_max);
    int (*map_open)(struct loop *loop, const char *path, uint64_t bytes, void **ret_at,
                    struct err *err);
    void (*map_close)(struct loop *loop, void *at, uint64_t bytes);

    int (*dir_make)(struct loop *loop, const char *path);
    int (*dir_sync)(struct loop *loop, const char *path);
    int (*dir_list)(struct loop *loop, const char *path,
                    void (*entry_cb)(void *arg, const char *name), void *arg);
    int (*unlink)(struct loop *loop, const char *path);
    int (*rename)(struct loop *loop, const char *from, const char *to);

    int (*listen)(struct loop *loop, const char *address, struct io_socket **ret_listener,
                  struct err *err);
    void (*accept)(struct loop *loop, struct io_connect *accept, struct io_socket *listener);
    void (*connect)(struct loop *loop, struct io_connect *connect, const char *address);
    void (*recv)(struct loop *loop, struct io_op *op, struct io_socket *socket, void *bytes,
                 size_t length);
    void (*send)(struct loop *loop, struct io_op *op, struct io_socket *socket,
                 const struct iovec *iov, unsigned iov_count);
    void (*socket_shutdown)(struct loop *loop, struct io_socket *socket);
    void (*socket_close)(struct loop *loop, struct io_socket *socket);
    const char *(*socket_peer)(struct io_socket *socket);
    uint16_t (*socket_port)(struct io_socket *socket);
};

struct loop {
    uint32_t magic;
    const struct loop_ops *ops;
    struct sync_note *note; /* NULL: nobody watches */
};

/* The implementation's, for each sync that ends later, before its callback: a failure is noted. */
void loop_sync_ended(struct loop *loop, int64_t result);

enum { LOOP_MAGIC = 0x6c6f6f70 };

/* Each implementation's struct io_file and struct io_socket begin with this, so that the calls
 * which take no loop find theirs. */
struct io_handle {
    struct loop *loop;
};

#endif
