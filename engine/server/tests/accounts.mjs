// The stock SDK: every way to sign in, what is linked and unlinked, and the end of an account.
import assert from 'node:assert/strict';
import { createHmac, randomUUID } from 'node:crypto';
import { connect, newClient, refused, signIn } from './connect.mjs';

const client = newClient();
const providers = `http://127.0.0.1:${process.argv[4]}`;
const mint = async claims =>
    (await fetch(`${providers}/mint?${new URLSearchParams(claims)}`)).text();

await addresses();
await customIds();
await companies();
await gameCenter();
await links();
await values();
await ends();
await servers();
process.exit(0);

async function addresses() {
    const email = `Ann.${randomUUID()}@Example.com`;
    const session = await client.authenticateEmail(email, 'password1', true, `ann-${randomUUID()}`);
    assert.equal(session.created, true);
    const account = await client.getAccount(session);
    assert.equal(account.email, email.toLowerCase());
    const again = await client.authenticateEmail(email, 'password1');
    assert.deepEqual([again.user_id, again.created], [session.user_id, false]);
    const byName = await client.authenticateEmail('', 'password1', false, session.username);
    assert.equal(byName.user_id, session.user_id);
    await refused(401, client.authenticateEmail(email, 'password2'));
    await refused(404, client.authenticateEmail('nobody@example.com', 'password1', false));
    await refused(400, client.authenticateEmail('nobody@example.com', 'short'));
    await refused(500, client.authenticateEmail('nobody@example.com', 'x'.repeat(73)));
}

async function customIds() {
    const id = `custom-${randomUUID()}`;
    const session = await client.authenticateCustom(id, true, undefined, { level: '3' });
    assert.deepEqual([session.created, session.vars], [true, { level: '3' }]);
    assert.equal((await client.getAccount(session)).custom_id, id);
    assert.equal((await client.authenticateCustom(id, false)).user_id, session.user_id);
    await refused(400, client.authenticateCustom('short'));
    // An ID token of the configured issuer stands for a custom id that nobody can write.
    const token = await mint({ iss: 'https://id.example', aud: 'our-game', sub: 'player-7' });
    const player = await client.authenticateCustom(token);
    assert.equal((await client.getAccount(player)).custom_id, 'studio:player-7');
    assert.equal((await client.authenticateCustom(token)).user_id, player.user_id);
    const impostor = await client.authenticateCustom('studio:player-7');
    assert.notEqual(impostor.user_id, player.user_id);
    const other = await mint({ iss: 'https://id.example', aud: 'their-game', sub: 'player-7' });
    await refused(401, client.authenticateCustom(other));
}

/// A token of each company signs in, twice to the same account; a bad one is refused.
async function companies() {
    const google = await mint({
        iss: 'https://accounts.google.com', aud: 'any', sub: '10769150350006150715113082367',
        name: 'Gus', picture: 'https://gus.example/picture', email: 'gus@mail.example',
        email_verified: 'true',
    });
    const apple = await mint({
        iss: 'https://appleid.apple.com', aud: 'com.example.game', sub: '001234.abcd.0123',
    });
    const limited = await mint({ iss: 'https://www.facebook.com', aud: 'an-app', sub: '4712' });
    const payload = Buffer.from(JSON.stringify({
        algorithm: 'HMAC-SHA256', issued_at: 1, player_id: '2059189060823983',
    })).toString('base64url');
    const info = createHmac('sha256', 'an-app-secret').update(payload).digest('base64url');
    const instant = `${info}.${payload}`;
    for (const [field, id, call, good, bad, status] of [
        ['google_id', '10769150350006150715113082367',
            token => client.authenticateGoogle(token), google, `${google}x`, 401],
        ['apple_id', '001234.abcd.0123',
            token => client.authenticateApple(token), apple, google, 401],
        ['facebook_id', '4711',
            token => client.authenticateFacebook(token), 'a-facebook-token', 'another', 401],
        ['facebook_id', '4712',
            token => client.authenticateFacebook(token), limited, `${limited}x`, 401],
        ['facebook_instant_game_id', '2059189060823983',
            token => client.authenticateFacebookInstantGame(token), instant, `x${instant}`, 500],
        ['steam_id', '76561197960287930',
            token => client.authenticateSteam(token), '14000000', '15000000', 401],
    ]) {
        const session = await call(good);
        assert.equal(session.created, true, field);
        const { user, email } = await client.getAccount(session);
        assert.equal(user[field], id);
        assert.equal((await call(good)).user_id, session.user_id);
        await refused(status, call(bad));
        await refused(400, call(''));
        if (field === 'google_id') {
            assert.deepEqual(
                [user.display_name, user.avatar_url, email],
                ['Gus', 'https://gus.example/picture', 'gus@mail.example'],
            );
        }
    }
    const found = await client.getUsers(
        await client.authenticateGoogle(google), [], [], ['4711', 'nobody']);
    assert.deepEqual(found.users.map(user => user.facebook_id), ['4711']);
}

