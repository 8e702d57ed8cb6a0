/* SPDX-License-Identifier: Apache-2.0 */
/* Pages of a Describe operation (contract 3.8): by NextToken, or by PageNumber and PageSize. */
#ifndef CONTROL_PAGE_H
#define CONTROL_PAGE_H

#include "control/call.h"

struct page {
    json_t *items;  /* array of the matching items, all of them, in the order of creation */
    json_t *tokens; /* array of texts, one an item: its id */
};

void page_init(struct page *page);
/* Takes `item` over. */
void page_add(struct page *page, const char *id, json_t *item);
/* Answers the call with one page: `list` names the array; for ECS it is wrapped ("Disks", "Disk").
 */
void page_reply(struct page *page, struct call *call, const char *list, const char *wrapped);

#endif
