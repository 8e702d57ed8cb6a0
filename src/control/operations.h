/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of the operations, for the table in api/table.c. Each ends its call once. */
#ifndef CONTROL_OPERATIONS_H
#define CONTROL_OPERATIONS_H

#include "control/call.h"

/* ops_disk.c */
void ops_disk_create(struct call *call);
void ops_disk_import(struct call *call);
void ops_disk_delete(struct call *call);
void ops_disk_attach(struct call *call);
void ops_disk_detach(struct call *call);
/* ops_disk_modify.c */
void ops_disk_modify(struct call *call);
/* ops_disk_resize.c */
void ops_disk_resize(struct call *call);
/* Is its size not the record's, or about to change? */
bool ops_disk_is_growing(struct site *site, const char *id);
/* The peer's, of which this disk is the copy: disk.grow. */
struct peer_answer;
void ops_disk_serve_grow(struct peer_answer *answer);
/* ops_disk_reinit.c */
void ops_disk_reinit(struct call *call);
/* ops_disk_show.c */
void ops_disk_show_all(struct call *call);
void ops_disk_show_access(struct call *call);
/* ops_create.c */
void ops_create_pair(struct call *call);
void ops_show_pairs(struct call *call);
void ops_show_progress(struct call *call);
/* ops_show.c */
void ops_create_group(struct call *call);
void ops_show_groups(struct call *call);
/* ops_member.c */
void ops_member_add(struct call *call);
void ops_member_remove(struct call *call);
/* ops_relation.c: pairs and groups */
void ops_relation_start(struct call *call);
void ops_relation_stop(struct call *call);
void ops_relation_failover(struct call *call);
void ops_relation_reprotect(struct call *call);
void ops_relation_delete(struct call *call);
/* ops_modify.c */
void ops_modify_relation(struct call *call);
/* ops_tag.c */
void ops_tag_set(struct call *call);
void ops_tag_unset(struct call *call);
void ops_tag_list(struct call *call);
void ops_tag_change_group(struct call *call);
/* ops_user_tag.c */
void ops_user_tag_keys(struct call *call);
void ops_user_tag_values(struct call *call);
/* ops_region.c */
void ops_region_list(struct call *call);
void ops_region_zones(struct call *call);
void ops_region_edges(struct call *call);
/* ops_forget.c */
void ops_relation_forget(struct call *call);
/* ops_verso.c */
void ops_verso_show_status(struct call *call);
void ops_verso_delete_snapshot(struct call *call);
void ops_verso_force_open(struct call *call);
/* ops_event.c */
void ops_show_events(struct call *call);
/* ops_access.c: users and access keys */
void ops_access_create_user(struct call *call);
void ops_access_delete_user(struct call *call);
void ops_access_list_users(struct call *call);
void ops_access_create_key(struct call *call);
void ops_access_update_key(struct call *call);
void ops_access_delete_key(struct call *call);
void ops_access_list_keys(struct call *call);
void ops_access_show_caller(struct call *call);
/* ops_policy.c */
void ops_policy_create(struct call *call);
void ops_policy_put(struct call *call);
void ops_policy_delete(struct call *call);
void ops_policy_get(struct call *call);
void ops_policy_list(struct call *call);
void ops_policy_attach(struct call *call);
void ops_policy_detach(struct call *call);
/* ops_lag.c */
void ops_show_lag(struct call *call);
/* ops_monitor.c */
void ops_show_monitor(struct call *call);

#endif
