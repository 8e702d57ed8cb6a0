/* SPDX-License-Identifier: Apache-2.0 */
/* Why: see drive.c. */
#include "roster_drive.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"

void roster_drive_key(struct fake_world *world, unsigned site, const char *user,
                      struct roster_key *ret_key)
{
    char query[100] = "A=b";
    unsigned status = 0;
    json_t *reply, *key;

    if (user)
        snprintf(query, sizeof(query), "UserName=%s", user);
    reply = fake_ask(world, site, "CreateAccessKey", query, &status);
    assert_int_equal(status, 200);
    key = json_object_get(reply, "AccessKey");
    snprintf(ret_key->id, sizeof(ret_key->id), "%s",
             json_string_value(json_object_get(key, "AccessKeyId")));
    snprintf(ret_key->secret, sizeof(ret_key->secret), "%s",
             json_string_value(json_object_get(key, "AccessKeySecret")));
    assert_int_equal(strlen(ret_key->secret), 40);
    json_decref(reply);
}

void roster_drive_policy(struct fake_world *world, unsigned site, const char *user,
                         const char *policy, const char *statement)
{
    char text[700];

    snprintf(text, sizeof(text), "%s", statement);
    for (char *at = text; *at; at++)
        *at = *at == '\'' ? '"' : *at;
    drive_ok(world, site, "PutPolicy", NULL, NULL,
             "PolicyName=%s&PolicyDocument={\"Version\":\"1\",\"Statement\":[%s]}", policy, text);
    drive_ok(world, site, "AttachPolicy", NULL, NULL, "PolicyName=%s&UserName=%s", policy, user);
}

void roster_drive_as(struct fake_world *world, const char *user, const struct roster_key *key)
{
    world->caller = caller_local(1);
    if (!user)
        return;
    world->caller =
        (struct caller){.kind = strcmp(user, "root") == 0 ? CALLER_ROOT_KEY : CALLER_USER,
                        .source = "192.0.2.7",
                        .is_secure = true,
                        .now_s = 1};
    strcpy(world->caller.user, user);
    strcpy(world->caller.key_id, key->id);
}

void roster_drive_expect_key(struct fake_world *world, unsigned site, const char *key_id,
                             const char *secret)
{
    struct directory_key key;
    bool is_known =
        directory_find_key(control_site(world->sites[site].control)->directory, key_id, &key);

    assert_int_equal(is_known, secret != NULL);
    if (secret)
        assert_string_equal(key.secret, secret);
}
