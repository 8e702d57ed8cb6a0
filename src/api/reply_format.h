/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of a reply, JSON or XML, from one tree. Pure.
 *
 * Whatever the tree is, what leaves is never empty and keeps the rules that clients depend on:
 *   - a success is one object with RequestId and without a top-level Code;
 *   - an error has RequestId, HostId, Code, Message, Recommend, all texts;
 *   - AccessDeniedDetail is an object or absent;
 *   - no integer is beyond 2^53 - 1 (it is cut to that: readers would round it);
 *   - XML has no character that XML 1.0 forbids (U+FFFD stands for it).
 * A tree that cannot be made so (no object, an error without a Code, a success with one) leaves as
 * InternalError, and reply.is_broken says so, for the log.
 */
#ifndef API_REPLY_FORMAT_H
#define API_REPLY_FORMAT_H

#include <jansson.h>
#include <stdbool.h>

enum reply_form { REPLY_JSON, REPLY_XML };

enum reply_scheme { REPLY_UNSIGNED, REPLY_V1, REPLY_V3 };

/*
 * The form that a request wants. `format`: its parameter Format; `accept`: that header; NULL or ""
 * when absent. V1: Format in any case, XML without one; V3: by `accept`; unsigned: Format, JSON
 * without one. False: Format names neither (InvalidParameter.Format, and *ret_form is JSON).
 */
bool reply_form_choose(enum reply_scheme scheme, const char *format, const char *accept,
                       enum reply_form *ret_form);

struct reply_head {
    enum reply_form form;
    unsigned http_status;
    const char *action; /* as asked for, for the root of a success in XML */
    const char *request_id, *host_id;
};

struct reply {
    unsigned http_status; /* the head's, or 500 when the tree was broken */
    const char *content_type;
    char *text; /* the caller's to free(); UTF-8 with a NUL behind `length` */
    size_t length;
    bool is_broken;
};

/* `tree`: an operation's reply or call_error_tree(), by http_status; it stays as it is. */
void reply_make(const struct reply_head *head, const json_t *tree, struct reply *ret_reply);

#endif
