// Every row of the tables in `matrix/`, through a real Envoy that asks `doorward oauth2-proxy` or `doorward authservice`: what
// the client gets, and what reaches the application.

import assert from 'node:assert/strict';
import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { BINARY, scratch, until } from './door.mjs';
import { CookieJar } from './jar.mjs';
import * as service from './matrix/authservice.mjs';
import * as proxy from './matrix/oauth2-proxy.mjs';
import { extAuthz, openEnvoy } from './mesh.mjs';
import { openMinter } from './minter.mjs';
import { freePort } from './ports.mjs';
import { Person, SECRETS, installPeers, openApp, openIssuer, startDoorward } from './standing.mjs';

/** As a client forges it: whoever is told this by an application's headers would be root. */
const FORGED = {
  'x-auth-request-user': 'root', 'X_Auth_Request_Email': 'root@example.com', 'x-auth-request-email': 'root@example.com', 'x-auth-request-groups': 'root', 'x_auth-request_groups': 'root',
  'x-auth-request-preferred-username': 'root', 'x-auth-request-access-token': 'root', 'gap-auth': 'root@example.com', 'x-forwarded-user': 'root', 'x-forwarded-email': 'root@example.com',
  'x-forwarded-groups': 'root', 'kubeflow-userid': 'root@example.com', 'kubeflow_userid': 'root@example.com', 'Kubeflow-Groups': 'root',
};
/** The same, as applications behind AuthService are told. */
const FORGED_OF_AUTHSERVICE = { ...FORGED, 'auth-method': 'root', 'kubeflow-userid-token': 'root' };
const FORGED_OF_OTHERS = { ...FORGED_OF_AUTHSERVICE, 'x-user': 'root', 'x_user': 'root', 'x-groups': 'root', 'x-how': 'root' };

const folded = (name) => name.toLowerCase().replaceAll('_', '-');

/** Compares a text with a text, with an expression, or with `false` for none. */
function same(found, wanted, what) {
  if (wanted === false) assert.equal(found, undefined, what);
  else if (wanted instanceof RegExp) assert.match(found ?? '', wanted, what);
  else assert.equal(found, wanted, what);
}

/** Asks as a row says, and compares. */
async function check(row, { port, app, jar, headers, forged = FORGED }) {
  const telling = new Set([...Object.keys(forged).map(folded), 'authorization']);
  const { row: number, at, who, ask, lists, with: more, status, type, location, body, cookie, app: told, ...others } = row;
  const what = `row ${number} (${at}, ${who}${lists ? `, ${lists}` : ''}): ${ask}`;
  const [method, target] = ask.split(' ');
  const person = new Person(port);
  person.jar = new CookieJar(jar);
  app.seen.length = 0;
  const answer = await person.ask(target, { method, headers: { ...forged, ...headers, ...more } });
  assert.equal(answer.status, status, `${what}\n${answer.text.slice(0, 500)}`);
  if (type !== undefined) same(answer.headers['content-type'], type, `${what}: type`);
  if (location !== undefined) same(answer.headers.location, location, `${what}: location`);
  if (body !== undefined) same(answer.text, body, `${what}: body`);
  if (cookie !== undefined) same(answer.headers['set-cookie']?.join('\n'), cookie, `${what}: cookie`);
  for (const [name, wanted] of Object.entries(others)) same(answer.headers[name], wanted, `${what}: ${name}`);
  if (!told) {
    assert.deepEqual(app.seen, [], `${what}: nothing may arrive`);
    return;
  }
  assert.equal(app.seen.length, 1, `${what}: it has to arrive`);
  const [seen] = app.seen;
  assert.deepEqual([seen.method, seen.url], [method, target], what);
  const arrived = Object.entries(seen.headers).filter(([name]) => telling.has(folded(name)));
  for (const [name, value] of arrived) same(value, told[name] ?? false, `${what}: the application sees ${name}`);
  for (const name of Object.keys(told)) assert.ok(name in seen.headers, `${what}: the application does not see ${name}`);
}

let app;
let issuer;
let minter;

before(async () => {
  installPeers();
  app = await openApp();
  minter = await openMinter();
  issuer = await openIssuer({ people: { 'user@example.com': ['staff'], 'leaver@elsewhere.example': [] } });
});

after(async () => {
  await issuer?.stop();
  minter?.stop();
  app?.stop();
});

