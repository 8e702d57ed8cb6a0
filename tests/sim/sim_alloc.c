/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of owned allocations behind --wrap=malloc and its kin.
 *
 * 1. Every address in the table is a live allocation of the real allocator, made while its owner
 *    was set. An address not in the table is passed through (libraries allocate unseen).
 * 2. The table itself, and all of the simulation's own memory, comes from the real allocator
 *    directly and has no owner.
 *
 * File-level state: the wrapped functions have no argument that could carry it. Single-threaded:
 * another thread may allocate, but only while no owner is set is that passed through unseen.
 */
#include "sim_alloc.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *at, size_t size);
void __real_free(void *at);
void *__real_aligned_alloc(size_t alignment, size_t size);
int __real_posix_memalign(void **ret_at, size_t alignment, size_t size);
int __real_vasprintf(char **ret_text, const char *format, va_list arguments);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *at, size_t size);
void *__wrap_reallocarray(void *at, size_t count, size_t size);
void __wrap_free(void *at);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
int __wrap_posix_memalign(void **ret_at, size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t length_max);
int __wrap_vasprintf(char **ret_text, const char *format, va_list arguments);
int __wrap_asprintf(char **ret_text, const char *format, ...) __attribute__((format(printf, 2, 3)));

struct slot {
    void *at; /* NULL: empty */
    const void *owner;
};

struct table {
    struct slot *slots;
    size_t size, used; /* size: a power of two */
    const void *owner;
    bool (*fails_cb)(void *arg, const void *owner);
    void *fails_arg;
    bool is_spared;
};

static _Thread_local struct table owned;

/* Free blocks of one size, linked through their first word. */
struct shelf {
    size_t size;
    void *first;
};

enum { SHELVES = 16 };

/* The sanitizers want to see every block come and go. */
#if defined(__SANITIZE_ADDRESS__)
enum { KEEPS_FREED = 0 };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
enum { KEEPS_FREED = 0 };
#else
enum { KEEPS_FREED = 1 };
#endif
#else
enum { KEEPS_FREED = 1 };
#endif

static _Thread_local struct shelf shelves[SHELVES];

static size_t hash_address(const void *at, size_t size)
{
    uint64_t mixed = ((uintptr_t)at >> 4) * 0x9e3779b97f4a7c15u;

    return (size_t)(mixed >> 20) & (size - 1);
}

static void insert(void *at, const void *owner)
{
    size_t index = hash_address(at, owned.size);

    while (owned.slots[index].at)
        index = (index + 1) & (owned.size - 1);
    owned.slots[index] = (struct slot){at, owner};
    owned.used++;
}

static void grow(void)
{
    struct slot *old = owned.slots;
    size_t size = owned.size;

    owned.size = size ? size * 2 : 4096;
    owned.used = 0;
    owned.slots = __real_calloc(owned.size, sizeof(*owned.slots));
    check(owned.slots);
    for (size_t i = 0; i < size; i++) {
        if (old[i].at)
            insert(old[i].at, old[i].owner);
    }
    __real_free(old);
}

static void *remember(void *at)
{
    if (!at || !owned.owner)
        return at;
    if (owned.used * 2 >= owned.size)
        grow();
    insert(at, owned.owner);
    return at;
}

/* Does a test want this allocation to fail? */
static bool is_refused(void)
{
    const void *owner = owned.owner;
    bool is_refused;

    if (!owned.fails_cb || !owner || owned.is_spared)
        return false;
    owned.owner = NULL;
    is_refused = owned.fails_cb(owned.fails_arg, owner);
    owned.owner = owner;
    if (is_refused)
        errno = ENOMEM;
    return is_refused;
}

/* Takes `at` out; returns whose it was, NULL: nobody's. */
static const void *forget(void *at)
{
    size_t mask = owned.size - 1, index, next;
    const void *owner;

    if (!at || owned.used == 0)
        return NULL;
    for (index = hash_address(at, owned.size); owned.slots[index].at != at;
         index = (index + 1) & mask) {
        if (!owned.slots[index].at)
            return NULL;
    }
    owner = owned.slots[index].owner;
    owned.used--;
    for (next = (index + 1) & mask; owned.slots[next].at; next = (next + 1) & mask) {
        size_t home = hash_address(owned.slots[next].at, owned.size);
        if (((next - home) & mask) >= ((next - index) & mask)) {
            owned.slots[index] = owned.slots[next];
            index = next;
        }
    }
    owned.slots[index] = (struct slot){0};
    return owner;
}

