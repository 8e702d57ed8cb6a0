// SPDX-License-Identifier: Apache-2.0
// Flow control: more requests than `key-rate` of one key. What the SDKs make of it, and the headers that tell when to come
// again, for the two generations that read them.
import assert from 'node:assert/strict';
import http from 'node:http';
import {EBS, lines, Refusal} from './clients.mjs';

const BURST = 40;
const SIDE = 10; // more connections at once are another limit

// What came of it, call by call: undefined or the error.
async function burst(world, line, key) {
    const results = [];
    const call = () => line.call({action: 'DescribeDiskReplicaGroups', version: EBS,
        parameters: {RegionId: world.sites.paris.region}, door: world.doors.paris, key});

    await Promise.all(Array.from({length: SIDE}, async () => {
        while (results.length < BURST)
            results.push(await call().then(() => undefined, (error) => error));
    }));
    return results;
}

async function throttled(world, line) {
    const errors = (await burst(world, line, world.keys.root)).filter(Boolean);

    assert.ok(errors.length > 0, `${BURST} at once are too many`);
    for (const error of errors) {
        assert.ok(error instanceof Refusal, error.message);
        assert.equal(error.code, 'Throttling.User');
        assert.ok([0, 400].includes(error.status));
    }
    return errors;
}

// openapi-core reads x-acs-retry-after, in milliseconds.
async function tellsWhen(world) {
    const errors = await throttled(world, lines.v3Query);

    for (const {cause} of errors) {
        assert.equal(cause.constructor.name, 'ThrottlingError');
        assert.ok(cause.retryAfter > 0 && cause.retryAfter <= 60000, String(cause.retryAfter));
    }
}

// The headers themselves, as the Go SDK reads them: seen by a request hook, since no npm client shows them.
async function bothHeaders(world) {
    const seen = [];
    const original = http.request;

    http.request = (...words) => original(...words).on('response', (answer) => seen.push(answer.headers));
    try {
        await throttled(world, lines.cli);
    } finally {
        http.request = original;
    }
    const told = seen.filter((headers) => headers['x-acs-retry-after']);
    assert.ok(told.length > 0);
    for (const headers of told) {
        assert.match(headers['x-acs-retry-after'], /^\d+$/);
        assert.equal(headers['x-ratelimit-user-api'], `TimeLeft:${headers['x-acs-retry-after']}`);
    }
}

export const throttleTests = (world) => [
    ['Throttling.User: every line', async () => {
        for (const line of Object.values(lines))
            await throttled(world, line);
    }],
    ['Throttling.User: x-acs-retry-after, read by openapi-core', () => tellsWhen(world)],
    ['Throttling.User: both headers', () => bothHeaders(world)],
];
