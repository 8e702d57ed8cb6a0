/* SPDX-License-Identifier: Apache-2.0 */
/* Folders, names and shared mappings of the loops on a real kernel. Slots of loop_ops. */
#ifndef IO_POSIX_DIR_H
#define IO_POSIX_DIR_H

#include "io/file.h"

int posix_dir_make(struct loop *loop, const char *path);
int posix_dir_sync(struct loop *loop, const char *path);
int posix_dir_list(struct loop *loop, const char *path,
                   void (*entry_cb)(void *arg, const char *name), void *arg);
int posix_dir_unlink(struct loop *loop, const char *path);
int posix_dir_rename(struct loop *loop, const char *from, const char *to);
int posix_dir_map(struct loop *loop, const char *path, uint64_t bytes, void **ret_at,
                  struct err *err);
void posix_dir_unmap(struct loop *loop, void *at, uint64_t bytes);

#endif
