// Several processes on one store, an issuer whose tokens last for seconds and whose refresh tokens are good once, and
// everything that can fail failing meanwhile: nobody is signed out, nobody fails to sign in, each token is renewed once.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { openBrowser } from './browser.mjs';
import { discard, openDoor, scratch, until } from './door.mjs';
import { startFront } from './front.mjs';
import { clientKey, ofLoopback, strictIssuer } from './issuers.mjs';
import { gateway, manifest, prefixTo, service, virtualService } from './objects.mjs';
import { freePort } from './ports.mjs';
import { startPostgres } from './postgres.mjs';
import { startRedis } from './redis.mjs';
import { startUpstream } from './upstream.mjs';
import { Visitor, formAction } from './visitor.mjs';

/** Seconds that tokens are good. Each is due for renewal a second before. */
const LIFE = 5;
const MEMBERS = 6;
/** Clients of each member, all with the same cookie. */
const CLIENTS = 5;
const COOKIE = 'doorward_session';

for (const [kind, startStore] of [['Redis', startRedis], ['PostgreSQL', startPostgres]]) {
  describe(`two processes that share a ${kind}`, { timeout: 600_000 }, () => {
    let site;
    let members;
    before(async () => {
      site = await openSite(startStore);
      members = await Promise.all(Array.from({ length: MEMBERS }, (_, at) => site.member(`user-${at}`)));
    });
    after(async () => {
      for (const member of members ?? []) member.close();
      await site?.close();
    });

    /** What clients of all members are answered while `act` runs. */
    async function under(act) {
      const statuses = [];
      let over = false;
      const load = members.flatMap((member) => member.clients.map(async (client) => {
        while (!over) {
          statuses.push((await client.visit('/busy', { headers: { cookie: member.cookie }, cookies: false })).status);
          await pause(50);
        }
      }));
      try {
        await act();
      } finally {
        over = true;
        await Promise.all(load);
      }
      assert.ok(statuses.length > members.length, `${statuses.length}`);
      return [...new Set(statuses)].sort();
    }

    const alarm = async (door) => JSON.parse((await door.admin('/readyz')).text).sessions;

    /** Everybody is in with the cookie they had, and no refresh token was shown twice. */
    async function nobodyIsOut(refused) {
      for (const member of members) {
        await until(`${member.user} to go on`, async () => (await member.visit('/')).status === 200, 30_000);
      }
      const { refused: now, errors } = await site.counts();
      assert.equal(now, refused, errors.join('\n'));
    }

    it('renews each token once, whoever asks at which', async () => {
      const before = await site.counts();
      const began = performance.now();
      assert.deepEqual(await under(() => pause(3 * LIFE * 1000)), [200]);
      const lasted = (performance.now() - began) / 1000;
      const after = await site.counts();
      const renewed = after.renewed - before.renewed;
      // Not before a token is due, and not much later.
      const most = MEMBERS * (Math.ceil(lasted / (LIFE - 1)) + 1);
      assert.ok(renewed >= 2 * MEMBERS && renewed <= most, `${renewed} in ${lasted} s, at most ${most}`);
      assert.equal(after.refused, before.refused, after.errors.join('\n'));
      // When all tokens are over, all wait for one renewal of each.
      await pause((LIFE + 1) * 1000);
      const idle = await site.counts();
      const late = members.flatMap((member) => member.clients.map((client) => client.visit('/late', { headers: { cookie: member.cookie }, cookies: false })));
      assert.deepEqual((await Promise.all(late)).map(({ status }) => status).filter((status) => status !== 200), []);
      const last = await site.counts();
      assert.equal(last.renewed - idle.renewed, MEMBERS);
      assert.equal(last.refused, before.refused, last.errors.join('\n'));
    });

    it('serves ten tabs at once, with tokens that are over and without a session', async () => {
      const window = await site.browser.window();
      const first = await window.page();
      await first.goto(`${site.url}/oauth2/start?rd=/`);
      await first.fill('input[name=login]', 'tabs');
      await first.fill('input[name=password]', 'x');
      await first.click('button[type=submit]');
      await first.waitForURL(`${site.url}/`);
      const tabs = await Promise.all(Array.from({ length: 10 }, () => window.page()));
      await first.close();
      await pause((LIFE + 1) * 1000);
      const idle = await site.counts();
      const answers = await Promise.all(tabs.map((tab, at) => tab.goto(`${site.url}/tab/${at}`)));
      assert.deepEqual(answers.map((answer) => answer.status()), Array(10).fill(200));
      const renewed = await site.counts();
      assert.equal(renewed.renewed - idle.renewed, 1);
      assert.equal(renewed.refused, idle.refused, renewed.errors.join('\n'));
      // The session here is gone, the one at the issuer is not: each tab signs in by itself.
      await window.context.clearCookies({ name: COOKIE });
      await Promise.all(tabs.map(async (tab, at) => {
        const response = await tab.goto(`${site.url}/again/${at}?x=//y`);
        assert.equal(response.status(), 403);
      }));
      await Promise.all(tabs.map(async (tab, at) => {
        await tab.getByRole('button').click();
        await tab.waitForURL(`${site.url}/again/${at}?x=//y`);
      }));
      const cookies = await window.context.cookies(site.url);
      assert.deepEqual(cookies.filter(({ name }) => name.endsWith('_csrf')), []);
      await window.close();
    });

    it('loses nobody when the store is killed under requests', async () => {
      const { refused } = await site.counts();
      const statuses = await under(async () => {
        for (let round = 0; round < 3; round += 1) {
          await pause(1_300);
          await site.store.kill();
          // The last time it is back before anybody has told.
          if (round < 2) await Promise.all(site.doors.map((door) => until('the alarm', () => alarm(door), 30_000)));
          await site.store.start();
          await Promise.all(site.doors.map((door) => until('no alarm', async () => !(await alarm(door)), 30_000)));
          // Somebody who comes as soon as it answers again.
          const newcomer = await site.member(`newcomer-${round}`);
          assert.equal((await newcomer.visit('/')).status, 200);
          newcomer.close();
        }
      });
      // 503 where tokens ended while the store did not answer; never out.
      assert.deepEqual(statuses.filter((status) => status !== 200 && status !== 503), []);
      await nobodyIsOut(refused);
    });

    it('loses nobody when the issuer is killed', async () => {
      const { refused } = await site.counts();
      await under(async () => {
        await site.calm();
        await site.issuer.kill();
        const stranger = site.visitor();
        const page = await stranger.visit('/oauth2/start?rd=/', { headers: { accept: 'text/html' } });
        assert.equal(page.status, 503, page.text);
        stranger.close();
        await site.issuer.start();
        const newcomer = await site.member('after-the-issuer');
        assert.equal((await newcomer.visit('/')).status, 200);
        newcomer.close();
      });
      // Its counts began anew.
      await nobodyIsOut(0);
      assert.ok(refused >= 0);
    });

    it('loses nobody and no request when one of the processes is killed', async () => {
      const { refused } = await site.counts();
      for (const which of [0, 1]) {
        const statuses = await under(async () => {
          // What an issuer has replaced and nobody has stored is lost to anybody.
          await site.calm();
          await site.doors[which].kill();
          await pause(LIFE * 1000);
          const newcomer = await site.member(`without-${which}`);
          assert.equal((await newcomer.visit('/')).status, 200);
          newcomer.close();
          await site.open(which);
        });
        assert.deepEqual(statuses, [200]);
        await nobodyIsOut(refused);
      }
    });
  });
}

