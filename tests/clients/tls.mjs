// SPDX-License-Identifier: Apache-2.0
// HTTPS with a private CA: known to the client by its own option or by NODE_EXTRA_CA_CERTS; unknown, it is refused.
import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {Broken, lines} from './clients.mjs';
import {Caller, nameOf} from './story.mjs';

// Runs child.mjs; {line: code}
export async function askApart(world, {door, key, shiftMs, environment}) {
    const child = spawn(process.execPath, [new URL('child.mjs', import.meta.url).pathname],
        {stdio: ['pipe', 'pipe', 'inherit'], env: {...process.env, ...environment}});
    let text = '';

    child.stdin.end(JSON.stringify({door, key, shiftMs, region: world.sites.paris.region}));
    child.stdout.on('data', (piece) => {
        text += piece;
    });
    const status = await new Promise((done) => child.on('close', done));
    assert.equal(status, 0);
    return JSON.parse(text);
}

export function allLines(code) {
    return Object.fromEntries(Object.values(lines).map((line) => [line.name, code]));
}

async function withOption(world, line) {
    const user = new Caller(line, world.keys.root, {...world.tlsDoors.paris, ca: world.sites.ca}, world.sites);
    const id = await user.disk('paris', nameOf('tls', line));

    assert.equal((await user.showDisk('paris', id)).DiskId, id);
}

async function unknown(world, line) {
    const user = new Caller(line, world.keys.root, world.tlsDoors.paris, world.sites);
    const error = await user.disk('paris', 'tls-unknown').then(() => assert.fail('it was trusted'), (thrown) => thrown);

    assert.ok(error instanceof Broken, error.message);
    assert.match(`${error.code} ${error.message}`, /CERT|certificate/);
}

export const tlsTests = (world) => [
    ...Object.values(lines).flatMap((line) => [
        // rpc-client has no option for a CA
        ...line === lines.rpc ? [] : [[`TLS, the client's own CA option: ${line.name}`, () => withOption(world, line)]],
        [`TLS, an unknown CA: ${line.name}`, () => unknown(world, line)],
    ]),
    ['TLS, NODE_EXTRA_CA_CERTS: every line', async () => assert.deepEqual(
        await askApart(world, {door: world.tlsDoors.paris, key: world.keys.root,
            environment: {NODE_EXTRA_CA_CERTS: world.sites.caFile}}), allLines('OK'))],
];
