/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is signed: the published examples, our own, what real clients sent, hostile values. Each is
 * taken as it is and refused when any one byte of it is another.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "access/signature.h"
#include "base/check.h"
#include "captures.h"

#define SECRET "testsecret"
#define EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static struct signature *signature;
static struct canonical canonical;

static struct canonical_span span(const char *text)
{
    return (struct canonical_span){.at = text, .length = strlen(text)};
}

static int make(void **state)
{
    return signature_new(&signature, NULL);
}

static int drop(void **state)
{
    signature_free(signature);
    canonical_fini(&canonical);
    return 0;
}

/* --- V1 -------------------------------------------------------------------------------------- */

static bool is_v1(const struct canonical_request *request, const char *expected)
{
    char ours[SIGNATURE_V1_SIZE];

    if (canonical_v1(&canonical, request) < 0)
        return false;
    assert_int_equal(strlen(canonical.text), canonical.length);
    assert_int_equal(signature_v1(signature, SECRET, canonical.text, canonical.length, ours), 0);
    return signature_is_equal(ours, expected);
}

static void test_v1_published(void **state)
{
    struct canonical_request request = {
        .method = "GET",
        .query = span("AccessKeyId=testid&Action=DescribeRegions&Format=XML&SignatureMethod=HMAC-"
                      "SHA1&SignatureNonce=3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf&SignatureVersion="
                      "1.0&Timestamp=2016-02-23T12%3a46%3A24Z&Version=2014-05-26"),
        .body = span(""),
    };

    assert_true(is_v1(&request, "OLeaidS1JvxuMvnyHOwuJ+uX5qY="));
    assert_string_equal(canonical.text,
                        "GET&%2F&AccessKeyId%3Dtestid%26Action%3DDescribeRegions%26Format%3DXML%26"
                        "SignatureMethod%3DHMAC-SHA1%26SignatureNonce%3D3ee8c1b8-83d3-44af-a94f-"
                        "4e0ad82fd6cf%26SignatureVersion%3D1.0%26Timestamp%3D2016-02-23T12%253A46%"
                        "253A24Z%26Version%3D2014-05-26");
    request.method = "POST";
    assert_false(is_v1(&request, "OLeaidS1JvxuMvnyHOwuJ+uX5qY="));
}

static void test_v1_query_and_body(void **state)
{
    const char *query = "Action=ReprotectDiskReplicaGroup&Version=2021-07-30&Format=JSON&"
                        "AccessKeyId=testid&SignatureMethod=HMAC-SHA1&SignatureVersion=1.0&"
                        "SignatureNonce=8d9a3f1c5b7e4e0f9c2d1a6b3e8f7a01&"
                        "Timestamp=2024-07-19T08%3A00%3A00Z&Signature=whatever";
    static const char *const bodies[] = {
        "RegionId=cn-shanghai&ReplicaGroupId=pg-myreplica0001&ClientToken=tok+en*~/%2B1&"
        "ReverseReplicate=true",
        "ReverseReplicate=true&&ClientToken=tok%20en%2A%7E%2f%2b1&ReplicaGroupId=pg-myreplica0001&"
        "RegionId=cn-shanghai&",
    };

    for (unsigned i = 0; i < ARRAY_COUNT(bodies); i++) {
        struct canonical_request request = {
            .method = "POST", .query = span(query), .body = span(bodies[i])};

        assert_true(is_v1(&request, "IreooSOSEchNg+wVvBeVSiN8Bjo="));
    }
}

/* Values made with Python's hmac and urllib. */
#define HOSTILE_V1 "hLHxfJpau/rMjSzqZvG2oV2zIRk="
#define HOSTILE_V3 "b7a1ad79e6c7d280ea3f94b66e5d77403fea7d480e74bb5281e61936cea60caf"
static const char *const hostile[] = {
    "Action=ModifyDiskReplicaGroup&AccessKeyId=testid&GroupName=space+%2A+~+%21+%27+%28+%29+%2B+"
    "%C3%A9+%2F&Description=&Empty.1=a%3Db%26c&a=z&Z=a&A-b=1&A.b=2&%C3%A9=n",
    "%c3%a9=n&A.b=2&A-b=1&Z=a&a=%7a&Empty.1=a=b%26c&Description&GroupName=space%20*%20%7e%20!%20'"
    "%20(%20)%20%2b%20\xc3\xa9%20/&AccessKeyId=testid&Action=ModifyDiskReplicaGroup",
};

