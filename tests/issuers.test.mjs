// Sign-in with an OpenID provider that nobody here wrote, set up as strictly as it goes, in a real browser and by many
// clients at once.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { openBrowser, violations } from './browser.mjs';
import { discard, openDoor, scratch, until } from './door.mjs';
import { clientKey, ofLoopback, strictIssuer } from './issuers.mjs';
import { gateway, manifest, prefixTo, service, virtualService } from './objects.mjs';
import { freePort } from './ports.mjs';
import { startUpstream } from './upstream.mjs';
import { Visitor, formAction } from './visitor.mjs';

const LIFE = 5;
const COOKIE = 'doorward_session';

let upstream;
let issuer;
let door;
let browser;
let directory;
let pair;

before(async () => {
  upstream = await startUpstream();
  directory = scratch();
  const [doorPort, issuerPort] = [await freePort(), await freePort()];
  pair = ofLoopback();
  const key = clientKey('door-1');
  const at = `https://127.0.0.1:${doorPort}/oauth2`;
  const manifests = join(directory, 'manifests.yaml');
  writeFileSync(manifests, manifest(
    gateway('istio-system', 'main', [80, 'HTTP', ['*']]),
    service('apps', 'web', 'http'),
    virtualService('apps', 'web', { gateways: ['istio-system/main'], http: [prefixTo('/', 'web.apps.svc.cluster.local')] }),
  ));
  writeFileSync(join(directory, 'door.pem'), key.pem);
  writeFileSync(join(directory, 'issuer.crt'), pair.ca);
  writeFileSync(join(directory, 'people'), 'ann@example.com\n');
  writeFileSync(join(directory, 'settings.yaml'), `
login:
  emails: [bob@example.com]
  emailsFile: people
  rules:
    - {paths: [/admin], groups: [admins]}
  issuers:
    - issuer: https://127.0.0.1:${issuerPort}
      label: the strict one
      clientId: door
      clientAuth: private_key_jwt
      clientKey: {file: door.pem}
      clientKeyId: door-1
      scopes: [openid, email, profile, groups]
      signingAlgorithms: [RS256]
      emailVerified: required
      pushedRequests: always
      signedRequests: always
      tls: {authorities: issuer.crt}
`);
  // The issuer is not there yet, which is no reason not to start.
  door = await openDoor({ manifests, upstream: upstream.port, https: doorPort, args: ['--config', join(directory, 'settings.yaml')] });
  issuer = strictIssuer({
    port: issuerPort,
    pair,
    life: LIFE,
    trusts: door.caFile,
    clients: [{
      client_id: 'door',
      token_endpoint_auth_method: 'private_key_jwt',
      token_endpoint_auth_signing_alg: 'ES256',
      request_object_signing_alg: 'ES256',
      jwks: { keys: [key.jwk] },
      redirect_uris: [`${at}/callback`],
      post_logout_redirect_uris: [`${at}/signed_out`],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      id_token_signed_response_alg: 'RS256',
      backchannel_logout_uri: `${at}/backchannel_logout`,
      backchannel_logout_session_required: true,
    }],
  });
});

after(async () => {
  await browser?.close();
  await door?.close();
  await issuer?.stop();
  await upstream?.stop();
  discard(directory, door?.state);
});

/** A client that trusts both. */
const visitor = () => new Visitor({ ...door, ca: [door.ca, pair.ca] });

const counts = async () => {
  const client = visitor();
  const { text } = await client.visit(`${issuer.url}/counts`);
  client.close();
  return JSON.parse(text);
};

/** As a person would, by the issuer's form. */
async function signIn(client, { want = '/', user = 'ann' } = {}) {
  const form = await client.visit(`/oauth2/start?rd=${encodeURIComponent(want)}`, { follow: true });
  assert.equal(form.status, 200, `${form.url}: ${form.text}`);
  return client.submit(formAction(form), { prompt: 'login', login: user, password: 'x' }, { follow: true });
}

const whoAmI = async (client) => {
  const page = await client.visit('/oauth2/userinfo');
  return page.status === 200 ? page.json().email : page.status;
};