describe('OAuth2 Proxy, asked by Envoy', () => {
  const running = [];
  let ports;
  let jars;
  let bearers;

  before(async () => {
    const dead = await freePort();
    const directory = scratch();
    const emails = join(directory, 'emails');
    const everybody = 'leaver@elsewhere.example\n';
    writeFileSync(emails, everybody);
    const args = (at, ...more) => [
      'oauth2-proxy', '--http-address=127.0.0.1:0', ...proxy.COMMON, ...proxy.SETTINGS[at], `--authenticated-emails-file=${emails}`, `--oidc-issuer-url=${issuer.url}`,
      `--redeem-url=${issuer.url}/token`, `--oidc-jwks-url=${issuer.url}/keys`, `--extra-jwt-issuers=${minter.issuer}=machines`, ...more,
    ];
    const upstreams = (at) => (at === 'proxying' ? [`--upstream=http://127.0.0.1:${dead}/dead/`] : ['--upstream=static://200']);

    // They sign in once. The others begin with a copy of what that left.
    const state = join(directory, 'state');
    const first = await startDoorward(args('button', '--upstream=static://200'), { ...SECRETS, DOORWARD_STATE: state }, BINARY);
    const front = await openEnvoy({ clusters: { first: first.port, issuer: issuer.port }, listeners: [{ filters: [], routes: [['/dex/', 'issuer'], ['/', 'first']] }] });
    jars = { nobody: [], unknown: [['_oauth2_proxy', 'a-value-of-nobody']] };
    for (const [who, login] of [['ann', 'user@example.com'], ['leaver', 'leaver@elsewhere.example']]) {
      const person = new Person(front.port);
      const landed = await person.signIn('/oauth2/start?rd=/a', { login });
      assert.deepEqual([landed.status, landed.text], [200, 'Authenticated'], `${who} signs in`);
      jars[who] = person.jar.sent();
    }
    await front.stop();
    assert.equal(await first.stop(), 0);
    writeFileSync(emails, 'somebody-else@elsewhere.example\n');

    const clusters = { app: app.port, issuer: issuer.port };
    const listeners = [];
    for (const at of Object.keys(proxy.SETTINGS)) {
      const own = join(directory, at);
      cpSync(state, own, { recursive: true });
      const process = await startDoorward(args(at, ...upstreams(at)), { ...SECRETS, DOORWARD_STATE: own });
      running.push(process);
      clusters[at] = process.port;
      for (const lists of Object.values(proxy.LISTS)) {
        const provider = { envoyExtAuthzHttp: { service: 'oauth2-proxy.auth.svc.cluster.local', port: 80, ...lists } };
        listeners.push({ filters: [extAuthz(provider, at, { always: true })], routes: [['/dex/', 'issuer', true], ['/oauth2/', at, true], ['/', 'app']] });
      }
    }
    const envoy = await openEnvoy({ clusters, listeners });
    running.push(envoy);
    const names = Object.keys(proxy.SETTINGS).flatMap((at) => Object.keys(proxy.LISTS).map((lists) => `${at} ${lists}`));
    ports = Object.fromEntries(names.map((name, at) => [name, envoy.ports[at]]));

    const machine = { sub: 'a-machine', aud: 'machines', email: 'machine@example.com', preferred_username: 'the-machine', groups: ['robots', 'arms'] };
    const bearer = async (claims) => ({ authorization: `Bearer ${await minter.mint({ ...machine, ...claims })}` });
    bearers = {
      machine: await bearer({}),
      denied: await bearer({ email: 'machine@elsewhere.example' }),
      unverified: await bearer({ email_verified: false }),
      forged: await bearer({ forged: true }),
      expired: await bearer({ exp: 1_700_000_000 }),
      elsewhere: await bearer({ aud: 'others' }),
      basic: { authorization: 'Basic dTpw' },
    };
  });

  after(async () => {
    for (const process of running.reverse()) await process.stop();
  });

  for (const [at, row] of proxy.ROWS.entries()) {
    test(`${at}. row ${row.row}: ${row.who} asks ${row.ask} (${row.at}${row.lists ? `, ${row.lists}` : ''})`, () => (
      check(row, { port: ports[`${row.at} ${row.lists ?? 'all'}`], app, jar: jars[row.who] ?? [], headers: bearers[row.who] })
    ));
  }

  test('every row of the matrix is there', () => {
    const rows = new Set(proxy.ROWS.map(({ row }) => row));
    for (let row = 1; row <= 9; row += 1) assert.ok(rows.has(row), `row ${row}`);
  });
});

