// An issuer of tokens for machines: discovery and keys over HTTP, and tokens with any claims.

import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import { SignJWT } from 'jose';

/** Starts it. */
export async function openMinter() {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const stranger = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  const keys = JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'machines', use: 'sig', alg: 'RS256' }] });
  let issuer;
  const server = http.createServer((request, response) => {
    const documents = {
      '/.well-known/openid-configuration': () => JSON.stringify({
        issuer, jwks_uri: `${issuer}/keys`, authorization_endpoint: `${issuer}/auth`, token_endpoint: `${issuer}/token`,
        response_types_supported: ['code'], subject_types_supported: ['public'], id_token_signing_alg_values_supported: ['RS256'],
      }),
      '/keys': () => keys,
    };
    const document = documents[request.url]?.();
    response.statusCode = document ? 200 : 404;
    response.setHeader('content-type', 'application/json');
    response.end(document ?? '{}');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  issuer = `http://127.0.0.1:${server.address().port}`;
  return {
    issuer,
    keys,
    /** A token with these claims that is good for ten minutes; `forged`: by another key than is published. */
    mint({ forged = false, ...claims }) {
      const now = Math.floor(Date.now() / 1000);
      const all = { iss: issuer, iat: now, exp: now + 600, ...claims };
      return new SignJWT(all).setProtectedHeader({ alg: 'RS256', kid: 'machines' }).sign(forged ? stranger : privateKey);
    },
    stop: () => server.close(),
  };
}
