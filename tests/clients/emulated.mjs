// SPDX-License-Identifier: Apache-2.0
// Clients that are no npm packages, written down from their sources: what alibaba-cloud-sdk-go (the aliyun CLI) and Go's
// tea-rpc (the Terraform provider) put on the wire. Not the real thing; only their form, where it differs from all lines
// of clients.mjs: form encoding with + for a space, sorted queries, an empty parameter that is signed.
import {createHmac, randomBytes} from 'node:crypto';
import http from 'node:http';
import https from 'node:https';

function encode(text) {
    return encodeURIComponent(text).replace(/[!'()*]/g,
        (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`);
}

function form(parameters) {
    return Object.keys(parameters).sort().map((name) =>
        `${encode(name)}=${encode(String(parameters[name])).replaceAll('%20', '+')}`).join('&');
}

function signature(parameters, secret) {
    const names = Object.keys(parameters).sort();
    const text = names.map((name) => `${encode(name)}=${encode(String(parameters[name]))}`).join('&');

    return createHmac('sha1', `${secret}&`).update(`POST&%2F&${encode(text)}`).digest('base64');
}

function protocol(action, version, key) {
    const more = key.token ? {SecurityToken: key.token} : {};

    return {Action: action, Version: version, AccessKeyId: key.id, SignatureMethod: 'HMAC-SHA1', SignatureVersion: '1.0',
        SignatureNonce: randomBytes(16).toString('hex'), Timestamp: new Date().toISOString().replace(/\.\d+/, ''), ...more};
}

function send(door, query, headers, body) {
    const library = door.isTls ? https : http;

    return new Promise((done, fail) => {
        const request = library.request({host: door.host, port: door.port, ca: door.ca, method: 'POST', timeout: 3000,
            path: `/?${query}`, headers: {...headers, 'Content-Length': Buffer.byteLength(body)}}, (answer) => {
            let text = '';
            answer.setEncoding('utf8');
            answer.on('data', (piece) => {
                text += piece;
            });
            answer.on('error', fail);
            answer.on('end', () => done({status: answer.statusCode, text}));
        });
        request.on('timeout', () => request.destroy(new Error('timeout')));
        request.on('error', fail);
        request.end(body);
    });
}

// Throws as the SDKs do: an error that carries the reply's fields as `data`.
function take({status, text}) {
    const data = JSON.parse(text);

    if (status >= 400) {
        if (typeof data.Code !== 'string' || typeof data.Message !== 'string' || typeof data.RequestId !== 'string')
            throw new Error(`the Go SDK panics: ${text}`);
        throw Object.assign(new Error(data.Message), {code: data.Code, statusCode: status, data});
    }
    return data;
}

export const cli = {
    name: 'aliyun CLI (emulated)',
    scheme: 'V1',
    async send({action, version, parameters, door, key}) {
        const all = {...protocol(action, version, key), SignatureType: '', Format: 'JSON', ...parameters};

        return take(await send(door, form({...all, Signature: signature(all, key.secret)}), {
            'x-sdk-client': 'golang/1.0.0', 'x-sdk-invoke-type': 'normal', 'x-acs-action': action, 'x-acs-version': version,
            'x-acs-credentials-provider': 'static_ak', 'Accept-Encoding': 'identity',
            'Content-Type': 'application/x-www-form-urlencoded',
        }, ''));
    },
};

export const goRpc = {
    name: 'Go tea-rpc (emulated)',
    scheme: 'V1',
    async send({action, version, parameters, query = {}, door, key}) {
        const first = {...protocol(action, version, key), Format: 'json', ...query};
        const signed = signature({...first, ...parameters}, key.secret);

        return take(await send(door, form({...first, Signature: signed}), {
            'x-acs-action': action, 'x-acs-version': version, 'content-type': 'application/x-www-form-urlencoded',
        }, form(parameters)));
    },
};
