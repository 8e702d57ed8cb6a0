// SPDX-License-Identifier: Apache-2.0
// What the Terraform provider does, through its own client library (rpc-client is its sister): four requests in a row
// on 5xx and network errors with the same ClientToken, a loop around that for the codes that it holds for passing,
// polling, parameters in query and body mixed. Its waits of 3 and 5 s are shortened; nothing else is.
import {randomUUID} from 'node:crypto';
import {setTimeout as sleep} from 'node:timers/promises';
import {Broken, EBS, ECS, lines} from './clients.mjs';

const WAIT_MS = 100;
const ATTEMPTS = 4; // tea-rpc's maxAttempts = 3 counts repeats
const TIMEOUT_MS = 60000;

export class Terraform {
    constructor(key, door, region) {
        Object.assign(this, {key, door, region, requests: 0, repeats: 0});
    }

    // As the provider's buildClientToken(): cut to exactly 64 characters.
    token(action) {
        return `TF-${action}-${Math.floor(Date.now() / 1000)}-${randomUUID()}-${randomUUID()}`.slice(0, 64);
    }

    // RpcPost(): one logical request.
    async post(version, action, query, body) {
        for (let attempt = 1; ; attempt++) {
            try {
                this.requests++;
                return await lines.rpc.call({action, version, query, parameters: body, door: this.door, key: this.key});
            } catch (error) {
                const isRepeated = error instanceof Broken || error.status >= 500;
                if (!isRepeated || attempt === ATTEMPTS)
                    throw error;
                this.repeats++;
            }
        }
    }

    // resource.Retry() around it: NeedRetry() and the codes that the resource names.
    async retry(call, codes) {
        const end = Date.now() + TIMEOUT_MS;

        for (;;) {
            try {
                return await call();
            } catch (error) {
                const isPassing = error.status >= 500 || /Throttling/.test(error.code)
                    || ['ServiceUnavailable', ...codes].includes(error.code);
                if (!isPassing || Date.now() > end)
                    throw error;
                await sleep(WAIT_MS);
            }
        }
    }

    // A call that changes something: one token for all its repeats, the id in the query, the rest in the body.
    async change(action, query, body, codes = [], version = EBS) {
        const request = {RegionId: this.region, ClientToken: this.token(action), ...body};

        return await this.retry(() => this.post(version, action, query, request), codes);
    }

    // Deletes take a new token for each repeat; 404 is success.
    async destroy(action, query, codes) {
        const once = () => this.post(EBS, action, query, {RegionId: this.region, ClientToken: this.token(action)});

        try {
            await this.retry(once, ['InternalError', ...codes]);
        } catch (error) {
            if (error.status !== 404)
                throw error;
        }
    }

    async read(action, filter, list) {
        const reply = await this.retry(() => this.post(EBS, action, filter, {RegionId: this.region}), []);

        if (!Array.isArray(reply[list]))
            throw new Error(`${action}: ${list} is no array: the provider stops here`);
        return reply[list][0];
    }

    group(id) {
        return this.read('DescribeDiskReplicaGroups', {GroupIds: id}, 'ReplicaGroups');
    }

    pair(id) {
        return this.read('DescribeDiskReplicaPairs', {PairIds: id}, 'ReplicaPairs');
    }

    // StateChangeConf: polls until `isReached(record)`; `create_failed` and `invalid` end it.
    async poll(read, id, isReached, what) {
        const end = Date.now() + TIMEOUT_MS;
        let record;

        do {
            record = await read.call(this, id);
            if (isReached(record))
                return record;
            if (['create_failed', 'invalid'].includes(record?.Status))
                break;
            await sleep(WAIT_MS);
        } while (Date.now() < end);
        throw new Error(`${id} never was ${what}; it is ${record?.Status}`);
    }

    status(read, id, ...states) {
        return this.poll(read, id, (record) => states.includes(record?.Status), states.join(' or '));
    }

    gone(read, id) {
        return this.poll(read, id, (record) => !record, 'gone');
    }

    // The argument `status` of both resources: `stopped` means Reprotect, never Stop.
    async setStatus(kind, id, status, more = {}) {
        const [read, name] = kind === 'Group' ? [this.group, 'ReplicaGroupId'] : [this.pair, 'ReplicaPairId'];
        const verb = {normal: 'Start', failovered: 'Failover', stopped: 'Reprotect'}[status];
        const codes = verb === 'Start' ? ['InternalError'] : ['OperationDenied.InvalidStatus', 'InternalError'];

        await this.change(`${verb}DiskReplica${kind}`, {[name]: id}, more, codes);
        if (verb === 'Start') // not until `normal`
            return await this.poll(read, id, (record) => (record?.LastRecoverPoint ?? null) !== null, 'with a point');
        return await this.status(read, id, status);
    }

    // SizeBytes is ours and goes before Size: comparing a GiB takes its time.
    async createDisk(zone, name) {
        return (await this.change('CreateDisk', {}, {ZoneId: zone, Size: 1, SizeBytes: 16 << 20,
            DiskCategory: 'cloud_essd', DiskName: name}, [], ECS)).DiskId;
    }

    disk(id) {
        return this.retry(async () => (await this.post(ECS, 'DescribeDisks', {},
            {RegionId: this.region, DiskIds: JSON.stringify([id])})).Disks.Disk[0], []);
    }

    async deleteDisk(id) {
        // No token and no region, and a repeat of what was done finds nothing: that is success.
        await this.retry(() => this.post(ECS, 'DeleteDisk', {}, {DiskId: id}),
            ['IncorrectDiskStatus', 'InternalError']).catch((error) => {
            if (error.status !== 404)
                throw error;
        });
        await this.poll(this.disk, id, (disk) => !disk, 'gone');
    }
}
