/* SPDX-License-Identifier: Apache-2.0 */
/* An intrusive doubly linked list; the node lives in its owner, so no operation allocates. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/check.h"

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *head)
{
    head->next = head->prev = head;
}

static inline bool list_is_empty(const struct list *head)
{
    return head->next == head;
}

static inline void list_insert_before(struct list *at, struct list *node)
{
    node->prev = at->prev;
    node->next = at;
    at->prev->next = node;
    at->prev = node;
}

/* Appends `node` at the tail of `head`. */
static inline void list_append(struct list *head, struct list *node)
{
    list_insert_before(head, node);
}

/* Puts `node` at the head of `head`. */
static inline void list_push(struct list *head, struct list *node)
{
    list_insert_before(head->next, node);
}

/* Unlinks `node` and leaves it as an empty list, so that a second remove does no harm. */
static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* The first node, unlinked, or NULL. */
static inline struct list *list_pop(struct list *head)
{
    struct list *node = head->next;

    if (node == head)
        return NULL;
    head->next = node->next;
    node->next->prev = head;
    list_init(node);
    return node;
}

#define list_entry(node, type, member) container_of(node, type, member)

/* `node` may be removed inside the loop. `next_node` is a second cursor of the caller's. */
#define list_for_each(node, next_node, head)                                                       \
    for (node = (head)->next, next_node = node->next; node != (head);                              \
         node = next_node, next_node = node->next)

#endif
