// SPDX-License-Identifier: Apache-2.0
// Success: each line takes a group of its own from two new disks through failover and reprotect to its deletion.
import assert from 'node:assert/strict';
import {lines} from './clients.mjs';
import {until} from './lab.mjs';
import {Caller, nameOf, repeated} from './story.mjs';

async function life(world, line) {
    const user = new Caller(line, world.keys.root, world.doors.paris, world.sites);
    const away = new Caller(line, world.keys.root, world.doors.lyon, world.sites);
    const {group, pair, source, target} = await user.pairedGroup(nameOf('life', line));

    await user.startGroup(group);
    const before = await user.showGroup(group);
    assert.deepEqual([...before.PairIds], [pair]);
    assert.equal(before.SourceRegionId, world.sites.paris.region);
    assert.equal(String(before.RPO), '900');
    assert.ok(['normal', 'syncing'].includes(before.Status), before.Status);
    await away.failOverGroup(group);
    await user.group_('Reprotect', 'lyon', group, {ReverseReplicate: true}); // paris' door passes it on
    await user.groupIs(group, 'stopped');
    const after = await user.showGroup(group);
    assert.equal(after.SourceRegionId, world.sites.lyon.region);
    assert.equal(after.PrimaryRegion, world.sites.paris.region);
    const {SourceDiskId, DestinationDiskId} = await user.showPair(pair);
    assert.deepEqual([SourceDiskId, DestinationDiskId], [target, source]);
    await user.ebs('RemoveDiskReplicaPair', {RegionId: world.sites.paris.region, ReplicaGroupId: group,
        ReplicaPairId: pair});
    await user.group_('Delete', 'paris', group);
    await user.pair_('Delete', 'paris', pair);
    await until(async () => !await user.showGroup(group) && !await user.showPair(pair), `${group} and ${pair} are gone`);
    for (const [caller, site, disk] of [[user, 'paris', source], [away, 'lyon', target]]) {
        await repeated(() => caller.ecs('DeleteDisk', {DiskId: disk}), 'IncorrectDiskStatus');
        await until(async () => !await caller.showDisk(site, disk), `${disk} is gone`);
    }
}

export const lifeTests = (world) => Object.values(lines).map((line) =>
    [`life of a group: ${line.name}`, () => life(world, line)]);
