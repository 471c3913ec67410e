// Starts the strict OpenID provider of tests/peers/issuer.mjs as a process of its own.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { discard, scratch } from './door.mjs';

const PEER = fileURLToPath(new URL('./peers/issuer.mjs', import.meta.url));

/** An authority, and a certificate that it signed, for 127.0.0.1 or for `names`: `{ ca, cert, key }` as PEM. */
export function ofLoopback(names = 'IP:127.0.0.1') {
  const aside = scratch();
  const file = (name) => join(aside, name);
  const openssl = (...args) => execFileSync('openssl', args, { stdio: 'ignore' });
  const fresh = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  openssl('req', '-x509', ...fresh, '-days', '30', '-subj', '/CN=authority of the issuer', '-keyout', file('ca.key'), '-out', file('ca.crt'));
  openssl('req', ...fresh, '-subj', '/CN=issuer', '-keyout', file('tls.key'), '-out', file('tls.csr'));
  writeFileSync(file('names'), `subjectAltName=${names}\nbasicConstraints=critical,CA:FALSE\n`);
  openssl('x509', '-req', '-in', file('tls.csr'), '-CA', file('ca.crt'), '-CAkey', file('ca.key'), '-CAcreateserial', '-days', '30', '-extfile', file('names'), '-out', file('tls.crt'));
  const made = Object.fromEntries([['ca', 'ca.crt'], ['cert', 'tls.crt'], ['key', 'tls.key']].map(([name, from]) => [name, readFileSync(file(from), 'utf8')]));
  discard(aside);
  return made;
}

/** A P-256 key of a client: PEM for the client, JWK for the issuer. */
export function clientKey(kid) {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return {
    pem: privateKey.export({ type: 'pkcs8', format: 'pem' }),
    jwk: { ...publicKey.export({ format: 'jwk' }), kid, use: 'sig', alg: 'ES256' },
  };
}

const signingKey = () => ({ ...generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256', kid: 'issuer' });

/**
 * An issuer that can be started, killed and started again.
 *
 * - `port`: where; `pair`: its certificate and key; `clients`: as `oidc-provider` wants them.
 * - `life`: seconds that tokens are good.
 * - `trusts`: a file with the authority that signed the certificates of its clients.
 * - `strict`: whether it asks for all that it can.
 */
export function strictIssuer({ port, pair, clients, life, trusts, strict = true }) {
  const aside = scratch();
  const settings = JSON.stringify({ port, ...pair, clients, life, strict, file: join(aside, 'issuer.json'), jwks: { keys: [signingKey()] } });
  let child;
  let output = '';
  return {
    url: `https://127.0.0.1:${port}`,
    async start() {
      child = spawn(process.execPath, [PEER, settings], { env: { ...process.env, NODE_EXTRA_CA_CERTS: trusts }, stdio: ['ignore', 'pipe', 'pipe'] });
      child.stderr.on('data', (chunk) => { output += chunk; });
      const ready = once(child.stdout, 'data');
      const ended = once(child, 'exit').then(() => assert.fail(`the issuer ended:\n${output}`));
      ended.catch(() => {});
      await Promise.race([ready, ended]);
    },
    /** At once, as a power cut would. */
    async kill() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
    output: () => output,
    async stop() {
      await this.kill();
      discard(aside);
    },
  };
}
