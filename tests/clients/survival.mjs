// SPDX-License-Identifier: Apache-2.0
// Sites that die: killed between doing and answering, and gone while the other one fails over.
import assert from 'node:assert/strict';
import {randomUUID} from 'node:crypto';
import {Broken, lines} from './clients.mjs';
import {until} from './lab.mjs';
import {Proxy} from './proxy.mjs';
import {Caller, nameOf} from './story.mjs';

function callers(world, door) {
    return Object.values(lines).map((line) => new Caller(line, world.keys.root, door, world.sites));
}

// Each line asks for a disk, hears nothing, the daemon is killed, and each asks again when it is back.
async function killedBeforeItAnswered(world) {
    const proxy = await Proxy.to(world.doors.paris), tokens = new Map();
    const ask = (user) => user.disk('paris', nameOf('killed', user.line), {ClientToken: tokens.get(user.line)});

    try {
        proxy.mode = 'drop';
        await Promise.all(callers(world, proxy.door).map(async (user) => {
            tokens.set(user.line, randomUUID());
            const error = await ask(user).then(() => assert.fail('it was answered'), (thrown) => thrown);
            assert.ok(error instanceof Broken, error.message);
        }));
        await world.lab.kill('paris');
        proxy.mode = 'pass';
        await assert.rejects(ask(callers(world, proxy.door)[0]), Broken);
        await world.lab.start_again('paris');
        await Promise.all(callers(world, proxy.door).map(async (user) => {
            const disk = await ask(user);
            const {Disks} = await user.ecs('DescribeDisks', {RegionId: world.sites.paris.region,
                DiskName: nameOf('killed', user.line)});
            assert.deepEqual(Disks.Disk.map((one) => one.DiskId), [disk], user.line.name);
        }));
    } finally {
        proxy.close();
    }
}

// The same in the middle of it: some were answered, some were done, some never arrived.
async function killedMeanwhile(world, round) {
    const users = callers(world, world.doors.paris);
    const ask = (user) => user.disk('paris', nameOf(`meanwhile-${round}`, user.line), {ClientToken: user.token});
    const first = users.map((user) => {
        user.token = randomUUID();
        return ask(user).catch((error) => {
            assert.ok(error instanceof Broken, error.message);
        });
    });

    await Promise.race(first);
    await world.lab.kill('paris');
    const answers = await Promise.all(first);
    await world.lab.start_again('paris');
    await Promise.all(users.map(async (user, i) => {
        const disk = await ask(user);
        assert.equal(answers[i] ?? disk, disk);
        const {Disks} = await user.ecs('DescribeDisks', {RegionId: world.sites.paris.region,
            DiskName: nameOf(`meanwhile-${round}`, user.line)});
        assert.deepEqual(Disks.Disk.map((one) => one.DiskId), [disk], user.line.name);
    }));
}

// paris is gone: lyon knows the callers, fails over at once, serves the disk, and refuses what needs paris, in time.
async function failoverAlone(world) {
    const user = new Caller(lines.rpc, world.keys.root, world.doors.lyon, world.sites);
    const {group, target} = await user.pairedGroup('survivor');

    await user.startGroup(group);
    await until(async () => (await user.showGroup(group, 'lyon'))?.LastRecoverPoint, 'lyon has a point');
    await world.lab.kill('paris');
    await user.group_('Failover', 'lyon', group);
    await until(async () => (await user.showGroup(group, 'lyon')).Status === 'failovered', 'it is failed over');
    await user.attach('lyon', target);
    await world.lab.wait_export('lyon', target);
    await world.lab.write('lyon', target, 7, 0, 1 << 20);
    const error = await user.group_('Reprotect', 'lyon', group).catch((thrown) => thrown);
    assert.equal(error.code, 'RequestTimeout');
    await user.detach('lyon', target);
    await world.lab.start_again('paris');
    await user.groupIs(group, 'failovered');
    await user.group_('Reprotect', 'lyon', group);
    await user.groupIs(group, 'stopped');
}

export const survivalTests = (world) => [
    ['killed between doing and answering: every line gets the first result', () => killedBeforeItAnswered(world)],
    ...[1, 2, 3].map((round) => [`killed in the middle of calls, ${round}: each is done once`, () =>
        killedMeanwhile(world, round)]),
    ['the other site is gone: failover through a client', () => failoverAlone(world)],
];
