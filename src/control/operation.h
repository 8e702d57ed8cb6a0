/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One row of the table of operations (api/table.c): what an operation is called, what it takes,
 * where it runs, and the function that does it. Everything that asks for an operation (the HTTP
 * door, a peer that passes a call on, later the console) goes through this row.
 */
#ifndef CONTROL_OPERATION_H
#define CONTROL_OPERATION_H

#include <stdbool.h>
#include <stdint.h>

#include "model/api_error.h"
#include "model/group_state.h"

struct call;

enum parameter_kind {
    PARAMETER_TEXT,  /* min, max: length in bytes (ids, paths); 0, 0: any */
    PARAMETER_TOKEN, /* 1..64 ASCII characters */
    /* contract 2.2: first a letter (ASCII, Chinese), then also digits and the marks in `choices`
     * (NULL: ":_.-"); no http:// first; min, max: characters */
    PARAMETER_NAME,
    PARAMETER_NAME_ANY, /* the same with letters of any script */
    PARAMETER_NOTE,     /* a description: no http:// first */
    PARAMETER_GROUP, /* a resource group that may exist: letters, digits, '-', '_', '.'; min, max */
    PARAMETER_INT,   /* min, max */
    PARAMETER_BOOL,  /* true, false in any case */
    PARAMETER_CHOICE,
    PARAMETER_IDS,      /* comma-separated: an array of texts; max: how many */
    PARAMETER_IDS_JSON, /* a JSON array of texts; max: how many */
    PARAMETER_LIST,     /* Name.1, Name.2 ...: an array of texts; max: how many, `error`: of more */
    /* Tag.1.Key, Tag.1.Value ...: an array of {"Key":, "Value":}; max: how many. To be set, or to
     * be looked for (then a value may lack). */
    PARAMETER_TAGS,
    PARAMETER_TAG_FILTER,
};

struct parameter {
    const char *name;
    enum parameter_kind kind;
    bool is_required;
    int64_t min, max;
    const char *choices;    /* CHOICE: "a|b|c" */
    const char *absent;     /* the default, as text; NULL: none */
    enum api_error error;   /* of a bad value; API_OK: InvalidParameter (names, booleans), else
                               Invalid{Name} */
    enum api_error missing; /* of a missing one; API_OK: Missing{Name} */
    enum api_error empty;   /* of one that is required and empty; API_OK: `missing` where the row
                               has one, else as a bad value */
    enum api_error twice;   /* LIST: of an item twice; API_OK: it counts once */
};

/* Where an operation runs, once RegionId has named a site. */
enum site_rule {
    SITE_ANY,        /* at the site that was asked, whatever RegionId says */
    SITE_HERE,       /* at the site that was asked; RegionId, if there, names it */
    SITE_ZONE,       /* as SITE_HERE; two sites in one region are told apart by `zone` */
    SITE_DISK,       /* at the site that has the disk `object`, where RegionId leaves that open */
    SITE_SOURCE,     /* at the current source of the relation, passed on when asked at the other */
    SITE_TARGET,     /* at the current target; else OperateNotAllowedForPrimary or …ForStandby */
    SITE_PRODUCTION, /* at the production site or current source; else OperateNotAllowedForStandby
                      * (a failed-over or invalid relation may be ended at either site) */
};

enum { OPERATION_PARAMETERS_MAX = 36 };

struct operation {
    const char *name, *version;
    enum site_rule rule;
    const char *object; /* parameter that names the relation (rules SOURCE, TARGET, PRODUCTION) or
                         * the disk or disks (DISK) */
    const char *zone;   /* parameter that names the zone (rules ZONE, DISK) */
    /* Required states: the row of model/pair_state or group_state, judged by the handler through
     * replica_judge(). -1: none. */
    int pair_op, group_op;
    enum api_error no_region; /* of a region that no site is in; API_OK: InvalidRegionId.NotFound */
    bool is_group;            /* `object` is a group */
    bool is_ecs;              /* lists are wrapped, InternalError has the other message */
    bool is_remembered;       /* ClientToken replays the reply */
    bool is_read;      /* only looks: may be answered from a snapshot of the data wing's status
                          of 0.1 s ago; not for what tells how old a point is */
    bool is_by_record; /* of is_shared: what it judges by is in the records, so that status will
                          do for it as well */
    bool is_shared;    /* run() judges, changes records and ends in sharing_answer(),
                          sharing_then() or sharing_leave(), call_reply() or call_fail(); nothing
                          else leaves it */
    bool asks_late;    /* run() asks for the consent itself (consent.h), behind what it asks the
                          peer; else it is asked for before run() */
    struct parameter parameters[OPERATION_PARAMETERS_MAX];
    /* Ends with call_reply(), call_fail() or call_pass(), now or later, once. */
    void (*run)(struct call *call);
};

#endif
