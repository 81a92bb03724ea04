// Parties with the stock SDK, their members on different cores.
import assert from 'node:assert/strict';
import { connect, host, joinOf, leaveOf, port, text } from './connect.mjs';

const failed = (code, call) => assert.rejects(call, error => error.code === code);
const users = presences => presences.map(one => one.user_id);
const ids = (...players) => players.map(player => player.session.user_id);

await openParty();
await closedParty();
await lists();
await tickets();
process.exit(0);

async function openParty() {
    const [ann, ben, eve] = [await connect(), await connect(), await connect()];
    await failed(3, ann.socket.createParty(true, 257));
    const party = await ann.socket.createParty(true, 3);
    const id = party.party_id;
    assert.match(id, /^[0-9a-f-]{36}\.nakama$/);
    assert.deepEqual([party.open, party.max_size, party.self], [true, 3, party.leader]);
    assert.deepEqual(party.presences, [party.self]);
    assert.equal((await ann.next('onparty')).party_id, id);
    await ann.next('onpartypresence', joinOf(ann.session.user_id));

    await ben.socket.joinParty(id);
    const joined = await ben.next('onparty');
    assert.deepEqual(users(joined.presences), ids(ann, ben));
    assert.deepEqual(joined.leader, party.self);
    for (const player of [ann, ben]) {
        await player.next('onpartypresence', joinOf(ben.session.user_id));
    }
    await eve.socket.joinParty(id);
    const self = { ben: joined.self, eve: (await eve.next('onparty')).self };
    const fay = await connect();
    await failed(3, fay.socket.joinParty(id)); // full
    await failed(3, ben.socket.closeParty(id));
    await failed(3, ben.socket.removePartyMember(id, self.eve));

    await ben.socket.sendPartyData(id, 5, 'to all');
    for (const player of [ann, eve]) {
        const data = await player.next('onpartydata');
        assert.deepEqual([data.op_code, text(data), data.presence], [5, 'to all', self.ben]);
    }
    await ann.socket.promotePartyMember(id, self.ben);
    for (const player of [ann, ben, eve]) {
        assert.deepEqual((await player.next('onpartyleader')).presence, self.ben);
    }
    await ben.socket.removePartyMember(id, self.eve);
    assert.equal((await eve.next('onpartyclose')).party_id, id);
    await ann.next('onpartypresence', leaveOf(eve.session.user_id));
    await eve.socket.joinParty(id);
    ben.socket.disconnect();
    for (const player of [ann, eve]) {
        assert.deepEqual((await player.next('onpartyleader')).presence, party.self);
        await player.next('onpartypresence', leaveOf(ben.session.user_id));
    }
    await eve.socket.leaveParty(id);
    await ann.next('onpartypresence', leaveOf(eve.session.user_id));
    await ann.socket.closeParty(id);
    await ann.next('onpartyclose');
    await failed(3, eve.socket.joinParty(id));
}

async function closedParty() {
    const [ann, ben, eve] = [await connect(), await connect(), await connect()];
    const { party_id: id } = await ann.socket.createParty(false, 2);
    for (const player of [ben, eve]) {
        await player.socket.joinParty(id);
        const { presences } = await ann.next('onpartyjoinrequest');
        assert.deepEqual(users(presences), ids(player));
    }
    await failed(3, ben.socket.joinParty(id)); // has asked already
    await failed(3, ben.socket.listPartyJoinRequests(id));
    const { presences: [first, second] } = await ann.socket.listPartyJoinRequests(id);
    await ann.socket.removePartyMember(id, first);
    await ann.socket.acceptPartyMember(id, second);
    assert.deepEqual(users((await eve.next('onparty')).presences), ids(ann, eve));
    await ann.next('onpartypresence', joinOf(eve.session.user_id));
    const { presences } = await ann.socket.listPartyJoinRequests(id);
    assert.deepEqual(presences ?? [], []);
    await failed(3, ann.socket.acceptPartyMember(id, first));
}

async function lists() {
    const [ann, ben] = [await connect(), await connect()];
    const create = (player, fields) => player.socket.send({ party_create: fields });
    const label = '{"mode":"duel"}';
    const { party } = await create(ann, { open: true, max_size: 4, label });
    await create(ben, { open: true, max_size: 4, hidden: true, label });
    const list = async query => {
        const headers = { Authorization: `Bearer ${ann.session.token}` };
        const response = await fetch(`http://${host}:${port}/v2/party${query}`, { headers });
        return { status: response.status, ...await response.json() };
    };
    const all = await list('?limit=100');
    const [found] = all.parties.filter(one => one.label === label);
    assert.deepEqual(found, { party_id: party.party_id, open: true, max_size: 4, label });
    const duels = (await list('?query=%2Blabel.mode:duel')).parties;
    assert.deepEqual(duels.map(one => one.party_id), [party.party_id]);
    assert.deepEqual((await list('?query=%2Blabel.mode:duel&open=false')).parties ?? [], []);
    assert.equal((await list('?query=%2Blabel.mode:%22')).code, 13);
    assert.equal((await list('?limit=0')).status, 400);
    assert.equal((await list('?cursor=x')).code, 13);

    await ann.socket.send({ party_update: { party_id: party.party_id, open: false } });
    const closed = await list('?open=false&limit=100');
    assert.ok(closed.parties.some(one => one.party_id === party.party_id && one.label === '{}'));
}

async function tickets() {
    const [ann, ben, eve] = [await connect(), await connect(), await connect()];
    const { party_id: id } = await ann.socket.createParty(true, 2);
    await ben.socket.joinParty(id);
    await ben.next('onparty');
    await failed(3, ben.socket.addMatchmakerParty(id, '*', 3, 3));
    await failed(3, ann.socket.addMatchmakerParty(id, '*', 1, 3));
    const gone = await ann.socket.addMatchmakerParty(id, '*', 3, 3);
    assert.deepEqual(await ben.next('onpartymatchmakerticket'), gone);
    await failed(3, ann.socket.removeMatchmaker(gone.ticket));
    await ann.socket.removeMatchmakerParty(id, gone.ticket);
    await failed(3, ann.socket.removeMatchmakerParty(id, gone.ticket));

    const properties = { team: 'red' };
    const { ticket } = await ann.socket.addMatchmakerParty(id, '*', 3, 3, properties);
    const alone = await eve.socket.addMatchmaker('*', 3, 3);
    for (const player of [ann, ben]) {
        const matched = await player.next('onmatchmakermatched');
        assert.deepEqual([matched.ticket, matched.self.party_id], [ticket, id]);
        assert.equal(matched.self.presence.user_id, player.session.user_id);
        assert.deepEqual(matched.self.string_properties, properties);
        const found = matched.users.map(user => user.presence);
        assert.deepEqual(users(found).sort(), ids(ann, ben, eve).sort());
        await player.socket.joinMatch(undefined, matched.token);
    }
    const matched = await eve.next('onmatchmakermatched');
    assert.deepEqual([matched.ticket, matched.self.party_id], [alone.ticket, undefined]);

    // With ben gone nobody waits for the party: three others find each other.
    await ann.socket.addMatchmakerParty(id, '*', 3, 3);
    await ben.socket.leaveParty(id);
    await ann.next('onpartypresence', leaveOf(ben.session.user_id));
    const others = [ben, eve, await connect()];
    for (const player of others) await player.socket.addMatchmaker('*', 3, 3);
    const last = await eve.next('onmatchmakermatched');
    const found = last.users.map(user => user.presence);
    assert.deepEqual(users(found).sort(), ids(...others).sort());
}
