// SPDX-License-Identifier: Apache-2.0
// A TCP proxy on loopback that stands between a client and a site and misbehaves on command:
//
//     const proxy = await Proxy.to({port});          // proxy.door is for clients
//     proxy.mode = 'delay';                          // the answer comes `delayMs` after it was there
//     proxy.mode = 'drop';                           // the request is served, its answer becomes a reset
//     proxy.mode = 'reset';                          // a reset before the site sees anything
//     proxy.mode = 'flaky';                          // each fifth answer is dropped
//     proxy.mode = 'pass';
import net from 'node:net';

export class Proxy {
    static async to(target, host = '127.0.0.1') {
        const proxy = new Proxy();

        proxy.target = target;
        proxy.mode = 'pass';
        proxy.delayMs = 3500; // every Node client gives up after 3,000
        proxy.served = 0;
        proxy.last = Buffer.alloc(0); // what clients sent
        proxy.sockets = new Set();
        proxy.server = net.createServer((client) => proxy.take(client));
        await new Promise((done) => proxy.server.listen(0, host, done));
        proxy.door = {host, port: proxy.server.address().port};
        return proxy;
    }

    take(client) {
        client.on('error', () => {});
        this.sockets.add(client);
        client.on('close', () => this.sockets.delete(client));
        if (this.mode === 'reset') {
            client.resetAndDestroy();
            return;
        }
        const server = net.connect(this.target);
        server.on('error', () => client.destroy());
        server.on('close', () => client.end());
        client.on('close', () => server.destroy());
        client.on('data', (piece) => {
            this.last = Buffer.concat([this.last, piece]);
        });
        client.pipe(server);
        server.on('data', (piece) => this.answer(client, piece));
    }

    // The whole intent of a request is durable before the first byte of its answer comes.
    answer(client, piece) {
        this.served++;
        if (this.mode === 'drop' || (this.mode === 'flaky' && this.served % 5 === 0))
            client.resetAndDestroy();
        else if (this.mode === 'delay')
            setTimeout(() => !client.destroyed && client.write(piece), this.delayMs);
        else if (!client.destroyed)
            client.write(piece);
    }

    close() {
        this.server.close();
        for (const socket of this.sockets)
            socket.destroy();
    }
}
