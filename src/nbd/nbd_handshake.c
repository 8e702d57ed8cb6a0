/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fixed newstyle.
 *
 *   greeting → client flags → option* → (EXPORT_NAME | GO) → transmission
 *                                     → ABORT → end
 *
 * Invariants:
 *   1. An option is acted on when all of its data is there, never before; its length is refused by
 *      its header alone when it is more than NBD_OPTION_BYTES_MAX.
 *   2. Every option gets exactly one final reply (ACK or an error), except EXPORT_NAME and those
 *      that break the connection.
 *   3. No export is touched before GO or EXPORT_NAME succeeded.
 *   4. SET_META_CONTEXT forgets the earlier selection also when it fails.
 */
#include "nbd/nbd_handshake.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "wire/nbd_options.h"

enum {
    REPLY_BYTES_MAX = 1024, /* of one reply of ours: two texts of an export and headers */
    CONTEXT_ID_ALLOCATION = 1,
};

struct option {
    uint32_t type;
    const uint8_t *bytes;
    uint32_t length;
};

/* Room for one reply; commit_reply() counts what was put. */
static int reserve_reply(struct nbd_handshake *handshake, struct bytes_writer *ret_writer)
{
    size_t wanted = handshake->out_bytes + REPLY_BYTES_MAX;

    if (handshake->out_size < wanted) {
        size_t size = wanted * 2;
        uint8_t *out = realloc(handshake->out, size);

        if (out == NULL) {
            snprintf(handshake->reason, sizeof(handshake->reason), "no memory for a reply");
            return -ENOMEM;
        }
        handshake->out = out;
        handshake->out_size = size;
    }
    *ret_writer =
        (struct bytes_writer){handshake->out + handshake->out_bytes, REPLY_BYTES_MAX, false};
    return 0;
}

static enum nbd_handshake_result commit_reply(struct nbd_handshake *handshake,
                                              const struct bytes_writer *writer)
{
    check(!writer->failed);
    handshake->out_bytes = (size_t)(writer->at - handshake->out);
    check(handshake->out_bytes <= handshake->out_size);
    return NBD_HANDSHAKE_NEXT;
}

static enum nbd_handshake_result send_reply(struct nbd_handshake *handshake,
                                            const struct option *option, uint32_t type,
                                            const char *text)
{
    struct bytes_writer writer;

    if (reserve_reply(handshake, &writer) != 0)
        return NBD_HANDSHAKE_BROKEN;
    nbd_encode_option_reply(&writer, option->type, type, text, text ? (uint32_t)strlen(text) : 0);
    return commit_reply(handshake, &writer);
}

static enum nbd_handshake_result send_ack(struct nbd_handshake *handshake,
                                          const struct option *option)
{
    return send_reply(handshake, option, NBD_REP_ACK, NULL);
}

__attribute__((format(printf, 2, 3))) static enum nbd_handshake_result
refuse_client(struct nbd_handshake *handshake, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(handshake->reason, sizeof(handshake->reason), format, args);
    va_end(args);
    return NBD_HANDSHAKE_BROKEN;
}

static enum nbd_handshake_result take_export_name(struct nbd_handshake *handshake,
                                                  const struct option *option)
{
    const char *name = (const char *)option->bytes;
    char shown[64];
    struct nbd_export *export;
    struct bytes_writer writer;

    export = export_find(handshake->exports, name, option->length);
    if (export == NULL)
        return refuse_client(handshake, "no export of the name '%s'",
                             log_escape(name, option->length, shown, sizeof(shown)));
    if (reserve_reply(handshake, &writer) != 0)
        return NBD_HANDSHAKE_BROKEN;
    nbd_encode_export_name_reply(&writer, export->size_bytes,
                                 export_flags(export, handshake->has_structured_replies),
                                 handshake->has_no_zeroes);
    commit_reply(handshake, &writer);
    handshake->export = export;
    return NBD_HANDSHAKE_TRANSMISSION;
}

static enum nbd_handshake_result take_abort(struct nbd_handshake *handshake,
                                            const struct option *option)
{
    enum nbd_handshake_result result = send_ack(handshake, option);

    return result == NBD_HANDSHAKE_NEXT ? NBD_HANDSHAKE_GOODBYE : result;
}

