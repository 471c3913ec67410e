// Listeners, TLS and streams, met by clients that share no code with doorward: openssl s_client, curl and Node.

import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import http2 from 'node:http2';
import https from 'node:https';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import tls from 'node:tls';
import { discard, openDoor, scratch, until } from './door.mjs';
import { gateway, manifest, secret, service, tlsSecret, virtualService } from './objects.mjs';
import { startUpstream } from './upstream.mjs';

const pki = scratch();
const manifests = scratch();
const at = (name) => join(pki, name);
const openssl = (...args) => execFileSync('openssl', args, { cwd: pki, stdio: ['ignore', 'pipe', 'pipe'] });

/** A certificate for `name`, signed by `ca`, with an `ec` or `rsa` key. */
function certify(file, name, { ca = 'ca', kind = 'ec', san = `DNS:${name}` } = {}) {
  const key = kind === 'ec' ? ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'] : ['-newkey', 'rsa:2048'];
  openssl('req', ...key, '-nodes', '-keyout', `${file}.key`, '-subj', `/CN=${name}`, '-addext', `subjectAltName=${san}`, '-out', `${file}.csr`);
  openssl('x509', '-req', '-in', `${file}.csr`, '-CA', `${ca}.crt`, '-CAkey', `${ca}.key`, '-CAcreateserial', '-days', '60', '-copy_extensions', 'copy', '-out', `${file}.crt`);
}

function authority(file) {
  openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', `${file}.key`, '-subj', `/CN=${file}`, '-days', '90', '-out', `${file}.crt`);
}

const pem = (file) => readFileSync(at(file), 'utf8');
const pair = (name, file) => manifest(tlsSecret('istio-system', name, { cert: pem(`${file}.crt`), key: pem(`${file}.key`) }));

const OBJECTS = manifest(
  gateway(
    'istio-system', 'door',
    [443, 'HTTPS', ['both.example.com'], { mode: 'SIMPLE', credentialNames: ['both-rsa', 'both-ec'] }],
    [443, 'HTTPS', ['must.example.com'], { mode: 'MUTUAL', credentialName: 'must' }],
    [443, 'HTTPS', ['new.example.com'], { mode: 'SIMPLE', credentialName: 'both-ec', minProtocolVersion: 'TLSV1_3' }],
    [443, 'HTTPS', ['broken.example.com'], { mode: 'MUTUAL', credentialName: 'nowhere' }],
    [443, 'TLS', ['pass.example.com'], { mode: 'PASSTHROUGH' }],
    [9443, 'HTTP', ['*']],
    [9999, 'TCP', ['*']],
  ),
  service('team', 'app', 'http'),
  service('team', 'own-tls', 'tls', 443),
  virtualService('team', 'app', {
    gateways: ['istio-system/door'],
    http: [{ route: [{ destination: { host: 'app' } }] }],
    tls: [{ match: [{ sniHosts: ['pass.example.com'] }], route: [{ destination: { host: 'own-tls', port: { number: 443 } } }] }],
  }),
);

let door;
let upstream;
let own;

before(async () => {
  authority('ca');
  authority('clients');
  authority('strangers');
  certify('both-ec', 'both.example.com', { san: 'DNS:both.example.com,DNS:new.example.com' });
  certify('both-rsa', 'both.example.com', { kind: 'rsa' });
  certify('must', 'must.example.com');
  certify('must-next', 'must.example.com');
  certify('pass', 'pass.example.com');
  certify('client', 'somebody', { ca: 'clients', san: 'URI:spiffe://cluster.local/ns/team/sa/somebody' });
  certify('stranger', 'nobody', { ca: 'strangers' });
  writeFileSync(join(manifests, 'gateway.yaml'), OBJECTS);
  writeFileSync(join(manifests, 'pairs.yaml'), `${pair('both-ec', 'both-ec')}---\n${pair('both-rsa', 'both-rsa')}`);
  writeFileSync(join(manifests, 'must.yaml'), pair('must', 'must'));
  writeFileSync(join(manifests, 'trusted.yaml'), manifest(secret('istio-system', 'must-cacert', { cacert: pem('clients.crt') })));
  writeFileSync(join(manifests, 'doorward.yaml'), 'listen:\n  9443: {address: "127.0.0.1:0", proxyProtocol: on}\n');
  upstream = await startUpstream();
  own = https.createServer({ key: readFileSync(at('pass.key')), cert: readFileSync(at('pass.crt')) }, (_, response) => response.end('its own'));
  own.listen(0, '127.0.0.1');
  await once(own, 'listening');
  door = await openDoor({ manifests, resolve: [`app.team=127.0.0.1:${upstream.port}`, `own-tls.team=127.0.0.1:${own.address().port}`] });
});

