// Declared queues with the stock SDK: ratings, parties, roles, regions, ready checks, functions.
import assert from 'node:assert/strict';
import { connect, host, port } from './connect.mjs';

const failed = (code, call, text) => assert.rejects(call, error => {
    assert.equal(error.code ?? 0, code, error.message); // 0 is left out
    if (text) assert.equal(error.message, text);
    return true;
});
const queued = (player, queue, texts = {}, numbers = {}) =>
    player.socket.addMatchmaker('*', 2, 2, { queue, ...texts }, numbers);
const call = async (player, id, payload) => {
    const { payload: text } = await player.socket.rpc(id, JSON.stringify(payload));
    return text ? JSON.parse(text) : undefined;
};
const notice = async (player, subject) => {
    const one = await player.next('onnotification', ({ subject: other }) => other === subject);
    return { code: one.code, ...one.content };
};

await duel();
await roles();
await readyCheck();
await widening();
process.exit(0);

async function duel() {
    const [ann, ben, cat] = [await connect(), await connect(), await connect()];
    assert.equal(await call(ann, 'queue_wait', { queue: 'duel' }).then(Object.keys).then(String), '');
    const latencies = { 'latency.eu': 20, 'latency.us': 135 };
    const { ticket } = await queued(ann, 'duel', {}, { rating: 1500, ...latencies });
    await failed(0, queued(ann, 'duel', {}, latencies), 'The session or party has too many tickets.');
    const told = await call(ann, 'queue_explain', { ticket });
    assert.deepEqual([told.ticket, told.others, told.acceptable, told.rating_window], [ticket, 0, 0, 100]);
    await failed(7, call(ben, 'queue_explain', { ticket })); // not his
    await queued(cat, 'duel', {}, { rating: 1500, 'latency.us': 10 }); // has no way to eu
    await queued(ben, 'duel', {}, { rating: 1580, 'latency.eu': 10, 'latency.us': 90 });
    const [one, other] = [await ann.next('onmatchmakermatched'), await ben.next('onmatchmakermatched')];
    assert.deepEqual([one.ticket, one.token], [ticket, other.token]);
    assert.deepEqual(one.users, other.users);
    const says = one.users.map(({ string_properties: { team, region, mode, queue } }) =>
        [team, region, mode, queue]);
    assert.deepEqual(says.sort(), [['blue', 'eu', '1v1', 'duel'], ['red', 'eu', '1v1', 'duel']]);
    const { match_quality: quality, win_probability: chance } = one.self.numeric_properties;
    assert.ok(quality > 0.5 && quality < 1 && chance > 0.5 && chance < 0.7, `${quality} ${chance}`);
    const match = await ann.socket.joinMatch(undefined, one.token);
    assert.equal((await ben.socket.joinMatch(undefined, other.token)).match_id, match.match_id);
    const wait = await call(cat, 'queue_wait', { queue: 'duel', rating: 1540 });
    assert.deepEqual([wait.samples, wait.median_sec < 5], [2, true]);

    // Another queue's name is a property like any other.
    await queued(ann, 'nowhere');
    await queued(ben, 'nowhere');
    assert.equal((await ann.next('onmatchmakermatched')).self.string_properties.team, undefined);

    const bad = (texts, numbers, text) => failed(3, queued(ben, 'duel', texts, numbers), text);
    await bad({}, {}, 'latency: Every player has to bring a latency to one of the queue\'s regions.');
    await bad({}, { 'latency.eu': -1 }, 'latency.eu: A latency is a number of milliseconds, 0 or more.');
    await bad({}, { ...latencies, rating: 1e7 }, 'rating: A rating is a number from -1000000 to 1000000.');
    await bad({ blocked: 'x' }, latencies, 'blocked: User ids are needed, separated by commas.');
    await bad({ roles: 'tank' }, latencies, 'roles: The queue has no such role.');
    await failed(6, call(ben, 'nonsense', {}), 'RPC function not found');
    await failed(7, call(ben, 'queue_wait', { queue: 'nowhere' }), 'There is no such queue.');
    await failed(7, call(ben, 'queue_ready', { ticket, accept: true }));
    await failed(3, call(ben, '', {}));
    await ben.socket.removeMatchmaker((await queued(ben, 'duel', {}, { 'latency.eu': 1 })).ticket);
}

