// The other companies, as their documents describe them: prints its port, serves until it is killed.
// `/mint?sub=..&iss=..&aud=..` signs an identity token, `/sign?player=..&bundle=..` what Game Kit
// does; the rest is what a server would ask.
import { createPrivateKey, createSign, generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const jwks = {
    keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'first', alg: 'RS256', use: 'sig' }],
};
const part = value => Buffer.from(JSON.stringify(value)).toString('base64url');

function mint(claims) {
    const now = Math.floor(Date.now() / 1000);
    const header = { alg: 'RS256', kid: 'first', typ: 'JWT' };
    const signed = `${part(header)}.${part({ iat: now, exp: now + 600, ...claims })}`;
    return `${signed}.${createSign('RSA-SHA256').update(signed).sign(privateKey, 'base64url')}`;
}

// Of a certificate that is made already: Node.js makes none.
const file = name => readFileSync(new URL(`../../sidecar/src/tests/keys/${name}`, import.meta.url));
const gameCenterKey = createPrivateKey({ key: file('first.der'), format: 'der', type: 'pkcs8' });

function sign({ player, bundle }) {
    const timestamp = Date.now();
    const time = Buffer.alloc(8);
    time.writeBigUInt64BE(BigInt(timestamp));
    const signer = createSign('RSA-SHA256').update(player).update(bundle).update(time).update('salt');
    const signature = signer.sign(gameCenterKey, 'base64');
    const salt = Buffer.from('salt').toString('base64');
    return JSON.stringify({ timestamp: String(timestamp), salt, signature });
}

function answer(url) {
    const query = Object.fromEntries(url.searchParams);
    switch (url.pathname) {
        case '/mint':
            return [200, mint(query)];
        case '/sign':
            return [200, sign(query)];
        case '/key.cer':
            return [200, file('certificate.der')];
        case '/keys':
            return [200, JSON.stringify(jwks)];
        case '/graph':
            if (query.access_token !== 'a-facebook-token') {
                const error = { code: 190, type: 'OAuthException', message: 'Invalid token' };
                return [400, JSON.stringify({ error })];
            }
            return [200, JSON.stringify({ id: '4711', name: 'Fay', email: 'fay@mail.example' })];
        case '/steam':
            if (query.key !== 'a-publisher-key' || query.appid !== '480') return [403, 'Forbidden'];
            if (query.ticket !== '14000000') {
                const error = { errorcode: 101, errordesc: 'Invalid ticket' };
                return [200, JSON.stringify({ response: { error } })];
            }
            return [200, JSON.stringify({
                response: { params: { result: 'OK', steamid: '76561197960287930' } },
            })];
        default:
            return [404, ''];
    }
}

const server = createServer((request, response) => {
    const [status, body] = answer(new URL(request.url, 'http://localhost'));
    response.writeHead(status, { 'Content-Type': 'application/json' }).end(body);
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
