// An OpenID provider that nobody here wrote (`oidc-provider`, certified), as an upstream of a connector: a client with a
// secret, PKCE, refresh tokens that are good once.

import https from 'node:https';
import Provider from 'oidc-provider';

const { port, cert, key, callback } = JSON.parse(process.argv[2]);

const provider = new Provider(`https://127.0.0.1:${port}`, {
  clients: [{ client_id: 'dex', client_secret: 'upstream-secret-of-the-test', redirect_uris: [callback], grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'] }],
  cookies: { keys: ['between-tests'] },
  pkce: { required: () => true },
  features: { devInteractions: { enabled: true } },
  rotateRefreshToken: true,
  issueRefreshToken: async () => true,
  scopes: ['openid', 'email', 'profile', 'groups', 'offline_access'],
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['preferred_username'], groups: ['groups'] },
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
    grant.addOIDCScope('openid email profile groups offline_access');
    await grant.save();
    return grant;
  },
});

https.createServer({ cert, key }, provider.callback()).listen(port, '127.0.0.1', () => process.stdout.write('ready\n'));
