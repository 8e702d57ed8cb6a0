// SPDX-License-Identifier: Apache-2.0
// The real clients (and two that are emulated) behind one face. A line is one way in which a public SDK puts a call on
// the wire:
//
//     await line.call({action, version, parameters, door, key})      // the reply's fields, or throws Refusal
//
// door: {host, port, isTls, ca}; key: {id, secret, token}. What the SDKs throw becomes a Refusal with the fields
// that a program can get out of that SDK: code, message, requestId, status (0: the SDK does not tell) and data.
import core from '@alicloud/openapi-core';
import dara from '@darabonba/typescript';
import ecs from '@alicloud/ecs20140526';
import openapi from '@alicloud/openapi-client';
import popCore from '@alicloud/pop-core';
import rpc from '@alicloud/rpc-client';
import teaUtil from '@alicloud/tea-util';
import {cli, goRpc} from './emulated.mjs';

export const EBS = '2021-07-30';
export const ECS = '2014-05-26';
export const STS = '2015-04-01';
export const OURS = '2026-11-22';

// What the server said, as the SDK tells it.
export class Refusal extends Error {
    constructor(code, status, data, cause) {
        super(`${code}: ${data?.Message ?? cause.message}`, {cause});
        this.code = code;
        this.status = status;
        this.data = data;
        this.requestId = data?.RequestId;
    }
}

// No answer, or one that the SDK could not read.
export class Broken extends Error {
    constructor(cause) {
        super(`${cause.name} ${cause.code ?? ''}: ${cause.message}`, {cause});
        this.code = cause.code ?? cause.name;
    }
}

// rpc-client and openapi-core make their own kinds of error; all carry the reply's fields as `data`.
function refusalOf(error) {
    const data = error.data;

    if (!data || typeof data !== 'object' || typeof (data.Code ?? data.code) !== 'string')
        return new Broken(error);
    const told = /^code: (\d{3}),/.exec(error.message) ?? /\bcode: (\d{3}),/.exec(error.message);
    const isRpcClient = error.code === `${data.Code}Error`; // its habit
    return new Refusal(isRpcClient ? data.Code : error.code, Number(error.statusCode ?? told?.[1] ?? 0), data, error);
}

async function translated(promise) {
    try {
        return await promise;
    } catch (error) {
        throw refusalOf(error);
    }
}

// Programs keep their client; a new one a call would leave a connection behind each time.
const clients = new Map();

function kept(name, door, key, make) {
    const which = JSON.stringify([name, door, key]);

    if (!clients.has(which))
        clients.set(which, make());
    return clients.get(which);
}

function popOptions(door) {
    return door.ca ? {ca: door.ca} : {};
}

function popLine(method) {
    return {
        name: `pop-core ${method}`,
        scheme: 'V1',
        call({action, version = EBS, parameters = {}, door, key}) {
            const client = kept(`pop ${version}`, door, key, () => new popCore.RPCClient({
                endpoint: `${door.isTls ? 'https' : 'http'}://${door.host}:${door.port}`, apiVersion: version,
                accessKeyId: key.id, accessKeySecret: key.secret, securityToken: key.token,
            }));
            return translated(client.request(action, parameters, {method, ...popOptions(door)}));
        },
    };
}

function config(Config, door, key, more = {}) {
    return new Config({
        accessKeyId: key.id, accessKeySecret: key.secret, securityToken: key.token,
        endpoint: `${door.host}:${door.port}`, protocol: door.isTls ? 'HTTPS' : 'HTTP', ca: door.ca, ...more,
    });
}

function rpcParams(Params, action, version, method, isBody) {
    return new Params({
        action, version, protocol: 'HTTPS', pathname: '/', method, authType: 'AK', style: 'RPC',
        reqBodyType: isBody ? 'formData' : 'json', bodyType: 'json',
    });
}

function flat(parameters) {
    return core.OpenApiUtil.query(parameters);
}

