/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of one simulated file: what the living kernel shows, and what a power loss leaves.
 *
 * 1. `pages` is what reads return. Each piece written joins `changes`, in order, one 4 KiB page (or
 *    a new length) a piece.
 * 2. A sync moves a beginning of `changes` into `durable`.
 * 3. At a power loss each remaining piece is kept or lost on its own; torn pieces keep any of their
 *    512-byte sectors. Then durable is what reads return.
 * Pages are shared by all that name them and copied before they are changed.
 */
#include "sim_kernel.h"

#include <errno.h>
#include <string.h>

enum { PAGE_BYTES = 4096, SECTOR_BYTES = 512, PAGE_SECTORS = 8, CHANGE_RESIZE = -1 };

struct page {
    unsigned refs;
    uint8_t bytes[PAGE_BYTES];
};

struct change {
    struct list node;
    uint64_t order;
    int64_t index;     /* of the page, or CHANGE_RESIZE */
    struct page *page; /* as it stood after the write; NULL: a hole */
    uint8_t sectors;   /* which of it were written */
    uint64_t size;     /* RESIZE: the new one; else the least the file has with this piece */
};

struct content {
    uint64_t size, page_max;
    struct page **pages; /* NULL: a hole */
};

struct sim_inode {
    unsigned refs;
    struct sim_site *site;
    bool is_folder, is_locked;
    bool has_lost; /* a sync failed: reads show what the disk will never hold */
    struct content now, durable;
    struct list changes;
    uint64_t newest; /* order of the last one */
    bool *touched;   /* pages that ever held data */
    uint64_t touched_max;
    uint8_t *map;
    uint64_t map_bytes;
};

/* Its bytes are the caller's to fill. */
static struct page *page_new(void)
{
    struct page *page = sim_block_alloc(sizeof(*page));

    page->refs = 1;
    return page;
}

static void page_unref(struct page *page)
{
    if (page && --page->refs == 0)
        sim_block_free(page, sizeof(*page));
}

static struct page *page_ref(struct page *page)
{
    if (page)
        page->refs++;
    return page;
}

static struct page *page_at(const struct content *content, uint64_t index)
{
    return index < content->page_max ? content->pages[index] : NULL;
}

/* Takes over the reference to `page`. */
static void page_set(struct content *content, uint64_t index, struct page *page)
{
    if (index >= content->page_max) {
        uint64_t max = index + 1 > content->page_max * 2 ? index + 1 : content->page_max * 2;
        struct page **pages = sim_kernel_alloc(max * sizeof(struct page *));
        if (content->page_max > 0)
            memcpy(pages, content->pages, content->page_max * sizeof(struct page *));
        sim_kernel_free(content->pages);
        content->pages = pages;
        content->page_max = max;
    }
    page_unref(content->pages[index]);
    content->pages[index] = page;
}

static void content_clear(struct content *content)
{
    for (uint64_t i = 0; i < content->page_max; i++)
        page_unref(content->pages[i]);
    sim_kernel_free(content->pages);
    *content = (struct content){0};
}

/* Copies those sectors of `from` over `onto`; a new page, or NULL when both are holes. */
static struct page *page_merge(const struct page *onto, const struct page *from, uint8_t sectors)
{
    struct page *page;

    if (!onto && !from)
        return NULL;
    page = page_new();
    if (onto)
        memcpy(page->bytes, onto->bytes, PAGE_BYTES);
    else
        memset(page->bytes, 0, PAGE_BYTES);
    for (unsigned i = 0; i < PAGE_SECTORS; i++) {
        uint8_t *at = page->bytes + i * SECTOR_BYTES;
        if (!(sectors & 1u << i))
            continue;
        if (from)
            memcpy(at, from->bytes + i * SECTOR_BYTES, SECTOR_BYTES);
        else
            memset(at, 0, SECTOR_BYTES);
    }
    return page;
}

static void content_resize(struct content *content, uint64_t bytes)
{
    uint64_t index = bytes / PAGE_BYTES, within = bytes % PAGE_BYTES;

    for (uint64_t i = (bytes + PAGE_BYTES - 1) / PAGE_BYTES; i < content->page_max; i++)
        page_set(content, i, NULL);
    if (bytes < content->size && within > 0 && page_at(content, index)) {
        struct page *page = page_merge(page_at(content, index), NULL, 0);
        memset(page->bytes + within, 0, PAGE_BYTES - within);
        page_set(content, index, page);
    }
    content->size = bytes;
}

