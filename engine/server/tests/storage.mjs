// Storage objects with the stock SDK, and what a game's own server does to them and to wallets.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { host, refused, signIn } from './connect.mjs';

const [port, token] = process.argv.slice(4);
const call = (method, path, body) => {
    const url = `http://${host}:${port}/v2/console/${path}`;
    const headers = { authorization: `Bearer ${token}` };
    return fetch(url, { method, headers, body: body && JSON.stringify(body) });
};
const ask = async (method, path, body) => {
    const response = await call(method, path, body);
    const text = await response.text();
    assert.equal(response.status, 200, text);
    return JSON.parse(text);
};

const [ann, ben] = await Promise.all([signIn(), signIn()]);
const id = ({ session }) => session.user_id;
const write = ({ client, session }, ...objects) => client.writeStorageObjects(session, objects);
const read = async ({ client, session }, ...object_ids) =>
    (await client.readStorageObjects(session, { object_ids })).objects;
const list = ({ client, session }, ...rest) => client.listStorageObjects(session, ...rest);
const named = (player, key) => ({ collection: 'saves', key, user_id: player && id(player) });
const keys = objects => objects.map(({ key }) => key);

const value = { level: 7, name: 'Änn' };
const { acks: [ack] } = await write(ann, { collection: 'saves', key: 'hero', value });
assert.equal(ack.version, createHash('md5').update(JSON.stringify(value)).digest('hex'));
const [hero] = await read(ann, named(ann, 'hero'));
assert.deepEqual([hero.value, hero.permission_read, hero.permission_write], [value, 1, 1]);
assert.deepEqual(await read(ben, named(ann, 'hero')), []);

await refused(400, write(ann, { collection: 'saves', key: 'hero', value, version: '*' }));
await write(ann, { collection: 'saves', key: 'hero', value: { level: 8 }, version: ack.version });
await refused(400, write(ann,
    { collection: 'saves', key: 'fresh', value },
    { collection: 'saves', key: 'hero', value, version: ack.version }));
assert.deepEqual(await read(ann, named(ann, 'fresh')), []);

await write(ann, ...['a', 'b', 'c'].map(key => ({ collection: 'saves', key, value, permission_read: 2 })));
const first = await list(ann, 'saves', id(ann), 2);
assert.deepEqual(keys(first.objects), ['hero', 'a']);
const second = await list(ann, 'saves', id(ann), 2, first.cursor);
assert.deepEqual([keys(second.objects), second.cursor], [['b', 'c'], undefined]);
assert.deepEqual(keys((await list(ben, 'saves', id(ann), 10)).objects), ['a', 'b', 'c']);
await write(ben, { collection: 'saves', key: 'b', value, permission_read: 2 });
assert.deepEqual(keys((await list(ben, 'saves', undefined, 10)).objects), ['a', 'b', 'b', 'c']);
await ann.client.deleteStorageObjects(ann.session, { object_ids: [{ collection: 'saves', key: 'a' }] });
await refused(400, ann.client.deleteStorageObjects(ann.session, { object_ids: [{ collection: 'saves', key: 'a' }] }));

// A sale: both wallets, and the thing that is sold, or nothing of it.
const pay = (from, to, coins, storage_writes = []) => ({
    storage_writes,
    wallet_updates: [
        { user_id: id(from), changeset: { coins: -coins }, metadata: { for: 'sword' } },
        { user_id: id(to), changeset: { coins } },
    ],
    update_ledger: true,
});
const wallet = async ({ client, session }) => JSON.parse((await client.getAccount(session)).wallet);
await ask('POST', 'multi_update', { wallet_updates: [{ user_id: id(ann), changeset: { coins: 100, gems: 5 } }], update_ledger: true });
const sword = { collection: 'things', key: 'sword', user_id: id(ann), value: '{"edge":3}', permission_write: 0 };
const sold = await ask('POST', 'multi_update', pay(ann, ben, 60, [sword]));
assert.deepEqual(sold.wallet_updates.map(({ previous, updated }) => [previous, updated]), [
    [{ coins: 100, gems: 5 }, { coins: 40, gems: 5 }], [{}, { coins: 60 }],
]);
assert.equal(sold.acks[0].key, 'sword');
const poor = await call('POST', 'multi_update', pay(ann, ben, 60, [{ ...sword, value: '{"edge":9}' }]));
assert.deepEqual([poor.status, (await poor.json()).code], [400, 9]);
assert.deepEqual([await wallet(ann), await wallet(ben)], [{ coins: 40, gems: 5 }, { coins: 60 }]);
assert.deepEqual((await read(ann, { collection: 'things', key: 'sword', user_id: id(ann) }))[0].value, { edge: 3 });
await refused(400, write(ann, { collection: 'things', key: 'sword', value }));
const ledger = await ask('GET', `account/${id(ann)}/wallet`);
assert.deepEqual(ledger.items.map(({ changeset }) => JSON.parse(changeset)), [{ coins: -60 }, { coins: 100, gems: 5 }]);

// What belongs to the system, and what operators see.
await ask('PUT', 'storage/config/shop/00000000-0000-0000-0000-000000000000', { value: '{"open":true}', permission_read: 2 });
assert.deepEqual((await read(ben, { collection: 'config', key: 'shop' }))[0].value, { open: true });
assert.deepEqual(keys((await ask('GET', `storage?collection=saves&user_id=${id(ann)}`)).objects), ['hero', 'b', 'c']);

await ask('POST', 'boards', { leaderboards: [{ id: 'points' }, { id: 'wins', sort: 'asc' }] });
for (const player of [ann, ben])
    for (const board of ['points', 'wins'])
        await player.client.writeLeaderboardRecord(player.session, board, { score: '3' });
const exported = await ask('GET', `account/${id(ann)}/export`);
assert.deepEqual(keys(exported.objects).sort(), ['b', 'c', 'hero', 'sword']);
assert.equal(exported.wallet_ledgers.length, 2);
assert.deepEqual(exported.leaderboard_records.map(({ leaderboard_id, score }) => [leaderboard_id, score]).sort(), [['points', '3'], ['wins', '3']]);
await ann.client.deleteAccount(ann.session);
assert.deepEqual(await read(ben, named(ann, 'b')), []);
assert.deepEqual((await list(ben, 'saves', id(ann), 10)).objects, []);
// The records go in steps.
const left = async () => (await ben.client.listLeaderboardRecords(ben.session, 'points', [], 10)).records.map(({ owner_id }) => owner_id);
const deadline = Date.now() + 10_000;
while ((await left()).length > 1) assert.ok(Date.now() < deadline, 'the record of a deleted account is still there');
assert.deepEqual(await left(), [id(ben)]);
