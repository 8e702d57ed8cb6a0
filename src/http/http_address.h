/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of listeners and of clients. Pure. */
#ifndef HTTP_HTTP_ADDRESS_H
#define HTTP_HTTP_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "io/posix_socket.h"

enum { HTTP_ADDRESSES_MAX = 16 };

/* "192.0.2.2:8080, [2001:db8::2]:8080": numbers, separated by commas; "" is none. How many, or
 * -EINVAL. */
int http_addresses_parse(const char *list, struct posix_address *addresses, struct err *err);

bool http_address_is_loopback(const struct sockaddr *address); /* false for unix */
/* Without port; "" for unix. */
void http_address_format(const struct sockaddr *address, char *text, size_t size);

#endif