after(async () => {
  await door?.close();
  await upstream?.stop();
  own?.close();
  own?.closeAllConnections();
  for (const directory of [door?.state, pki, manifests]) discard(directory);
});

/** What `openssl s_client` says of a handshake; it hangs up at once. */
function sClient(name, ...args) {
  return new Promise((resolve) => {
    const child = execFile('openssl', ['s_client', '-connect', `127.0.0.1:${door.https}`, '-servername', name, '-CAfile', at('ca.crt'), ...args], (error, stdout, stderr) => resolve({ code: error ? error.code : 0, text: stdout + stderr }));
    child.stdin.end();
  });
}

/** What `curl` gets: exit code and text. */
function curl(host, ...args) {
  return new Promise((resolve) => {
    const base = ['--silent', '--show-error', '--max-time', '20', '--cacert', at('ca.crt'), '--resolve', `${host}:${door.https}:127.0.0.1`];
    execFile('curl', [...base, ...args, `https://${host}:${door.https}/app/`], (error, stdout, stderr) => resolve({ code: error ? error.code : 0, text: stdout, stderr }));
  });
}

describe('handshakes with openssl', () => {
  it('speaks TLS 1.2 and 1.3 and nothing older', async () => {
    for (const version of ['1_2', '1_3']) {
      const { text } = await sClient('both.example.com', `-tls${version}`);
      assert.match(text, /Verify return code: 0 \(ok\)/);
      assert.match(text, new RegExp(`TLSv${version.replace('_', '.')}`));
    }
    const { code } = await sClient('both.example.com', '-tls1_1', '-cipher', 'ALL:@SECLEVEL=0');
    assert.notEqual(code, 0);
    assert.notEqual((await sClient('new.example.com', '-tls1_2')).code, 0);
    assert.match((await sClient('new.example.com')).text, /Verify return code: 0 \(ok\)/);
  });

  it('shows the ECDSA certificate, and the RSA one to whom it has to', async () => {
    assert.match((await sClient('both.example.com')).text, /Peer signature type: ECDSA/);
    for (const version of ['-tls1_2', '-tls1_3']) {
      const { text } = await sClient('both.example.com', version, '-sigalgs', 'RSA-PSS+SHA256:RSA+SHA256');
      assert.match(text, /Peer signature type: RSA/);
      assert.match(text, /Verify return code: 0 \(ok\)/);
    }
  });

  it('answers a challenge with an alert', async () => {
    const { text } = await sClient('both.example.com', '-alpn', 'acme-tls/1');
    assert.match(text, /unrecognized name/);
  });

  it('fails for a server whose authorities are nowhere, and for it alone', async () => {
    assert.match((await sClient('broken.example.com')).text, /handshake failure/);
    const { text } = await door.admin('/readyz');
    const codes = JSON.parse(text).findings.map((finding) => finding.code);
    assert.ok(codes.includes('DW0807'), text);
  });

  it('resumes a session, and never one of another server', async () => {
    const session = at('session.pem');
    await sClient('both.example.com', '-tls1_2', '-sess_out', session);
    assert.match((await sClient('both.example.com', '-tls1_2', '-sess_in', session)).text, /Reused, TLSv1.2/);
    const other = await sClient('must.example.com', '-tls1_2', '-sess_in', session);
    assert.doesNotMatch(other.text, /Reused/);
  });
});