static void change_free(struct change *change)
{
    list_remove(&change->node);
    page_unref(change->page);
    sim_block_free(change, sizeof(*change));
}

static void change_apply(struct content *content, const struct change *change, uint8_t sectors)
{
    if (change->index == CHANGE_RESIZE) {
        content_resize(content, change->size);
        return;
    }
    if (change->size > content->size)
        content->size = change->size;
    if ((uint64_t)change->index * PAGE_BYTES >= content->size)
        return;
    page_set(content, (uint64_t)change->index,
             sectors == 0xff
                 ? page_ref(change->page)
                 : page_merge(page_at(content, (uint64_t)change->index), change->page, sectors));
}

static struct change *change_add(struct sim_inode *inode, int64_t index, struct page *page,
                                 uint8_t sectors, uint64_t size)
{
    struct change *change = sim_block_alloc(sizeof(*change));

    *change = (struct change){
        .order = ++inode->site->disk.change_order,
        .index = index,
        .page = page_ref(page),
        .sectors = sectors,
        .size = size,
    };
    inode->newest = change->order;
    list_append(&inode->changes, &change->node);
    return change;
}

struct sim_inode *sim_inode_new(struct sim_site *site, bool is_folder)
{
    struct sim_inode *inode = sim_kernel_alloc(sizeof(*inode));

    inode->refs = 1;
    inode->site = site;
    inode->is_folder = is_folder;
    list_init(&inode->changes);
    return inode;
}

struct sim_inode *sim_inode_ref(struct sim_inode *inode)
{
    inode->refs++;
    return inode;
}

static uint64_t pages_count(const struct content *content)
{
    uint64_t count = 0;

    for (uint64_t i = 0; i < content->page_max; i++)
        count += content->pages[i] != NULL;
    return count;
}

void sim_inode_unref(struct sim_inode *inode)
{
    check(inode->refs > 0);
    if (--inode->refs > 0)
        return;
    inode->site->disk.pages_used -= pages_count(&inode->now);
    while (!list_is_empty(&inode->changes))
        change_free(list_entry(inode->changes.next, struct change, node));
    content_clear(&inode->now);
    content_clear(&inode->durable);
    sim_kernel_free(inode->touched);
    sim_kernel_free(inode->map);
    sim_kernel_free(inode);
}

bool sim_inode_is_folder(const struct sim_inode *inode)
{
    return inode->is_folder;
}

bool *sim_inode_lock(struct sim_inode *inode)
{
    return &inode->is_locked;
}

uint64_t sim_inode_size(const struct sim_inode *inode)
{
    return inode->map ? inode->map_bytes : inode->now.size;
}

void sim_inode_resize(struct sim_inode *inode, uint64_t bytes)
{
    struct sim_disk *disk = &inode->site->disk;

    check(!inode->map && !inode->is_folder);
    disk->pages_used -= pages_count(&inode->now);
    content_resize(&inode->now, bytes);
    disk->pages_used += pages_count(&inode->now);
    change_add(inode, CHANGE_RESIZE, NULL, 0, bytes);
}

void sim_inode_read(const struct sim_inode *inode, uint8_t *bytes, size_t length, uint64_t offset)
{
    check(!inode->is_folder && offset + length <= sim_inode_size(inode));
    if (inode->map) {
        memcpy(bytes, inode->map + offset, length);
        return;
    }
    while (length > 0) {
        uint64_t within = offset % PAGE_BYTES;
        size_t part = length < PAGE_BYTES - within ? length : PAGE_BYTES - within;
        const struct page *page = page_at(&inode->now, offset / PAGE_BYTES);
        while (!page && part < length && !page_at(&inode->now, (offset + part) / PAGE_BYTES))
            part = length - part < PAGE_BYTES ? length : part + PAGE_BYTES;
        if (page)
            memcpy(bytes, page->bytes + within, part);
        else
            memset(bytes, 0, part);
        bytes += part;
        offset += part;
        length -= part;
    }
}

