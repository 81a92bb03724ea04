// Storage objects with the stock SDK: saves of players on several cores, and what others see of them.
import assert from 'node:assert/strict';
import { refused, signIn } from './connect.mjs';

const players = await Promise.all(Array.from({ length: 4 }, signIn));
const [ann, ben] = players;
const collection = 'saves';
const write = ({ client, session }, ...objects) =>
    client.writeStorageObjects(session, objects.map(object => ({ collection, ...object })));
const read = async ({ client, session }, ...names) => {
    const object_ids = names.map(([key, user_id]) => ({ collection, key, user_id }));
    return (await client.readStorageObjects(session, { object_ids })).objects;
};
const list = async ({ client, session }, user_id, limit) => {
    const all = [];
    let cursor;
    do {
        const page = await client.listStorageObjects(session, collection, user_id, limit, cursor);
        assert.ok(page.objects.length <= limit, JSON.stringify(page));
        all.push(...page.objects);
        cursor = page.cursor;
    } while (cursor);
    return all.map(({ key, user_id, value }) => [key, user_id, value.level]);
};

await versions();
await permissions();
await lists();
await large();
await ends();
process.exit(0);

async function versions() {
    const { acks: [first, other] } =
        await write(ann, { key: 'slot', value: { level: 1 } }, { key: 'other', value: { a: [1] } });
    assert.deepEqual(
        [first, other].map(ack => [ack.collection, ack.key, ack.user_id]),
        ['slot', 'other'].map(key => [collection, key, ann.session.user_id]),
    );
    const { acks: [second] } =
        await write(ann, { key: 'slot', value: { level: 2 }, version: first.version });
    assert.notEqual(second.version, first.version);
    await refused(400, write(ann, { key: 'slot', value: { level: 9 }, version: first.version }));
    await refused(400, write(ann, { key: 'slot', value: { level: 9 }, version: '*' }));
    // Nothing of a batch is kept when a part of it is refused.
    const late = { key: 'slot', value: { level: 9 }, version: first.version };
    await refused(400, write(ann, { key: 'other', value: {} }, late));
    const kept = await read(ann, ['slot', ann.session.user_id], ['other', ann.session.user_id]);
    const values = Object.fromEntries(kept.map(({ key, value }) => [key, value]));
    assert.deepEqual(values, { slot: { level: 2 }, other: { a: [1] } });
    const slot = kept.find(({ key }) => key === 'slot');
    assert.deepEqual(
        [slot.version, slot.permission_read, slot.permission_write],
        [second.version, 1, 1],
    );
    const remove = (...object_ids) => ann.client.deleteStorageObjects(
        ann.session,
        { object_ids: object_ids.map(named => ({ collection, ...named })) },
    );
    await refused(400, remove({ key: 'other' }, { key: 'slot', version: first.version }));
    await remove({ key: 'other' }, { key: 'slot', version: second.version });
    assert.deepEqual(await list(ann, ann.session.user_id, 10), []);
}

async function permissions() {
    await write(
        ann,
        { key: 'open', value: { level: 1 }, permission_read: 2 },
        { key: 'own', value: { level: 2 }, permission_read: 1 },
        { key: 'hidden', value: { level: 3 }, permission_read: 0 },
        { key: 'fixed', value: { level: 4 }, permission_write: 0 },
    );
    const names = ['open', 'own', 'hidden', 'fixed'].map(key => [key, ann.session.user_id]);
    const keys = async player => (await read(player, ...names)).map(({ key }) => key).sort();
    assert.deepEqual(await keys(ann), ['fixed', 'open', 'own']);
    assert.deepEqual(await keys(ben), ['open']);
    await refused(400, write(ann, { key: 'fixed', value: { level: 5 } }));
    await refused(400, write(ann, { key: 'text', value: 'no object' }));
    await refused(400, write(ann, { key: 'wide', value: {}, permission_read: 3 }));
}

async function lists() {
    for (const [at, player] of players.entries()) {
        await write(player, { key: `rank-${at}`, value: { level: at }, permission_read: 2 });
    }
    const open = [['open', ann.session.user_id, 1]];
    const ranks = players.map(({ session }, at) => [`rank-${at}`, session.user_id, at]);
    for (const limit of [1, 2, 3, 100]) {
        assert.deepEqual(await list(ben, undefined, limit), [...open, ...ranks]);
        assert.deepEqual(await list(ben, ann.session.user_id, limit), [...open, ranks[0]]);
    }
    const own = (await list(ann, ann.session.user_id, 2)).map(([key]) => key).sort();
    assert.deepEqual(own, ['fixed', 'open', 'own', 'rank-0']);
    const forged = ann.client.listStorageObjects(ann.session, collection, undefined, 10, 'forged!');
    await refused(400, forged);
}

/// What does not fit into one answer comes in several, and hides nothing of other players'.
async function large() {
    const [collection, pad] = ['large', 'x'.repeat(200_000)];
    const expected = [];
    for (let at = 10; at < 34; at += 1) {
        const other = players[1 + at % 3];
        const written = [[ann, `key-${at}`, { pad }], [other, `key-${at}-small`, {}]];
        for (const [player, key, value] of written) {
            await write(player, { collection, key, value, permission_read: 2 });
            expected.push(key);
        }
    }
    const [keys, sizes] = [[], []];
    let cursor;
    do {
        const page = await ben.client.listStorageObjects(ben.session, collection, undefined, 100, cursor);
        keys.push(...page.objects.map(({ key }) => key));
        sizes.push(page.objects.length);
        cursor = page.cursor;
    } while (cursor);
    assert.deepEqual(keys, expected);
    assert.ok(sizes.length > 1 && sizes[0] > 1, `${sizes}`);
}

/// What a deleted account owned is nobody's.
async function ends() {
    await ann.client.deleteAccount(ann.session);
    assert.deepEqual(await read(ben, ['open', ann.session.user_id]), []);
    const left = players.slice(1).map(({ session }, at) => [`rank-${at + 1}`, session.user_id, at + 1]);
    assert.deepEqual(await list(ben, undefined, 100), left);
}