static enum nbd_handshake_result take_list(struct nbd_handshake *handshake,
                                           const struct option *option)
{
    const struct list *exports = handshake->exports;

    if (option->length > 0)
        return send_reply(handshake, option, NBD_REP_ERR_INVALID, "LIST takes no data");
    for (struct list *node = exports->next; node != exports; node = node->next) {
        struct nbd_export *export = list_entry(node, struct nbd_export, node);
        struct bytes_writer writer;

        if (reserve_reply(handshake, &writer) != 0)
            return NBD_HANDSHAKE_BROKEN;
        nbd_encode_server_reply(&writer, export->name, export->description);
        commit_reply(handshake, &writer);
    }
    return send_ack(handshake, option);
}

static enum nbd_handshake_result take_starttls(struct nbd_handshake *handshake,
                                               const struct option *option)
{
    if (option->length > 0)
        return send_reply(handshake, option, NBD_REP_ERR_INVALID, "STARTTLS takes no data");
    return send_reply(handshake, option, NBD_REP_ERR_UNSUP, "TLS is not offered");
}

static int send_infos(struct nbd_handshake *handshake, const struct option *option,
                      const struct nbd_export *export, const struct nbd_info_request *request)
{
    struct bytes_writer writer;

    if (reserve_reply(handshake, &writer) != 0)
        return -ENOMEM;
    nbd_encode_export_info(&writer, option->type, export->size_bytes,
                           export_flags(export, handshake->has_structured_replies));
    nbd_encode_block_size_info(&writer, option->type);
    if (request->wants_name)
        nbd_encode_text_info(&writer, option->type, NBD_INFO_NAME, export->name);
    if (request->wants_description && export->description[0] != '\0')
        nbd_encode_text_info(&writer, option->type, NBD_INFO_DESCRIPTION, export->description);
    commit_reply(handshake, &writer);
    return 0;
}

static enum nbd_handshake_result take_info(struct nbd_handshake *handshake,
                                           const struct option *option)
{
    struct nbd_info_request request;
    struct nbd_export *export;
    enum nbd_handshake_result result;

    if (nbd_info_request_decode(option->bytes, option->length, &request) != 0)
        return send_reply(handshake, option, NBD_REP_ERR_INVALID, "malformed option");
    export = export_find(handshake->exports, request.name.bytes, request.name.length);
    if (export == NULL)
        return send_reply(handshake, option, NBD_REP_ERR_UNKNOWN, "no export of this name");
    if (send_infos(handshake, option, export, &request) != 0)
        return NBD_HANDSHAKE_BROKEN;
    result = send_ack(handshake, option);
    if (option->type == NBD_OPT_INFO || result != NBD_HANDSHAKE_NEXT)
        return result;
    handshake->export = export;
    return NBD_HANDSHAKE_TRANSMISSION;
}

static enum nbd_handshake_result take_structured_reply(struct nbd_handshake *handshake,
                                                       const struct option *option)
{
    if (option->length > 0)
        return send_reply(handshake, option, NBD_REP_ERR_INVALID, "STRUCTURED_REPLY takes no data");
    if (handshake->has_structured_replies)
        return send_reply(handshake, option, NBD_REP_ERR_INVALID, "already negotiated");
    handshake->has_structured_replies = true;
    return send_ack(handshake, option);
}

static enum nbd_handshake_result take_meta_context(struct nbd_handshake *handshake,
                                                   const struct option *option)
{
    bool is_set = option->type == NBD_OPT_SET_META_CONTEXT;
    struct nbd_meta_request request;
    struct nbd_export *export;
    struct bytes_writer writer;
    bool has_match;

    if (is_set)
        handshake->meta_export_serial = 0;
    if (!handshake->has_structured_replies)
        return send_reply(handshake, option, NBD_REP_ERR_INVALID,
                          "structured replies must be negotiated first");
    if (nbd_meta_request_decode(option->bytes, option->length, &request) != 0)
        return send_reply(handshake, option, NBD_REP_ERR_INVALID, "malformed option");
    export = export_find(handshake->exports, request.name.bytes, request.name.length);
    if (export == NULL)
        return send_reply(handshake, option, NBD_REP_ERR_UNKNOWN, "no export of this name");
    has_match =
        request.has_allocation || (!is_set && (request.has_wildcard || request.query_count == 0));
    if (!has_match)
        return send_ack(handshake, option);
    if (is_set)
        handshake->meta_export_serial = export->serial;
    if (reserve_reply(handshake, &writer) != 0)
        return NBD_HANDSHAKE_BROKEN;
    nbd_encode_meta_reply(&writer, option->type, is_set ? CONTEXT_ID_ALLOCATION : 0);
    commit_reply(handshake, &writer);
    return send_ack(handshake, option);
}