describe('an issuer that is not there yet', () => {
  it('keeps nobody from starting, and new sign-ins get a page that says so', async () => {
    const client = visitor();
    const page = await client.visit('/oauth2/start?rd=/x', { headers: { accept: 'text/html' } });
    assert.equal(page.status, 503);
    assert.match(page.text, /The sign-in service cannot be used right now/);
    assert.match(page.text, /href="\/oauth2\/start\?rd=%2Fx"/);
    assert.equal(page.headers['retry-after'], '5');
    client.close();
    await issuer.start();
    // A failed attempt is not repeated for two seconds.
    await pause(2_100);
  });
});

describe('a person in a browser', () => {
  it('signs in by a pushed and signed request and ends where they wanted', async () => {
    browser = await openBrowser([door.ca, pair.ca]);
    const window = await browser.window();
    const page = await window.page();
    const wanted = `${door.url}/deep/link?next=https://elsewhere.example//x&q=1`;
    const first = await page.goto(wanted);
    assert.equal(first.status(), 403);
    assert.deepEqual(await violations(page), []);
    await page.getByRole('button', { name: 'Sign in with the strict one' }).press('Enter');
    await page.waitForURL(`${issuer.url}/**`);
    await page.fill('input[name=login]', 'ann');
    await page.fill('input[name=password]', 'x');
    await page.click('button[type=submit]');
    await page.waitForURL(wanted);
    const { pushed, errors } = await counts();
    assert.ok(pushed >= 1);
    assert.deepEqual(errors, []);
    const cookies = await window.context.cookies(door.url);
    const own = cookies.filter(({ name }) => name.startsWith(COOKIE));
    assert.deepEqual(own.map(({ name, httpOnly, secure, sameSite }) => [name, httpOnly, secure, sameSite]), [[COOKIE, true, true, 'Lax']]);
    assert.ok(own[0].name.length + own[0].value.length < 200);
    await window.close();
  });

  it('opens ten tabs at once with a session that is over, and each ends where it wanted', async () => {
    const window = await browser.window();
    const first = await window.page();
    await first.goto(`${door.url}/oauth2/start?rd=/`);
    await first.fill('input[name=login]', 'ann');
    await first.fill('input[name=password]', 'x');
    await first.click('button[type=submit]');
    await first.waitForURL(`${door.url}/`);
    // The session here ends; the one at the issuer goes on, so that each tab comes back by itself.
    await window.context.clearCookies({ name: COOKIE });
    const tabs = await Promise.all(Array.from({ length: 10 }, () => window.page()));
    await Promise.all(tabs.map(async (tab, at) => {
      const response = await tab.goto(`${door.url}/tab/${at}?x=//y#part-${at}`);
      assert.equal(response.status(), 403);
    }));
    await Promise.all(tabs.map(async (tab, at) => {
      await tab.getByRole('button').click();
      await tab.waitForURL(`${door.url}/tab/${at}?x=//y`);
    }));
    const cookies = await window.context.cookies(door.url);
    assert.deepEqual(cookies.filter(({ name }) => name.endsWith('_csrf')), []);
    await window.close();
  });

  it('is told by a script of a page that the session is over, not sent elsewhere', async () => {
    const window = await browser.window();
    const page = await window.page();
    // The sign-in page itself lets no script ask anything.
    await page.goto(`${door.url}/oauth2/static/logo.svg`);
    for (const method of ['GET', 'POST']) {
      const status = await page.evaluate(async (method) => (await fetch('/api/x', { method })).status, method);
      assert.equal(status, 401, method);
    }
    const cookies = await window.context.cookies(door.url);
    assert.deepEqual(cookies, [], 'no sign-in was begun for a script');
    await window.close();
  });

  it('signs out here and at the issuer, and sees a page that says so', async () => {
    const window = await browser.window();
    const page = await window.page();
    await page.goto(`${door.url}/oauth2/start?rd=/`);
    await page.fill('input[name=login]', 'ann');
    await page.fill('input[name=password]', 'x');
    await page.click('button[type=submit]');
    await page.waitForURL(`${door.url}/`);
    await page.goto(`${door.url}/logout`);
    await page.waitForURL(`${issuer.url}/**`);
    await page.click('button[name=logout]');
    await page.waitForURL(`${door.url}/oauth2/signed_out*`);
    await page.getByRole('heading', { name: 'You are signed out' }).waitFor();
    assert.deepEqual(await violations(page), []);
    assert.equal((await page.goto(`${door.url}/`)).status(), 403);
    await page.goto(`${door.url}/oauth2/start?rd=/`);
    await page.waitForSelector('input[name=login]');
    await window.close();
  });
});

