// SPDX-License-Identifier: Apache-2.0
// The codes of the disk operations, through every line; ecs20140526 goes through its generated methods and models.
import {lines} from './clients.mjs';
import {refused} from './errors.mjs';
import {Caller} from './story.mjs';

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

export const diskTests = (world) => CASES.flatMap(([action, parameters, ...error], number) =>
    Object.values(lines).map((line) => [`${action} ${number + 1}, ${error[1]}: ${line.name}`, async () => {
        const user = new Caller(line, world.keys.root, world.doors.paris, world.sites);
        await refused(user.ecs(action, parameters(world.sites.paris, world.disks)), error);
    }]));