static void test_v1_hostile_values(void **state)
{
    for (unsigned i = 0; i < ARRAY_COUNT(hostile); i++) {
        struct canonical_request request = {
            .method = "POST", .query = span(hostile[i]), .body = span("")};

        assert_true(is_v1(&request, HOSTILE_V1));
        request.body = request.query;
        request.query = span("");
        assert_true(is_v1(&request, HOSTILE_V1));
    }
}

static void test_v1_captures(void **state)
{
    static const char *const names[] = {CAPTURES_V1};

    for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
        struct capture capture;
        char expected[64];

        capture_load(&capture, names[i]);
        capture_parameter(&capture, "Signature", expected, sizeof(expected));
        assert_true(is_v1(&capture.request, expected));
    }
}

/* Every byte of query and body in turn becomes another; `is_good` then refuses. */
static void spoil(struct capture *capture, const struct canonical_span *part,
                  bool (*is_good)(struct capture *capture))
{
    char *bytes = (char *)part->at;

    for (size_t i = 0; i < part->length; i++) {
        char kept = bytes[i];

        bytes[i] = kept == 'x' ? 'y' : 'x';
        if (is_good(capture))
            fail_msg("byte %zu of \"%.*s\" does not count", i, (int)part->length, bytes);
        bytes[i] = kept;
    }
    assert_true(is_good(capture));
}

static bool is_good_v1(struct capture *capture)
{
    char theirs[256] = "";
    const char *query = capture->request.query.at, *body = capture->body;

    if (!strstr(query, "&Signature=") && !strstr(body, "&Signature="))
        return false;
    capture_parameter(capture, "Signature", theirs, sizeof(theirs));
    return is_v1(&capture->request, theirs);
}

static void test_v1_each_byte_counts(void **state)
{
    static const char *const names[] = {CAPTURES_V1};

    for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
        struct capture capture;

        capture_load(&capture, names[i]);
        spoil(&capture, &capture.request.query, is_good_v1);
        spoil(&capture, &capture.request.body, is_good_v1);
        capture.request.method = strcmp(capture.request.method, "GET") == 0 ? "POST" : "GET";
        assert_false(is_good_v1(&capture));
    }
}

static void test_names_given_twice(void **state)
{
    struct canonical_request request = {
        .method = "GET", .query = span("a=1&b=2&a=1"), .body = span("b=2")};
    char many[8 * (CANONICAL_PAIRS_MAX + 1)] = "";

    /* Alike: once. */
    assert_int_equal(canonical_v1(&canonical, &request), 0);
    assert_string_equal(canonical.text, "GET&%2F&a%3D1%26b%3D2");
    /* Not alike: their order would not be signed. */
    request.body = span("b=3");
    assert_int_equal(canonical_v1(&canonical, &request), -EEXIST);
    for (unsigned i = 0; i <= CANONICAL_PAIRS_MAX; i++)
        snprintf(many + strlen(many), 8, "p%u&", i);
    request.body = span(many);
    assert_int_equal(canonical_v1(&canonical, &request), -E2BIG);
}

static void test_broken_encodings(void **state)
{
    static const char *const texts[] = {"a=%", "a=%4", "a=%zz", "%=1", "%4", "a=1&b%2"};

    for (unsigned i = 0; i < ARRAY_COUNT(texts); i++) {
        struct canonical_request request = {
            .method = "GET", .query = span(texts[i]), .body = span("")};
        struct canonical_authorization authorization = {0};

        assert_int_equal(canonical_v1(&canonical, &request), -EBADMSG);
        assert_int_equal(canonical_v3(&canonical, &request, &authorization, EMPTY_HASH), -EBADMSG);
    }
}

