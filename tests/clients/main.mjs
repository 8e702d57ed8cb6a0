// SPDX-License-Identifier: Apache-2.0
// Runs everything against two sites of its own; an argument is a part of the names of the tests to run.
import {acceptanceTests} from './acceptance.mjs';
import {diskTests, makeDisks} from './disks.mjs';
import {docsTests, terraformPolicy} from './docs.mjs';
import * as errors from './errors.mjs';
import {faultTests} from './faults.mjs';
import {gatewayTests} from './gateway.mjs';
import {Harness} from './harness.mjs';
import {startLab} from './lab.mjs';
import {lifeTests} from './life.mjs';
import {isKnown, makeUsers, policyTests} from './policies.mjs';
import {survivalTests} from './survival.mjs';
import {throttleTests} from './throttle.mjs';
import {tlsTests} from './tls.mjs';
import {wireTests} from './wire.mjs';

const HOST = '127.0.0.1';

// {lab, sites, doors and tlsDoors by site, keys by user, groups, disks}
async function makeWorld(lab) {
    const {sites} = lab;
    const doors = (more) => Object.fromEntries(['paris', 'lyon'].map((site) => [site, more(sites[site])]));

    return {
        lab, sites, keys: await lab.keys(),
        doors: doors(({port}) => ({host: HOST, port})),
        tlsDoors: doors(({tlsPort}) => ({host: HOST, port: tlsPort, isTls: true})),
    };
}

// The metadata of the site cannot be written.
async function withFullDisk(harness, world, tests) {
    if (!await world.lab.fill('lyon')) {
        harness.skip('InternalError', 'a file system of its own, to fill it up, needs root');
        return;
    }
    await harness.phase(tests);
    await world.lab.empty('lyon');
}

async function matrix(harness, world) {
    const {lab} = world;

    await harness.phase(wireTests);
    await harness.phase(lifeTests(world));
    await harness.phase(faultTests(world), 48);
    await harness.phase(gatewayTests(world));
    await harness.phase(tlsTests(world));
    await harness.phase(docsTests(world));
    world.disks = await makeDisks(world);
    await harness.phase(diskTests(world));
    world.groups = await errors.makeGroups(world);
    await makeUsers(world);
    await harness.phase(policyTests(world));
    await harness.phase(errors.seedTests(world));
    await lab.silence('paris');
    await harness.phase(errors.timeoutTests(world), 48);
    await lab.wake('paris');
    await lab.restart('lyon');
    await withFullDisk(harness, world, errors.internalTests(world));
    await harness.phase(errors.afterwardsTests(world));
    await harness.phase(survivalTests(world), 1);
}

async function terraform(harness, world) {
    world.keys.terraform = await world.lab.new_user('terraform', terraformPolicy());
    await isKnown(world, 'terraform');
    await harness.phase(acceptanceTests(world));
    await world.lab.restart('paris', {'key-rate': 4}); // no machine is so slow that it keeps below that
    await harness.phase(throttleTests(world));
}

// Sites of its own; what their daemons said is shown when something failed.
async function withLab(harness, settings, run) {
    const lab = await startLab(settings);

    try {
        // What the tests stand on is a test itself, whatever was asked for.
        await harness.run(`set-up: ${run.name}`, async () => run(harness, await makeWorld(lab)), 600);
        if (harness.failures.length)
            console.log(await lab.logs());
    } finally {
        await lab.close();
    }
}

async function main() {
    const harness = new Harness(process.argv[2]);

    await withLab(harness, {api: {'key-rate': 100000}}, matrix);
    await withLab(harness, {region: 'eu-1', api: {'key-rate': 40}}, terraform);
    return harness.summary();
}

process.exit(await main());
