/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names of a simulated file system.
 *
 * Each change of a name (make, remove, rename) is at once visible and joins a list; io_dir_sync()
 * of a folder makes the changes in that folder durable. At a power loss a random part of the rest
 * survives: now a beginning of the list (a file system with an ordered journal), now any subset
 * (one without). A rename is atomic: the new name shows the old file or the new one, never none.
 * What lies in a folder that did not survive is lost.
 */
#include "sim_kernel.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sim_slots.h"

struct sim_name {
    struct list node;
    char *path;
    struct sim_inode *inode;
};

struct name_change {
    struct list node;
    char *path;              /* made or removed */
    char *removed;           /* rename: the old name; NULL else */
    struct sim_inode *inode; /* NULL: removed */
};

static struct sim_name *find(struct list *names, const char *path)
{
    struct list *node, *next;

    list_for_each(node, next, names)
    {
        struct sim_name *name = list_entry(node, struct sim_name, node);
        if (strcmp(name->path, path) == 0)
            return name;
    }
    return NULL;
}

static void name_free(struct sim_name *name)
{
    list_remove(&name->node);
    sim_inode_unref(name->inode);
    sim_kernel_free(name->path);
    sim_kernel_free(name);
}

static void put(struct list *names, const char *path, struct sim_inode *inode)
{
    struct sim_name *name = find(names, path);
    struct list *at, *next;

    sim_inode_ref(inode);
    if (name) {
        sim_inode_unref(name->inode);
        name->inode = inode;
        return;
    }
    name = sim_kernel_alloc(sizeof(*name));
    name->path = sim_kernel_text(path);
    name->inode = inode;
    list_for_each(at, next, names)
    {
        if (strcmp(list_entry(at, struct sim_name, node)->path, path) > 0)
            break;
    }
    list_insert_before(at, &name->node);
}

static void drop(struct list *names, const char *path)
{
    struct sim_name *name = find(names, path);

    if (name)
        name_free(name);
}

/* Is `path` somewhere below `folder`? */
static bool is_below(const char *path, const char *folder)
{
    size_t length = strlen(folder);

    return strncmp(path, folder, length) == 0 && path[length] == '/';
}

/* The path under a folder's new name; the caller's. */
static char *moved_path(const char *path, const char *from, const char *to)
{
    char moved[1024];

    check(snprintf(moved, sizeof(moved), "%s%s", to, path + strlen(from)) < (int)sizeof(moved));
    return sim_kernel_text(moved);
}

/* What is in a folder goes with it. */
static void move_below(struct list *names, const char *from, const char *to)
{
    struct list *node, *next;

    list_for_each(node, next, names)
    {
        struct sim_name *name = list_entry(node, struct sim_name, node);
        char *path;
        if (!is_below(name->path, from))
            continue;
        path = moved_path(name->path, from, to);
        put(names, path, name->inode);
        next = name->node.next;
        name_free(name);
        sim_kernel_free(path);
    }
}

static void change_apply(struct list *names, const struct name_change *change)
{
    if (change->removed && sim_inode_is_folder(change->inode) && find(names, change->removed))
        move_below(names, change->removed, change->path);
    if (change->removed)
        drop(names, change->removed);
    if (change->inode)
        put(names, change->path, change->inode);
    else
        drop(names, change->path);
}

static void change_free(struct name_change *change)
{
    list_remove(&change->node);
    if (change->inode)
        sim_inode_unref(change->inode);
    sim_kernel_free(change->path);
    sim_kernel_free(change->removed);
    sim_kernel_free(change);
}

static void change_add(struct sim_site *site, const char *path, const char *removed,
                       struct sim_inode *inode)
{
    struct name_change *change = sim_kernel_alloc(sizeof(*change));

    change->path = sim_kernel_text(path);
    change->removed = removed ? sim_kernel_text(removed) : NULL;
    change->inode = inode ? sim_inode_ref(inode) : NULL;
    list_append(&site->disk.name_changes, &change->node);
    change_apply(&site->disk.names, change);
}

/* Is `path` directly inside `folder`? */
static bool is_in(const char *path, const char *folder)
{
    size_t length = strlen(folder);

    while (length > 0 && folder[length - 1] == '/')
        length--;
    return strncmp(path, folder, length) == 0 && path[length] == '/' &&
           !strchr(path + length + 1, '/');
}

