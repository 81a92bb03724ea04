// The stock SDK: sessions, users, statuses and matches.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { connect, joinOf, leaveOf, refused, signIn } from './connect.mjs';

const claims = token => JSON.parse(atob(token.split('.')[1]));
const failed = (code, call) => assert.rejects(call, error => error.code === code);

await sessions();
await users();
await statuses();
await matches();
process.exit(0);

async function sessions() {
    const { client, session } = await signIn();
    client.autoRefreshSession = false; // tokens live a minute, which the SDK would not let pass
    assert.equal(session.created, true);
    const { token: old, refresh_token: oldRefresh } = session;
    await client.sessionRefresh(session, { level: '3' });
    const [before, after] = [claims(old), claims(session.token)];
    assert.deepEqual([after.tid, after.uid, after.iat], [before.tid, before.uid, before.iat]);
    assert.deepEqual([before.vrs, after.vrs], [undefined, { level: '3' }]);
    assert.deepEqual(session.vars, { level: '3' });
    await client.sessionRefresh(session);
    assert.deepEqual(claims(session.token).vrs, { level: '3' });
    await client.getAccount(session);

    const other = await signIn();
    await refused(400, client.sessionLogout(session, other.session.token, ''));
    await client.sessionLogout(session, session.token, session.refresh_token);
    await refused(401, client.getAccount(session));
    await refused(401, client.sessionRefresh(session));
    await refused(401, client.sessionRefresh({ ...session, refresh_token: oldRefresh }));
    await other.client.getAccount(other.session);
}

async function users() {
    const offline = await connect();
    const online = await connect({ online: true });
    await online.next('onstatuspresence', joinOf(online.session.user_id));
    const { client, session, device } = offline;

    const account = await client.getAccount(session);
    assert.deepEqual(account.devices, [{ id: device }]);
    assert.deepEqual(
        [account.wallet, account.user.metadata, account.user.lang_tag],
        ['{}', '{}', 'en'],
    );
    assert.equal(account.user.id, session.user_id);
    assert.equal(account.user.username, session.username);

    const ids = [session.user_id, session.user_id, randomUUID()];
    const names = [online.session.username, 'nobody-has-this-name'];
    const found = (await client.getUsers(session, ids, names)).users;
    found.sort((a, b) => Boolean(a.online) - Boolean(b.online));
    assert.deepEqual(found.map(user => [user.id, Boolean(user.online)]), [
        [session.user_id, false],
        [online.session.user_id, true],
    ]);
    for (const user of found) {
        for (const secret of ['email', 'wallet', 'devices']) assert.ok(!(secret in user));
    }
    assert.deepEqual((await client.getUsers(session)).users ?? [], []);
    await refused(400, client.getUsers(session, ['not-an-id']));
}

async function statuses() {
    const ann = await connect();
    const ben = await connect({ online: true });
    const id = ben.session.user_id;
    const status = event => [event.joins, event.leaves].map(list => list?.[0].status);

    const { presences } = await ann.socket.followUsers([id, randomUUID()]);
    assert.deepEqual(presences.map(one => [one.user_id, one.status]), [[id, '']]);
    await ben.socket.updateStatus('in the lobby');
    assert.deepEqual(status(await ann.next('onstatuspresence')), ['in the lobby', '']);

    // Nothing of what happens unfollowed arrives.
    await ann.socket.unfollowUsers([id]);
    await ben.socket.updateStatus('unseen');
    const again = await ann.socket.followUsers([id]);
    assert.deepEqual(again.presences.map(one => one.status), ['unseen']);
    await ben.socket.updateStatus('playing');
    assert.deepEqual(status(await ann.next('onstatuspresence')), ['playing', 'unseen']);

    await ben.socket.updateStatus(); // offline
    assert.deepEqual(status(await ann.next('onstatuspresence')), [undefined, 'playing']);
    await ben.socket.updateStatus('back');
    assert.deepEqual(status(await ann.next('onstatuspresence')), ['back', undefined]);
    ben.socket.disconnect();
    assert.deepEqual(status(await ann.next('onstatuspresence')), [undefined, 'back']);
    await failed(3, ann.socket.followUsers(['not-an-id']));
}

async function matches() {
    const ann = await connect();
    const ben = await connect();
    const name = randomUUID();
    const created = await ann.socket.createMatch(name);
    const id = created.match_id;
    assert.match(id, /^[0-9a-f-]{14}5[0-9a-f-]{21}\.$/); // version 5: the name decides
    assert.equal(created.size, 1);
    assert.deepEqual(created.presences ?? [], []);
    const same = await ben.socket.createMatch(name);
    assert.deepEqual([same.match_id, same.size], [id, 2]);
    assert.deepEqual(same.presences, [created.self]);
    await ann.next('onmatchpresence', joinOf(ben.session.user_id));

    const rejoined = await ben.socket.joinMatch(id);
    const members = rejoined.presences.map(one => one.user_id).sort();
    assert.deepEqual(members, [ann.session.user_id, ben.session.user_id].sort());
    await ben.socket.leaveMatch(id);
    await ann.next('onmatchpresence', leaveOf(ben.session.user_id));
    const joined = await ben.socket.joinMatch(id);
    assert.deepEqual([joined.size, joined.presences], [1, [created.self]]); // others only
    ann.socket.disconnect();
    await ben.next('onmatchpresence', leaveOf(ann.session.user_id));

    await ben.socket.leaveMatch(id);
    await ben.socket.leaveMatch(`${randomUUID()}.`); // one that is not there
    await failed(4, ben.socket.joinMatch(id)); // gone with its last member
    await failed(3, ben.socket.joinMatch('not-an-id'));
}
