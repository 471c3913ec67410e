// Tokens of the stock provider, as a program gets them.

import assert from 'node:assert/strict';
import { STOCK_PASSWORD } from './door.mjs';
import { Visitor, formAction } from './visitor.mjs';

/** The client of the stock manifests. */
export const CLIENT = 'kubeflow-oidc-authservice';
/** Its secret there. */
export const CLIENT_SECRET = Buffer.from('cFVCbkJPWTgwU25YZ2ppYlRZTTlaV056WTJ4cmVOR1Fvaw==', 'base64').toString();

/** The code flow with the password form, then the token endpoint: the answer of that, and the code that it was for. */
export async function mintTokens(door, { user = 'user@example.com', password = STOCK_PASSWORD } = {}) {
  const visitor = new Visitor(door);
  const query = new URLSearchParams({
    client_id: CLIENT,
    redirect_uri: '/oauth2/callback',
    response_type: 'code',
    scope: 'openid profile email groups',
    state: 'a-state',
    nonce: 'a-nonce',
  });
  const form = await visitor.visit(`/dex/auth?${query}`, { follow: true });
  const answer = await visitor.submit(formAction(form), { login: user, password });
  const back = new URL(answer.headers.location, answer.url);
  assert.equal(back.searchParams.get('state'), 'a-state');
  const tokens = await visitor.submit(
    '/dex/token',
    { grant_type: 'authorization_code', code: back.searchParams.get('code'), redirect_uri: '/oauth2/callback' },
    { headers: { authorization: `Basic ${Buffer.from(`${CLIENT}:${CLIENT_SECRET}`).toString('base64')}` } },
  );
  visitor.close();
  assert.equal(tokens.status, 200, tokens.text);
  return { code: back.searchParams.get('code'), ...tokens.json() };
}
