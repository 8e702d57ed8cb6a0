// SPDX-License-Identifier: Apache-2.0
// Users, keys and policies: Forbidden and Forbidden.Action through every line, lists that show what the caller may see,
// conditions of the transport. The users are made at paris; the doors of both sites know them.
import assert from 'node:assert/strict';
import {lines} from './clients.mjs';
import {E, refused, reprotect} from './errors.mjs';
import {until} from './lab.mjs';
import {Caller} from './story.mjs';

function statement(action, resource = '*', more = {}) {
    return {Effect: 'Allow', Action: action, Resource: resource, ...more};
}

function group(id) {
    return `acs:ebs:*:*:diskreplicagroup/${id}`;
}

// What each user may do; `world.groups` are there.
function policies(world) {
    return {
        // one group only, and not the one that is asked for
        elsewhere: [statement('ebs:*', group(world.groups.running))],
        reader: [statement('ebs:Describe*')],
        denied: [statement('ebs:*'), {...statement('ebs:Reprotect*'), Effect: 'Deny'}],
        secure: [statement('*', '*', {Condition: {Bool: {'acs:SecureTransport': 'true'}}})],
        local: [statement('*', '*', {Condition: {IpAddress: {'acs:SourceIp': '127.0.0.0/8'}}})],
        far: [statement('*', '*', {Condition: {IpAddress: {'acs:SourceIp': '192.0.2.0/24'}}})],
    };
}

export async function makeUsers(world) {
    const {lab} = world;

    for (const [user, statements] of Object.entries(policies(world)))
        world.keys[user] = await lab.new_user(user, {Version: '1', Statement: statements});
    await Promise.all(Object.keys(policies(world)).map((user) => isKnown(world, user)));
}

// The other site's door knows him and what he may: each of these policies names Describe, though perhaps not from here.
export async function isKnown(world, user) {
    const passes = ['InvalidAccessKeyId.NotFound', 'Forbidden.Action'];

    await until(() => describe(world, user, world.doors.lyon).catch((error) => {
        if (error.code === 'Forbidden')
            return error;
        if (!passes.includes(error.code))
            throw error;
    }), `lyon knows ${user}`);
}

function describe(world, user, door = world.doors.paris) {
    return new Caller(lines.v3Query, world.keys[user], door, world.sites).ebs('DescribeDiskReplicaGroups',
        {RegionId: world.sites.paris.region, MaxResults: 100});
}

// The group is running: who may ask hears that.
function isAllowed(world, user, door) {
    return refused(reprotect(world, lines.v3Query, 'lyon', world.groups.running, {key: world.keys[user], door}),
        E.invalidStatus);
}

async function isBarred(world, user, door) {
    await refused(reprotect(world, lines.v3Query, 'lyon', world.groups.running, {key: world.keys[user], door}), E.forbidden);
    await refused(describe(world, user), E.forbidden); // no empty list, which would say that all is gone
}

async function seesItsOwn(world) {
    const all = await describe(world, 'root'), own = await describe(world, 'elsewhere');

    assert.ok(all.ReplicaGroups.length > 1);
    assert.deepEqual(own.ReplicaGroups.map((one) => one.ReplicaGroupId), [world.groups.running]);
}

export const policyTests = (world) => [
    ...Object.values(lines).flatMap((line) => [
        [`Forbidden: ${line.name}`, () =>
            refused(reprotect(world, line, 'lyon', world.groups.failedOver, {key: world.keys.elsewhere}), E.forbidden)],
        [`Forbidden.Action: ${line.name}`, () => refused(reprotect(world, line, 'lyon', world.groups.failedOver,
            {key: world.keys.reader}), E.forbiddenAction)],
        [`allowed, so the state decides: ${line.name}`, () => refused(reprotect(world, line, 'lyon', world.groups.running,
            {key: world.keys.elsewhere}), E.invalidStatus)],
    ]),
    ['policy: passed on by paris, refused all the same', () => refused(reprotect(world, lines.v3Query, 'lyon',
        world.groups.failedOver, {key: world.keys.elsewhere, door: world.doors.paris}), E.forbidden)],
    ['policy: Deny wins', async () => {
        const refusal = await reprotect(world, lines.v3Query, 'lyon', world.groups.failedOver,
            {key: world.keys.denied}).catch((error) => error);
        assert.match(refusal.code, /^Forbidden/);
        assert.ok((await describe(world, 'denied')).ReplicaGroups.length > 1);
    }],
    ['policy: lists show what the caller may see', () => seesItsOwn(world)],
    ['policy: acs:SecureTransport', async () => {
        await isBarred(world, 'secure', world.doors.lyon);
        await isAllowed(world, 'secure', {...world.tlsDoors.lyon, ca: world.sites.ca});
    }],
    ['policy: acs:SourceIp', async () => {
        await isBarred(world, 'far', world.doors.lyon);
        await isAllowed(world, 'local', world.doors.lyon);
    }],
];
