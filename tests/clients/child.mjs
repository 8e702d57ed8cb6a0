// SPDX-License-Identifier: Apache-2.0
// Asks once through every line, in a process of its own: NODE_EXTRA_CA_CERTS is read at the start of a process, and a
// clock that is wrong would be wrong for all others. Standard input: {door, key, region, shiftMs}; output: {line: code}.
import {readFileSync} from 'node:fs';
import {lines} from './clients.mjs';

const {door, key, region, shiftMs = 0} = JSON.parse(readFileSync(0, 'utf8'));
const Real = Date;

globalThis.Date = class extends Real {
    constructor(...words) {
        super(...words.length ? words : [Real.now() + shiftMs]);
    }

    static now() {
        return Real.now() + shiftMs;
    }
};

const results = await Promise.all(Object.values(lines).map(async (line) => {
    const call = {action: 'DescribeDiskReplicaGroups', version: '2021-07-30', parameters: {RegionId: region}, door, key};
    return [line.name, await line.call(call).then((reply) => Array.isArray(reply.ReplicaGroups) ? 'OK' : 'no list',
        (error) => error.code)];
}));
console.log(JSON.stringify(Object.fromEntries(results)));
process.exit(0);