describe('tokens of five seconds', () => {
  it('are renewed once each time, however many ask, and no request fails', async () => {
    const client = visitor();
    await signIn(client);
    const before = await counts();
    const cookie = client.cookieHeader();
    const clients = Array.from({ length: 50 }, () => visitor());
    const failed = [];
    let asked = 0;
    const end = performance.now() + 3 * LIFE * 1000;
    await Promise.all(clients.map(async (one) => {
      while (performance.now() < end) {
        const { status } = await one.visit('/busy', { headers: { cookie }, cookies: false });
        asked += 1;
        if (status !== 200) failed.push(status);
        await pause(50);
      }
    }));
    const after = await counts();
    assert.deepEqual(failed, []);
    assert.ok(asked > 500, `${asked}`);
    const renewed = after.renewed - before.renewed;
    // Each lasts four seconds until it is due.
    assert.ok(renewed >= 2 && renewed <= 4, `${renewed}`);
    assert.equal(after.refused, before.refused, after.errors.join('\n'));
    // A pause longer than the tokens: all wait for one renewal.
    await pause((LIFE + 2) * 1000);
    const idle = await counts();
    const answers = await Promise.all(clients.map((one) => one.visit('/late', { headers: { cookie }, cookies: false })));
    assert.deepEqual(answers.map(({ status }) => status).filter((status) => status !== 200), []);
    const last = await counts();
    assert.equal(last.renewed - idle.renewed, 1);
    assert.equal(last.refused, before.refused, last.errors.join('\n'));
    for (const one of [client, ...clients]) one.close();
  });
});

describe('an issuer that is killed', () => {
  it('ends no session whose tokens are good, and one goes on once it is back', async () => {
    const client = visitor();
    await signIn(client);
    await issuer.kill();
    assert.equal((await client.visit('/x')).status, 200, 'known sessions go on');
    const stranger = visitor();
    const page = await stranger.visit('/oauth2/start?rd=/');
    assert.equal(page.status, 503, page.text);
    await pause((LIFE + 1) * 1000);
    assert.equal((await client.visit('/x', { headers: { accept: 'text/html' } })).status, 403, 'never beyond its tokens');
    await issuer.start();
    await until('the session to go on', async () => (await client.visit('/x')).status === 200, 15_000);
    const home = await signIn(stranger, { want: '/home', user: 'bob' });
    assert.equal(home.status, 200);
    assert.equal(home.url.pathname, '/home');
    client.close();
    stranger.close();
  });
});

describe('an issuer that signs somebody out', () => {
  it('ends the session by back-channel logout', async () => {
    const client = visitor();
    await signIn(client);
    const other = visitor();
    await signIn(other, { user: 'bob' });
    assert.equal(await whoAmI(client), 'ann@example.com');
    const form = await client.visit(`${issuer.url}/session/end`);
    const xsrf = /name="xsrf" value="([^"]+)"/.exec(form.text)?.[1];
    await client.submit(formAction(form), { xsrf, logout: 'yes' });
    await until('the session to end', async () => (await whoAmI(client)) === 401);
    assert.equal(await whoAmI(other), 'bob@example.com', 'nobody else was signed out');
    assert.deepEqual((await counts()).errors.filter((error) => error.startsWith('backchannel')), []);
    client.close();
    other.close();
  });
});

describe('who may enter', () => {
  it('is said by a list that is followed, and by rules for paths', async () => {
    const client = visitor();
    const refused = await signIn(client, { user: 'eve' });
    assert.equal(refused.status, 403);
    assert.match(refused.text, /Your account may not enter/);
    assert.equal(client.cookies.has(COOKIE), false);
    writeFileSync(join(directory, 'people'), 'ann@example.com\neve@example.com\n');
    await until('the list to be read', async () => {
      const page = await client.visit('/oauth2/start?rd=/in', { follow: true });
      return page.url.pathname === '/in' && page.status === 200;
    }, 15_000);
    assert.equal((await client.visit('/admin/x')).status, 403);
    assert.equal((await client.visit('/%61dmin/x')).status, 403);
    assert.equal((await client.visit(`${door.url}//admin/x`)).status, 403);
    assert.equal((await client.visit('/administrator')).status, 200);
    // Off the list again: the session is of no use any more.
    writeFileSync(join(directory, 'people'), 'ann@example.com\n');
    await until('the session to be refused', async () => (await client.visit('/in')).status === 403, 15_000);
    client.close();
  });
});
