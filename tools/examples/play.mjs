// Two players sign in, are matched and play: node play.mjs [HOST [PORT]]
import { randomUUID } from 'node:crypto';
import { Client } from '@heroiclabs/nakama-js';
import WebSocket from 'ws';

globalThis.WebSocket ??= WebSocket; // browsers have their own, and so has Node.js from 22 on
const [host, port] = process.argv.slice(2); // the client's own defaults: 127.0.0.1, 7350
setTimeout(() => { throw new Error('half a minute, and the game is not over'); }, 30_000);

// The next such event that fits. Ask for it before you do what causes it.
const next = (socket, event, fits = () => true) =>
    new Promise(resolve => { socket[event] = data => { if (fits(data)) resolve(data); }; });
const text = ({ op_code, data }) => `${op_code} "${new TextDecoder().decode(data)}"`;

async function enter(name) {
    const client = new Client('defaultkey', host, port);
    const session = await client.authenticateDevice(randomUUID()); // a new player, a new account
    const socket = client.createSocket();
    await socket.connect(session);
    console.log(`${name} is signed in as ${session.username}`);
    return socket;
}
const ann = await enter('ann');
const ben = await enter('ben');

const matched = [next(ann, 'onmatchmakermatched'), next(ben, 'onmatchmakermatched')];
await ann.addMatchmaker('*', 2, 2); // any opponent, two players
await ben.addMatchmaker('*', 2, 2);
console.log('both wait for an opponent');
const [{ token: annToken }, { token: benToken }] = await Promise.all(matched);

const match = await ann.joinMatch(undefined, annToken);
console.log(`ann is in match ${match.match_id}`);
const come = next(ann, 'onmatchpresence', ({ joins = [] }) => joins[0]?.user_id !== match.self.user_id);
const { self, presences } = await ben.joinMatch(undefined, benToken);
console.log(`ben joins and finds ${presences[0].username}`);
console.log(`ann sees ${(await come).joins[0].username} come`);

const toBen = next(ben, 'onmatchdata');
await ann.sendMatchState(match.match_id, 1, 'your move'); // to everybody else
console.log(`ben gets ${text(await toBen)}`);
const toAnn = next(ann, 'onmatchdata');
await ben.sendMatchState(match.match_id, 2, 'knight to f3', presences); // to these players only
console.log(`ann gets ${text(await toAnn)}`);

const go = next(ben, 'onmatchpresence', ({ leaves = [] }) => leaves.length > 0);
await ann.leaveMatch(match.match_id);
console.log(`ben sees ${(await go).leaves[0].username} go`);
process.exit(0); // closes both sockets
