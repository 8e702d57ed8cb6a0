// SPDX-License-Identifier: Apache-2.0
// The acceptance sequence of the Terraform provider, with hosts' data behind it: both sites in one region, one endpoint,
// no Site ever sent, and a network that drops each fifth answer.
import assert from 'node:assert/strict';
import {ECS, lines} from './clients.mjs';
import {Proxy} from './proxy.mjs';
import {Caller, MIB} from './story.mjs';
import {Terraform} from './terraform.mjs';

// The hosts of both sites: they attach, write and read; Terraform does nothing of this.
class Hosts {
    constructor(world) {
        this.lab = world.lab;
        this.users = Object.fromEntries(['paris', 'lyon'].map((site) =>
            [site, new Caller(lines.v3Query, world.keys.hosts, world.doors[site], world.sites)]));
    }

    async attach(site, disk) {
        await this.users[site].attach(site, disk);
        await this.lab.wait_export(site, disk);
    }

    async detach(site, disk) {
        await this.users[site].detach(site, disk);
    }

    async digest(site, disk) {
        await this.attach(site, disk);
        try {
            return await this.lab.digest(site, disk);
        } finally {
            await this.detach(site, disk);
        }
    }

    async write(site, disk, pattern) {
        await this.attach(site, disk);
        await this.lab.write(site, disk, pattern, pattern * MIB, MIB);
        await this.detach(site, disk);
    }

    async waitPoint(id) {
        await this.lab.verso('paris', 'wait', id, '--for', 'recovery-point', '--timeout', '60', '-q');
    }
}

async function makePair(tf, world, name) {
    const {paris, lyon} = world.sites;
    const source = await tf.createDisk(paris.zone, `${name}-a`), target = await tf.createDisk(lyon.zone, `${name}-b`);
    const {ReplicaPairId: pair} = await tf.change('CreateDiskReplicaPair', {}, {
        SourceZoneId: paris.zone, DestinationRegionId: tf.region, DestinationZoneId: lyon.zone, DiskId: source,
        DestinationDiskId: target, PairName: name, RPO: 900,
    }, ['InternalError']);

    await tf.status(tf.pair, pair, 'created', 'normal', 'stopped', 'syncing', 'manual_syncing');
    return {pair, source, target};
}

async function makeGroup(tf, world, name) {
    const {ReplicaGroupId: group} = await tf.change('CreateDiskReplicaGroup', {}, {
        SourceZoneId: world.sites.paris.zone, DestinationRegionId: tf.region,
        DestinationZoneId: world.sites.lyon.zone, GroupName: name, RPO: 900,
    });

    await tf.status(tf.group, group, 'created');
    return group;
}

async function modify(tf, kind, id) {
    const [key, name] = kind === 'Group' ? ['ReplicaGroupId', 'GroupName'] : ['ReplicaPairId', 'PairName'];
    const read = () => (kind === 'Group' ? tf.group(id) : tf.pair(id));

    await tf.change(`ModifyDiskReplica${kind}`, {[key]: id}, {[name]: 'renamed', Description: 'by Terraform'});
    const {[name]: shown, Description} = await read();
    assert.deepEqual([shown, Description], ['renamed', 'by Terraform']);
    const type = {ResourceType: `DiskReplica${kind}`, 'ResourceId.1': id}; // mixed case, as the provider does
    await tf.change('TagResources', {}, {...type, 'Tag.1.Key': 'Created', 'Tag.1.Value': 'TF', 'Tag.2.Key': 'For',
        'Tag.2.Value': 'acceptance test'});
    await tf.change('UntagResources', {}, {...type, 'TagKey.1': 'Created'});
    const {TagResources} = await tf.change('ListTagResources', {}, type);
    assert.deepEqual(TagResources.map(({TagKey, TagValue}) => [TagKey, TagValue]), [['For', 'acceptance test']]);
    const {TagKeys} = await tf.change('DescribeUserTagKeys', {}, {TagFilterKey: 'Fo'});
    const {TagValues} = await tf.change('DescribeUserTagValues', {}, {TagKey: 'For'});
    assert.deepEqual([TagKeys, TagValues], [['For'], ['acceptance test']]);
    await tf.change('ChangeResourceGroup', {}, {ResourceType: `DiskReplica${kind}`, ResourceId: id,
        NewResourceGroupId: 'rg-acceptance'});
    assert.equal((await read()).ResourceGroupId, 'rg-acceptance');
}

// Start, failover, the other site has the data, what is written there is given up, the first site goes on.
async function roundTrip(tf, hosts, kind, id, {source, target}) {
    await hosts.write('paris', source, 1);
    await tf.setStatus(kind, id, 'normal', {OneShot: false});
    await hosts.write('paris', source, 2);
    await hosts.waitPoint(id);
    const written = await hosts.digest('paris', source);
    await tf.setStatus(kind, id, 'failovered');
    assert.equal(await hosts.digest('lyon', target), written, 'the data after the failover');
    await hosts.write('lyon', target, 3);
    await tf.setStatus(kind, id, 'stopped', {ReverseReplicate: false});
    assert.equal(await hosts.digest('paris', source), written, 'the data after the reprotect');
    await tf.setStatus(kind, id, 'normal', {OneShot: false});
    await hosts.write('paris', source, 4);
    await hosts.waitPoint(id);
    const again = await hosts.digest('paris', source);
    await tf.setStatus(kind, id, 'failovered');
    assert.equal(await hosts.digest('lyon', target), again, 'nothing of what was written at lyon is left');
}

