// SPDX-License-Identifier: Apache-2.0
// A small test runner: phases one after the other, the tests of a phase side by side, "N passed, N failed" at the end.
import {setTimeout as sleep} from 'node:timers/promises';

const LIMIT_SECONDS = 90;

export class Harness {
    constructor(filter) {
        this.filter = filter;
        this.passed = 0;
        this.failures = [];
        this.skips = [];
    }

    // tests: [[name, function], ...]; at most `side` at a time.
    async phase(tests, side = 10) {
        const left = tests.filter(([name]) => !this.filter || name.includes(this.filter));

        await Promise.all(Array.from({length: Math.min(side, left.length)}, async () => {
            for (let next = left.shift(); next; next = left.shift())
                await this.run(...next);
        }));
    }

    async run(name, test, limit = LIMIT_SECONDS) {
        const begun = Date.now();
        const tooLate = new AbortController();

        try {
            const verdict = await Promise.race([test(), sleep(limit * 1000, 'late', {signal: tooLate.signal})]);
            if (verdict === 'late')
                throw new Error(`not done within ${limit} s`);
            this.passed++;
            console.log(`ok      ${name} (${Date.now() - begun} ms)`);
        } catch (error) {
            this.failures.push(name);
            console.log(`NOT OK  ${name}\n        ${String(error.stack).replaceAll('\n', '\n        ')}`);
        } finally {
            tooLate.abort();
        }
    }

    skip(name, why) {
        this.skips.push(name);
        console.log(`SKIPPED ${name}: ${why}`);
    }

    summary() {
        for (const name of this.failures)
            console.log(`FAILED: ${name}`);
        console.log(`${this.passed} passed, ${this.failures.length} failed, ${this.skips.length} skipped`);
        return this.failures.length || !this.passed ? 1 : 0;
    }
}
