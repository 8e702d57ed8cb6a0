/* SPDX-License-Identifier: Apache-2.0 */
/* application/x-www-form-urlencoded, as it stands in a query and in a body. Pure. */
#ifndef HTTP_FORM_H
#define HTTP_FORM_H

#include <stddef.h>

struct form_pair {
    char *name, *value;
};

enum { FORM_PAIRS_MAX = 200 };

/* All pairs of a request; the first of a name counts, so the query goes before the body. */
struct form {
    struct form_pair pairs[FORM_PAIRS_MAX];
    unsigned count;
};

/* Adds the pairs of `text`. 0, or: -EBADMSG malformed (a broken %XX, a NUL, not UTF-8), -E2BIG too
 * many, -ENOMEM. What was added before stays. */
int form_parse(struct form *form, const char *text, size_t length);
const char *form_get(const struct form *form, const char *name); /* NULL: not there */
void form_fini(struct form *form);

#endif
