/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: a call makes and drops some hundred nodes of 32 to 100 bytes. The C library keeps seven of a
 * size at hand; the others it joined and cut again each time something large was asked for between
 * them, as every call does: more than a quarter of the time of a Describe.
 *
 * The library of trees takes two functions without an argument, so what is kept hangs at the
 * thread. A piece is the C library's, as large as its class, and its size is asked of it: so it may
 * be given back anywhere. Under a sanitizer nothing is kept: each piece is then watched.
 */
#include "control/tree_memory.h"

#include <jansson.h>
#include <malloc.h>
#include <stdlib.h>

#include "base/check.h"

enum {
    STEP = 16, /* of the C library's sizes, which are 8 more than a multiple of it */
    FIRST = 24,
    CLASSES = 16,  /* up to 264 bytes */
    KEPT_MAX = 256 /* of a class: 0.6 MiB in all */
};

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KEEPS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define KEEPS 0
#endif
#endif
#ifndef KEEPS
#define KEEPS 1
#endif

struct piece {
    struct piece *next;
};

static _Thread_local struct {
    struct piece *first;
    unsigned count;
} kept[CLASSES];

static size_t size_of(size_t class)
{
    return FIRST + class * STEP;
}

void *tree_memory_take(size_t size)
{
    size_t class = size <= FIRST ? 0 : (size - FIRST + STEP - 1) / STEP;
    struct piece *piece;
    void *memory;

    if (!KEEPS || class >= CLASSES) {
        memory = malloc(size);
    } else if (kept[class].first) {
        memory = piece = kept[class].first;
        kept[class].first = piece->next;
        kept[class].count--;
    } else {
        memory = malloc(size_of(class));
    }
    check(memory);
    return memory;
}

void tree_memory_give(void *memory)
{
    size_t size = KEEPS && memory ? malloc_usable_size(memory) : 0;
    size_t class = size < FIRST ? CLASSES : (size - FIRST) / STEP;
    struct piece *piece = memory;

    if (class >= CLASSES || kept[class].count == KEPT_MAX) {
        free(memory);
        return;
    }
    piece->next = kept[class].first;
    kept[class].first = piece;
    kept[class].count++;
}

void tree_memory_install(void)
{
    json_set_alloc_funcs(tree_memory_take, tree_memory_give);
}

void tree_memory_drop(void)
{
    for (unsigned class = 0; class < CLASSES; class ++)
        while (kept[class].first) {
            struct piece *piece = kept[class].first;

            kept[class].first = piece->next;
            kept[class].count--;
            free(piece);
        }
}
