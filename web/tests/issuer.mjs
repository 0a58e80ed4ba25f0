// An OpenID issuer for the browser tests: discovery, keys, a page where a person agrees or refuses, and codes with PKCE.
import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync, randomUUID, sign } from 'node:crypto';
import { createServer } from 'node:http';

export const CLIENT = 'fleetbeat-dashboard';
export const SECRET = 'a-secret-of-the-client';
const encode = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

export class Issuer {
  static async start() {
    const issuer = new Issuer();
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    issuer.key = privateKey;
    issuer.shown = { ...publicKey.export({ format: 'jwk' }), kid: 'one', use: 'sig', alg: 'RS256' };
    issuer.codes = new Map();
    issuer.person = { sub: 'ada', preferred_username: 'Ada', groups: ['admins'] };
    issuer.server = createServer((request, response) => issuer.answer(request, response));
    await new Promise((resolve) => issuer.server.listen(0, '127.0.0.1', resolve));
    issuer.url = `http://127.0.0.1:${issuer.server.address().port}`;
    return issuer;
  }

  stop() {
    this.server.closeAllConnections();
    this.server.close();
  }

  async answer(request, response) {
    const url = new URL(request.url, this.url);
    const say = (status, body, headers = {}) => response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(typeof body === 'string' ? body : JSON.stringify(body));
    switch (url.pathname) {
      case '/.well-known/openid-configuration':
        return say(200, { issuer: this.url, jwks_uri: `${this.url}/keys`, authorization_endpoint: `${this.url}/authorize`, token_endpoint: `${this.url}/token` });
      case '/keys':
        return say(200, { keys: [this.shown] });
      case '/authorize':
        return say(200, this.page(Object.fromEntries(url.searchParams)), { 'content-type': 'text/html' });
      case '/token':
        return say(...this.redeem(request.headers.authorization, new URLSearchParams(await text(request))));
      default:
        return say(404, {});
    }
  }

  /** Asks a person whether they agree. */
  page(asked) {
    assert.deepEqual([asked.response_type, asked.client_id, asked.code_challenge_method], ['code', CLIENT, 'S256']);
    const code = randomUUID();
    this.codes.set(code, asked);
    const back = (answer) => `${asked.redirect_uri}?${new URLSearchParams({ ...answer, state: asked.state })}`.replaceAll('&', '&amp;');
    return `<!doctype html><title>Issuer</title><h1>Is it you, ${this.person.preferred_username}?</h1>
      <a href="${back({ code })}">Continue</a> <a href="${back({ error: 'access_denied' })}">Refuse</a>`;
  }

  redeem(authorization, form) {
    const asked = this.codes.get(form.get('code'));
    this.codes.delete(form.get('code'));
    const known = authorization === `Basic ${Buffer.from(`${CLIENT}:${SECRET}`).toString('base64')}`;
    const proved = asked && createHash('sha256').update(form.get('code_verifier')).digest('base64url') === asked.code_challenge;
    if (!known || !proved || form.get('redirect_uri') !== asked.redirect_uri) return [400, { error: 'invalid_grant' }];
    const now = Math.floor(Date.now() / 1000);
    const claims = { ...this.person, iss: this.url, aud: CLIENT, nonce: asked.nonce, iat: now, nbf: now, exp: now + 300 };
    const signed = `${encode({ alg: 'RS256', typ: 'JWT', kid: 'one' })}.${encode(claims)}`;
    return [200, { access_token: 'opaque', token_type: 'Bearer', id_token: `${signed}.${sign('sha256', Buffer.from(signed), this.key).toString('base64url')}` }];
  }
}

async function text(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts).toString();
}
