// A player who enters one party after another is in the last one only.
import assert from 'node:assert/strict';
import { connect, leaveOf } from './connect.mjs';

const ann = await connect();
const ben = await connect();
const eve = await connect();
const open = await ann.socket.createParty(true, 4);
const closed = await ben.socket.createParty(false, 4);
const send = (player, party) => player.socket.sendPartyData(party.party_id, 1, 'x');

await eve.socket.joinParty(open.party_id);
await eve.socket.joinParty(closed.party_id); // is only asked for
await send(eve, open);
assert.equal((await ann.next('onpartydata')).presence.user_id, eve.session.user_id);
const { presences: [asking] } = await ben.next('onpartyjoinrequest');
await ben.socket.acceptPartyMember(closed.party_id, asking);
await ann.next('onpartypresence', leaveOf(eve.session.user_id));
await eve.socket.createParty(true, 4);
await ben.next('onpartypresence', leaveOf(eve.session.user_id));
process.exit(0);