static int write_page(struct sim_inode *inode, const uint8_t *bytes, size_t length, uint64_t offset)
{
    struct sim_disk *disk = &inode->site->disk;
    uint64_t index = offset / PAGE_BYTES, within = offset % PAGE_BYTES;
    struct page *old = page_at(&inode->now, index), *page = NULL;
    unsigned first = within / SECTOR_BYTES, last = (within + length - 1) / SECTOR_BYTES;
    uint8_t sectors = (uint8_t)((2u << last) - (1u << first));

    if (bytes || (length < PAGE_BYTES && old)) {
        if (!old && disk->pages_max > 0 && disk->pages_used >= disk->pages_max)
            return -ENOSPC;
        page = page_new();
        if (old && length < PAGE_BYTES)
            memcpy(page->bytes, old->bytes, PAGE_BYTES);
        else if (length < PAGE_BYTES)
            memset(page->bytes, 0, PAGE_BYTES);
        if (bytes)
            memcpy(page->bytes + within, bytes, length);
        else
            memset(page->bytes + within, 0, length);
    }
    if (offset + length > inode->now.size)
        inode->now.size = offset + length;
    disk->pages_used += (page != NULL) - (old != NULL);
    change_add(inode, (int64_t)index, page, sectors, offset + length);
    page_set(&inode->now, index, page);
    return 0;
}

static bool is_touched(const struct sim_inode *inode, uint64_t index)
{
    return index < inode->touched_max && inode->touched[index];
}

static void touch(struct sim_inode *inode, uint64_t index)
{
    if (index >= inode->touched_max) {
        uint64_t max = index + 1 > inode->touched_max * 2 ? index + 1 : inode->touched_max * 2;
        bool *touched = sim_kernel_alloc(max * sizeof(*touched));
        if (inode->touched_max > 0)
            memcpy(touched, inode->touched, inode->touched_max * sizeof(*touched));
        sim_kernel_free(inode->touched);
        inode->touched = touched;
        inode->touched_max = max;
    }
    inode->touched[index] = true;
}

int sim_inode_write(struct sim_inode *inode, const uint8_t *bytes, size_t length, uint64_t offset)
{
    int error = 0;

    check(!inode->is_folder && !inode->map);
    while (length > 0 && error == 0) {
        uint64_t room = PAGE_BYTES - offset % PAGE_BYTES;
        size_t part = length < room ? length : room;
        if (bytes)
            touch(inode, offset / PAGE_BYTES);
        if (bytes || is_touched(inode, offset / PAGE_BYTES) || offset + part > inode->now.size)
            error = write_page(inode, bytes, part, offset);
        if (bytes)
            bytes += part;
        offset += part;
        length -= part;
    }
    return error;
}

uint64_t sim_inode_run(const struct sim_inode *inode, uint64_t offset, uint64_t length,
                       bool *ret_is_hole)
{
    uint64_t end = offset + length, at = offset;
    bool is_hole = !page_at(&inode->now, offset / PAGE_BYTES);

    while (at < end && !page_at(&inode->now, at / PAGE_BYTES) == is_hole)
        at = (at / PAGE_BYTES + 1) * PAGE_BYTES;
    *ret_is_hole = is_hole;
    return (at < end ? at : end) - offset;
}

uint64_t sim_inode_order(const struct sim_inode *inode)
{
    return inode->site->disk.change_order;
}

uint64_t sim_inode_newest(const struct sim_inode *inode)
{
    return inode->newest;
}

void sim_inode_sync(struct sim_inode *inode, uint64_t order, bool is_lost)
{
    struct list *node, *next;

    list_for_each(node, next, &inode->changes)
    {
        struct change *change = list_entry(node, struct change, node);
        if (change->order > order)
            break;
        if (!is_lost || sim_draw_chance(&inode->site->world->random_disk, 50))
            change_apply(&inode->durable, change, change->sectors);
        else
            inode->has_lost = true;
        change_free(change);
    }
}

static void map_power_loss(struct sim_inode *inode, struct sim_random *random)
{
    for (uint64_t at = 0; at < inode->map_bytes; at += 64) {
        uint64_t length = inode->map_bytes - at < 64 ? inode->map_bytes - at : 64;
        switch (sim_draw_below(random, 4)) {
        case 0:
            memset(inode->map + at, 0, length);
            break;
        case 1:
            for (uint64_t i = 0; i < length; i++)
                inode->map[at + i] = (uint8_t)sim_draw(random);
            break;
        default: /* it was written back in time */
            break;
        }
    }
}

/* Reads show what the device has. */
static void show_durable(struct sim_inode *inode)
{
    struct sim_disk *disk = &inode->site->disk;

    disk->pages_used -= pages_count(&inode->now);
    content_clear(&inode->now);
    inode->now.size = inode->durable.size;
    for (uint64_t i = inode->durable.page_max; i-- > 0;) {
        if (inode->durable.pages[i])
            page_set(&inode->now, i, page_ref(inode->durable.pages[i]));
    }
    disk->pages_used += pages_count(&inode->now);
}

