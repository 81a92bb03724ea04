// Ratings with the stock SDK: a game's server says how a match ended, and its players read what they are.
import assert from 'node:assert/strict';
import { connect, host } from './connect.mjs';

const [port, token] = process.argv.slice(4);
const result = async body => {
    const url = `http://${host}:${port}/v2/console/queue/duel/result`;
    const headers = { authorization: `Bearer ${token}` };
    const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
    return { status: response.status, ...await response.json() };
};
const call = async (player, id, payload) => {
    const { payload: text } = await player.socket.rpc(id, JSON.stringify(payload));
    return JSON.parse(text);
};

const [ann, ben] = [await connect(), await connect()];
const team = (rank, player) => ({ rank, players: [{ user_id: player.session.user_id }] });
const won = { match_id: 'first', teams: [team(1, ann), team(2, ben)] };
const told = await result(won);
assert.equal(told.status, 200, JSON.stringify(told));
assert.deepEqual(await result(won), told); // the same answer, and nothing changes
assert.deepEqual(
    await result({ ...won, teams: [team(2, ann), team(1, ben)] })
        .then(({ status, code }) => [status, code]),
    [409, 6],
);

const own = await call(ann, 'rating_get', { queue: 'duel' });
assert.deepEqual([own.rating, own.games, own.wins, own.losses], [1510, 1, 1, 0]);
const other = await call(ann, 'rating_get', { queue: 'duel', user_id: ben.session.user_id });
assert.deepEqual([other.rating, other.games, other.wins, other.losses], [1490, 1, 0, 1]);
const { matches } = await call(ben, 'rating_history', { queue: 'duel' });
assert.deepEqual(
    matches.map(match => [match.match_id, match.outcome, match.rating_before, match.rating_after]),
    [['first', 'loss', 1500, 1490]],
);

// What a ticket says of its rating does not count.
const add = player => player.socket.addMatchmaker('*', 2, 2, { queue: 'duel' }, { rating: 9999 });
await Promise.all([add(ann), add(ben)]);
const { users } = await ann.next('onmatchmakermatched');
const ratings = users.map(user => user.numeric_properties.rating);
assert.deepEqual(ratings.sort(), [1490, 1510]);
process.exit(0);
