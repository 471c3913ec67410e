// The stock manifests with some objects replaced, behind a certificate of the test's own.

import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { copyOf, discard, fixture, scratch } from './door.mjs';
import { manifest, tlsSecret } from './objects.mjs';

/** A self-signed certificate for these names: `{ cert, key }` as PEM. */
export const selfSigned = (...names) => certificate(names, true);

/** The same of a server only, which is no authority. */
export const ofServer = (...names) => certificate(names, false);

function certificate(names, authority) {
  const aside = scratch();
  const [key, cert] = [join(aside, 'tls.key'), join(aside, 'tls.crt')];
  execFileSync('openssl', [
    'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '90', '-subj', `/CN=${names[0]}`,
    '-addext', `subjectAltName=${names.map((name) => `DNS:${name}`).join(',')}`, '-addext', `basicConstraints=critical,CA:${authority ? 'TRUE' : 'FALSE'}`, '-keyout', key, '-out', cert,
  ], { stdio: 'ignore' });
  const made = { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') };
  discard(aside);
  return made;
}

/** Finds every name on loopback, as `lookup` of Node's sockets. */
export const onLoopback = (name, options, found) => (
  options.all ? found(null, [{ address: '127.0.0.1', family: 4 }]) : found(null, '127.0.0.1', 4)
);

/** A copy of the stock manifests that may be changed while doorward reads it. */
export class StockTree {
  /** Where it is. */
  directory = copyOf(fixture('kubeflow-26.03'));
  #aside = scratch();

  /** Takes objects out, each named `[kind, name]`, for others to stand in their place. */
  without(...wanted) {
    for (const name of readdirSync(this.directory)) {
      const file = join(this.directory, name);
      const documents = readFileSync(file, 'utf8').split(/^---\n/m);
      const is = (text) => wanted.some(([kind, own]) => text.includes(`\nkind: ${kind}\n`) && text.includes(`\n  name: ${own}\n`));
      const kept = documents.filter((text) => !is(`\n${text}`));
      if (kept.length < documents.length) writeFileSync(file, kept.join('---\n'));
    }
  }

  /** Puts a file there in one step. */
  put(name, text) {
    const aside = join(this.#aside, name);
    writeFileSync(aside, text);
    renameSync(aside, join(this.directory, name));
  }

  /** Puts the Secret of a certificate into the gateway's namespace. */
  putCertificate(name, certificate) {
    this.put('90-certificate.yaml', manifest(tlsSecret('istio-system', name, certificate)));
  }

  discard() {
    discard(this.directory, this.#aside);
  }
}
