// `doorward doctor --live`: a running doorward has nothing wrong with it, and a careless site has everything.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { discard, fixture, openDoor, run, scratch, until } from './door.mjs';
import { ofServer } from './tree.mjs';
import { startUpstream } from './upstream.mjs';

const live = async (...args) => {
  const { code, stdout, stderr } = await run('doctor', '--format', 'json', '--live', ...args);
  return { code, stderr, findings: stdout ? JSON.parse(stdout).findings : [] };
};
const codes = ({ findings }) => [...new Set(findings.map((finding) => finding.code))].sort();
const faults = ({ findings }, code) => findings.filter((finding) => finding.code === code).map(({ fault }) => fault);

describe('doctor --live at a doorward', () => {
  let door;
  let upstream;

  before(async () => {
    upstream = await startUpstream();
    door = await openDoor({ manifests: fixture('kubeflow-26.03'), upstream: upstream.port });
  });
  after(async () => {
    await door?.close();
    await upstream?.stop();
    discard(door?.state);
  });

  it('finds nothing: it redirects, signs people in, and believes no header', async () => {
    const told = await live(door.url, '--ca', door.caFile, '--plain-http', `http://127.0.0.1:${door.http}`, '--path', '/notebook/a/b/');
    assert.deepEqual(told.findings, []);
    assert.equal(told.code, 0, told.stderr);
    const { stdout } = await run('doctor', '--live', door.url, '--ca', door.caFile);
    assert.match(stdout, new RegExp(`^nothing wrong at ${door.url}/?\\n$`));
    // What was asked is in its log, and nobody got in.
    const asked = () => door.records().filter((record) => record.path === '/pipeline/');
    await until('a line for each header that names a user', () => asked().length > 10);
    assert.ok(asked().every((record) => record.outcome === 'sign_in'));
  });

  it('tells a path that is open to everybody', async () => {
    const told = await live(door.url, '--ca', door.caFile, '--path', '/dex/.well-known/openid-configuration');
    assert.equal(told.code, 1);
    assert.deepEqual(codes(told), ['DW1206']);
    assert.match(told.findings[0].fault, /openid-configuration` answers 200 without sign-in/);
  });

  it('tells that nobody trusts an authority that is not named', async () => {
    const told = await live(door.url);
    assert.equal(told.code, 1);
    assert.deepEqual(codes(told), ['DW1204']);
  });
});

describe('doctor --live at a careless site', () => {
  let site;
  let plain;
  let caFile;
  const aside = scratch();

  before(async () => {
    const certificate = ofServer('elsewhere.example.com');
    caFile = join(aside, 'ca.crt');
    writeFileSync(caFile, certificate.cert);
    const answer = (request, response) => {
      const url = new URL(request.url, 'https://site');
      if (url.pathname === '/oauth2/sign_out') return response.writeHead(302, { location: url.searchParams.get('rd') }).end();
      if (url.pathname === '/oauth2/start') {
        return response.writeHead(302, { location: 'http://127.0.0.1/dex/auth', 'set-cookie': ['session=abc; Path=/', 'whole=x; Secure; HttpOnly; SameSite=Lax', 'gone=; Path=/'] }).end();
      }
      if (url.pathname === '/pipeline/') return response.writeHead(request.headers['x-forwarded-email'] ? 200 : 403).end();
      if (url.pathname === '/') return response.writeHead(200).end(`hello ${request.headers['kubeflow-userid'] ?? 'nobody'}`);
      return response.writeHead(404).end();
    };
    site = https.createServer({ key: certificate.key, cert: certificate.cert }, answer).listen(0, '127.0.0.1');
    plain = http.createServer((_, response) => response.end('in clear')).listen(0, '127.0.0.1');
    await Promise.all([once(site, 'listening'), once(plain, 'listening')]);
  });
  after(() => {
    site?.close();
    plain?.close();
    discard(aside);
  });

  it('finds each fault', async () => {
    const url = `https://127.0.0.1:${site.address().port}`;
    const told = await live(url, '--ca', caFile, '--plain-http', `http://127.0.0.1:${plain.address().port}`);
    assert.equal(told.code, 1);
    assert.deepEqual(codes(told), ['DW1202', 'DW1203', 'DW1204', 'DW1205', 'DW1206', 'DW1207', 'DW1208']);
    assert.match(faults(told, 'DW1204').join(), /does not name `127\.0\.0\.1`/);
    assert.deepEqual(faults(told, 'DW1205').map((fault) => fault.match(/cookie `(\w+)`/)[1]), ['session', 'session', 'session']);
    assert.deepEqual(faults(told, 'DW1206'), ['`/` answers 200 without sign-in']);
    assert.deepEqual(faults(told, 'DW1207').sort(), [
      '`/` believes what a client says in `kubeflow-userid`',
      '`/pipeline/` lets in whoever sends `x-forwarded-email`',
    ]);
    const sarif = JSON.parse((await run('doctor', '--live', url, '--format', 'sarif')).stdout);
    assert.ok(sarif.runs[0].results.length > 5);
  });

  it('cannot look at what does not answer', async () => {
    const { code, stderr } = await live('https://127.0.0.1:1');
    assert.equal(code, 2);
    assert.match(stderr, /127\.0\.0\.1:1.*nobody answers/);
    assert.equal((await live('ftp://127.0.0.1/')).code, 2);
    assert.equal((await live('no url')).code, 2);
  });
});
