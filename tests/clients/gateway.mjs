// SPDX-License-Identifier: Apache-2.0
// What the door itself refuses, before any operation: through every line, and as the clients print it.
import assert from 'node:assert/strict';
import net from 'node:net';
import {EBS, lines, STS, stsLine} from './clients.mjs';
import {refused, UUID} from './errors.mjs';
import {Proxy} from './proxy.mjs';
import {allLines, askApart} from './tls.mjs';

const G = {
    signature: [400, 'SignatureDoesNotMatch', 'Specified signature is not matched with our calculation.'],
    unknownKey: [404, 'InvalidAccessKeyId.NotFound', 'Specified access key is not found.'],
    disabledKey: [400, 'InvalidAccessKeyId.Inactive', 'Specified access key is disabled.'],
    noApi: [404, 'InvalidApi.NotFound', 'Specified api is not found, please check your url and method.'],
    noRegion: [400, 'MissingRegionId', 'RegionId is mandatory for this action.'],
    nonce: [400, 'SignatureNonceUsed', 'Specified signature nonce was used already.'],
};

function ask(world, line, {key = world.keys.root, action = 'DescribeDiskReplicaGroups', version = EBS,
    parameters = {RegionId: world.sites.paris.region}, door = world.doors.paris} = {}) {
    return line.call({action, version, parameters, door, key});
}

async function wrongSecret(world, line) {
    const refusal = await refused(ask(world, line, {key: {...world.keys.root, secret: 'wrong'}}), G.signature);

    // Old SDKs tell a wrong secret from a wrong text by this tail.
    assert.match(refusal.data.Message, / server string to sign is:(GET&|POST&|ACS3-HMAC-SHA256\n)/);
}

// The same bytes again, as one who listened would send them.
async function replay(world, line) {
    const proxy = await Proxy.to(world.doors.paris);

    try {
        await ask(world, line, {door: proxy.door});
        const answer = await new Promise((done, fail) => {
            const socket = net.connect(world.doors.paris);
            let text = '';
            socket.on('data', (piece) => {
                text += piece;
                if (text.includes('\r\n\r\n') && text.trimEnd().endsWith('}'))
                    socket.end();
            });
            socket.on('close', () => done(text));
            socket.on('error', fail);
            socket.write(proxy.last);
        });
        assert.match(answer, /^HTTP\/1.1 400 /);
        const body = JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4));
        assert.deepEqual([body.Code, body.Message], G.nonce.slice(1));
    } finally {
        proxy.close();
    }
}

async function identity(world, line) {
    const reply = await ask(world, line, {action: 'GetCallerIdentity', version: STS, parameters: {}});

    for (const name of ['AccountId', 'UserId', 'Arn', 'PrincipalId', 'IdentityType', 'RequestId'])
        assert.equal(typeof reply[name], 'string', name);
    assert.match(reply.RequestId, UUID);
    assert.match(reply.AccountId, /^\d{16}$/);
    assert.match(reply.Arn, new RegExp(`^acs:ram::${reply.AccountId}:`));
}

// Temporary credentials: there are none here, and the answer says so in words that a client can show.
async function temporary(world) {
    const refusal = await ask(world, stsLine, {key: {...world.keys.root, token: 'STSTOKEN'}}).catch((error) => error);

    assert.equal(refusal.constructor.name, 'Refusal', String(refusal));
    assert.match(refusal.data.Code, /SecurityToken/);
    assert.ok([400, 403, 404].includes(refusal.status));
}

export const gatewayTests = (world) => [
    ...Object.values(lines).flatMap((line) => [
        [`who am I: ${line.name}`, () => identity(world, line)],
        [`SignatureDoesNotMatch: ${line.name}`, () => wrongSecret(world, line)],
        [`InvalidAccessKeyId.NotFound: ${line.name}`, () =>
            refused(ask(world, line, {key: {id: 'LTAInosuchkey', secret: 'x'}}), G.unknownKey)],
        [`InvalidAccessKeyId.Inactive: ${line.name}`, () =>
            refused(ask(world, line, {key: world.keys.disabled}), G.disabledKey)],
        [`InvalidApi.NotFound: ${line.name}`, () => refused(ask(world, line, {action: 'StartPairDrill'}), G.noApi)],
        [`MissingRegionId: ${line.name}`, () => refused(ask(world, line, {parameters: {}}), G.noRegion)],
        [`SignatureNonceUsed: ${line.name}`, () => replay(world, line)],
    ]),
    ['InvalidTimeStamp.Expired: every line', async () => assert.deepEqual(await askApart(world, {
        door: world.doors.paris, key: world.keys.root, shiftMs: -32 * 60000}), allLines('InvalidTimeStamp.Expired'))],
    ['a clock that is 5 min ahead: every line', async () => assert.deepEqual(await askApart(world, {
        door: world.doors.paris, key: world.keys.root, shiftMs: 5 * 60000}), allLines('OK'))],
    ['a temporary credential: openapi-core V3 STS', () => temporary(world)],
];