/* --- V3 -------------------------------------------------------------------------------------- */

struct v3_case {
    const char *secret, *query;
    struct canonical_field fields[8];
    const char *listed, *hash, *signature;
};

static const struct v3_case published = {
    .secret = "YourAccessKeySecret",
    .query = "RegionId=cn-shanghai&ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd",
    .fields = {{"host", "ecs.cn-shanghai.aliyuncs.com"},
               {"x-acs-action", "RunInstances"},
               {"x-acs-content-sha256", EMPTY_HASH},
               {"x-acs-date", "2023-10-26T10:22:32Z"},
               {"x-acs-signature-nonce", "3156853299f313e23d1673dc12e1703d"},
               {"x-acs-version", "2014-05-26"}},
    .listed = "host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;"
              "x-acs-version",
    .hash = "7ea06492da5221eba5297e897ce16e55f964061054b7695beedaac1145b1e259",
    .signature = "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0",
};

static const struct v3_case our_own = {
    .secret = SECRET,
    .query = "ReverseReplicate=true&ReplicaGroupId=pg-myreplica0001&RegionId=cn-shanghai&"
             "ClientToken=tok+en*~/%2B1",
    .fields = {{"host", "ebs.cn-shanghai.aliyuncs.com"},
               {"x-acs-action", "ReprotectDiskReplicaGroup"},
               {"x-acs-content-sha256", EMPTY_HASH},
               {"x-acs-date", "2024-07-19T08:00:00Z"},
               {"x-acs-signature-nonce", "8d9a3f1c5b7e4e0f9c2d1a6b3e8f7a01"},
               {"x-acs-version", "2021-07-30"}},
    .listed = "host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;"
              "x-acs-version",
    .hash = "5c090f52ce18b33e3924113d005a9640aed93d69598ec2a82c8285bc7edb322b",
    .signature = "8082c437c1c3f3ac6a3b5ac8680f80167ad78a8dc50312f049d90956cbb57966",
};

static const struct v3_case with_hostile_values = {
    .secret = SECRET,
    .query = NULL, /* hostile[] */
    .fields = {{"host", "  h:1\t"}, {"x-acs-action", "ModifyDiskReplicaGroup"}},
    .listed = "host;x-acs-action",
    .signature = HOSTILE_V3,
};

static void run_v3(const struct v3_case *one, const char *query)
{
    struct canonical_request request = {
        .method = "POST", .query = span(query), .fields = one->fields};
    struct canonical_authorization authorization;
    char header[1024], text[SIGNATURE_V3_TEXT], ours[SIGNATURE_HEX_SIZE];

    while (one->fields[request.field_count].name)
        request.field_count++;
    snprintf(header, sizeof(header),
             "ACS3-HMAC-SHA256 Credential=id, SignedHeaders=%s,Signature=%s", one->listed,
             one->signature);
    assert_int_equal(canonical_parse_authorization(header, &authorization), 0);
    assert_int_equal(canonical_v3(&canonical, &request, &authorization, EMPTY_HASH), 0);
    assert_int_equal(strlen(canonical.text), canonical.length);
    assert_int_equal(
        signature_v3(signature, one->secret, canonical.text, canonical.length, text, ours), 0);
    if (one->hash)
        assert_string_equal(text + strlen("ACS3-HMAC-SHA256\n"), one->hash);
    assert_true(signature_is_equal(ours, authorization.signature));
}

static void test_v3_published_and_own(void **state)
{
    run_v3(&published, published.query);
    run_v3(&our_own, our_own.query);
    for (unsigned i = 0; i < ARRAY_COUNT(hostile); i++)
        run_v3(&with_hostile_values, hostile[i]);
}

static bool is_good_v3(struct capture *capture)
{
    const char *header = capture_field(capture, "authorization");
    struct canonical_authorization authorization;
    char hash[SIGNATURE_HEX_SIZE], text[SIGNATURE_V3_TEXT], ours[SIGNATURE_HEX_SIZE];

    if (!header || canonical_parse_authorization(header, &authorization) < 0)
        return false;
    assert_int_equal(signature_hash(signature, capture->body, capture->request.body.length, hash),
                     0);
    if (canonical_v3(&canonical, &capture->request, &authorization, hash) < 0)
        return false;
    assert_int_equal(signature_v3(signature, SECRET, canonical.text, canonical.length, text, ours),
                     0);
    return signature_is_equal(ours, authorization.signature);
}