// As above, but what was written at the other site stays and comes back.
async function reverse(tf, hosts, kind, id, {source, target}) {
    await hosts.write('lyon', target, 5);
    const written = await hosts.digest('lyon', target);
    await tf.setStatus(kind, id, 'stopped', {ReverseReplicate: true});
    await tf.setStatus(kind, id, 'normal');
    await hosts.waitPoint(id);
    await tf.setStatus(kind, id, 'failovered');
    assert.equal(await hosts.digest('paris', source), written, 'the data came back');
}

async function destroyPair(tf, hosts, {pair, source, target}) {
    await tf.destroy('DeleteDiskReplicaPair', {ReplicaPairId: pair}, ['OperationDenied.InvalidStatus']);
    await tf.gone(tf.pair, pair);
    for (const disk of [source, target])
        await tf.deleteDisk(disk);
    for (const [site, disk] of [['paris', source], ['lyon', target]]) // not only Terraform thinks so
        assert.equal(await hosts.users[site].showDisk(site, disk), undefined);
}

async function groupSequence(tf, hosts, world) {
    const group = await makeGroup(tf, world, 'tf-group');

    await modify(tf, 'Group', group);
    const made = await makePair(tf, world, 'tf-member');
    await tf.change('AddDiskReplicaPair', {}, {ReplicaGroupId: group, ReplicaPairId: made.pair},
        ['OperationDenied.PairStatusCannotAddToGroup', 'OperationDenied.GroupStatusCannotAddPair', 'InternalError']);
    await tf.poll(tf.group, group, (record) => (record?.PairIds ?? null) !== null, 'with pairs');
    await roundTrip(tf, hosts, 'Group', group, made);
    await tf.setStatus('Group', group, 'stopped', {ReverseReplicate: false});
    await tf.change('RemoveDiskReplicaPair', {}, {ReplicaGroupId: group, ReplicaPairId: made.pair},
        ['OperationDenied.NoPairInGroup', 'OperationDenied.PairStatusCannotRemoveFromGroup',
            'OperationDenied.GroupStatusCannotRemovePair', 'InternalError']);
    await tf.destroy('DeleteDiskReplicaGroup', {ReplicaGroupId: group},
        ['OperationDenied.InvalidStatus', 'OperationDenied.GroupHasPair']);
    await tf.gone(tf.group, group);
    await destroyPair(tf, hosts, made);
}

async function pairSequence(tf, hosts, world) {
    const made = await makePair(tf, world, 'tf-pair');

    await modify(tf, 'Pair', made.pair);
    await roundTrip(tf, hosts, 'Pair', made.pair, made);
    await reverse(tf, hosts, 'Pair', made.pair, made);
    await destroyPair(tf, hosts, made);
}

// What the usual configurations look up before they make anything, and lists in pages.
async function dataSources(tf, hosts, world) {
    const {paris, lyon} = world.sites, {region} = tf;
    const {Regions: ours} = await tf.change('DescribeRegions', {}, {});
    assert.deepEqual(ours.map((one) => one.RegionId), [region]);
    assert.deepEqual(ours[0].Zones.map((zone) => zone.ZoneId).sort(), [paris.zone, lyon.zone].sort());
    const {Regions: theirs} = await tf.change('DescribeRegions', {}, {}, [], ECS);
    assert.deepEqual(theirs.Region.map((one) => one.RegionId), [region]);
    const made = [], seen = [];
    for (let i = 0; i < 5; i++)
        made.push(await makeGroup(tf, world, `tf-list-${i}`));
    let token;
    do {
        const page = await tf.change('DescribeDiskReplicaGroups', {GroupIds: made.join(',')},
            {MaxResults: 2, ...token ? {NextToken: token} : {}});
        assert.ok(page.ReplicaGroups.length <= 2);
        seen.push(...page.ReplicaGroups.map((one) => one.ReplicaGroupId));
        token = page.NextToken;
    } while (token);
    assert.deepEqual(seen, made); // by time of creation
    for (const id of made)
        await tf.destroy('DeleteDiskReplicaGroup', {ReplicaGroupId: id}, ['OperationDenied.InvalidStatus']);
}

async function over(world, sequence) {
    const proxy = await Proxy.to(world.doors.paris);

    try {
        proxy.mode = 'flaky';
        const tf = new Terraform(world.keys.terraform, proxy.door, world.sites.paris.region);
        await sequence(tf, new Hosts(world), world);
        assert.ok(tf.repeats > 2, `${tf.repeats} of ${tf.requests} requests were repeats`);
    } finally {
        proxy.close();
    }
}

export const acceptanceTests = (world) => [
    ['Terraform: the acceptance sequence of a group', () => over(world, groupSequence)],
    ['Terraform: the sequence of a pair, and the way back', () => over(world, pairSequence)],
    ['Terraform: its data sources', () => over(world, dataSources)],
];
