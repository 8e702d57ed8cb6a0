/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages of a Describe operation (contract 3.8): by NextToken, or by PageNumber and PageSize. Only
 * the records of the page are looked at and shown, so that it costs the same however many there
 * are; where a condition must be asked of each record, the total costs a look at all of them.
 * A page for the peer, which passed the call on, ends early where more would not fit into an answer
 * over the link; of one that is asked for by its number, which a client cannot go on with, the peer
 * fetches the rest by the token (parts.h).
 */
#ifndef CONTROL_PAGE_H
#define CONTROL_PAGE_H

#include "control/call.h"

/* Which records an operation lists, and how. */
enum { PAGE_SIZE_MAX = 500 };

struct page_source {
    enum record_kind kind;
    const char *field, *value; /* only those whose field has this value; NULL: any */
    const json_t *ids;         /* only those with these keys (an array of texts); NULL: any */
    /* Where several records belong to one thing (its tags) and are all wanted, or none: the field
     * that names it. Then is_wanted_cb is asked once for the thing. */
    const struct record_field *owner;
    /* Of those, which; NULL: all. It is asked about a record once. */
    bool (*is_wanted_cb)(struct call *call, const void *record);
    json_t *(*show_cb)(struct call *call, const void *record);
    const char *list;    /* names the array in the reply */
    const char *wrapped; /* ECS: the name inside of it ("Disks", "Disk"); else NULL */
    unsigned size;       /* of a page, when it is not asked for; 0: 10 */
};

/* Answers the call with one page, in the order of creation. */
void page_reply(struct call *call, const struct page_source *source);
/* The page alone, the caller's; NULL: the call was answered with an error. */
json_t *page_make(struct call *call, const struct page_source *source);
/* Are its pages counted, rather than continued by token? */
bool page_is_numbered(const struct call *call);
/* Did we make this token, for this operation? */
bool page_token_is_ours(const struct call *call, const char *token);
/* Of a list that is in the order of its texts: the check of a token that holds the last one shown.
 */
uint64_t page_text_check(const struct call *call, const char *text);
/* Says in the page that its list goes on behind all of our entries. */
void page_end_token(const struct call *call, json_t *page);

#endif