/* Does the folder that `path` lies in exist? The root and the working folder always do. */
static bool has_folder(struct list *names, const char *path)
{
    char folder[512];
    const char *slash = strrchr(path, '/');
    struct sim_name *name;

    if (!slash || slash == path)
        return true;
    check((size_t)(slash - path) < sizeof(folder));
    snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path), path);
    name = find(names, folder);
    return name && sim_inode_is_folder(name->inode);
}

static bool is_folder(struct sim_site *site, const char *path)
{
    struct sim_inode *inode = sim_name_find(site, path);

    return strcmp(path, "/") == 0 || (inode && sim_inode_is_folder(inode));
}

struct sim_inode *sim_name_find(struct sim_site *site, const char *path)
{
    struct sim_name *name = find(&site->disk.names, path);

    return name ? name->inode : NULL;
}

int sim_name_create(struct sim_site *site, const char *path, struct sim_inode *inode)
{
    if (!has_folder(&site->disk.names, path))
        return -ENOENT;
    change_add(site, path, NULL, inode);
    return 0;
}

int sim_dir_make(struct loop *loop, const char *path)
{
    struct sim_site *site = sim_loop_site(loop);
    struct sim_inode *inode = sim_name_find(site, path);
    int error;

    sim_kernel_call(site);
    if (inode)
        return sim_inode_is_folder(inode) ? 0 : -EEXIST;
    inode = sim_inode_new(site, true);
    error = sim_name_create(site, path, inode);
    sim_inode_unref(inode);
    sim_kernel_call(site);
    return error;
}

int sim_dir_sync(struct loop *loop, const char *path)
{
    struct sim_site *site = sim_loop_site(loop);
    struct list *node, *next;
    int error;

    sim_kernel_call(site);
    error = sim_disk_fault(site, SIM_DISK_SYNC, path);
    if (error < 0)
        return error;
    if (!is_folder(site, path))
        return -ENOENT;
    list_for_each(node, next, &site->disk.name_changes)
    {
        struct name_change *change = list_entry(node, struct name_change, node);
        if (is_in(change->path, path) || (change->removed && is_in(change->removed, path))) {
            change_apply(&site->disk.names_durable, change);
            change_free(change);
        }
    }
    sim_kernel_call(site);
    return 0;
}

static unsigned count_in(struct sim_site *site, const char *path)
{
    unsigned count = 0;
    struct list *node, *next;

    list_for_each(node, next, &site->disk.names)
    {
        count += is_in(list_entry(node, struct sim_name, node)->path, path);
    }
    return count;
}

int sim_dir_list(struct loop *loop, const char *path, void (*entry_cb)(void *arg, const char *name),
                 void *arg)
{
    struct sim_site *site = sim_loop_site(loop);
    unsigned count = 0, total;
    struct list *node, *next;
    char **entries;

    if (!is_folder(site, path))
        return sim_name_find(site, path) ? -ENOTDIR : -ENOENT;
    total = count_in(site, path);
    entries = sim_kernel_alloc((total + 1) * sizeof(*entries));
    list_for_each(node, next, &site->disk.names)
    {
        struct sim_name *name = list_entry(node, struct sim_name, node);
        if (is_in(name->path, path))
            entries[count++] = sim_kernel_text(strrchr(name->path, '/') + 1);
    }
    check(count == total);
    for (unsigned i = 0; i < count; i++) {
        entry_cb(arg, entries[i]); /* may die in it: the copies are then lost */
        sim_kernel_free(entries[i]);
    }
    sim_kernel_free(entries);
    return 0;
}

static bool is_empty_folder(struct sim_site *site, const char *path)
{
    struct list *node, *next;

    list_for_each(node, next, &site->disk.names)
    {
        if (is_in(list_entry(node, struct sim_name, node)->path, path))
            return false;
    }
    return true;
}

int sim_unlink(struct loop *loop, const char *path)
{
    struct sim_site *site = sim_loop_site(loop);
    struct sim_inode *inode = sim_name_find(site, path);

    sim_kernel_call(site);
    if (!inode)
        return -ENOENT;
    if (sim_inode_is_folder(inode) && !is_empty_folder(site, path))
        return -ENOTEMPTY;
    change_add(site, path, NULL, NULL);
    sim_kernel_call(site);
    return 0;
}

