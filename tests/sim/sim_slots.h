/* SPDX-License-Identifier: Apache-2.0 */
/* The slots of struct loop_ops that files, names and the network fill; io/loop_ops.h promises. */
#ifndef SIM_SLOTS_H
#define SIM_SLOTS_H

#include "io/loop_ops.h"

/* sim_disk.c */
int sim_file_open(struct loop *loop, const char *path, unsigned flags, struct io_file **ret_file,
                  struct err *err);
void sim_file_close(struct loop *loop, struct io_file *file);
int sim_file_forget(struct loop *loop, struct io_file *file);
bool sim_file_is_block_device(struct io_file *file);
int sim_file_size(struct loop *loop, struct io_file *file, uint64_t *ret_bytes);
int sim_file_resize_now(struct loop *loop, struct io_file *file, uint64_t bytes);
int sim_file_allocate_now(struct loop *loop, struct io_file *file, uint64_t bytes);
int sim_file_read_now(struct loop *loop, struct io_file *file, void *bytes, size_t length,
                      uint64_t offset);
uint64_t sim_file_data_now(struct loop *loop, struct io_file *file, uint64_t from, uint64_t to);
int sim_file_write_now(struct loop *loop, struct io_file *file, const void *bytes, size_t length,
                       uint64_t offset);
int sim_file_sync_now(struct loop *loop, struct io_file *file);
int sim_file_stamp(struct loop *loop, struct io_file *file, uint64_t *ret_stamp);
void sim_file_read(struct loop *loop, struct io_op *op, struct io_file *file,
                   const struct iovec *iov, unsigned iov_count, uint64_t offset);
void sim_file_write(struct loop *loop, struct io_op *op, struct io_file *file,
                    const struct iovec *iov, unsigned iov_count, uint64_t offset);
void sim_file_sync(struct loop *loop, struct io_op *op, struct io_file *file);
void sim_file_discard(struct loop *loop, struct io_op *op, struct io_file *file, uint64_t offset,
                      uint64_t length, enum io_discard_mode mode);
void sim_file_extents(struct loop *loop, struct io_op *op, struct io_file *file, uint64_t offset,
                      uint64_t length, struct io_extent *extents, unsigned extent_max);
int sim_map_open(struct loop *loop, const char *path, uint64_t bytes, void **ret_at,
                 struct err *err);
void sim_map_close(struct loop *loop, void *at, uint64_t bytes);

/* sim_names.c */
int sim_dir_make(struct loop *loop, const char *path);
int sim_dir_sync(struct loop *loop, const char *path);
int sim_dir_list(struct loop *loop, const char *path, void (*entry_cb)(void *arg, const char *name),
                 void *arg);
int sim_unlink(struct loop *loop, const char *path);
int sim_rename(struct loop *loop, const char *from, const char *to);

/* sim_net.c */
int sim_listen(struct loop *loop, const char *address, struct io_socket **ret_listener,
               struct err *err);
void sim_accept(struct loop *loop, struct io_connect *accept, struct io_socket *listener);
void sim_connect(struct loop *loop, struct io_connect *connect, const char *address);
void sim_recv(struct loop *loop, struct io_op *op, struct io_socket *socket, void *bytes,
              size_t length);
void sim_send(struct loop *loop, struct io_op *op, struct io_socket *socket,
              const struct iovec *iov, unsigned iov_count);
void sim_socket_shutdown(struct loop *loop, struct io_socket *socket);
void sim_socket_close(struct loop *loop, struct io_socket *socket);
const char *sim_socket_peer(struct io_socket *socket);
uint16_t sim_socket_port(struct io_socket *socket);

#endif
