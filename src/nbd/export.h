/* SPDX-License-Identifier: Apache-2.0 */
/* An export and who uses it. The public calls of nbd/server.h stand above this. */
#ifndef NBD_EXPORT_H
#define NBD_EXPORT_H

#include "nbd/export_ops.h"

enum { EXPORT_TEXT_SIZE = 256 };

/* Embedded in a connection. */
struct export_user {
    struct list node;
    struct nbd_export *export; /* NULL: of none */
    /* The export goes away: finish what is under way and detach. May be called from inside
     * export_remove(). */
    void (*end_cb)(struct export_user *user);
};

struct nbd_export {
    uint32_t magic;
    struct loop *loop;
    struct list node;
    uint64_t serial; /* never used twice in a server */
    char name[EXPORT_TEXT_SIZE];
    char description[EXPORT_TEXT_SIZE];
    uint64_t size_bytes;
    bool is_read_only;
    const struct nbd_export_ops *ops;
    void *arg;
    struct list users;
    unsigned user_count;
    bool is_removed;
    struct loop_task removal;
    void (*removed_cb)(void *arg);
    void *removed_arg;
};

/* -EINVAL: a name that is empty or too long, or a size that is no multiple of 512; -ENOMEM. */
int export_new(struct loop *loop, const struct nbd_export_options *options,
               struct nbd_export **ret_export);
void export_free(struct nbd_export *export); /* without users; NULL is fine */

struct nbd_export *export_find(const struct list *exports, const char *name, size_t length);
/* The transmission flags of the protocol. */
uint16_t export_flags(const struct nbd_export *export, bool has_structured_replies);

void export_user_init(struct export_user *user, void (*end_cb)(struct export_user *user));
void export_attach(struct nbd_export *export, struct export_user *user);
void export_detach(struct export_user *user); /* of none: nothing */

/* Out of its list, its users are told to end; after the last one it is freed, then removed_cb (on
 * a later turn of the loop). */
void export_remove(struct nbd_export *export, void (*removed_cb)(void *arg), void *arg);

/* What an export of a volume does. */
extern const struct nbd_export_ops export_volume_ops;

#endif
