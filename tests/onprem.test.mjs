// A set-up on one's own machines: HTTPS gateway in another namespace, Dex and OAuth2 Proxy from their Helm charts, an
// issuer under the address that browsers use, no sign-in button in between.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { STOCK_PASSWORD, discard, openDoor, run, scratch } from './door.mjs';
import { freePort } from './ports.mjs';
import { writeOnprem } from './onprem.mjs';
import { startUpstream } from './upstream.mjs';
import { Visitor, formAction } from './visitor.mjs';
import { connectTls } from './wire.mjs';

const USER = 'user1@datastrophic.io';

let tree;
let door;
let upstream;

before(async () => {
  upstream = await startUpstream();
  tree = scratch();
  const port = await freePort();
  writeOnprem(tree, `127.0.0.1:${port}`);
  door = await openDoor({ manifests: tree, upstream: upstream.port, https: port });
});
after(async () => {
  await door?.close();
  await upstream?.stop();
  discard(tree, door?.state);
});

describe('a set-up on one\'s own machines', () => {
  it('publishes its issuer under the address that browsers use', async () => {
    const discovery = (await new Visitor(door).visit('/dex/.well-known/openid-configuration')).json();
    assert.equal(discovery.issuer, `${door.url}/dex`);
    assert.equal(discovery.authorization_endpoint, `${door.url}/dex/auth`);
  });

  it('leads straight to the issuer, without a button', async () => {
    const visitor = new Visitor(door);
    let answer = await visitor.visit('/some/page?x=1', { headers: { accept: 'text/html' } });
    assert.equal(answer.status, 302);
    let to = new URL(answer.headers.location, door.url);
    // Until the issuer's document has been read, the way leads through the login proxy's own start.
    if (to.pathname === '/oauth2/start') {
      answer = await visitor.visit(to.href);
      assert.equal(answer.status, 302);
      to = new URL(answer.headers.location, door.url);
    }
    assert.equal(`${to.origin}${to.pathname}`, `${door.url}/dex/auth`);
    assert.equal(to.searchParams.get('client_id'), 'oauth2-proxy');
    // The issuer offers to take requests by themselves (RFC 9126), so the browser carries a reference.
    assert.deepEqual([...to.searchParams.keys()].sort(), ['client_id', 'request_uri']);
    visitor.close();
  });

  it('signs in, through the callback, to the page that was wanted', async () => {
    const visitor = new Visitor(door);
    const form = await visitor.visit('/some/page?x=1&y=2', { follow: true, headers: { accept: 'text/html' } });
    assert.equal(form.status, 200);
    assert.match(form.url.pathname, /^\/dex\/auth\/local\/login$/);
    const page = await visitor.submit(formAction(form), { login: USER, password: STOCK_PASSWORD }, { follow: true });
    assert.equal(page.status, 200);
    assert.equal(page.url.href, `${door.url}/some/page?x=1&y=2`);
    const { headers } = page.json();
    assert.equal(headers['x-auth-request-email'], USER);
    assert.equal(headers['kubeflow-userid'], USER);
    const claims = JSON.parse(Buffer.from(headers.authorization.split('.')[1], 'base64url').toString());
    assert.equal(claims.iss, `${door.url}/dex`);
    assert.equal(claims.email, USER);
    visitor.close();
  });

  it('/logout leads to signing out, which ends the session', async () => {
    const visitor = new Visitor(door);
    await visitor.signIn({ want: '/', user: 'user2@datastrophic.io' });
    assert.equal((await visitor.visit('/x')).status, 200);
    const cookie = visitor.cookieHeader();
    const logout = await visitor.visit('/logout');
    assert.equal(logout.status, 301);
    assert.equal(new URL(logout.headers.location, door.url).pathname, '/oauth2/sign_out');
    const out = await visitor.visit('/oauth2/sign_out');
    assert.equal(out.status, 302);
    assert.equal((await visitor.visit('/x', { headers: { cookie } })).status, 302);
    visitor.close();
  });

  it('the certificate names the address and comes from the authority of the door', async () => {
    // Every visit here checks the chain; this one looks at the names.
    const socket = await connectTls(door);
    assert.match(socket.getPeerCertificate().subjectaltname, /IP Address:127\.0\.0\.1/);
    socket.destroy();
  });

  it('doctor reports the route to a port that the Service does not have', async () => {
    const { code, stdout } = await run('doctor', tree, '--format', 'json');
    assert.equal(code, 1, stdout);
    const text = JSON.stringify(JSON.parse(stdout));
    assert.match(text, /07-virtualservice-oauth2-proxy\.yaml/);
    const plain = (await run('doctor', tree)).stdout;
    assert.match(plain, /07-virtualservice-oauth2-proxy\.yaml:\d+/);
    const about = plain.slice(plain.indexOf('07-virtualservice-oauth2-proxy.yaml'));
    assert.match(about, /`?5556`?/);
    assert.match(about, /help:.*`?80`?/);
  });
});
