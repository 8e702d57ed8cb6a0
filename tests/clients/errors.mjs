// SPDX-License-Identifier: Apache-2.0
// Errors, each through every line. Of ReprotectDiskReplicaGroup all ten codes of its page, each from the situation
// that it stands for: nothing is planted in the daemons.
import assert from 'node:assert/strict';
import {lines, Refusal} from './clients.mjs';
import {until} from './lab.mjs';
import {Caller} from './story.mjs';

export const UUID = /^[0-9A-F]{8}-[0-9A-F]{4}-4[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12}$/;

// What clients need of every error, and what the contract says of this one: [status, code, sentence].
export async function refused(promise, [status, code, sentence]) {
    const refusal = await promise.then(() => assert.fail(`success in place of ${code}`), (error) => error);

    if (!(refusal instanceof Refusal))
        throw refusal;
    assert.equal(refusal.data.Code, code, refusal.message);
    assert.equal(refusal.code, code);
    assert.match(refusal.requestId, UUID);
    for (const name of ['RequestId', 'HostId', 'Code', 'Message', 'Recommend'])
        assert.ok(['string', 'undefined'].includes(typeof refusal.data[name]), name);
    assert.ok(refusal.data.Message.startsWith(sentence), refusal.data.Message);
    if (refusal.status)
        assert.equal(refusal.status, status, code);
    return refusal;
}

export const E = {
    denied: [403, 'OperationDenied', 'The operation is not allowed.'],
    invalidStatus: [403, 'OperationDenied.InvalidStatus', 'The operation is not allowed in current status.'],
    noPair: [403, 'OperationDenied.NoPairInGroup', 'The operation is not allowed because no pair in the group.'],
    notForPrimary: [403, 'OperationDenied.OperateNotAllowedForPrimary', 'Operation is not allowed on the primary site.'],
    notForStandby: [403, 'OperationDenied.OperateNotAllowedForStandby',
        'Operation is not allowed on the secondary site.'],
    forbidden: [403, 'Forbidden', 'User is not authorized to operate.'],
    forbiddenAction: [403, 'Forbidden.Action', 'User is not authorized to operate this action.'],
    noResource: [404, 'NoSuchResource', 'The specified resource does not exist.'],
    internal: [500, 'InternalError',
        'The request processing has failed due to some unknown error, exception or failure.'],
    timeout: [504, 'RequestTimeout', 'The request is timeout, please try again later.'],
};

// The groups that the refusals need.
export async function makeGroups(world) {
    const user = new Caller(lines.rpc, world.keys.root, world.doors.paris, world.sites);
    const [empty, running, attached, failedOver, reversed] = await Promise.all([
        user.group('empty'), user.pairedGroup('running'), user.pairedGroup('attached'),
        user.failedOverGroup('failed-over'), user.failedOverGroup('reversed')]);

    await user.attach('paris', attached.source);
    await Promise.all([running, attached].map(({group}) => user.startGroup(group)));
    await user.groupIs(running.group, 'normal');
    await user.failOverGroup(attached.group);
    await user.group_('Reprotect', 'lyon', reversed.group);
    await user.groupIs(reversed.group, 'stopped');
    return {empty, running: running.group, attached: attached.group, failedOver: failedOver.group,
        reversed: reversed.group};
}

export function reprotect(world, line, site, group, {key = world.keys.root, door = world.doors.lyon} = {}) {
    return new Caller(line, key, door, world.sites).group_('Reprotect', site, group, {ReverseReplicate: true});
}

// [error, how it comes about]: those that can be had side by side.
const SEED_CASES = [
    [E.denied, (world, line) => reprotect(world, line, 'lyon', world.groups.attached)],
    [E.invalidStatus, (world, line) => reprotect(world, line, 'lyon', world.groups.running)],
    [E.noPair, (world, line) => reprotect(world, line, 'lyon', world.groups.empty)],
    [E.notForPrimary, (world, line) => reprotect(world, line, 'paris', world.groups.failedOver)],
    [E.notForStandby, (world, line) => reprotect(world, line, 'lyon', world.groups.reversed)],
    [E.noResource, (world, line) => reprotect(world, line, 'lyon', 'pg-nosuchgroup')],
];

export const seedTests = (world) => SEED_CASES.flatMap(([error, provoke]) => Object.values(lines).map((line) =>
    [`${error[1]}: ${line.name}`, () => refused(provoke(world, line), error)]));

// The production site must be asked, and is there but answers nobody: the answer comes before clients give up.
export const timeoutTests = (world) => Object.values(lines).map((line) => [`RequestTimeout: ${line.name}`, async () => {
    const begun = Date.now();
    await refused(reprotect(world, line, 'lyon', world.groups.failedOver), E.timeout);
    assert.ok(Date.now() - begun < 3000, 'before the clients give up');
}]);

// The metadata cannot be written: the file system of the data folder is full, and the write-ahead log is new, so that it
// would have to grow.
export const internalTests = (world) => Object.values(lines).map((line) => [`InternalError: ${line.name}`, () =>
    refused(reprotect(world, line, 'lyon', world.groups.failedOver), E.internal)]);

// ... and nothing of all that came to pass: the group still stands where it stood, and goes on.
export const afterwardsTests = (world) => [['after refusals, a timeout and a full disk: the reprotect is done',
    async () => {
        const user = new Caller(lines.v3Query, world.keys.root, world.doors.lyon, world.sites);
        assert.equal((await user.showGroup(world.groups.failedOver, 'lyon')).Status, 'failovered');
        await until(() => reprotect(world, lines.v3Query, 'lyon', world.groups.failedOver).catch((error) => {
            if (error.code !== 'RequestTimeout')
                throw error;
        }), 'the link is up again');
        await user.groupIs(world.groups.failedOver, 'stopped');
    }]];
