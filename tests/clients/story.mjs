// SPDX-License-Identifier: Apache-2.0
// What a user does with disks, pairs and groups, through any line. A Caller is a line with a key at a site's door; its
// `sites` are regions and zones by name.
import {randomUUID} from 'node:crypto';
import {EBS, ECS} from './clients.mjs';
import {until} from './lab.mjs';

export const MIB = 1 << 20;

// A name for things of a line's own.
export function nameOf(kind, line) {
    return `${kind}-${line.name.replaceAll(/[^A-Za-z0-9]+/g, '-')}`;
}

export class Caller {
    constructor(line, key, door, sites) {
        Object.assign(this, {line, key, door, sites});
    }

    ebs(action, parameters, more = {}) {
        return this.line.call({action, version: EBS, parameters, door: this.door, key: this.key, ...more});
    }

    ecs(action, parameters, more = {}) {
        return this.line.call({action, version: ECS, parameters, door: this.door, key: this.key, ...more});
    }

    // 1 GiB that is all hole: generated SDKs know no smaller unit.
    async disk(site, name, more = {}) {
        const {region, zone} = this.sites[site];

        return (await this.ecs('CreateDisk', {
            RegionId: region, ZoneId: zone, Size: 1, DiskCategory: 'cloud_essd', DiskName: name,
            ClientToken: randomUUID(), ...more,
        })).DiskId;
    }

    async attach(site, disk, instance = 'i-client') {
        await this.ecs('AttachDisk', {RegionId: this.sites[site].region, DiskId: disk, InstanceId: instance});
    }

    async detach(site, disk, instance = 'i-client') {
        await this.ecs('DetachDisk', {RegionId: this.sites[site].region, DiskId: disk, InstanceId: instance});
    }

    async group(name) {
        const {paris, lyon} = this.sites;
        const {ReplicaGroupId: id} = await this.ebs('CreateDiskReplicaGroup', {
            RegionId: paris.region, SourceZoneId: paris.zone, DestinationRegionId: lyon.region,
            DestinationZoneId: lyon.zone, GroupName: name, RPO: 900, ClientToken: randomUUID(),
        });

        await this.groupIs(id, 'created');
        return id;
    }

    async pair(name, source, target) {
        const {paris, lyon} = this.sites;
        const {ReplicaPairId: id} = await this.ebs('CreateDiskReplicaPair', {
            RegionId: paris.region, SourceZoneId: paris.zone, DiskId: source, DestinationRegionId: lyon.region,
            DestinationZoneId: lyon.zone, DestinationDiskId: target, PairName: name, ClientToken: randomUUID(),
        });

        await this.pairIs(id, 'created');
        return id;
    }

    async add(group, pair) {
        await this.ebs('AddDiskReplicaPair', {RegionId: this.sites.paris.region, ReplicaGroupId: group,
            ReplicaPairId: pair, ClientToken: randomUUID()});
    }

    // {group, pair, source, target}: one pair in a group, nothing started.
    async pairedGroup(name) {
        const source = await this.disk('paris', `${name}-a`), target = await this.disk('lyon', `${name}-b`);
        const pair = await this.pair(name, source, target), group = await this.group(name);

        await this.add(group, pair);
        return {group, pair, source, target};
    }

    // One of Start, Stop, Failover, Reprotect, Delete.
    async group_(verb, site, group, more = {}) {
        return await this.ebs(`${verb}DiskReplicaGroup`, {RegionId: this.sites[site].region, ReplicaGroupId: group,
            ClientToken: randomUUID(), ...more});
    }

    async pair_(verb, site, pair, more = {}) {
        return await this.ebs(`${verb}DiskReplicaPair`, {RegionId: this.sites[site].region, ReplicaPairId: pair,
            ClientToken: randomUUID(), ...more});
    }

    async showGroup(group, site = 'paris') {
        return (await this.ebs('DescribeDiskReplicaGroups', {RegionId: this.sites[site].region,
            GroupIds: group})).ReplicaGroups[0];
    }

    async showPair(pair, site = 'paris') {
        return (await this.ebs('DescribeDiskReplicaPairs', {RegionId: this.sites[site].region,
            PairIds: pair})).ReplicaPairs[0];
    }

    async groupIs(group, ...states) {
        return await stateIs(() => this.showGroup(group), group, states);
    }

    async pairIs(pair, ...states) {
        return await stateIs(() => this.showPair(pair), pair, states);
    }

    async showDisk(site, disk) {
        return (await this.ecs('DescribeDisks', {RegionId: this.sites[site].region,
            DiskIds: JSON.stringify([disk])})).Disks.Disk[0];
    }

    async startGroup(group) {
        await this.group_('Start', 'paris', group);
        await until(async () => (await this.showGroup(group)).LastRecoverPoint, `${group} has a recovery point`);
    }

    async failOverGroup(group) {
        await repeated(() => this.group_('Failover', 'lyon', group), 'OperationDenied.InvalidStatus');
        await this.groupIs(group, 'failovered');
    }

    async failedOverGroup(name) {
        const made = await this.pairedGroup(name);

        await this.startGroup(made.group);
        await this.failOverGroup(made.group);
        return made;
    }
}

// The sites tell each other of changes behind the answer, so the other one may lag for a moment. Such refusals are of
// states that pass by themselves, and clients repeat them.
export async function repeated(call, code) {
    let last;

    return await until(async () => {
        try {
            return await call() ?? true;
        } catch (error) {
            if (error.code !== code)
                throw error;
            last = error;
            return undefined;
        }
    }, () => `no more ${last}`);
}

async function stateIs(show, id, states) {
    let seen;

    await until(async () => states.includes(seen = (await show())?.Status),
        () => `${id} is ${states.join(' or ')}, it is ${seen}`);
    return seen;
}
