// Pages of sign-in in a real browser, checked for accessibility: where people choose an issuer, and those of the drop-ins,
// as an Envoy relays them. And the sign-out by frames of the issuer's page.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { openBrowser, violations } from './browser.mjs';
import { openDoor, scratch } from './door.mjs';
import { ofLoopback, strictIssuer } from './issuers.mjs';
import { extAuthz, openEnvoy } from './mesh.mjs';
import { gateway, manifest, prefixTo, service, virtualService } from './objects.mjs';
import { freePort } from './ports.mjs';
import { SECRETS, installPeers, openApp, startDoorward } from './standing.mjs';

const CLIENT = { client_id: 'door', client_secret: 'a-secret-of-the-door', grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'] };

let app;
let pair;
let authority;
let browser;
const closing = [];

before(async () => {
  installPeers();
  app = await openApp();
  pair = ofLoopback();
  authority = join(scratch(), 'issuer.crt');
  writeFileSync(authority, pair.ca);
});

after(async () => {
  await browser?.close();
  for (const close of closing.reverse()) await close();
  app?.stop();
});

/** An issuer whose clients come back to `callbacks`. */
async function openIssuer(callbacks) {
  const issuer = strictIssuer({ port: await freePort(), pair, strict: false, life: 3600, trusts: authority, clients: [{ ...CLIENT, redirect_uris: callbacks, backchannel_logout_uri: 'https://127.0.0.1:9/never-asked', backchannel_logout_session_required: true }] });
  await issuer.start();
  closing.push(() => issuer.stop());
  return issuer;
}

/** Fills in the form of the issuer. */
async function fillIn(page, login) {
  await page.fill('input[name=login]', login);
  await page.fill('input[name=password]', 'x');
  await page.click('button[type=submit]');
}

for (const colorScheme of ['light', 'dark']) {
  describe(`where people choose an issuer, ${colorScheme}`, () => {
    let door;
    let issuers;

    before(async () => {
      const port = await freePort();
      const at = `https://127.0.0.1:${port}/oauth2/callback`;
      issuers = [await openIssuer([at]), await openIssuer([`${at}/partners`])];
      const directory = scratch();
      const manifests = join(directory, 'manifests.yaml');
      writeFileSync(manifests, manifest(
        gateway('istio-system', 'main', [80, 'HTTP', ['*']]),
        service('apps', 'web', 'http'),
        virtualService('apps', 'web', { gateways: ['istio-system/main'], http: [prefixTo('/', 'web.apps.svc.cluster.local')] }),
      ));
      writeFileSync(join(directory, 'issuer.crt'), pair.ca);
      writeFileSync(join(directory, 'secret'), CLIENT.client_secret);
      const choice = (name, label, { url }) => `
    - {name: ${name}, label: ${label}, issuer: '${url}', clientId: door, clientSecret: {file: secret}, scopes: [openid, email, profile, groups], tls: {authorities: issuer.crt}}`;
      writeFileSync(join(directory, 'settings.yaml'), `login:\n  emailDomains: ['*']\n  issuers:${choice('staff', 'Staff', issuers[0])}${choice('partners', 'Partners', issuers[1])}\n`);
      door = await openDoor({ manifests, upstream: app.port, https: port, args: ['--config', join(directory, 'settings.yaml')] });
      closing.push(() => door.close());
      await browser?.close();
      browser = await openBrowser([door.ca, pair.ca]);
    });

    test('the page has a button for each, by keyboard too, and each leads to its own', async () => {
      const window = await browser.window({ colorScheme });
      const page = await window.page();
      for (const [at, name] of ['Staff', 'Partners'].entries()) {
        await page.goto(`${door.url}/a?b=c`);
        assert.deepEqual(await violations(page), []);
        await page.setViewportSize({ width: 320, height: 640 });
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= 320), 'one column at 320 px');
        const button = page.getByRole('button', { name: `Sign in with ${name}` });
        for (let presses = 0; presses < 5 && !(await button.evaluate((one) => one === document.activeElement)); presses += 1) await page.keyboard.press('Tab');
        await page.keyboard.press('Enter');
        await page.waitForURL(`${issuers[at].url}/**`);
      }
      await fillIn(page, 'ann');
      await page.waitForURL(`${door.url}/a?b=c`);
      assert.deepEqual(window.complaints, []);
      await window.close();
    });
  });
}

