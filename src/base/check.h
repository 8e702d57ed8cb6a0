/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Assertions that stay on in release builds, and object magics.
 *
 * check() states what cannot happen. It prints the place to file descriptor 2 itself (it uses no
 * other part of base/) and aborts: a daemon that does not know its own state must not go on.
 */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

#include <stddef.h>
#include <stdint.h>

/* Prints "file:line: check failed: text" to file descriptor 2 and aborts. */
__attribute__((noreturn)) void check_failed(const char *file, int line, const char *text);

#define check(condition)                                                                           \
    ((__builtin_expect(!!(condition), 1)) ? (void)0 : check_failed(__FILE__, __LINE__, #condition))

/* The object that embeds `member`, from a pointer to that member. */
#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

/* Every long-lived object starts with `uint32_t magic`; check_magic() is called on every void *. */
#define check_magic(object, value) check((object) != NULL && (object)->magic == (value))

#define ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
