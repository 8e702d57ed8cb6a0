// SPDX-License-Identifier: Apache-2.0
// The codes of the disk operations, through every line; ecs20140526 goes through its generated methods and models.
import assert from 'node:assert/strict';
import {lines} from './clients.mjs';
import {refused} from './errors.mjs';
import {until} from './lab.mjs';
import {Caller, nameOf} from './story.mjs';
import {HOSTILE} from './wire.mjs';

const SIZED = {Size: 1, DiskCategory: 'cloud_essd'};

// [action, parameters of (world, fixtures), status, code, sentence]
const CASES = [
    ['CreateDisk', (w) => ({...SIZED, RegionId: w.region, ZoneId: w.zone, DiskName: '1-digit'}), 400,
        'InvalidDiskName.Malformed', 'The specified disk name is wrongly formed.'],
    ['CreateDisk', (w) => ({...SIZED, RegionId: w.region, ZoneId: w.zone, Description: 'http://x'}), 400,
        'InvalidDescription.Malformed', 'The specified description is wrongly formed.'],
    ['CreateDisk', (w) => ({RegionId: w.region, ZoneId: w.zone}), 400, 'MissingParameter',
        'The input parameter either "SnapshotId" or "Size" should be specified.'],
    ['CreateDisk', (w) => ({...SIZED, RegionId: w.region}), 400, 'MissingParameter',
        'The input parameter ZoneId that is mandatory for processing this request is not supplied.'],
    ['CreateDisk', (w) => ({...SIZED, RegionId: w.region, ZoneId: w.zone, DiskCategory: 'tape'}), 400,
        'InvalidDiskCategory.ValueNotSupported', 'The specified parameter "DiskCategory" is not valid.'],
    ['CreateDisk', (w) => ({...SIZED, RegionId: w.region, ZoneId: w.zone, PerformanceLevel: 'PL9'}), 400,
        'InvalidPerformanceLevel.Malformed', 'The specified parameter PerformanceLevel is not valid.'],
    ['CreateDisk', (w) => ({...SIZED, RegionId: w.region, ZoneId: w.zone, Size: 999999}), 400,
        'InvalidSize.ValueNotSupported', 'The specified parameter Size is not valid.'],
    ['CreateDisk', (w, f) => ({...SIZED, RegionId: w.region, ZoneId: w.zone, ClientToken: f.token, Size: 2}), 400,
        'IdempotentParameterMismatch', 'The specified parameter has changed while using an already used clientToken.'],
    ['CreateDisk', (w) => ({...SIZED, RegionId: 'atlantis', ZoneId: w.zone}), 404, 'InvalidRegionId.NotFound', ''],
    ['CreateDisk', (w) => ({...SIZED, RegionId: w.region, ZoneId: 'atlantis-a'}), 404, 'InvalidZoneId.NotFound', ''],
    ['DeleteDisk', () => ({DiskId: 'd-nosuchdisk'}), 404, 'InvalidDiskId.NotFound',
        'The specified disk does not exist.'],
    ['DeleteDisk', (w, f) => ({DiskId: f.attached}), 403, 'DiskStillAttached',
        'The disk is still attached to the disk.'],
    ['DeleteDisk', (w, f) => ({DiskId: f.source}), 403, 'IncorrectDiskStatus',
        'The current disk status does not support this operation.'],
    ['AttachDisk', (w) => ({DiskId: 'd-nosuchdisk', InstanceId: 'i-1', RegionId: w.region}), 404,
        'InvalidDiskId.NotFound', 'The specified disk does not exist.'],
    ['AttachDisk', (w, f) => ({DiskId: f.target, InstanceId: 'i-1'}), 403, 'IncorrectDiskStatus',
        'The current disk status does not support this operation.'],
    ['DetachDisk', (w, f) => ({DiskId: f.attached, InstanceId: 'i-other'}), 403, 'DependencyViolation',
        'The specified disk has not been attached on the specified instance.'],
    ['DetachDisk', (w, f) => ({DiskId: f.source, InstanceId: 'i-1'}), 404, 'InvalidDisk.AlreadyDetached',
        'The specified disk has been detached.'],
    ['DescribeDisks', (w) => ({RegionId: w.region, Status: 'Lost'}), 400, 'InvalidStatus.ValueNotSupported',
        'The specified disk status is not supported.'],
    ['DescribeDisks', (w) => ({RegionId: w.region, Category: 'tape'}), 400, 'InvalidCategory.ValueNotSupported',
        'The specified disk category is not supported.'],
    ['DescribeDisks', (w) => ({RegionId: w.region, DiskType: 'floppy'}), 400, 'InvalidDiskType.ValueNotSupported',
        'The specified disk type is not supported.'],
    ['DescribeDisks', (w) => ({RegionId: w.region, DiskIds: 'd-1,d-2'}), 400, 'InvalidParameter.DiskIds',
        'The specified parameter diskIds is not valid.'],
    ['DescribeDisks', (w) => ({RegionId: w.region, DiskIds: JSON.stringify(Array(101).fill('d-1'))}), 403,
        'InvalidDiskIds.Malformed', 'The amount of specified disk Ids exceeds the limit.'],
    ['DescribeDisks', (w) => ({RegionId: w.region, DryRun: true}), 400, 'DryRunOperation', ''],
    ['ModifyDiskAttribute', (w, f) => ({RegionId: w.region, DiskId: f.source}), 400, 'NoAttributeToModify',
        'No attribute to be modified in this request.'],
    ['ModifyDiskAttribute', (w) => ({RegionId: w.region, DiskName: 'name'}), 400, 'MissingParameter.DiskIdOrDiskIds',
        'Specified parameter DiskId or DiskIds is missing.'],
    ['ModifyDiskAttribute', (w, f) => ({RegionId: w.region, DiskId: f.source, DiskName: '1'}), 400,
        'InvalidDiskName.Malformed', 'The specified disk name is wrongly formed.'],
    ['ModifyDiskAttribute', (w, f) => ({RegionId: w.region, DiskId: f.source, Description: 'https://x'}), 404,
        'InvalidDescription.Malformed', 'The specified description is wrongly formed.'],
    ['ModifyDiskAttribute', () => ({DiskId: 'd-nosuchdisk', DiskName: 'name'}), 404, 'InvalidDiskId.NotFound',
        'The specified disk does not exist.'],
    ['ResizeDisk', (w, f) => ({DiskId: f.attached, NewSize: 1}), 403, 'InvalidDiskSize',
        'Specified new disk size is less than or equal the original disk size.'],
    ['ResizeDisk', (w, f) => ({DiskId: f.attached, NewSize: 2, Type: 'sideways'}), 400, 'InvalidParam.Type',
        'The specified type is not supported.'],
    ['ResizeDisk', () => ({DiskId: 'd-nosuchdisk', NewSize: 2}), 404, 'InvalidDiskId.NotFound', ''],
];