/* Changes in a folder that are not durable are changes in it under its new name. */
static void move_changes(struct sim_site *site, const char *from, const char *to)
{
    struct list *node, *next;

    list_for_each(node, next, &site->disk.name_changes)
    {
        struct name_change *change = list_entry(node, struct name_change, node);
        char **const paths[] = {&change->path, &change->removed};
        for (unsigned i = 0; i < ARRAY_COUNT(paths); i++) {
            char *path = *paths[i];
            if (!path || !is_below(path, from))
                continue;
            *paths[i] = moved_path(path, from, to);
            sim_kernel_free(path);
        }
    }
}

int sim_rename(struct loop *loop, const char *from, const char *to)
{
    struct sim_site *site = sim_loop_site(loop);
    struct sim_inode *inode = sim_name_find(site, from);

    sim_kernel_call(site);
    if (!inode || !has_folder(&site->disk.names, to))
        return -ENOENT;
    check(!sim_inode_is_folder(inode) || !sim_name_find(site, to));
    if (strcmp(from, to) != 0) {
        if (sim_inode_is_folder(inode))
            move_changes(site, from, to);
        sim_inode_ref(inode);
        change_add(site, to, from, inode);
        sim_inode_unref(inode);
    }
    sim_kernel_call(site);
    return 0;
}

void sim_names_init(struct sim_site *site)
{
    list_init(&site->disk.names);
    list_init(&site->disk.names_durable);
    list_init(&site->disk.name_changes);
}

static void names_clear(struct list *names)
{
    while (!list_is_empty(names))
        name_free(list_entry(names->next, struct sim_name, node));
}

static void changes_clear(struct sim_site *site)
{
    while (!list_is_empty(&site->disk.name_changes))
        change_free(list_entry(site->disk.name_changes.next, struct name_change, node));
}

void sim_names_fini(struct sim_site *site)
{
    changes_clear(site);
    names_clear(&site->disk.names);
    names_clear(&site->disk.names_durable);
}

void sim_names_power_loss(struct sim_site *site)
{
    struct sim_random *random = &site->world->random_disk;
    struct sim_disk *disk = &site->disk;
    bool is_ordered = sim_draw_chance(random, 50), is_cut = false;
    struct list *node, *next;

    list_for_each(node, next, &disk->name_changes)
    {
        bool is_kept = sim_draw_chance(random, is_ordered ? 90 : 50);
        if (disk->damage == SIM_DAMAGE_ALL || disk->damage == SIM_DAMAGE_NONE)
            is_kept = disk->damage == SIM_DAMAGE_NONE;
        is_cut = is_cut || !is_kept;
        if (is_ordered ? !is_cut : is_kept)
            change_apply(&disk->names_durable, list_entry(node, struct name_change, node));
    }
    changes_clear(site);
    /* Sorted by path: a folder comes before what is in it. */
    list_for_each(node, next, &disk->names_durable)
    {
        struct sim_name *name = list_entry(node, struct sim_name, node);
        if (!has_folder(&disk->names_durable, name->path))
            name_free(name);
    }
    names_clear(&disk->names);
    list_for_each(node, next, &disk->names_durable)
    {
        struct sim_name *name = list_entry(node, struct sim_name, node);
        put(&disk->names, name->path, name->inode);
    }
}

void sim_names_each(struct sim_site *site, void (*inode_cb)(struct sim_inode *inode, void *arg),
                    void *arg)
{
    struct list *node, *next;

    list_for_each(node, next, &site->disk.names)
        inode_cb(list_entry(node, struct sim_name, node)->inode, arg);
}

struct sim_inode *sim_names_match(struct sim_site *site, const char *part, unsigned index,
                                  const char **ret_path)
{
    struct list *node, *next;

    list_for_each(node, next, &site->disk.names)
    {
        struct sim_name *name = list_entry(node, struct sim_name, node);
        if (sim_inode_is_folder(name->inode) || !strstr(name->path, part) || index-- > 0)
            continue;
        *ret_path = name->path;
        return name->inode;
    }
    return NULL;
}