static void test_v3_captures(void **state)
{
    static const char *const names[] = {CAPTURES_V3};

    for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
        struct capture capture;
        struct canonical_authorization authorization;
        char hash[SIGNATURE_HEX_SIZE];

        capture_load(&capture, names[i]);
        assert_true(is_good_v3(&capture));
        canonical_parse_authorization(capture_field(&capture, "authorization"), &authorization);
        assert_string_equal(authorization.key_id, "LTAItestkeyid");
        signature_hash(signature, capture.body, capture.request.body.length, hash);
        assert_string_equal(hash, capture_field(&capture, "x-acs-content-sha256"));
    }
}

static void test_v3_each_byte_counts(void **state)
{
    static const char *const names[] = {CAPTURES_V3};

    for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
        struct capture capture;
        struct canonical_authorization authorization;

        capture_load(&capture, names[i]);
        spoil(&capture, &capture.request.query, is_good_v3);
        spoil(&capture, &capture.request.body, is_good_v3);
        canonical_parse_authorization(capture_field(&capture, "authorization"), &authorization);
        for (unsigned j = 0; j < authorization.name_count; j++) {
            char name[64];
            struct canonical_span value;

            snprintf(name, sizeof(name), "%.*s", (int)authorization.names[j].length,
                     authorization.names[j].at);
            value = span(capture_field(&capture, name));
            spoil(&capture, &value, is_good_v3);
        }
        spoil(&capture, &authorization.listed, is_good_v3);
        capture.request.method = "GET";
        assert_false(is_good_v3(&capture));
    }
}

static void test_v3_several_values(void **state)
{
    static const struct canonical_field fields[] = {
        {"x-acs-b", " two "}, {"host", "h"}, {"x-acs-b", "one"}, {"x-acs-a", ""}};
    struct canonical_request request = {
        .method = "GET", .query = span("b=2&a=1"), .fields = fields, .field_count = 4};
    struct canonical_authorization authorization;

    assert_int_equal(
        canonical_parse_authorization("A Credential=k,SignedHeaders=host;x-acs-a;x-acs-b,"
                                      "Signature=s",
                                      &authorization),
        0);
    assert_int_equal(canonical_v3(&canonical, &request, &authorization, "hash"), 0);
    assert_string_equal(canonical.text, "GET\n/\na=1&b=2\nhost:h\nx-acs-a:\nx-acs-b:one,two\n\n"
                                        "host;x-acs-a;x-acs-b\nhash");
    assert_true(canonical_is_listed(&authorization, "x-acs-a"));
    assert_false(canonical_is_listed(&authorization, "x-acs"));
    request.field_count = 3;
    assert_int_equal(canonical_v3(&canonical, &request, &authorization, "hash"), -ENOENT);
}

/* --- Authorization --------------------------------------------------------------------------- */