// openapi-core: what every generated SDK of today is made of.
function coreLine(name, {method = 'POST', isBody = false, more = {}}) {
    return {
        name: `openapi-core ${name}`,
        scheme: 'V3',
        async call({action, version = EBS, parameters = {}, door, key}) {
            const client = kept(name, door, key, () =>
                new core.default(config(core.$OpenApiUtil.Config, door, key, more)));
            const request = new core.$OpenApiUtil.OpenApiRequest(
                isBody ? {body: parameters} : {query: flat(parameters)});
            const reply = await translated(client.callApi(
                rpcParams(core.$OpenApiUtil.Params, action, version, method, isBody), request,
                new dara.RuntimeOptions({})));
            return reply.body;
        },
    };
}

// openapi-client: what they were made of until 2024; `v2` is its name for the scheme V1.
function clientLine(name, {isBody = false, more = {}}) {
    return {
        name: `openapi-client ${name}`,
        scheme: more.signatureAlgorithm === 'v2' ? 'V1' : 'V3',
        async call({action, version = EBS, parameters = {}, door, key}) {
            const client = kept(`old ${name}`, door, key, () =>
                new openapi.default(config(openapi.Config, door, key, more)));
            const request = new openapi.OpenApiRequest(isBody ? {body: parameters} : {query: flat(parameters)});
            const reply = await translated(client.callApi(
                rpcParams(openapi.Params, action, version, 'POST', isBody), request,
                new teaUtil.RuntimeOptions({})));
            return reply.body;
        },
    };
}

// rpc-client: tea-rpc, the one that Terraform uses (in Go). Protocol in the query, business in the body.
const rpcLine = {
    name: 'rpc-client',
    scheme: 'V1',
    call({action, version = EBS, parameters = {}, query = {}, door, key}) {
        const client = kept('rpc', door, key, () => new rpc.default(config(rpc.Config, door, key)));
        return translated(client.doRequest(action, 'HTTPS', 'POST', version, 'AK', query, parameters,
            new teaUtil.RuntimeOptions({})));
    },
};

function emulatedLine(client) {
    return {...client, call: ({version = EBS, parameters = {}, ...more}) =>
        translated(client.send({version, parameters, ...more}))};
}

function lowerFirst(name) {
    return name[0].toLowerCase() + name.slice(1);
}

// The generated SDK: parameters become a request model, the reply a model and back. Calls that it has no method for
// go through the callApi() that it inherits.
const ecsLine = {
    name: 'ecs20140526',
    scheme: 'V3',
    async call({action, version = ECS, parameters = {}, door, key}) {
        const client = kept('ecs', door, key, () => new ecs.default(config(core.$OpenApiUtil.Config, door, key)));
        const Model = ecs[`${action}Request`];

        if (version !== ECS || !Model) {
            const reply = await translated(client.callApi(
                rpcParams(core.$OpenApiUtil.Params, action, version, 'POST', false),
                new core.$OpenApiUtil.OpenApiRequest({query: flat(parameters)}), new dara.RuntimeOptions({})));
            return reply.body;
        }
        const wire = Object.entries(Model.names()).map(([field, name]) => [name, field]);
        const fields = Object.fromEntries(wire.filter(([name]) => name in parameters)
            .map(([name, field]) => [field, parameters[name]]));
        const reply = await translated(client[lowerFirst(action)](new Model(fields)));
        return reply.body.toMap();
    },
};

export const lines = {
    popGet: popLine('GET'),
    popPost: popLine('POST'),
    v3Query: coreLine('V3 query', {}),
    v3Body: coreLine('V3 body', {isBody: true}),
    v3Get: coreLine('V3 GET', {method: 'GET'}),
    v2Query: clientLine('v2 query', {more: {signatureAlgorithm: 'v2'}}),
    v2Body: clientLine('v2 body', {isBody: true, more: {signatureAlgorithm: 'v2'}}),
    rpc: rpcLine,
    ecs: ecsLine,
    oldV3: clientLine('V3 query', {}),
    cli: emulatedLine(cli),
    goRpc: emulatedLine(goRpc),
};

// V3 with the token of a temporary credential: a line of its own, as only a refusal is expected of it.
export const stsLine = {...coreLine('V3 STS', {}), name: 'openapi-core V3 STS'};