const void *sim_alloc_owner_set(const void *owner)
{
    const void *before = owned.owner;

    owned.owner = owner;
    return before;
}

void sim_alloc_watch(bool (*fails_cb)(void *arg, const void *owner), void *arg)
{
    owned.fails_cb = fails_cb;
    owned.fails_arg = arg;
}

size_t sim_alloc_count(const void *owner)
{
    size_t count = 0;

    for (size_t i = 0; i < owned.size; i++)
        count += owned.slots[i].at && owned.slots[i].owner == owner;
    return count;
}

size_t sim_alloc_drop(const void *owner)
{
    struct slot *old = owned.slots;
    size_t size = owned.size, count = 0;

    check(owner && owned.owner != owner);
    if (owned.used == 0)
        return 0;
    owned.used = 0;
    owned.slots = __real_calloc(size, sizeof(*owned.slots));
    check(owned.slots);
    for (size_t i = 0; i < size; i++) {
        if (!old[i].at)
            continue;
        if (old[i].owner == owner) {
            __real_free(old[i].at);
            count++;
        } else {
            insert(old[i].at, old[i].owner);
        }
    }
    __real_free(old);
    return count;
}

void *sim_kernel_alloc(size_t size)
{
    void *at = __real_calloc(1, size ? size : 1);

    check(at);
    return at;
}

char *sim_kernel_text(const char *text)
{
    size_t length = strlen(text) + 1;

    return memcpy(sim_kernel_alloc(length), text, length);
}

void sim_kernel_free(void *at)
{
    __real_free(at);
}

/* NULL: none for that size. */
static struct shelf *find_shelf(size_t size)
{
    for (unsigned i = 0; KEEPS_FREED && i < SHELVES; i++) {
        if (shelves[i].size == 0)
            shelves[i].size = size;
        if (shelves[i].size == size)
            return &shelves[i];
    }
    return NULL;
}

void *sim_block_alloc(size_t size)
{
    struct shelf *shelf = find_shelf(size);
    void *at = shelf ? shelf->first : NULL;

    check(size >= sizeof(void *));
    if (at)
        memcpy(&shelf->first, at, sizeof(void *));
    else
        at = __real_malloc(size);
    check(at);
    return at;
}

void sim_block_free(void *at, size_t size)
{
    struct shelf *shelf = find_shelf(size);

    if (!shelf) {
        __real_free(at);
        return;
    }
    memcpy(at, &shelf->first, sizeof(void *));
    shelf->first = at;
}

void sim_alloc_spare(bool is_spared)
{
    owned.is_spared = is_spared;
}

void *sim_owned_alloc(size_t size)
{
    void *at = __real_malloc(size);

    check(at);
    return remember(at);
}

void *__wrap_malloc(size_t size)
{
    return is_refused() ? NULL : remember(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return is_refused() ? NULL : remember(__real_calloc(count, size));
}

void *__wrap_realloc(void *at, size_t size)
{
    const void *current = owned.owner, *owner;
    void *moved;

    if (is_refused())
        return NULL;
    owner = at ? forget(at) : current;
    moved = __real_realloc(at, size);
    owned.owner = owner;
    if (moved)
        remember(moved);
    else if (size > 0)
        remember(at);
    owned.owner = current;
    return moved;
}

void *__wrap_reallocarray(void *at, size_t count, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return __wrap_realloc(at, bytes);
}

void __wrap_free(void *at)
{
    forget(at);
    __real_free(at);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return is_refused() ? NULL : remember(__real_aligned_alloc(alignment, size));
}

int __wrap_posix_memalign(void **ret_at, size_t alignment, size_t size)
{
    int error = is_refused() ? ENOMEM : __real_posix_memalign(ret_at, alignment, size);

    if (error == 0)
        remember(*ret_at);
    return error;
}

char *__wrap_strndup(const char *text, size_t length_max)
{
    size_t length = strnlen(text, length_max);
    char *copy = __wrap_malloc(length + 1);

    if (copy) {
        memcpy(copy, text, length);
        copy[length] = '\0';
    }
    return copy;
}

char *__wrap_strdup(const char *text)
{
    return __wrap_strndup(text, SIZE_MAX);
}

int __wrap_vasprintf(char **ret_text, const char *format, va_list arguments)
{
    int length = is_refused() ? -1 : __real_vasprintf(ret_text, format, arguments);

    if (length >= 0)
        remember(*ret_text);
    return length;
}

int __wrap_asprintf(char **ret_text, const char *format, ...)
{
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = __wrap_vasprintf(ret_text, format, arguments);
    va_end(arguments);
    return length;
}
