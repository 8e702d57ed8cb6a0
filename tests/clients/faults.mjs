// SPDX-License-Identifier: Apache-2.0
// What a network does to a call, through every line: hostile characters, an answer that comes too late or not at all, a
// reset. After each fault the user asks again with the same ClientToken, and what he wanted is there once.
import assert from 'node:assert/strict';
import {randomUUID} from 'node:crypto';
import {Broken, lines} from './clients.mjs';
import {Proxy} from './proxy.mjs';
import {Caller, nameOf} from './story.mjs';
import {HOSTILE} from './wire.mjs';

function userOf(world, line, door = world.doors.paris) {
    return new Caller(line, world.keys.root, door, world.sites);
}

async function named(user, name) {
    const {Disks} = await user.ecs('DescribeDisks', {RegionId: user.sites.paris.region, DiskName: name});
    return Disks.Disk;
}

async function hostile(world, line) {
    const user = userOf(world, line), name = nameOf('hostile', line);
    const more = {Description: HOSTILE, ResourceGroupId: '', ClientToken: `to ken*~/+'()!=&%41 ${line.name}`};
    const disk = await user.disk('paris', name, more);

    assert.equal(await user.disk('paris', name, more), disk);
    const [shown, ...others] = await named(user, name);
    assert.equal(shown.Description, HOSTILE);
    assert.deepEqual(others, []);
    // What nobody knows is signed and ignored. (Names are left alone: SDKs do not encode them when they sign V3.)
    const group = await user.ebs('CreateDiskReplicaGroup', {RegionId: world.sites.paris.region,
        SourceZoneId: world.sites.paris.zone, DestinationRegionId: world.sites.lyon.region,
        DestinationZoneId: world.sites.lyon.zone, Description: HOSTILE, SourceIp: '10.0.0.1', 'X.1.Unknown': HOSTILE});
    assert.equal((await user.showGroup(group.ReplicaGroupId)).Description, HOSTILE);
}

// A disk is asked for while the proxy misbehaves, and again when it does not.
async function onceOnly(world, line, mode, isServed) {
    const proxy = await Proxy.to({port: world.doors.paris.port});
    const user = userOf(world, line, proxy.door), name = nameOf(mode, line);
    const more = {ClientToken: randomUUID()};

    try {
        proxy.mode = mode;
        const error = await user.disk('paris', name, more).then(() => assert.fail('it was answered'), (thrown) => thrown);
        assert.ok(error instanceof Broken, error.message);
        proxy.mode = 'pass';
        assert.equal((await named(userOf(world, line), name)).length, isServed ? 1 : 0);
        const disk = await user.disk('paris', name, more);
        assert.deepEqual((await named(user, name)).map((one) => one.DiskId), [disk]);
    } finally {
        proxy.close();
    }
}

export const faultTests = (world) => Object.values(lines).flatMap((line) => [
    [`hostile characters: ${line.name}`, () => hostile(world, line)],
    [`the answer comes after 3.5 s: ${line.name}`, () => onceOnly(world, line, 'delay', true)],
    [`the answer is dropped: ${line.name}`, () => onceOnly(world, line, 'drop', true)],
    [`a reset before the request: ${line.name}`, () => onceOnly(world, line, 'reset', false)],
]);
