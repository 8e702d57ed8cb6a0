// SPDX-License-Identifier: Apache-2.0
// docs/clients.md, taken at its word: its commands and its Node.js programs run as they stand there, but for address,
// region and files.
import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {readFileSync} from 'node:fs';

const PAGE = new URL('../../docs/clients.md', import.meta.url);

function blocks(kind) {
    return [...readFileSync(PAGE, 'utf8').matchAll(/^```(\w+)\n(.*?)^```/gms)].filter((match) => match[1] === kind)
        .map((match) => match[2]);
}

// The policy that the page gives to Terraform.
export function terraformPolicy() {
    return JSON.parse(/^cat >replication.json.*\n(.*)\nPOLICY$/m.exec(blocks('sh').join('\n'))[1]);
}

function programs(world) {
    const {region, tlsPort} = world.sites.paris;

    return blocks('js').map((text) =>
        text.replaceAll('gw1.paris.example:8443', `127.0.0.1:${tlsPort}`).replaceAll('\'paris\'', `'${region}'`)
            .replaceAll('\'ca.pem\'', `'${world.sites.caFile}'`));
}

async function run(world, text) {
    const child = spawn(process.execPath, ['--input-type=module'], {cwd: new URL('.', import.meta.url).pathname,
        env: {...process.env, VERSO_KEY: world.keys.root.id, VERSO_SECRET: world.keys.root.secret}});
    let said = '';

    for (const stream of [child.stdout, child.stderr])
        stream.on('data', (piece) => {
            said += piece;
        });
    child.stdin.end(text);
    const status = await new Promise((done) => child.on('close', done));
    assert.equal(status, 0, said);
    return said;
}

// In a folder of their own, with the daemon's socket where VERSO_SOCKET says.
async function commands(world) {
    const text = blocks('sh').join('\n');

    assert.match(text, /^openssl /m);
    assert.match(text, /^verso key create --root$/m);
    await world.lab.shell('paris', `${text}\nopenssl verify -CAfile ca.pem server.pem\n`);
}

export const docsTests = (world) => [['docs/clients.md: its commands run', () => commands(world)], ['docs/clients.md: its programs run', async () => {
    const said = await run(world, programs(world).join('\n'));

    assert.match(said, /^\d+ \d+\n\d+\n$/);
}]];
