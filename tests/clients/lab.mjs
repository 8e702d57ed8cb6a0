// SPDX-License-Identifier: Apache-2.0
// Two real sites, started by lab_server.py, and what tests may do to them: lab.verso('paris', 'status'),
// lab.silence('lyon'), lab.digest('lyon', disk) ...; see the methods of its class Server.
import {spawn} from 'node:child_process';
import {createInterface} from 'node:readline';
import {setTimeout as sleep} from 'node:timers/promises';

class Server {
    constructor(settings) {
        this.process = spawn(new URL('lab_server.py', import.meta.url).pathname, [JSON.stringify(settings)],
            {stdio: ['pipe', 'pipe', 'inherit']});
        this.waiting = new Map();
        this.last = 0;
        createInterface({input: this.process.stdout}).on('line', (line) => this.take(JSON.parse(line)));
        this.ended = new Promise((done) => this.process.on('exit', (status) => {
            for (const {reject} of this.waiting.values())
                reject(new Error(`the lab ended with ${status}`));
            done();
        }));
    }

    take({id, value, error}) {
        const {resolve, reject} = this.waiting.get(id);

        this.waiting.delete(id);
        if (error)
            reject(new Error(error));
        else
            resolve(value);
    }

    ask(name, args) {
        const id = ++this.last;

        return new Promise((resolve, reject) => {
            this.waiting.set(id, {resolve, reject});
            this.process.stdin.write(`${JSON.stringify({id, do: name, args})}\n`);
        });
    }

    async close() {
        this.process.stdin.end();
        await this.ended;
    }
}

// Any name that is not a field of the server asks lab_server.py, which tells what the settings may be.
export async function startLab(settings) {
    const server = new Server(settings);
    const lab = new Proxy({}, {
        get: (fields, name) => fields[name] ?? (name === 'then' ? undefined : (...args) => server.ask(name, args)),
    });

    lab.close = () => server.close();
    try {
        lab.sites = await server.ask('start', []);
    } catch (error) {
        await server.close();
        throw error;
    }
    return lab;
}

// Polls until `ask` gives something true, and returns it.
export async function until(ask, what, seconds = 30) {
    const end = Date.now() + seconds * 1000;

    for (;;) {
        const value = await ask();
        if (value)
            return value;
        if (Date.now() > end)
            throw new Error(`not reached within ${seconds} s: ${typeof what === 'function' ? what() : what}`);
        await sleep(50);
    }
}