describe('requests with curl', () => {
  it('speaks HTTP/2, and tells browsers to stay on HTTPS', async () => {
    const { text } = await curl('both.example.com', '--http2', '--include');
    assert.match(text, /^HTTP\/2 200/);
    assert.match(text, /strict-transport-security: max-age=63072000/i);
  });

  it('asks for a client certificate where the server wants one', async () => {
    const before = upstream.requests.length;
    assert.notEqual((await curl('must.example.com')).code, 0);
    assert.notEqual((await curl('must.example.com', '--cert', at('stranger.crt'), '--key', at('stranger.key'))).code, 0);
    assert.equal(upstream.requests.length, before);
    const shown = await curl('must.example.com', '--cert', at('client.crt'), '--key', at('client.key'), '--header', 'x-forwarded-client-cert: By=liar');
    assert.equal(shown.code, 0, shown.stderr);
    const { headers } = upstream.requests.at(-1);
    const told = headers['x-forwarded-client-cert'];
    const hash = openssl('x509', '-in', 'client.crt', '-noout', '-fingerprint', '-sha256').toString().trim().split('=')[1].replaceAll(':', '').toLowerCase();
    assert.match(told, new RegExp(`^Hash=${hash};`));
    assert.match(told, /;Subject="CN=somebody";URI=spiffe:\/\/cluster.local\/ns\/team\/sa\/somebody$/);
    const certificate = /Cert="([^"]*)"/.exec(told)[1];
    assert.equal(decodeURIComponent(certificate).trim(), readFileSync(at('client.crt'), 'utf8').trim());
  });

  it('believes the PROXY protocol where it is configured', async () => {
    const { text } = await door.admin('/readyz');
    const unbound = JSON.parse(text).findings.filter((finding) => finding.code === 'DW0212');
    assert.deepEqual(unbound.map((finding) => /port (\d+)/.exec(finding.fault)[1]), ['9999']);
    const address = /Gateway port 9443 at (\S+),/.exec(door.output())[1];
    const ask = (...args) => new Promise((resolve) => {
      execFile('curl', ['--silent', '--max-time', '20', ...args, `http://${address}/app/proxied`], (error, stdout) => resolve({ code: error ? error.code : 0, stdout }));
    });
    assert.equal((await ask('--haproxy-protocol')).code, 0);
    assert.equal(upstream.seen('proxied').at(-1).headers['x-forwarded-for'], '127.0.0.1');
    assert.notEqual((await ask()).code, 0);
    assert.equal(upstream.seen('proxied').length, 1);
  });

  it('passes TLS on untouched', async () => {
    const { text, stderr } = await curl('pass.example.com');
    assert.equal(text, 'its own', stderr);
    const line = await until('the line of the stream', () => door.records().find((record) => record.stream && record.server_name === 'pass.example.com'));
    assert.equal(line.outcome, 'forward');
    assert.equal(line.route, 'VirtualService team/app');
    assert.ok(line.received > 300 && line.sent > 300);
  });
});

describe('connections with Node', () => {
  const connect = (name) => http2.connect(`https://127.0.0.1:${door.https}`, { ca: readFileSync(at('ca.crt')), servername: name, checkServerIdentity: () => undefined });
  const status = async (session, authority) => {
    const stream = session.request({ ':path': '/app/', ':authority': authority });
    const [headers] = await once(stream, 'response');
    stream.resume();
    await once(stream, 'end');
    return headers[':status'];
  };

  it('sends a request for another server\'s host away from a connection that is reused', async () => {
    const session = connect('both.example.com');
    assert.equal(await status(session, 'both.example.com'), 200);
    assert.equal(await status(session, 'must.example.com'), 421);
    assert.equal(await status(session, 'nobody.example.com'), 404);
    session.close();
  });

  it('follows a Secret with new handshakes, and open connections go on', async () => {
    const options = { port: door.https, host: '127.0.0.1', servername: 'must.example.com', ca: readFileSync(at('ca.crt')), cert: readFileSync(at('client.crt')), key: readFileSync(at('client.key')) };
    const serial = (socket) => socket.getPeerCertificate().serialNumber;
    const open = tls.connect(options);
    await once(open, 'secureConnect');
    const ask = async () => {
      open.write('GET /app/ HTTP/1.1\r\nhost: must.example.com\r\n\r\n');
      const [answer] = await once(open, 'data');
      return answer.toString().slice(9, 12);
    };
    assert.equal(await ask(), '200');
    const first = serial(open);
    // In one step: what is read of a file half written is a Secret that is not there.
    writeFileSync(at('must-next.yaml'), pair('must', 'must-next'));
    renameSync(at('must-next.yaml'), join(manifests, 'must.yaml'));
    await until('the new certificate', async () => {
      const next = tls.connect(options);
      await once(next, 'secureConnect');
      const changed = serial(next) !== first;
      next.destroy();
      return changed;
    });
    assert.equal(await ask(), '200');
    open.destroy();
  });
});