struct option_rule {
    uint32_t type;
    enum nbd_handshake_result (*take)(struct nbd_handshake *handshake, const struct option *option);
};

static const struct option_rule option_rules[] = {
    {NBD_OPT_EXPORT_NAME, take_export_name},
    {NBD_OPT_ABORT, take_abort},
    {NBD_OPT_LIST, take_list},
    {NBD_OPT_STARTTLS, take_starttls},
    {NBD_OPT_INFO, take_info},
    {NBD_OPT_GO, take_info},
    {NBD_OPT_STRUCTURED_REPLY, take_structured_reply},
    {NBD_OPT_LIST_META_CONTEXT, take_meta_context},
    {NBD_OPT_SET_META_CONTEXT, take_meta_context},
};

static enum nbd_handshake_result take_option(struct nbd_handshake *handshake,
                                             const struct option *option)
{
    if (++handshake->option_count > NBD_HANDSHAKE_OPTIONS_MAX)
        return refuse_client(handshake, "more than %d options", NBD_HANDSHAKE_OPTIONS_MAX);
    for (unsigned i = 0; i < ARRAY_COUNT(option_rules); i++)
        if (option_rules[i].type == option->type)
            return option_rules[i].take(handshake, option);
    return send_reply(handshake, option, NBD_REP_ERR_UNSUP, "unknown option");
}

static enum nbd_handshake_result take_client_flags(struct nbd_handshake *handshake,
                                                   const uint8_t *bytes)
{
    uint32_t flags = get_be32(bytes);

    if (flags & ~(uint32_t)(NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES))
        return refuse_client(handshake, "unknown client flags 0x%x", flags);
    handshake->has_client_flags = true;
    handshake->has_no_zeroes = flags & NBD_NO_ZEROES;
    return NBD_HANDSHAKE_NEXT;
}

int nbd_handshake_init(struct nbd_handshake *handshake, const struct list *exports)
{
    struct bytes_writer writer;

    *handshake = (struct nbd_handshake){.exports = exports};
    if (reserve_reply(handshake, &writer) != 0)
        return -ENOMEM;
    nbd_encode_greeting(&writer, NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES);
    commit_reply(handshake, &writer);
    return 0;
}

void nbd_handshake_fini(struct nbd_handshake *handshake)
{
    free(handshake->out);
    *handshake = (struct nbd_handshake){0};
}

enum nbd_handshake_result nbd_handshake_step(struct nbd_handshake *handshake, const uint8_t *bytes,
                                             size_t length, size_t *ret_consumed)
{
    struct nbd_option_header header;
    struct option option;
    uint32_t length_max;

    check(handshake->export == NULL);
    *ret_consumed = 0;
    if (!handshake->has_client_flags) {
        if (length < NBD_CLIENT_FLAGS_BYTES)
            return NBD_HANDSHAKE_MORE;
        *ret_consumed = NBD_CLIENT_FLAGS_BYTES;
        return take_client_flags(handshake, bytes);
    }
    if (length < NBD_OPTION_HEADER_BYTES)
        return NBD_HANDSHAKE_MORE;
    if (nbd_option_header_decode(bytes, &header) != 0)
        return refuse_client(handshake, "an option without its magic");
    length_max = header.option == NBD_OPT_EXPORT_NAME ? NBD_NAME_BYTES_MAX : NBD_OPTION_BYTES_MAX;
    if (header.length > length_max)
        return refuse_client(handshake, "option %u of %u bytes, more than %u", header.option,
                             header.length, length_max);
    if (length - NBD_OPTION_HEADER_BYTES < header.length)
        return NBD_HANDSHAKE_MORE;
    *ret_consumed = NBD_OPTION_HEADER_BYTES + header.length;
    option = (struct option){header.option, bytes + NBD_OPTION_HEADER_BYTES, header.length};
    return take_option(handshake, &option);
}

bool nbd_handshake_has_allocation(const struct nbd_handshake *handshake)
{
    check(handshake->export != NULL && handshake->export->serial != 0);
    return handshake->meta_export_serial == handshake->export->serial;
}