describe('pages of the drop-ins, as Envoy relays them', () => {
  let proxy;
  let judge;
  let issuer;
  let envoy;

  before(async () => {
    const [proxyPort, judgePort, readiness, web, front, other] = await Promise.all(Array.from({ length: 6 }, freePort));
    issuer = await openIssuer([`http://127.0.0.1:${front}/oauth2/callback`, `http://127.0.0.1:${other}/login/oidc`]);
    proxy = await startDoorward([
      'oauth2-proxy', `--http-address=127.0.0.1:${proxyPort}`, '--provider=oidc', `--oidc-issuer-url=${issuer.url}`, `--provider-ca-file=${authority}`, '--client-id=door', `--client-secret=${CLIENT.client_secret}`,
      '--email-domain=example.com', '--upstream=static://200', '--cookie-secure=false', '--set-authorization-header', '--set-xauthrequest', `--redirect-url=http://127.0.0.1:${front}/oauth2/callback`,
      '--provider-display-name=Corp', '--scope=openid email profile groups',
    ], { OAUTH2_PROXY_COOKIE_SECRET: SECRETS.OAUTH2_PROXY_COOKIE_SECRET });
    closing.push(() => proxy.stop());
    judge = await startDoorward(['authservice'], {
      OIDC_PROVIDER: issuer.url, CLIENT_ID: 'door', CLIENT_SECRET: CLIENT.client_secret, OIDC_SCOPES: 'profile,email,groups', CA_BUNDLE: authority, KUBERNETES_AUTHN_ENABLED: 'false',
      AUTHSERVICE_URL_PREFIX: '/authservice/', REDIRECT_URL: `http://127.0.0.1:${other}/login/oidc`, GROUPS_ALLOWLIST: 'admins', SERVER_HOSTNAME: '127.0.0.1',
      SERVER_PORT: String(judgePort), READINESS_PROBE_PORT: String(readiness), WEB_SERVER_PORT: String(web),
    });
    closing.push(() => judge.stop());
    const ask = (cluster, lists) => extAuthz({ envoyExtAuthzHttp: { service: cluster, port: 80, ...lists } }, cluster, { always: true });
    envoy = await openEnvoy({
      clusters: { app: app.port, proxy: proxyPort, judge: judgePort },
      listeners: [
        { port: front, filters: [ask('proxy', { includeRequestHeadersInCheck: ['authorization', 'cookie'], headersToUpstreamOnAllow: ['authorization', 'x-auth-request-email'], headersToDownstreamOnDeny: ['content-type', 'set-cookie'] })], routes: [['/oauth2/', 'proxy', true], ['/', 'app']] },
        { port: other, filters: [ask('judge', { includeRequestHeadersInCheck: ['authorization', 'cookie'], headersToUpstreamOnAllow: ['kubeflow-userid'] })], routes: [['/', 'app']] },
      ],
    });
    closing.push(() => envoy.stop());
    await browser?.close();
    browser = await openBrowser([pair.ca]);
  });

  /** Looks at the page that is there. */
  async function look(page, heading) {
    await page.getByRole('heading', { level: 1, name: heading }).waitFor();
    assert.deepEqual(await violations(page), [], heading);
    // Its own style came, and it is a card: nothing is without one.
    assert.ok(await page.evaluate(() => [...document.styleSheets].some((sheet) => sheet.href && sheet.cssRules.length > 0)), `${heading}: style`);
  }

  test('sign-in, what went wrong, and a sign-out by the issuer in a frame', async () => {
    const window = await browser.window();
    const page = await window.page();
    const [at] = envoy.ports;
    await page.goto(`http://127.0.0.1:${at}/a?b=c`);
    await look(page, 'Sign in');
    await page.goto(`http://127.0.0.1:${at}/oauth2/callback?error=access_denied&state=x`);
    await look(page, 'The sign-in was refused: access_denied');
    await page.goto(`http://127.0.0.1:${at}/oauth2/sign_in`);
    await page.getByRole('button', { name: 'Sign in with Corp' }).click();
    await fillIn(page, 'ann');
    await page.waitForURL(`http://127.0.0.1:${at}/`);
    app.seen.length = 0;
    await page.goto(`http://127.0.0.1:${at}/who`);
    const { authorization, 'x-auth-request-email': email } = app.seen.find(({ url }) => url === '/who').headers;
    assert.equal(email, 'ann@example.com');
    const { sid } = JSON.parse(Buffer.from(authorization.split('.')[1], 'base64url'));
    assert.ok(sid);

    const frame = new URLSearchParams({ iss: issuer.url, sid });
    const other = await window.page();
    const loaded = other.waitForResponse((response) => response.url().includes('/oauth2/frontchannel_logout'));
    await other.goto(`${issuer.url}/frames?${new URLSearchParams({ of: `http://127.0.0.1:${at}/oauth2/frontchannel_logout?${frame}` })}`);
    assert.equal((await loaded).status(), 200);
    assert.equal((await page.goto(`http://127.0.0.1:${at}/who`)).status(), 403);
    await look(page, 'Sign in');
    await window.close();
  });

  test('somebody of no group that is let in sees a page with its style, all within the check', async () => {
    const window = await browser.window({ colorScheme: 'dark' });
    const page = await window.page();
    const [, at] = envoy.ports;
    await page.goto(`http://127.0.0.1:${at}/a`);
    await fillIn(page, 'ben');
    await look(page, 'Your account may not enter');
    assert.equal(await page.getByRole('link', { name: 'Sign in again' }).getAttribute('href'), '/');
    assert.deepEqual(window.complaints, []);
    await window.close();
  });
});
