/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: DescribeReplicaEvents: what was recorded (audit.h), by filters, a page at a time. A page
 * token is the number of the last line that was shown or looked at; numbers only rise, so who goes
 * on after one loses nothing and sees nothing twice.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "control/audit.h"
#include "control/operations.h"
#include "control/tree.h"
#include "control/utc.h"

enum { PAGE_DEFAULT = 10 };

static const char *const severities[] = {
    [EVENT_INFO] = "info", [EVENT_WARNING] = "warning", [EVENT_CRITICAL] = "critical"};

static json_t *show_line(const struct event_record *record)
{
    json_t *tree = json_object();
    char time[UTC_SIZE];

    check(tree);
    utc_format_ms(record->wall_ms, time);
    tree_set_int(tree, "Number", record->number);
    tree_set_text(tree, "Time", time);
    tree_set_text(tree, "Kind", record->kind);
    tree_set_text(tree, "Severity", severities[record->severity]);
    tree_set_text(tree, "ObjectId", record->object);
    tree_set_text(tree, "Text", record->text);
    if (record->class == EVENT_STATE)
        return tree;
    tree_set_text(tree, "Operation", record->action);
    tree_set_text(tree, "Caller", record->caller);
    tree_set_text(tree, "AccessKeyId", record->key_id);
    tree_set_text(tree, "SourceIp", record->source);
    tree_set_text(tree, "CallRequestId", record->request_id);
    tree_set_int(tree, "Status", record->status);
    tree_set_text(tree, "ErrorCode", record->code);
    tree_set_int(tree, "DurationUs", record->duration_us);
    return tree;
}

static bool take_time(struct call *call, const char *name, int64_t *ret_ms)
{
    const char *text = call_text(call, name);
    int64_t seconds;

    *ret_ms = 0;
    if (!text[0])
        return true;
    if (!utc_parse(text, &seconds)) {
        call_fail_name(call, API_INVALID_NAME, name, "It is not of the form 2026-11-22T15:14:47Z.");
        return false;
    }
    *ret_ms = seconds * 1000;
    return true;
}

static bool take_place(struct call *call, struct event_filter *filter)
{
    const char *text = call_text(call, "NextToken");
    int64_t number;
    char *end;

    filter->after = call_int(call, "After");
    if (!text[0])
        return true;
    errno = 0;
    number = strtoll(text, &end, 10);
    if (filter->is_backward)
        filter->before = number;
    else
        filter->after = number;
    if (errno == 0 && *end == '\0' && number > 0 && text[0] >= '0' && text[0] <= '9')
        return true;
    call_fail_name(call, API_INVALID_NAME, "NextToken", NULL);
    return false;
}

static enum event_severity severity_of(const char *text)
{
    for (unsigned i = 0; i < ARRAY_COUNT(severities); i++)
        if (strcmp(text, severities[i]) == 0)
            return (enum event_severity)i;
    return EVENT_INFO;
}

/* False: answered. */
static bool take_filter(struct call *call, struct event_filter *filter)
{
    *filter = (struct event_filter){
        .object = call_text(call, "ObjectId"),
        .kind = call_text(call, "Kind"),
        .caller = call_text(call, "Caller"),
        .action = call_text(call, "Operation"),
        .severity_min = severity_of(call_text(call, "Severity")),
        .with_reads = call_bool(call, "Reads"),
        .is_backward = strcmp(call_text(call, "Order"), "newest") == 0,
        .count_max =
            call_has(call, "MaxResults") ? (unsigned)call_int(call, "MaxResults") : PAGE_DEFAULT,
    };
    return take_time(call, "StartTime", &filter->from_ms) &&
           take_time(call, "EndTime", &filter->until_ms) && take_place(call, filter);
}

void ops_show_events(struct call *call)
{
    struct event_store *store = audit_store(call->site);
    struct event_record *records = NULL;
    struct event_filter filter;
    json_t *reply, *list;
    unsigned count = 0, wanted;
    char token[32] = "";
    int64_t next;
    struct err err;

    if (!take_filter(call, &filter))
        return;
    if (!store) {
        call_fail(call, API_DENIED, "Site %s records no events.", call->site->name);
        return;
    }
    audit_flush(call->site);
    wanted = filter.count_max++;
    if (event_store_list(store, &filter, &records, &count, &next, &err) < 0) {
        call_fail_internal(call, err.text);
        return;
    }
    list = json_array();
    reply = json_object();
    check(list && reply);
    for (unsigned i = 0; i < count && i < wanted; i++)
        check(json_array_append_new(list, show_line(&records[i])) == 0);
    if (count > wanted)
        next = records[wanted - 1].number;
    if (next != 0)
        snprintf(token, sizeof(token), "%lld", (long long)next);
    free(records);
    tree_set_text(reply, "NextToken", token);
    tree_set_int(reply, "TotalCount", (int64_t)json_array_size(list));
    tree_set_int(reply, "PageNumber", 1);
    tree_set_int(reply, "PageSize", wanted);
    tree_set_int(reply, "NotRecorded", (int64_t)audit_lost(call->site));
    tree_set(reply, "Events", list);
    call_reply(call, reply);
}
