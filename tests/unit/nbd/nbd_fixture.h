/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server on a real loop in a thread of its own, with exports of memory, and a raw blocking client
 * in the test's thread. Requests to a held export wait until it is released.
 */
#ifndef NBD_FIXTURE_H
#define NBD_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "nbd/server.h"
#include "wire/nbd_transmission.h"

enum { FIXTURE_EXPORT_BYTES = 40 << 20, FIXTURE_GROWN_BYTES = 41 << 20 };

struct fixture;
struct fixture_export;

struct fixture *fixture_new(const struct nbd_server_options *options); /* NULL: defaults */
void fixture_free(struct fixture *fixture);                            /* stops the server */
/* What the test's main() gives cmocka for each test. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

struct fixture_export *fixture_add(struct fixture *fixture, const char *name, bool is_read_only);
/* Begins the removal; fixture_is_removed() tells when removed_cb came. */
void fixture_remove(struct fixture *fixture, struct fixture_export *export);
/* To FIXTURE_GROWN_BYTES. */
void fixture_grow(struct fixture *fixture, struct fixture_export *export);
bool fixture_is_removed(struct fixture_export *export);
void fixture_hold(struct fixture_export *export);
void fixture_release(struct fixture *fixture, struct fixture_export *export);
void fixture_await_held(struct fixture_export *export, unsigned count);
/* What the next requests end with; 0 again: normal. */
void fixture_fail(struct fixture_export *export, int error);
unsigned fixture_connections(struct fixture *fixture, struct fixture_export *export);
void fixture_await(bool (*is_true)(void *arg), void *arg); /* at most 20 s */

/* A raw client; every call fails the test when the server does not do its part within 20 s. */
int client_connect(struct fixture *fixture);
void client_send(int fd, const void *bytes, size_t length);
void client_recv(int fd, void *bytes, size_t length);
void client_expect_end(int fd); /* end of stream or reset, and closes */
bool client_is_ended(int fd);   /* right now */
void client_greet(int fd, uint32_t client_flags);
void client_option(int fd, uint32_t option, const void *bytes, uint32_t length);
/* One option reply: its type; data into `bytes` (room of 4096). */
uint32_t client_option_reply(int fd, uint32_t option, uint8_t *bytes, uint32_t *ret_length);
/* The type of the final reply to `option`. */
uint32_t client_option_result(int fd, uint32_t option);
void client_go(int fd, uint32_t option, const char *name); /* sends GO or INFO */
void client_set_meta(int fd, uint32_t option, const char *name, const char *query);

enum { CLIENT_STRUCTURED = 1, CLIENT_ALLOCATION = 2 };
int client_open(struct fixture *fixture, const char *name, unsigned features);
void client_encode_request(uint8_t *bytes, unsigned type, unsigned flags, uint64_t cookie,
                           uint64_t offset, uint32_t length);
void client_request(int fd, unsigned type, unsigned flags, uint64_t cookie, uint64_t offset,
                    uint32_t length);
/* A simple reply's error; the cookie must be this one. */
uint32_t client_simple_reply(int fd, uint64_t cookie);

struct client_chunk {
    uint16_t flags, type;
    uint64_t cookie;
    uint32_t length;
};
struct client_chunk client_chunk(int fd);

#endif
