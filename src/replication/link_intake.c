/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The peer is not trusted with our memory: numbers are announced in order and bounded, and
 * unconsumed + owed of a channel never passes the window that we announced.
 */
#include "replication/link_intake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "wire/link_frame.h"

int link_intake_init(struct link_intake *intake)
{
    *intake = (struct link_intake){.channel_size = 8, .credit_bytes = LINK_INTAKE_CREDIT_MIN};
    intake->channels = calloc(intake->channel_size, sizeof(*intake->channels));
    if (intake->channels == NULL)
        return -ENOMEM;
    intake->channel_count = 1;
    return 0;
}

void link_intake_fini(struct link_intake *intake)
{
    free(intake->channels);
    *intake = (struct link_intake){0};
}

static struct link_intake_channel *find_channel(struct link_intake *intake, const char *stream)
{
    for (unsigned i = 0; i < intake->channel_count; i++)
        if (strcmp(intake->channels[i].stream, stream) == 0)
            return &intake->channels[i];
    return NULL;
}

static int grow_channels(struct link_intake *intake)
{
    unsigned size = intake->channel_size * 2;
    struct link_intake_channel *channels;

    if (intake->channel_count < intake->channel_size)
        return 0;
    channels = realloc(intake->channels, size * sizeof(*channels));
    if (channels == NULL)
        return -ENOMEM;
    intake->channels = channels;
    intake->channel_size = size;
    return 0;
}

int link_intake_open(struct link_intake *intake, uint16_t number, const uint8_t *name,
                     uint32_t length, struct err *err)
{
    struct link_intake_channel channel = {0};

    if (number != intake->channel_count || number > LINK_FRAME_CHANNEL_MAX)
        return err_set(err, -EPROTO, "channel %u announced where %u was due", number,
                       intake->channel_count);
    if (length == 0 || length >= sizeof(channel.stream))
        return err_set(err, -EPROTO, "a channel's name of %u bytes", length);
    memcpy(channel.stream, name, length);
    if (strlen(channel.stream) != length ||
        !link_name_is_valid(channel.stream, sizeof(channel.stream)))
        return err_set(err, -EPROTO, "channel %u has no valid name", number);
    if (find_channel(intake, channel.stream) != NULL)
        return err_set(err, -EPROTO, "channel %s announced twice", channel.stream);
    if (grow_channels(intake) < 0)
        return err_set(err, -ENOMEM, "no memory for channel %s", channel.stream);
    intake->channels[intake->channel_count++] = channel;
    return 0;
}

const char *link_intake_stream(const struct link_intake *intake, uint16_t number)
{
    return number < intake->channel_count ? intake->channels[number].stream : NULL;
}

int link_intake_data(struct link_intake *intake, uint16_t number, uint32_t length, struct err *err)
{
    struct link_intake_channel *channel;

    if (number >= intake->channel_count)
        return err_set(err, -EPROTO, "data on channel %u, which was not announced", number);
    channel = &intake->channels[number];
    if ((uint64_t)channel->unconsumed + channel->owed + length > LINK_INTAKE_WINDOW)
        return err_set(err, -EPROTO, "data on channel %u beyond its window", number);
    channel->unconsumed += length;
    return 0;
}

uint32_t link_intake_consumed(struct link_intake *intake, const char *stream, uint32_t length,
                              uint16_t *ret_number)
{
    struct link_intake_channel *channel = find_channel(intake, stream);
    uint32_t credit;

    if (channel == NULL)
        return 0;
    if (length > channel->unconsumed)
        length = channel->unconsumed;
    channel->unconsumed -= length;
    channel->owed += length;
    check(channel->owed <= LINK_INTAKE_WINDOW);
    if (channel->owed < intake->credit_bytes)
        return 0;
    credit = channel->owed;
    channel->owed = 0;
    *ret_number = (uint16_t)(channel - intake->channels);
    return credit;
}
