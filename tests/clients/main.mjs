// SPDX-License-Identifier: Apache-2.0
// Runs everything against two sites of its own; an argument is a part of the names of the tests to run.
import {acceptanceTests} from './acceptance.mjs';
import {diskTests, makeDisks} from './disks.mjs';
import * as errors from './errors.mjs';
import {faultTests} from './faults.mjs';
import {Harness} from './harness.mjs';
import {startLab} from './lab.mjs';
import {lifeTests} from './life.mjs';
import {wireTests} from './wire.mjs';
import {Proxy} from './proxy.mjs';

async function makeWorld(lab) {
    const {sites} = lab;
    const door = async (site) => (await Proxy.to({path: sites[site].socket})).door;
    return {
        lab, sites, keys: {root: {id: 'a', secret: 'b'}},
        doors: {paris: await door('paris'), lyon: await door('lyon')},
    };
}

async function phases(harness, world) {
    const {lab} = world;

    await harness.phase(wireTests);
    await harness.phase(lifeTests(world));
    await harness.phase(faultTests(world), 40);
    world.disks = await makeDisks(world);
    await harness.phase(diskTests(world));
    world.groups = await errors.makeGroups(world);
    await harness.phase(errors.seedTests(world));
    await lab.silence('paris');
    await harness.phase(errors.timeoutTests(world));
    await lab.wake('paris');
    await lab.restart('lyon');
    if (await lab.fill('lyon')) {
        await harness.phase(errors.internalTests(world));
        await lab.empty('lyon');
    } else {
        harness.skip('InternalError', 'a file system of its own, to fill it up, needs root');
    }
    await harness.phase(errors.afterwardsTests(world));
}

// What needs sites of its own.
async function withLab(harness, words, run) {
    const lab = await startLab(...words);

    try {
        await run(harness, await makeWorld(lab));
        if (harness.failures.length)
            console.log(await lab.logs());
    } finally {
        await lab.close();
    }
}

async function main() {
    const harness = new Harness(process.argv[2]);

    await withLab(harness, [], phases);
    await withLab(harness, ['eu-1'], (_, world) => harness.phase(acceptanceTests(world)));
    return harness.summary();
}

process.exit(await main());