async function gameCenter() {
    const bundle = 'com.example.game';
    const player = `G:${randomUUID()}`;
    const query = new URLSearchParams({ player, bundle });
    const signed = await (await fetch(`${providers}/sign?${query}`)).json();
    const url = `${providers}/key.cer`;
    const call = changes => {
        const fields = { player, url, ...signed, ...changes };
        return client.authenticateGameCenter(
            bundle, fields.player, fields.url, fields.salt, fields.signature, fields.timestamp);
    };
    const session = await call({});
    assert.equal(session.created, true);
    assert.equal((await client.getAccount(session)).user.gamecenter_id, player);
    assert.equal((await call({})).user_id, session.user_id);
    await refused(401, call({ player: 'G:another' }));
    await refused(401, call({ timestamp: String(Number(signed.timestamp) + 1) }));
    await refused(401, call({ url: 'https://apple.example/key.cer' }));
    await refused(400, call({ url: '' }));
}

async function links() {
    const { session, device } = await signIn();
    const other = (await signIn()).session;
    const custom = { id: `custom-${randomUUID()}` };
    const email = { email: `${randomUUID()}@example.com`, password: 'password1' };
    const google = { token: await mint({ iss: 'accounts.google.com', sub: randomUUID() }) };
    const second = { id: randomUUID() };
    for (const [link, account] of [
        ['linkCustom', custom], ['linkEmail', email], ['linkGoogle', google],
        ['linkDevice', second],
    ]) {
        await client[link](session, account);
        await client[link](session, account);
        await refused(409, client[link](other, account));
    }
    for (const signedIn of [
        client.authenticateCustom(custom.id), client.authenticateDevice(second.id),
        client.authenticateEmail(email.email, email.password),
        client.authenticateGoogle(google.token),
    ]) {
        assert.equal((await signedIn).user_id, session.user_id);
    }
    assert.equal((await client.getAccount(session)).devices.length, 2);
    await client.unlinkDevice(session, { id: device });
    await client.unlinkDevice(session, second);
    await refused(403, client.unlinkCustom(session, { id: 'custom-other' }));
    await client.unlinkCustom(session, custom);
    await client.unlinkEmail(session, email);
    await refused(403, client.unlinkGoogle(session, google));
    await refused(404, client.authenticateEmail(email.email, email.password, false));
    await refused(404, client.authenticateDevice(device, false));
}

async function values() {
    const { session } = await signIn();
    const taken = (await signIn()).session.username;
    await client.updateAccount(session, {
        display_name: 'Ann', avatar_url: 'https://ann.example', lang_tag: 'fr', location: 'Here',
        timezone: 'UTC',
    });
    const username = `ann-${randomUUID()}`;
    await client.updateAccount(session, { username, location: '' });
    const { user } = await client.getAccount(session);
    assert.deepEqual(
        [user.username, user.display_name, user.lang_tag, user.location, user.timezone],
        [username, 'Ann', 'fr', undefined, 'UTC'],
    );
    await refused(400, client.updateAccount(session, { username: taken }));
    await refused(400, client.updateAccount(session, {}));
    await refused(500, client.updateAccount(session, { display_name: 'x'.repeat(256) }));
    // The name that was given up is another's to take.
    const heir = (await signIn()).session;
    await client.updateAccount(heir, { username: session.username });
}

async function ends() {
    const { session, device, next } = await connect();
    const closed = next('ondisconnect');
    await client.deleteAccount(session);
    assert.equal((await closed).code, 1000);
    const again = await client.authenticateDevice(device);
    assert.equal(again.created, true);
    assert.notEqual(again.user_id, session.user_id);
}

/// What a dedicated server does with a player's token: it verifies it by the published keys.
async function servers() {
    const { session } = await signIn();
    const [, , host, port] = process.argv;
    const base = `http://${host}:${port}`;
    const headers = { Authorization: `Bearer ${session.token}` };
    const got = await fetch(`${base}/v2/session/server_token?audience=eu-1`, { headers });
    const { token } = await got.json();
    const { keys } = await (await fetch(`${base}/.well-known/jwks.json`)).json();
    const [header, body, signature] = token.split('.');
    const { kid, alg } = JSON.parse(Buffer.from(header, 'base64url'));
    assert.equal(alg, 'EdDSA');
    const jwk = keys.find(key => key.kid === kid);
    const key = await crypto.subtle.importKey('jwk', jwk, { name: 'Ed25519' }, false, ['verify']);
    const signed = new TextEncoder().encode(`${header}.${body}`);
    const bytes = Buffer.from(signature, 'base64url');
    assert.ok(await crypto.subtle.verify({ name: 'Ed25519' }, key, bytes, signed));
    const claims = JSON.parse(Buffer.from(body, 'base64url'));
    assert.deepEqual([claims.sub, claims.aud, claims.usn],
        [session.user_id, 'eu-1', session.username]);
    assert.equal(claims.exp - claims.iat, 60);
}
