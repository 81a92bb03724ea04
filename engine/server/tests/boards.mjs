// Leaderboards and tournaments with the stock SDK; a game's own server declares them.
import assert from 'node:assert/strict';
import { connect, host, refused } from './connect.mjs';

const [port, token] = process.argv.slice(4);
const ask = async (method, path, body) => {
    const url = `http://${host}:${port}/v2/console/${path}`;
    const headers = { authorization: `Bearer ${token}` };
    const response = await fetch(url, { method, headers, body: body && JSON.stringify(body) });
    const text = await response.text();
    assert.equal(response.status, 200, text);
    return JSON.parse(text);
};
await ask('POST', 'boards', {
    leaderboards: [{ id: 'points', operator: 'incr' }, { id: 'times', sort: 'asc' }, { id: 'own', authoritative: true }],
    tournaments: [
        { id: 'cup', duration: 3600, title: 'The cup', category: 2, max_size: 2, join_required: true, max_num_score: 2 },
        { id: 'open', duration: 3600, start: 3600 },
    ],
});

const players = await Promise.all([connect(), connect(), connect()]);
const [ann, ben, cy] = players;
const write = ({ client, session }, board, score, more) =>
    client.writeLeaderboardRecord(session, board, { score: String(score), ...more });
const places = list => list.map(({ owner_id, rank, score }) => [owner_id, rank, score]);
const id = player => player.session.user_id;

assert.deepEqual((await write(ann, 'points', 10, { metadata: { a: 1 } })).metadata, { a: 1 });
await write(ben, 'points', 30);
await write(cy, 'points', 20);
const written = await write(ann, 'points', 15);
assert.deepEqual([written.rank, written.score, written.num_score, written.username], [2, 25, 2, ann.session.username]);
const { client, session } = ann;
const first = await client.listLeaderboardRecords(session, 'points', [id(ben)], 2);
assert.deepEqual(places(first.records), [[id(ben), 1, 30], [id(ann), 2, 25]]);
assert.deepEqual(places(first.owner_records), [[id(ben), 1, 30]]);
assert.equal(first.rank_count, 3);
const second = await client.listLeaderboardRecords(session, 'points', [], 2, first.next_cursor);
assert.deepEqual(places(second.records), [[id(cy), 3, 20]]);
const around = await client.listLeaderboardRecordsAroundOwner(session, 'points', id(cy), 2);
assert.deepEqual(places(around.records), [[id(ann), 2, 25], [id(cy), 3, 20]]);
const { record, rank_count, percentile } = await ask('GET', `leaderboard/points/owner/${id(ann)}`);
assert.deepEqual([record.rank, rank_count, Math.round(percentile)], ['2', 3, 33]);
await client.apiClient.deleteLeaderboardRecord(session.token, 'points');
assert.equal((await client.listLeaderboardRecords(session, 'points', [], 10)).records.length, 2);

await write(ann, 'times', 50);
assert.equal((await write(ben, 'times', 40)).rank, 1);
await refused(403, write(ann, 'own', 1));
await ask('POST', `leaderboard/own/owner/${id(ann)}`, { score: 5, username: 'ann' });
assert.deepEqual(places((await client.listLeaderboardRecords(session, 'own', [], 5)).records), [[id(ann), 1, 5]]);
await refused(404, write(ann, 'nothing', 1));

const { tournaments } = await client.listTournaments(session, 0, 127);
assert.deepEqual(tournaments.map(({ id, can_enter }) => [id, can_enter ?? false]), [['cup', true], ['open', false]]);
const score = (player, board, points) =>
    player.client.writeTournamentRecord(player.session, board, { score: String(points) });
await refused(400, score(ann, 'cup', 1));
for (const player of [ann, ben]) {
    assert.equal(await player.client.joinTournament(player.session, 'cup'), true);
}
await refused(400, cy.client.joinTournament(cy.session, 'cup'));
assert.equal((await score(ann, 'cup', 7)).rank, 1);
assert.deepEqual([(await score(ann, 'cup', 3)).score, (await score(ann, 'cup', 99)).score], [7, 7]);
const cup = await client.listTournamentRecords(session, 'cup', [], 10);
assert.deepEqual(places(cup.records), [[id(ann), 1, 7], [id(ben), 2, 0]]);
const near = await client.listTournamentRecordsAroundOwner(session, 'cup', id(ben), 1);
assert.deepEqual(places(near.records), [[id(ben), 2, 0]]);
await refused(400, score(ann, 'open', 1));
await refused(500, score(ann, 'points', 1));

await ask('DELETE', 'leaderboard/points');
await refused(404, client.listLeaderboardRecords(session, 'points'));
assert.equal((await ask('GET', 'leaderboard')).total, 4);
process.exit(0);