describe('AuthService, asked by Envoy', () => {
  const running = [];
  let ports;
  let jars;
  let bearers;

  before(async () => {
    const dead = await freePort();
    const directory = scratch();
    const environment = async (at) => {
      const [judge, readiness, web] = await Promise.all([freePort(), freePort(), freePort()]);
      const issuers = { machines: { OIDC_PROVIDER: minter.issuer }, down: { OIDC_PROVIDER: `http://127.0.0.1:${dead}` } };
      return {
        OIDC_PROVIDER: issuer.url,
        ...(at !== 'down' && { OIDC_AUTH_URL: '/dex/auth' }),
        CLIENT_ID: SECRETS.OAUTH2_PROXY_CLIENT_ID,
        CLIENT_SECRET: SECRETS.OAUTH2_PROXY_CLIENT_SECRET,
        OIDC_SCOPES: 'profile email groups',
        SERVER_HOSTNAME: '127.0.0.1',
        SERVER_PORT: String(judge),
        READINESS_PROBE_PORT: String(readiness),
        WEB_SERVER_PORT: String(web),
        ...service.SETTINGS[at],
        ...issuers[at],
      };
    };
    const state = join(directory, 'state');
    const first = await startDoorward(['authservice'], { ...await environment('usual'), DOORWARD_STATE: state });
    const front = await openEnvoy({ clusters: { first: first.port, issuer: issuer.port }, listeners: [{ filters: [], routes: [['/dex/', 'issuer'], ['/', 'first']] }] });
    const person = new Person(front.port);
    const landed = await person.signIn('/a');
    assert.equal(landed.status, 200, landed.text);
    await front.stop();
    assert.equal(await first.stop(), 0);
    const session = person.jar.get('authservice_session');
    jars = { ann: person.jar.sent(), unknown: [['authservice_session', 'a-value-of-nobody']] };

    const clusters = { app: app.port, issuer: issuer.port };
    const listeners = [];
    for (const at of Object.keys(service.SETTINGS)) {
      const own = join(directory, at);
      cpSync(state, own, { recursive: true });
      const process = await startDoorward(['authservice'], { ...await environment(at), DOORWARD_STATE: own });
      running.push(process);
      clusters[at] = process.port;
      for (const lists of Object.values(service.LISTS)) {
        const provider = { envoyExtAuthzHttp: { service: 'authservice.istio-system.svc.cluster.local', port: 8080, timeout: '10s', ...lists } };
        listeners.push({ filters: [extAuthz(provider, at, { always: true })], routes: [['/dex/', 'issuer', true], ['/', 'app']] });
      }
    }
    const envoy = await openEnvoy({ clusters, listeners });
    running.push(envoy);
    const names = Object.keys(service.SETTINGS).flatMap((at) => Object.keys(service.LISTS).map((lists) => `${at} ${lists}`));
    ports = Object.fromEntries(names.map((name, at) => [name, envoy.ports[at]]));

    const machine = { sub: 'a-machine', aud: 'gateway', email: 'machine@example.com', groups: ['robots', 'arms'] };
    const bearer = async (claims) => ({ authorization: `Bearer ${await minter.mint({ ...machine, ...claims })}` });
    bearers = {
      header: { authorization: `Bearer ${session}` },
      bare: { 'x-auth-token': session },
      machine: await bearer({}),
      idtoken: await bearer({ aud: SECRETS.OAUTH2_PROXY_CLIENT_ID, groups: undefined }),
      stopped: await bearer({ exp: 1_700_000_000 }),
      forged: await bearer({ forged: true }),
      stranger: await bearer({ iss: 'https://stranger.example' }),
    };
  });

  after(async () => {
    for (const process of running.reverse()) await process.stop();
  });

  for (const [at, row] of service.ROWS.entries()) {
    test(`${at}. ${row.row}: ${row.who} asks ${row.ask} (${row.at}${row.lists ? `, ${row.lists}` : ''})`, () => (
      check(row, { port: ports[`${row.at} ${row.lists ?? 'all'}`], app, jar: jars[row.who] ?? [], headers: bearers[row.who], forged: row.at === 'other' ? FORGED_OF_OTHERS : FORGED_OF_AUTHSERVICE })
    ));
  }
});