static void test_authorization_is_strict(void **state)
{
    static const char *const bad[] = {
        "",
        "ACS3-HMAC-SHA256",
        "ACS3-HMAC-SHA256 ",
        "ACS3-HMAC-SHA256 Credential=a",
        "ACS3-HMAC-SHA256 Credential=a,SignedHeaders=host",
        "ACS3-HMAC-SHA256 Credential=,SignedHeaders=host,Signature=s",
        "ACS3-HMAC-SHA256 Credential=a,SignedHeaders=,Signature=s",
        "ACS3-HMAC-SHA256 Credential=a,SignedHeaders=host,Signature=",
        "ACS3-HMAC-SHA256 Credential=a SignedHeaders=host,Signature=s",
        "ACS3-HMAC-SHA256 Credential=a,SignedHeaders=host,Signature=s,",
        "ACS3-HMAC-SHA256 Credential=a,SignedHeaders=host,Signature=s ",
        "ACS3-HMAC-SHA256 Credential=a,SignedHeaders=Host,Signature=s",
        "ACS3-HMAC-SHA256 Credential=a,SignedHeaders=host;,Signature=s",
        "ACS3-HMAC-SHA256 Credential=a,SignedHeaders=;host,Signature=s",
        "ACS3-HMAC-SHA256 Credential=a,SignedHeaders=b;;c,Signature=s",
        "ACS3-HMAC-SHA256 Credential=a,SignedHeaders=host;host,Signature=s",
        "ACS3-HMAC-SHA256 Credential=a,SignedHeaders=x;host,Signature=s",
        "ACS3-HMAC-SHA256 SignedHeaders=host,Credential=a,Signature=s",
        "ACS3-HMAC-SHA256 Credential=a\xc3\xa9,SignedHeaders=host,Signature=s",
        "bearer abc",
        "Basic abc=",
    };
    struct canonical_authorization authorization;
    char header[2048] = "A Credential=a,SignedHeaders=h00", longest[256];

    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++)
        if (canonical_parse_authorization(bad[i], &authorization) != -EBADMSG)
            fail_msg("taken: %s", bad[i]);
    for (unsigned i = 1; i <= CANONICAL_NAMES_MAX; i++) {
        char whole[2100];

        snprintf(whole, sizeof(whole), "%s,Signature=s", header);
        assert_int_equal(canonical_parse_authorization(whole, &authorization), 0);
        assert_int_equal(authorization.name_count, i);
        snprintf(header + strlen(header), 8, ";h%02u", i);
    }
    strcat(header, ",Signature=s");
    assert_int_equal(canonical_parse_authorization(header, &authorization), -EBADMSG);
    memset(longest, 'k', sizeof(longest));
    for (unsigned length = 126; length < 130; length++) {
        snprintf(header, sizeof(header), "A Credential=%.*s,SignedHeaders=h,Signature=s",
                 (int)length, longest);
        assert_int_equal(canonical_parse_authorization(header, &authorization),
                         length < CANONICAL_KEY_SIZE ? 0 : -EBADMSG);
    }
}

static void test_comparison(void **state)
{
    assert_true(signature_is_equal("abc", "abc"));
    assert_true(signature_is_equal("", ""));
    assert_false(signature_is_equal("abc", "abd"));
    assert_false(signature_is_equal("abc", "xbc"));
    assert_false(signature_is_equal("abc", "ab"));
    assert_false(signature_is_equal("abc", "abcd"));
    assert_false(signature_is_equal("abc", ""));
}

/* What is kept between requests is bounded, and a large one after a small one fits. */
static void test_memory(void **state)
{
    size_t length = 1 << 20;
    char *large = malloc(length + 1);
    struct canonical_request request = {.method = "POST", .query = span("a=1"), .body = span("")};

    memset(large, ' ', length);
    large[length] = 0;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(canonical_v1(&canonical, &request), 0);
        assert_string_equal(canonical.text, "POST&%2F&a%3D1");
        request.body = span(large);
        assert_int_equal(canonical_v1(&canonical, &request), 0);
        assert_int_equal(canonical.length, strlen("POST&%2F&%3D%26a%3D1") + 5 * length);
        request.body = span("");
    }
    assert_int_equal(canonical_v1(&canonical, &request), 0);
    assert_true(canonical.size < 16384 && canonical.encoded_size < 16384);
    free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_v1_published),        cmocka_unit_test(test_v1_query_and_body),
        cmocka_unit_test(test_v1_hostile_values),   cmocka_unit_test(test_v1_captures),
        cmocka_unit_test(test_v1_each_byte_counts), cmocka_unit_test(test_names_given_twice),
        cmocka_unit_test(test_broken_encodings),    cmocka_unit_test(test_v3_published_and_own),
        cmocka_unit_test(test_v3_captures),         cmocka_unit_test(test_v3_each_byte_counts),
        cmocka_unit_test(test_v3_several_values),   cmocka_unit_test(test_authorization_is_strict),
        cmocka_unit_test(test_comparison),          cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, make, drop);
}
