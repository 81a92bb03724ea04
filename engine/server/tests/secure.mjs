// The stock SDK over HTTPS and wss, and a plain WebSocket beside it.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { createRequire } from 'node:module';

process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'; // the certificate is one of tests
process.removeAllListeners('warning'); // which Node warns of

// The packages lie with the examples.
const require = createRequire(new URL('../../../tools/examples/', import.meta.url));
const WebSocket = require('ws');
const { Client } = require('@heroiclabs/nakama-js');
globalThis.WebSocket ??= WebSocket;

const [host, port] = process.argv.slice(2);
const client = new Client('defaultkey', host, port, true);
const session = await client.authenticateDevice(randomUUID());
const account = await client.getAccount(session);
assert.equal(account.user.id, session.user_id);

const socket = client.createSocket(true);
await socket.connect(session, true);
const match = await socket.createMatch();
assert.equal(match.self.user_id, session.user_id);
socket.disconnect(false);

const plain = new WebSocket(`wss://${host}:${port}/ws?token=${session.token}`);
await new Promise((resolve, reject) => {
    plain.on('error', reject);
    plain.on('open', () => plain.send('{"cid":"1","ping":{}}'));
    plain.on('message', data => resolve(assert.deepEqual(JSON.parse(data), { cid: '1', pong: {} })));
});
plain.close();
await new Promise(resolve => plain.on('close', resolve));
process.exit(0);
