// Players for the tests' scripts: the stock SDK, and every event kept until somebody asks for it.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { createRequire } from 'node:module';

// The packages lie with the examples.
const require = createRequire(new URL('../../../tools/examples/', import.meta.url));
export const WebSocket = require('ws');
const { Client } = require('@heroiclabs/nakama-js');
globalThis.WebSocket ??= WebSocket;

export const [host, port] = process.argv.slice(2);
const DEADLINE_MS = 10_000;
const EVENTS = [
    'ondisconnect', 'onmatchdata', 'onmatchmakermatched', 'onmatchpresence', 'onnotification', 'onparty',
    'onpartyclose', 'onpartydata', 'onpartyjoinrequest', 'onpartyleader', 'onpartymatchmakerticket',
    'onpartypresence', 'onstatuspresence',
];

export const newClient = () => new Client('defaultkey', host, port);
export const refused = (status, call) => assert.rejects(call, error => error.status === status);

/// A signed-in player without a socket.
export async function signIn() {
    const client = newClient();
    const device = randomUUID();
    const session = await client.authenticateDevice(device);
    return { client, device, session };
}

/// A player with an open socket. `next` gives the oldest event of a kind that fits, once.
export async function connect({ online = false } = {}) {
    const player = await signIn();
    const socket = player.client.createSocket();
    const arrived = [];
    const waiting = [];
    for (const kind of EVENTS) {
        socket[kind] = event => {
            const at = waiting.findIndex(wait => wait.kind === kind && wait.fits(event));
            if (at < 0) arrived.push({ kind, event });
            else waiting.splice(at, 1)[0].resolve(event);
        };
    }
    const next = (kind, fits = () => true) => new Promise((resolve, reject) => {
        const at = arrived.findIndex(one => one.kind === kind && fits(one.event));
        if (at >= 0) return resolve(arrived.splice(at, 1)[0].event);
        waiting.push({ kind, fits, resolve });
        const late = new Error(`no ${kind} that fits in ${DEADLINE_MS} ms`);
        setTimeout(() => reject(late), DEADLINE_MS);
    });
    await socket.connect(player.session, online);
    await socket.send({ ping: {} }); // the answer to the handshake may overtake what it begins
    return { ...player, socket, next };
}

/// What an event says of a user.
export const joinOf = user => ({ joins = [] }) => joins.some(one => one.user_id === user);
export const leaveOf = user => ({ leaves = [] }) => leaves.some(one => one.user_id === user);
export const text = ({ data }) => new TextDecoder().decode(data);