void sim_inode_power_loss(struct sim_inode *inode, unsigned keep_percent)
{
    struct sim_disk *disk = &inode->site->disk;
    struct sim_random *random = &inode->site->world->random_disk;
    struct list *node, *next;

    inode->is_locked = false;
    if (inode->map)
        map_power_loss(inode, random);
    if (list_is_empty(&inode->changes) && !inode->has_lost)
        return;
    inode->has_lost = false;
    list_for_each(node, next, &inode->changes)
    {
        struct change *change = list_entry(node, struct change, node);
        uint8_t sectors = change->sectors;
        bool may_tear = disk->damage == SIM_DAMAGE_RANDOM && disk->tears;
        if (change->index != CHANGE_RESIZE &&
            (disk->damage == SIM_DAMAGE_SECTORS || (may_tear && sim_draw_chance(random, 30))))
            sectors &= (uint8_t)sim_draw(random);
        if (sim_draw_chance(random, disk->damage == SIM_DAMAGE_SECTORS ? 80 : keep_percent))
            change_apply(&inode->durable, change, sectors);
        change_free(change);
    }
    show_durable(inode);
}

void sim_inode_forget(struct sim_inode *inode)
{
    uint64_t size = inode->now.size;

    if (!inode->has_lost || inode->map)
        return;
    check(list_is_empty(&inode->changes));
    show_durable(inode);
    inode->has_lost = false;
    if (inode->now.size !=
        size) /* that is in the inode, not in a page: it stays, yet to be synced */
        sim_inode_resize(inode, size);
}

static void poke_page(struct content *content, const uint8_t *bytes, size_t length, uint64_t offset)
{
    uint64_t index = offset / PAGE_BYTES;
    struct page *page = page_at(content, index);

    if (!page)
        return;
    page = page_merge(page, NULL, 0);
    memcpy(page->bytes + offset % PAGE_BYTES, bytes, length);
    page_set(content, index, page);
}

void sim_inode_poke(struct sim_inode *inode, const uint8_t *bytes, size_t length, uint64_t offset)
{
    while (length > 0) {
        size_t room = PAGE_BYTES - offset % PAGE_BYTES, part = length < room ? length : room;
        poke_page(&inode->now, bytes, part, offset);
        poke_page(&inode->durable, bytes, part, offset);
        bytes += part;
        offset += part;
        length -= part;
    }
}

/* One bit, some bytes, or a sector of zeros, at `at` of a copy of that page. */
static void rot_page(struct content *content, uint64_t index, unsigned at, uint64_t kind)
{
    struct page *page;

    if (!page_at(content, index))
        return;
    page = page_merge(page_at(content, index), NULL, 0);
    if (kind % 4 == 0)
        memset(page->bytes + at / SECTOR_BYTES * SECTOR_BYTES, 0, SECTOR_BYTES);
    else if (kind % 4 == 1)
        memset(page->bytes + at, (int)(kind >> 8), PAGE_BYTES - at < 64 ? PAGE_BYTES - at : 64);
    else
        page->bytes[at] ^= (uint8_t)(1u << (kind >> 8) % 8);
    page_set(content, index, page);
}

bool sim_inode_rot(struct sim_inode *inode, struct sim_random *random, uint64_t *ret_offset)
{
    uint64_t count = pages_count(&inode->durable), chosen, index = 0, kind = sim_draw(random);
    unsigned at = (unsigned)sim_draw_below(random, PAGE_BYTES);

    if (count == 0 || inode->map)
        return false;
    chosen = sim_draw_below(random, count);
    while (!inode->durable.pages[index] || chosen-- > 0)
        index++;
    rot_page(&inode->durable, index, at, kind);
    rot_page(&inode->now, index, at, kind);
    *ret_offset = index * PAGE_BYTES + at;
    return true;
}

uint8_t *sim_inode_map(struct sim_inode *inode, uint64_t bytes)
{
    uint64_t has = sim_inode_size(inode);

    check(!inode->is_folder && bytes > 0);
    if (!inode->map || inode->map_bytes != bytes) { /* it takes that length, as a real one does */
        uint8_t *map = sim_kernel_alloc(bytes);

        sim_inode_read(inode, map, (size_t)(has < bytes ? has : bytes), 0);
        sim_kernel_free(inode->map);
        inode->map = map;
        inode->map_bytes = bytes;
    }
    return inode->map;
}