async function roles() {
    const [ann, ben, cat, dan] = [await connect(), await connect(), await connect(), await connect()];
    const party = await ann.socket.createParty(true, 2);
    await ben.socket.joinParty(party.party_id);
    await ben.next('onparty');
    const texts = {
        queue: 'pairs', [`roles@${ann.session.user_id}`]: 'healer', [`roles@${ben.session.user_id}`]: 'tank',
    };
    const { ticket } = await ann.socket.addMatchmakerParty(party.party_id, '*', 2, 2, texts, {});
    assert.equal((await ben.next('onpartymatchmakerticket')).ticket, ticket);
    await queued(cat, 'pairs', { roles: 'tank' });
    await queued(dan, 'pairs', { roles: 'tank,healer' });
    const { users, self } = await dan.next('onmatchmakermatched');
    const of = ({ session }) => users.find(user => user.presence.user_id === session.user_id);
    const role = player => of(player).string_properties.role;
    const team = player => of(player).string_properties.team;
    assert.deepEqual([ann, ben, cat, dan].map(role), ['healer', 'tank', 'tank', 'healer']);
    assert.equal(self.string_properties.role, 'healer');
    assert.equal(team(ann), team(ben));
    assert.equal(team(cat), team(dan));
    assert.notEqual(team(ann), team(cat));
    assert.equal(of(ann).party_id, party.party_id);
    const names = Object.keys(of(ann).string_properties).filter(name => name.startsWith('roles@'));
    assert.deepEqual(names, [`roles@${ann.session.user_id}`], 'what is of others is theirs');
}

async function readyCheck() {
    const [ann, ben, cat] = [await connect(), await connect(), await connect()];
    const tickets = {};
    for (const [name, player] of Object.entries({ ann, ben })) {
        ({ ticket: tickets[name] } = await queued(player, 'checked'));
    }
    const found = await notice(ann, 'match_found');
    assert.deepEqual(found, { code: -100, ticket: tickets.ann, queue: 'checked', within_sec: 60 });
    await notice(ben, 'match_found');
    await call(ann, 'queue_ready', { ticket: tickets.ann, accept: true });
    await failed(7, call(cat, 'queue_ready', { ticket: tickets.ben, accept: true }));
    await call(ben, 'queue_ready', { ticket: tickets.ben, accept: false });
    const back = await notice(ann, 'queue_rejoined');
    assert.deepEqual(back, { code: -101, ticket: tickets.ann, queue: 'checked' });
    const left = await notice(ben, 'queue_left');
    assert.deepEqual([left.code, left.reason], [-102, 'The match was not accepted.']);

    // To take the ticket back is to decline, and so is to go.
    const { ticket: second } = await queued(ben, 'checked');
    await notice(ben, 'match_found');
    await ben.socket.removeMatchmaker(second);
    await notice(ann, 'queue_rejoined');
    await queued(ben, 'checked');
    await notice(ben, 'match_found');
    ben.socket.disconnect();
    await notice(ann, 'queue_rejoined');

    ({ ticket: tickets.cat } = await queued(cat, 'checked'));
    await notice(cat, 'match_found');
    await call(cat, 'queue_ready', { ticket: tickets.cat, accept: true });
    await call(ann, 'queue_ready', { ticket: tickets.ann, accept: true });
    assert.equal((await ann.next('onmatchmakermatched')).token, (await cat.next('onmatchmakermatched')).token);
}

async function widening() {
    const [ann, ben] = [await connect(), await connect()];
    const begin = Date.now();
    await queued(ann, 'wide', {}, { rating: 1000 });
    await queued(ben, 'wide', {}, { rating: 1400 });
    await ann.next('onmatchmakermatched');
    assert.ok(Date.now() - begin >= 1000, 'the window reaches so far after a second');
}
