// Messages that end their socket, by a plain WebSocket; a bystander's socket is served throughout.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { WebSocket, host, port, signIn } from './connect.mjs';

const { session } = await signIn();
const MESSAGE_MAX = 4096;

async function open() {
    const socket = new WebSocket(`ws://${host}:${port}/ws?token=${session.token}`);
    await once(socket, 'open');
    return socket;
}

async function checkServed(socket) {
    socket.send('{"cid":"1","ping":{}}'.padEnd(MESSAGE_MAX)); // blanks count, and are no harm
    const [message, isBinary] = await once(socket, 'message');
    assert.equal(isBinary, false);
    assert.deepEqual(JSON.parse(message), { cid: '1', pong: {} });
}

const bystander = await open();
for (const [message, expected] of [
    ['{"ping":', 1000],
    ['not JSON', 1000],
    ['{"cid":"1","nonsense":{}}', 1000],
    ['{"ping":{"nonsense":1}}', 1000],
    ['{"ping":{},"pong":{}}', 1000],
    ['{"cid":1,"ping":{}}', 1000],
    ['{}', 1000],
    ['{"cid":"1"}', 1000],
    ['{"channel":{}}', 1000],
    [Buffer.from('{"ping":{}}'), 1000], // a binary frame
    ['{"ping":{}}'.padEnd(MESSAGE_MAX + 1), 1009],
]) {
    const socket = await open();
    await checkServed(socket);
    socket.send(message);
    const [code] = await once(socket, 'close');
    assert.equal(code, expected, `${message.slice(0, 40)}`);
    await checkServed(bystander);
}
process.exit(0);
