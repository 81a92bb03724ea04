// Tickets with the stock SDK: whom queries accept, how large matches become, how tickets end.
import assert from 'node:assert/strict';
import { connect, host, port, signIn } from './connect.mjs';

const failed = (code, call) => assert.rejects(call, error => error.code === code);
const players = count => Promise.all(Array.from({ length: count }, () => connect()));
const usersOf = matched => matched.users.map(user => user.presence.user_id);
const ids = (...list) => list.map(player => player.session.user_id);
const queue = ({ socket }, query, texts, numbers) =>
    socket.addMatchmaker(query, 2, 2, texts, numbers);

let asker;

await queries();
await directions();
await belowMax();
await removal();
await disconnect();
await tokens();
await refusals();
process.exit(0);

/// Only those match whom the query accepts; whoever is left can still be removed, so waits.
async function queries() {
    const town = { map: 'old town' };
    for (const [query, fits, differs] of [
        ['+properties.mode:duel', [{ mode: 'duel' }], [{ mode: 'ranked' }]],
        ['+properties.rank:>=10 +properties.rank:<=20', [{}, { rank: 20 }], [{}, { rank: 21 }]],
        ['+properties.map:"old town" +properties.rank:>5', [town, { rank: 6 }], [town, { rank: 5 }]],
        ['-properties.map:old\\ town', [{ map: 'old' }], [town]],
        ['+properties.since:<"2024-02-01T00:00:00Z"', [{ since: '2024-01-31' }],
            [{ since: '2024-02-01' }]],
        ['+properties.maps:/.*(north|south).*/', [{ maps: 'east south' }], [{ maps: 'east' }]],
    ]) {
        const [ann, ben, eve] = await players(3);
        await queue(ann, query, ...fits);
        // Of this one neither accepts the other.
        const { ticket } = await queue(ben, '+properties.nobody:has', ...differs);
        const last = await queue(eve, query, ...fits);
        const matched = await eve.next('onmatchmakermatched');
        assert.equal(matched.ticket, last.ticket);
        assert.deepEqual(usersOf(matched).sort(), ids(ann, eve).sort(), query);
        await ben.socket.removeMatchmaker(ticket);
    }
}

/// It is enough that one accepts the other, whoever came first; the one that searched is last.
async function directions() {
    const blue = { team: 'blue' };
    const [ann, ben, eve, fay] = await players(4);
    await queue(ann, '+properties.team:blue', { team: 'red' });
    await queue(ben, '+properties.team:green', blue);
    assert.deepEqual(usersOf(await ann.next('onmatchmakermatched')), ids(ben, ann));
    await ben.next('onmatchmakermatched');
    await queue(eve, '+properties.team:green', blue);
    await queue(fay, '+properties.team:blue', { team: 'red' });
    assert.deepEqual(usersOf(await eve.next('onmatchmakermatched')), ids(eve, fay));
    await fay.next('onmatchmakermatched');
}

/// Two of at most four: at the last interval.
async function belowMax() {
    const [ann, ben, eve] = await players(3);
    const add = player => player.socket.addMatchmaker('*', 2, 4);
    await add(ann);
    const ticket = await add(ben);
    const matched = await ben.next('onmatchmakermatched');
    assert.equal(matched.ticket, ticket.ticket);
    assert.deepEqual(usersOf(matched).sort(), ids(ann, ben).sort());
    assert.deepEqual(await ann.next('onmatchmakermatched').then(usersOf), usersOf(matched));
    // With a multiple of two, one of three is left.
    const even = { min_count: 2, max_count: 4, count_multiple: 2, query: '*' };
    for (const player of [ann, ben, eve]) await player.socket.send({ matchmaker_add: even });
    const events = [ann, ben, eve].map(player => player.next('onmatchmakermatched'));
    events.forEach(event => event.catch(() => {}));
    assert.equal(usersOf(await Promise.any(events)).length, 2);
    for (const player of [ann, ben, eve]) player.socket.disconnect();
    await emptied();
}

async function removal() {
    const [ann, ben, eve] = await players(3);
    const { ticket } = await queue(ann, '*');
    await failed(3, ben.socket.removeMatchmaker(ticket)); // another's
    await ann.socket.removeMatchmaker(ticket);
    await failed(3, ann.socket.removeMatchmaker(ticket));
    await queue(ben, '*');
    await queue(eve, '*');
    const matched = await eve.next('onmatchmakermatched');
    assert.deepEqual(usersOf(matched).sort(), ids(ben, eve).sort());
}

async function disconnect() {
    const [ann, ben, eve] = await players(3);
    await queue(ann, '*', { room: 'left' });
    assert.equal((await stats()).ticket_count, 1);
    ann.socket.disconnect();
    await emptied();
    await queue(ben, '*');
    await queue(eve, '*');
    assert.deepEqual(usersOf(await ben.next('onmatchmakermatched')).sort(), ids(ben, eve).sort());
    const { ticket_count: count, oldest_ticket_create_time: oldest, completions } = await stats();
    assert.deepEqual([count ?? 0, oldest], [0, undefined]);
    const [before, after] = ['create_time', 'complete_time'].map(time => completions.at(-1)[time]);
    assert.ok(Date.parse(before) <= Date.parse(after), `${before} ${after}`);
}

/// The token leads all of them, and nobody else, to one match.
async function tokens() {
    const [ann, ben] = await players(2);
    await queue(ann, '*');
    await queue(ben, '*');
    const [first, second] = [await ann.next('onmatchmakermatched'), await ben.next('onmatchmakermatched')];
    assert.equal(first.token, second.token);
    assert.equal(first.match_id, undefined);
    const claims = JSON.parse(atob(first.token.split('.')[1]));
    const left = claims.exp - Date.now() / 1000;
    assert.ok(left > 15 && left <= 31, `${left} s are left`);
    const match = await ann.socket.joinMatch(undefined, first.token);
    assert.equal(match.match_id, claims.mid);
    const joined = await ben.socket.joinMatch(undefined, second.token);
    assert.deepEqual(joined.presences, [match.self]);
    await failed(3, ben.socket.joinMatch(undefined, `${first.token}x`));
}

async function refusals() {
    const [ann] = await players(1);
    const add = fields => ann.socket.send({ matchmaker_add: { query: '*', ...fields } });
    await failed(3, add({ min_count: 1, max_count: 2 }));
    await failed(3, add({ min_count: 3, max_count: 2 }));
    await failed(3, add({ min_count: 2, max_count: 5, count_multiple: 2 }));
    await failed(3, ann.socket.removeMatchmaker('no-ticket'));
    // Code 0, which JSON leaves out.
    await failed(undefined, queue(ann, '+properties.a:"open'));
    for (let count = 0; count < 3; count += 1) await queue(ann, '*');
    await failed(undefined, queue(ann, '*'));
}

async function stats() {
    asker ??= await signIn();
    const headers = { Authorization: `Bearer ${asker.session.token}` };
    const response = await fetch(`http://${host}:${port}/v2/matchmaker/stats`, { headers });
    assert.equal(response.status, 200);
    return response.json();
}

/// Until nobody waits.
async function emptied() {
    while ((await stats()).ticket_count) await new Promise(setImmediate);
}