/** A store, an issuer, two doors that share them, and nginx in front. */
async function openSite(startStore) {
  const directory = scratch();
  const file = (name) => join(directory, name);
  const [port, issuerPort] = [await freePort(), await freePort()];
  const doorPorts = [await freePort(), await freePort()];
  const pair = ofLoopback();
  const key = clientKey('door-1');
  const upstream = await startUpstream();
  writeFileSync(file('manifests.yaml'), manifest(
    gateway('istio-system', 'main', [80, 'HTTP', ['*']]),
    service('apps', 'web', 'http'),
    virtualService('apps', 'web', { gateways: ['istio-system/main'], http: [prefixTo('/', 'web.apps.svc.cluster.local')] }),
  ));
  writeFileSync(file('door.pem'), key.pem);
  writeFileSync(file('ca.crt'), pair.ca);
  writeFileSync(file('secret'), `${'s3cret-'.repeat(8)}\n`, { mode: 0o600 });
  writeFileSync(file('settings.yaml'), `
login:
  emailDomains: ["*"]
  issuers:
    - issuer: https://127.0.0.1:${issuerPort}
      clientId: door
      clientAuth: private_key_jwt
      clientKey: {file: door.pem}
      clientKeyId: door-1
      scopes: [openid, email, profile, groups]
      signingAlgorithms: [RS256]
      pushedRequests: always
      signedRequests: always
      tls: {authorities: ca.crt}
`);
  const issuer = strictIssuer({
    port: issuerPort,
    pair,
    life: LIFE,
    trusts: file('ca.crt'),
    clients: [{
      client_id: 'door',
      token_endpoint_auth_method: 'private_key_jwt',
      token_endpoint_auth_signing_alg: 'ES256',
      request_object_signing_alg: 'ES256',
      jwks: { keys: [key.jwk] },
      redirect_uris: [`https://127.0.0.1:${port}/oauth2/callback`],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      id_token_signed_response_alg: 'RS256',
    }],
  });
  await issuer.start();
  const store = await startStore();
  const args = ['--config', file('settings.yaml'), '--sessions', store.url, '--session-secret-file', file('secret')];
  const states = [scratch(), scratch()];
  const doors = [];
  const open = async (which) => {
    doors[which] = await openDoor({ manifests: file('manifests.yaml'), upstream: upstream.port, https: doorPorts[which], state: states[which], args });
  };
  await Promise.all([open(0), open(1)]);
  const front = await startFront({ port, pair, doors: doorPorts });
  const browser = await openBrowser([pair.ca]);
  const url = `https://127.0.0.1:${port}`;
  const visitor = () => new Visitor({ url, ca: [pair.ca] });
  const counts = async () => {
    // On a connection of its own each time: the issuer closes one that was idle just when the next question comes.
    const asking = visitor();
    const { text } = await asking.visit(`${issuer.url}/counts`);
    asking.close();
    return JSON.parse(text);
  };
  return {
    url, store, issuer, doors, browser, open, visitor, counts,
    /** Somebody who has signed in, and their clients. */
    async member(user) {
      const own = visitor();
      const form = await own.visit('/oauth2/start?rd=/in', { follow: true });
      assert.equal(form.status, 200, `${form.url}: ${form.text}`);
      const page = await own.submit(formAction(form), { prompt: 'login', login: user, password: 'x' }, { follow: true });
      assert.deepEqual([page.status, page.url.pathname], [200, '/in'], page.text);
      const cookie = `${COOKIE}=${own.cookies.get(COOKIE)}`;
      const clients = Array.from({ length: CLIENTS }, visitor);
      return { user, cookie, clients, visit: (path) => own.visit(path), close: () => [own, ...clients].forEach((one) => one.close()) };
    },
    /** Waits until everybody's tokens have just been renewed: for some time now nobody asks the issuer. */
    async calm() {
      const { renewed: start } = await counts();
      let [last, since] = [start, performance.now()];
      await until('a moment without renewals', async () => {
        const { renewed } = await counts();
        if (renewed !== last) [last, since] = [renewed, performance.now()];
        return last - start >= 1 && performance.now() - since > 600;
      }, 60_000);
    },
    async close() {
      await browser.close();
      await front.stop();
      for (const door of doors) await door.close();
      await issuer.stop();
      await store.stop();
      await upstream.stop();
      discard(directory, ...states);
    },
  };
}
