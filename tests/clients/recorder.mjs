// SPDX-License-Identifier: Apache-2.0
// A server on a loopback port that keeps what came, byte for byte, and answers what it is told.
import net from 'node:net';

function reply(body) {
    const text = JSON.stringify(body);

    return `HTTP/1.1 200 OK\r\nContent-Type: application/json;charset=utf-8\r\nContent-Length: ${
        Buffer.byteLength(text)}\r\nConnection: close\r\n\r\n${text}`;
}

// Takes a whole request apart; undefined while bytes are missing.
export function parseRequest(bytes) {
    const text = bytes.toString('latin1');
    const end = text.indexOf('\r\n\r\n');

    if (end < 0)
        return undefined;
    const [first, ...rest] = text.slice(0, end).split('\r\n');
    const [method, target] = first.split(' ');
    const fields = Object.fromEntries(rest.map((line) => {
        const at = line.indexOf(':');
        return [line.slice(0, at).toLowerCase(), line.slice(at + 1).trim()];
    }));
    const after = text.slice(end + 4);
    const isChunked = fields['transfer-encoding'] === 'chunked';
    if (isChunked ? !after.endsWith('0\r\n\r\n') : after.length < Number(fields['content-length'] ?? 0))
        return undefined;
    return {method, path: target.split('?')[0], query: target.split('?')[1] ?? '', fields, isChunked,
        body: isChunked ? unchunk(after) : after};
}

function unchunk(text) {
    let body = '', at = 0;

    for (;;) {
        const end = text.indexOf('\r\n', at);
        const length = parseInt(text.slice(at, end), 16);
        if (length === 0)
            return body;
        body += text.slice(end + 2, end + 2 + length);
        at = end + 4 + length;
    }
}

export class Recorder {
    constructor(answer = () => ({RequestId: 'R'})) {
        this.answer = answer;
        this.requests = [];
        this.server = net.createServer((socket) => this.serve(socket));
    }

    async listen() {
        await new Promise((done) => this.server.listen(0, '127.0.0.1', done));
        this.door = {host: '127.0.0.1', port: this.server.address().port};
        return this;
    }

    serve(socket) {
        let bytes = Buffer.alloc(0);

        socket.on('error', () => {});
        socket.on('data', (piece) => {
            bytes = Buffer.concat([bytes, piece]);
            const request = parseRequest(bytes);
            if (!request)
                return;
            this.requests.push(request);
            socket.end(reply(this.answer(request)));
        });
    }

    close() {
        this.server.close();
    }
}
