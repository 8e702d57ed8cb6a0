/* SPDX-License-Identifier: Apache-2.0 */
/* Why: the configuration and the listeners must read a list of addresses in the same way. */
#include "http/http_address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

enum { ADDRESS_TEXT_SIZE = 64 };

static int parse_one(const char *at, size_t length, struct posix_address *address, struct err *err)
{
    char text[ADDRESS_TEXT_SIZE];

    while (length > 0 && at[length - 1] == ' ')
        length--;
    if (length == 0 || length >= sizeof(text))
        return err_set(err, -EINVAL, "\"%.*s\" is no address", (int)(length < 100 ? length : 100),
                       at);
    memcpy(text, at, length);
    text[length] = '\0';
    if (posix_address_parse(text, address) < 0 || address->any.sa_family == AF_UNIX)
        return err_set(err, -EINVAL, "\"%s\" is no address: 192.0.2.2:8080 or [2001:db8::2]:8080",
                       text);
    return 0;
}

int http_addresses_parse(const char *list, struct posix_address *addresses, struct err *err)
{
    int count = 0, failed;

    list += strspn(list, " ");
    if (*list == '\0')
        return 0;
    for (;;) {
        size_t length = strcspn(list, ",");

        if (count == HTTP_ADDRESSES_MAX)
            return err_set(err, -EINVAL, "more than %d addresses", HTTP_ADDRESSES_MAX);
        failed = parse_one(list, length, &addresses[count++], err);
        if (failed)
            return failed;
        if (list[length] == '\0')
            return count;
        list += length + 1;
        list += strspn(list, " ");
    }
}

bool http_address_is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr) >> 24 ==
               127;
    return address->sa_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
}

void http_address_format(const struct sockaddr *address, char *text, size_t size)
{
    const void *bytes = NULL;

    if (address->sa_family == AF_INET)
        bytes = &((const struct sockaddr_in *)(const void *)address)->sin_addr;
    else if (address->sa_family == AF_INET6)
        bytes = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    if (bytes == NULL || inet_ntop(address->sa_family, bytes, text, (socklen_t)size) == NULL)
        text[0] = '\0';
}
