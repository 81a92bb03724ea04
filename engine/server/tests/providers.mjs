// The other companies, as their documents describe them: prints its port, serves until it is killed.
// `/mint?sub=..&iss=..&aud=..` signs an identity token; the rest is what a server would ask.
import { createSign, generateKeyPairSync } from 'node:crypto';
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

function answer(url) {
    const query = Object.fromEntries(url.searchParams);
    switch (url.pathname) {
        case '/mint':
            return [200, mint(query)];
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
