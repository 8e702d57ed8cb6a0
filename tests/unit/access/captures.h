/* SPDX-License-Identifier: Apache-2.0 */
/* What real clients sent, byte for byte (captures/NAME.http), taken apart as a server would. */
#ifndef CAPTURES_H
#define CAPTURES_H

#include "access/canonical.h"

enum { CAPTURE_BYTES_MAX = 4096, CAPTURE_FIELDS_MAX = 32 };

struct capture {
    char bytes[CAPTURE_BYTES_MAX]; /* the file, cut into texts */
    char body[CAPTURE_BYTES_MAX];  /* without the chunks */
    char names[CAPTURE_BYTES_MAX]; /* of the fields, in lower case */
    struct canonical_field fields[CAPTURE_FIELDS_MAX];
    struct canonical_request request;
};

#define CAPTURES_V1 "A", "B", "E1", "E2", "F"
#define CAPTURES_V3 "C", "C2", "C3", "D", "G"

/* Fails the test when it cannot. */
void capture_load(struct capture *capture, const char *name);
const char *capture_field(const struct capture *capture, const char *name); /* NULL: none */
/* A parameter of query or body, decoded into `ret_value`; fails the test when it is not there. */
void capture_parameter(const struct capture *capture, const char *name, char *ret_value,
                       size_t size);

#endif
