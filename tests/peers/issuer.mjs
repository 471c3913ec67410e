// An OpenID provider that nobody here wrote (`oidc-provider`, certified), set up as strictly as it goes: pushed and
// signed requests, PKCE, `private_key_jwt`, refresh tokens that are good once, tokens of a few seconds, back-channel
// logout; or, with `strict: false`, as plainly as most are, with revocation. It keeps what it knows in a file, so that it can be killed and started again.
//
// By hand: node tests/peers/issuer.mjs '{"port": 9443, …}', see `openIssuer` in tests/issuers.mjs.

import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import Provider from 'oidc-provider';

const settings = JSON.parse(process.argv[2]);
const { port, cert, key, file, clients, jwks, life, strict = true } = settings;

const kept = new Map(existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : []);
let draft;

/** Records by model and id, written whole soon after each change. */
class FileAdapter {
  constructor(model) {
    this.model = model;
  }

  #name(id) {
    return `${this.model}:${id}`;
  }

  #keep() {
    draft ??= setImmediate(() => {
      draft = undefined;
      writeFileSync(`${file}.new`, JSON.stringify([...kept]));
      renameSync(`${file}.new`, file);
    });
  }

  async upsert(id, payload) {
    kept.set(this.#name(id), payload);
    this.#keep();
  }

  async find(id) {
    return kept.get(this.#name(id));
  }

  async #findBy(field, value) {
    for (const [name, payload] of kept) if (name.startsWith(`${this.model}:`) && payload[field] === value) return payload;
    return undefined;
  }

  findByUid(uid) {
    return this.#findBy('uid', uid);
  }

  findByUserCode(code) {
    return this.#findBy('userCode', code);
  }

  async consume(id) {
    const payload = kept.get(this.#name(id));
    kept.set(this.#name(id), { ...payload, consumed: Math.floor(Date.now() / 1000) });
    this.#keep();
  }

  async destroy(id) {
    kept.delete(this.#name(id));
    this.#keep();
  }

  async revokeByGrantId(grant) {
    for (const [name, payload] of kept) if (payload.grantId === grant) kept.delete(name);
    this.#keep();
  }
}

const provider = new Provider(`https://127.0.0.1:${port}`, {
  adapter: FileAdapter,
  clients,
  jwks,
  cookies: { keys: ['between-tests'] },
  pkce: { required: () => strict },
  features: {
    devInteractions: { enabled: true },
    pushedAuthorizationRequests: { enabled: strict, requirePushedAuthorizationRequests: strict },
    requestObjects: { enabled: strict },
    revocation: { enabled: !strict },
    backchannelLogout: { enabled: true },
    rpInitiatedLogout: { enabled: true },
  },
  // It asks no address of its own machine by itself; the client of this test is there.
  fetch: (url, { dispatcher: _, ...options }) => globalThis.fetch(url, options),
  rotateRefreshToken: true,
  issueRefreshToken: async (ctx, client) => client.grantTypeAllowed('refresh_token'),
  ttl: { AccessToken: life, IdToken: life, RefreshToken: 86_400, Session: 86_400, Grant: 86_400, Interaction: 600, AuthorizationCode: 60 },
  scopes: ['openid', 'email', 'profile', 'groups'],
  claims: { openid: ['sub', 'sid'], email: ['email', 'email_verified'], profile: ['preferred_username'], groups: ['groups'] },
  conformIdTokenClaims: false,
  findAccount: (ctx, id) => ({
    accountId: id,
    claims: () => ({ sub: id, email: `${id}@example.com`, email_verified: true, preferred_username: id, groups: ['team', 'people'] }),
  }),
  async loadExistingGrant(ctx) {
    const { session, client, provider: own, result } = ctx.oidc;
    const known = result?.consent?.grantId ?? session.grantIdFor(client.clientId);
    if (known) return own.Grant.find(known);
    const grant = new own.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope('openid email profile groups');
    await grant.save();
    return grant;
  },
});

const counts = { renewed: 0, refused: 0, signedIn: 0, pushed: 0, errors: [] };
provider.on('grant.success', (ctx) => {
  if (ctx.oidc.params.grant_type === 'refresh_token') counts.renewed += 1;
  else counts.signedIn += 1;
});
provider.on('grant.error', (ctx, error) => {
  counts.refused += 1;
  counts.errors.push(`${error.error}: ${error.error_detail ?? error.error_description}`);
});
provider.on('pushed_authorization_request.success', () => { counts.pushed += 1; });
for (const name of ['authorization.error', 'pushed_authorization_request.error', 'server_error', 'end_session.error', 'backchannel.error']) {
  provider.on(name, (ctx, error) => counts.errors.push(`${name}: ${error?.message} ${error?.error_detail ?? error?.error_description ?? ''}`));
}
provider.use(async (ctx, next) => {
  if (ctx.path === '/counts') ctx.body = counts;
  else if (ctx.path === '/kept') ctx.body = [...kept.keys()].map((name) => name.split(':')[0]);
  else if (ctx.path === '/frames') {
    // What a provider shows that signs people out by frames (OpenID Connect Front-Channel Logout 1.0 §2).
    ctx.type = 'html';
    ctx.body = `<!doctype html><title>Signing out</title><iframe src="${ctx.query.of.replaceAll('&', '&amp;')}"></iframe>`;
  } else if (ctx.path === '/forget') {
    // As if access tokens were withdrawn over there.
    for (const name of kept.keys()) if (name.startsWith('AccessToken:')) kept.delete(name);
    ctx.body = {};
  }
  else await next();
});

https.createServer({ cert, key }, provider.callback()).listen(port, '127.0.0.1', () => process.stdout.write('ready\n'));
