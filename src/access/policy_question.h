/* SPDX-License-Identifier: Apache-2.0 */
/* What a policy is asked, and how large it may be. */
#ifndef ACCESS_POLICY_QUESTION_H
#define ACCESS_POLICY_QUESTION_H

#include <stdbool.h>
#include <stdint.h>

enum {
    POLICY_BYTES_MAX = 6144,
    POLICY_STATEMENTS_MAX = 64,
    POLICY_VALUES_MAX = 512, /* of a document, all actions, resources and condition values */
    POLICY_DEPTH_MAX = 6
};

/* What is asked. Texts are the caller's. */
struct policy_question {
    const char *action;   /* "ebs:StartDiskReplicaPair" */
    const char *resource; /* "acs:ebs:paris:1000000000000001:diskreplicapair/pair-1" */
    const char *source;   /* an address as text; "": none (no key acs:SourceIp) */
    bool is_secure;
    int64_t now_s;
    /* The value of a tag of the resource, NULL: it has none. `product` is "ebs" or "ecs". */
    const char *(*tag_cb)(void *arg, const char *product, const char *key);
    void *arg;
    /* Nobody knows the tags (there is no such resource): an Allow that asks for one does not hold,
     * a Deny that asks for one does. */
    bool are_tags_unknown;
};

#endif
