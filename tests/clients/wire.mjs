// SPDX-License-Identifier: Apache-2.0
// The lines are what they are called: each client is captured, its request held against the form that it stands for,
// and its signature checked by a verifier that shares no code with Verso. A client that changes its form with a new
// version fails here first, and not as a riddle at the daemon.
import assert from 'node:assert/strict';
import {createHash, createHmac} from 'node:crypto';
import {EBS, ECS, lines, stsLine} from './clients.mjs';
import {Recorder} from './recorder.mjs';

export const HOSTILE = 'space * ~ ! \' ( ) + é / a=b&c "q" %41 #x?';
const KEY = {id: 'LTAItestkeyid', secret: 'testsecret'};
const FORM = 'application/x-www-form-urlencoded';

function encode(text) {
    return encodeURIComponent(text).replace(/[!'()*]/g,
        (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`);
}

function pairsOf(form) {
    const decode = (text) => decodeURIComponent(text.replaceAll('+', ' '));

    return form.split('&').filter(Boolean).map((item) => {
        const [name, ...value] = item.split('=');
        return [decode(name), decode(value.join('='))];
    });
}

function canonical(pairs) {
    return pairs.map(([name, value]) => `${encode(name)}=${encode(value)}`).sort().join('&');
}

function signatureV1(request, secret) {
    const isForm = request.fields['content-type']?.startsWith(FORM);
    const pairs = [...pairsOf(request.query), ...isForm ? pairsOf(request.body) : []];
    const sorted = canonical(pairs.filter(([name]) => name !== 'Signature'));
    const text = `${request.method}&${encode('/')}&${encode(sorted)}`;

    return {
        given: pairs.find(([name]) => name === 'Signature')[1],
        right: createHmac('sha1', `${secret}&`).update(text).digest('base64'),
    };
}

function signatureV3(request, secret) {
    const [, names, given] = /SignedHeaders=([^,]*),Signature=([0-9a-f]{64})$/.exec(request.fields.authorization);
    const hash = createHash('sha256').update(request.body, 'latin1').digest('hex');
    const fields = names.split(';').map((name) => `${name}:${request.fields[name]}\n`).join('');
    const text = [request.method, '/', canonical(pairsOf(request.query)), fields, names, hash].join('\n');
    const digest = createHash('sha256').update(text).digest('hex');

    assert.equal(request.fields['x-acs-content-sha256'], hash);
    return {given, right: createHmac('sha256', secret).update(`ACS3-HMAC-SHA256\n${digest}`).digest('hex')};
}

// line, scheme, method, where business and protocol parameters go, whether the body is chunked
const FORMS = [
    [lines.popGet, 'V1', 'GET', 'query', 'query', false],
    [lines.popPost, 'V1', 'POST', 'body', 'body', false],
    [lines.v3Query, 'V3', 'POST', 'query', 'header', false],
    [lines.v3Body, 'V3', 'POST', 'body', 'header', true],
    [lines.v3Get, 'V3', 'GET', 'query', 'header', false],
    [stsLine, 'V3', 'POST', 'query', 'header', false],
    [lines.v2Query, 'V1', 'POST', 'query', 'query', false],
    [lines.v2Body, 'V1', 'POST', 'body', 'query', true],
    [lines.rpc, 'V1', 'POST', 'body', 'query', true],
    [lines.ecs, 'V3', 'POST', 'query', 'header', false],
    [lines.oldV3, 'V3', 'POST', 'query', 'header', false],
    [lines.cli, 'V1', 'POST', 'query', 'query', false],
    [lines.goRpc, 'V1', 'POST', 'body', 'query', false],
];

async function checkForm([line, scheme, method, business, protocol, isChunked]) {
    const recorder = await new Recorder().listen();
    const parameters = {RegionId: 'cn-lyon', DiskName: HOSTILE, DryRun: ''};
    const isEcs = line === lines.ecs;
    const action = isEcs ? 'DescribeDisks' : 'ReprotectDiskReplicaGroup';

    try {
        await line.call({action, version: isEcs ? ECS : EBS, parameters, door: recorder.door,
            key: line === stsLine ? {...KEY, token: 'STSTOKEN'} : KEY});
    } finally {
        recorder.close();
    }
    assert.equal(recorder.requests.length, 1);
    const [request] = recorder.requests;
    const places = {query: Object.fromEntries(pairsOf(request.query)), body: Object.fromEntries(pairsOf(request.body))};
    assert.equal(request.method, method);
    assert.equal(request.path, '/');
    assert.equal(request.isChunked, isChunked);
    assert.equal(places[business].DiskName, HOSTILE);
    if (scheme === 'V1')
        assert.equal(places[protocol].Action, action);
    assert.equal(request.fields['x-acs-action'], action);
    assert.equal(request.fields['x-acs-version'], isEcs ? ECS : EBS);
    if (line === stsLine)
        assert.equal(request.fields['x-acs-security-token'], 'STSTOKEN');
    const {given, right} = (scheme === 'V1' ? signatureV1 : signatureV3)(request, KEY.secret);
    assert.equal(given, right);
}

export const wireTests = FORMS.map((form) => [`wire: ${form[0].name}`, () => checkForm(form)]);