export async function makeDisks(world) {
    const user = new Caller(lines.ecs, world.keys.root, world.doors.paris, world.sites);
    const token = 'disks-token';
    const attached = await user.disk('paris', 'attached', {ClientToken: token, DiskName: undefined});
    const source = await user.disk('paris', 'source'), target = await user.disk('lyon', 'target');

    await user.pair('disks', source, target);
    await user.attach('paris', attached);
    return {attached, source, target, token};
}

// Success: made, found, changed, grown, attached, detached, gone.
async function life(world, line) {
    const user = new Caller(line, world.keys.root, world.doors.paris, world.sites), {region} = world.sites.paris;
    const name = nameOf('disk', line);
    const disk = await user.disk('paris', name);
    const show = () => user.showDisk('paris', disk);

    assert.deepEqual([(await show()).Size, (await show()).Status].map(String), ['1', 'Available']);
    await user.ecs('ModifyDiskAttribute', {RegionId: region, DiskId: disk, DiskName: `${name}-new`, Description: HOSTILE});
    assert.deepEqual([(await show()).DiskName, (await show()).Description], [`${name}-new`, HOSTILE]);
    await user.ecs('ResizeDisk', {DiskId: disk, NewSize: 2});
    await until(async () => String((await show()).Size) === '2', `${disk} has grown`);
    await user.attach('paris', disk);
    assert.deepEqual([(await show()).Status, (await show()).InstanceId], ['In_use', 'i-client']);
    await user.detach('paris', disk);
    await user.ecs('DeleteDisk', {DiskId: disk});
    await until(async () => !await show(), `${disk} is gone`);
}

export const diskTests = (world) => [...Object.values(lines).map((line) =>
    [`life of a disk: ${line.name}`, () => life(world, line)]), ...CASES.flatMap(([action, parameters, ...error], number) =>
    Object.values(lines).map((line) => [`${action} ${number + 1}, ${error[1]}: ${line.name}`, async () => {
        const user = new Caller(line, world.keys.root, world.doors.paris, world.sites);
        await refused(user.ecs(action, parameters(world.sites.paris, world.disks)), error);
    }]))];
