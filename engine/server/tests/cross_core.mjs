// Three players whose sessions, tickets and match live on different cores; prints the ids.
import assert from 'node:assert/strict';
import { connect, joinOf, leaveOf, text } from './connect.mjs';

const ann = await connect();
const ben = await connect();
const eve = await connect();

// A removed ticket matches nobody.
const { ticket: gone } = await eve.socket.addMatchmaker('*', 2, 2);
await eve.socket.removeMatchmaker(gone);
const { ticket } = await ann.socket.addMatchmaker('*', 2, 2, { side: 'white' }, { rank: 7 });
await ben.socket.addMatchmaker('*', 2, 2);
const matched = await ann.next('onmatchmakermatched');
const matchedBen = await ben.next('onmatchmakermatched');
assert.equal(matched.ticket, ticket);
assert.deepEqual(matched.users, matchedBen.users);
const users = matched.users.map(user => user.presence.user_id);
assert.deepEqual(users.sort(), [ann.session.user_id, ben.session.user_id].sort());
assert.equal(matched.self.presence.user_id, ann.session.user_id);
assert.deepEqual(matched.self.string_properties, { side: 'white' });
assert.deepEqual(matched.self.numeric_properties, { rank: 7 });

const first = await ann.socket.joinMatch(undefined, matched.token);
const second = await ben.socket.joinMatch(undefined, matchedBen.token);
const id = first.match_id;
const third = await eve.socket.joinMatch(id);
assert.deepEqual([second.match_id, third.match_id], [id, id]);
assert.deepEqual(second.presences, [first.self]);
assert.equal(third.presences.length, 2);
await ann.next('onmatchpresence', joinOf(ben.session.user_id));
await ann.next('onmatchpresence', joinOf(eve.session.user_id));
await eve.next('onmatchpresence', joinOf(eve.session.user_id)); // the own one

// What is not for eve does not reach her: the next that she gets is for everybody.
await ann.socket.sendMatchState(id, 1, 'for ben', [second.self]);
await ann.socket.sendMatchState(id, 2, 'for ann and ben', [first.self, second.self]);
await ann.socket.sendMatchState(id, 3, 'for all');
await ben.socket.sendMatchState(id, 4, 'back');
assert.deepEqual(await read(ben, 3), ['1 for ben', '2 for ann and ben', '3 for all']);
assert.deepEqual((await read(eve, 2)).sort(), ['3 for all', '4 back']);
assert.deepEqual((await read(ann, 2)).sort(), ['2 for ann and ben', '4 back']);

await ben.socket.leaveMatch(id);
await ann.next('onmatchpresence', leaveOf(ben.session.user_id));
await eve.next('onmatchpresence', leaveOf(ben.session.user_id));
eve.socket.disconnect();
const { leaves } = await ann.next('onmatchpresence', leaveOf(eve.session.user_id));
assert.deepEqual(leaves, [third.self]);

console.log(JSON.stringify({
    ann: first.self.session_id,
    ben: second.self.session_id,
    match: id,
    ticket,
}));
process.exit(0);

async function read(player, count) {
    const texts = [];
    while (texts.length < count) {
        const data = await player.next('onmatchdata');
        texts.push(`${data.op_code} ${text(data)}`);
    }
    return texts;
}
