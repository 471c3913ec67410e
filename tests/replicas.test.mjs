// Two processes of a program that is stood in for, on one Redis: the flags of OAuth2 Proxy, the environment of
// AuthService.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { BINARY, discard, run, scratch, until } from './door.mjs';
import { ofLoopback, strictIssuer } from './issuers.mjs';
import { CookieJar } from './jar.mjs';
import { freePort } from './ports.mjs';
import { startRedis } from './redis.mjs';
import { Person, SECRETS, openIssuer, startDoorward } from './standing.mjs';
import { Visitor, formAction } from './visitor.mjs';

const LIFE = 5;
const PASSWORD = 'geheim-for-redis';
const COOKIE_SECRET = '7d16fee92f8d11b8940b081b3f8b8acb';

let directory;
let redis;

before(async () => {
  try {
    execFileSync('redis-server', ['--version']);
  } catch {
    assert.fail('redis-server is not installed: run tests/install-peers.sh');
  }
  directory = scratch();
  redis = await startRedis('--requirepass', PASSWORD);
});

after(async () => {
  await redis?.stop();
  discard(directory);
});

describe('two doorward oauth2-proxy on one Redis', () => {
  let pair;
  let issuer;
  let here;
  let there;
  const flags = [];

  const open = (port, ...more) => startDoorward(['oauth2-proxy', '--https-address', `127.0.0.1:${port}`, ...flags, ...more], {
    OAUTH2_PROXY_REDIS_PASSWORD: PASSWORD,
    // No directory is written to.
    DOORWARD_STATE: '/dev/null/state',
  });

  before(async () => {
    pair = ofLoopback();
    for (const [name, text] of Object.entries(pair)) writeFileSync(join(directory, `${name}.pem`), text);
    const [issuerPort, port, otherPort] = [await freePort(), await freePort(), await freePort()];
    issuer = strictIssuer({
      port: issuerPort,
      pair,
      life: LIFE,
      trusts: join(directory, 'ca.pem'),
      clients: [{
        client_id: 'proxy',
        client_secret: 'client-secret-of-the-proxy',
        token_endpoint_auth_method: 'client_secret_basic',
        redirect_uris: [`https://127.0.0.1:${port}/oauth2/callback`],
        grant_types: ['authorization_code', 'refresh_token'],
        response_types: ['code'],
        id_token_signed_response_alg: 'RS256',
      }],
    });
    await issuer.start();
    flags.push(
      '--provider=oidc', `--oidc-issuer-url=${issuer.url}`, `--provider-ca-file=${join(directory, 'ca.pem')}`,
      '--client-id=proxy', '--client-secret=client-secret-of-the-proxy', `--cookie-secret=${COOKIE_SECRET}`,
      `--redirect-url=https://127.0.0.1:${port}/oauth2/callback`, '--email-domain=*', '--code-challenge-method=S256',
      '--scope=openid email profile groups', '--upstream=static://200', '--skip-provider-button', '--cookie-refresh=1h',
      `--tls-cert-file=${join(directory, 'cert.pem')}`, `--tls-key-file=${join(directory, 'key.pem')}`,
      '--session-store-type=redis', `--redis-connection-url=${redis.url}/3`,
    );
    here = await open(port);
    there = await open(otherPort);
  });

  after(async () => {
    await here?.stop();
    await there?.stop();
    await issuer?.stop();
  });

  const at = (process) => new Visitor({ url: `https://127.0.0.1:${process.portOf('https')}`, ca: [pair.ca] });
  const counts = async () => {
    const client = at(here);
    const answer = await client.visit(`${issuer.url}/counts`);
    client.close();
    return answer.json();
  };
  const statusOf = async (client, path = '/any') => (await client.visit(path)).status;

  /** Somebody who signed in at one, in a browser that both see. */
  async function member() {
    const one = at(here);
    const form = await one.visit('/oauth2/start?rd=/any', { follow: true });
    assert.equal(form.status, 200, here.output());
    const landed = await one.submit(formAction(form), { prompt: 'login', login: 'ann', password: 'x' }, { follow: true });
    assert.deepEqual([landed.status, landed.text], [200, 'Authenticated']);
    const other = at(there);
    other.cookies = one.cookies;
    return { one, other, close: () => { one.close(); other.close(); } };
  }

  it('are one to a browser: in at one, in at both, and out at both within a second', async () => {
    const { one, other, close } = await member();
    assert.equal(await statusOf(other), 200);
    other.cookies = new CookieJar(one.cookies);
    await one.visit('/oauth2/sign_out');
    const began = performance.now();
    await until('the end at the other', async () => (await statusOf(other)) === 302);
    assert.ok(performance.now() - began < 1000);
    close();
  });

  it('renew the tokens of a session once, however many ask at either', async () => {
    const { one, other, close } = await member();
    assert.equal(await statusOf(other), 200);
    const cookie = one.cookieHeader();
    // Longer than the tokens last: everybody waits for one renewal.
    await pause((LIFE + 2) * 1000);
    const before = await counts();
    const clients = Array.from({ length: 20 }, (_, number) => at(number % 2 === 0 ? here : there));
    const answers = await Promise.all(clients.map((client) => client.visit('/any', { headers: { cookie }, cookies: false })));
    assert.deepEqual(answers.map(({ status }) => status).filter((status) => status !== 200), []);
    const after = await counts();
    assert.deepEqual([after.renewed - before.renewed, after.refused - before.refused], [1, 0], after.errors.join('\n'));
    for (const client of clients) client.close();
    close();
  });

  it('lose nobody when Redis is killed, and answer a stranger 503 meanwhile', async () => {
    const { one, other, close } = await member();
    assert.equal(await statusOf(other), 200);
    await redis.kill();
    const stays = async (client) => {
      const { status, text } = await client.visit('/oauth2/userinfo');
      return status === 200 && JSON.parse(text).email === 'ann@example.com';
    };
    await until('the alarm', () => here.output().includes('does not answer') && there.output().includes('does not answer'));
    assert.equal(await statusOf(one, '/ready'), 500);
    // Tokens of a few seconds that cannot be renewed meanwhile may end before: then it is 503.
    const meanwhile = await statusOf(other);
    assert.ok([200, 503].includes(meanwhile), `${meanwhile}`);
    await redis.start();
    await until('Redis to be used again', async () => (await statusOf(one, '/ready')) === 200 && (await statusOf(other, '/ready')) === 200);
    await until('the session at one', () => stays(one));
    await until('the session at the other', () => stays(other));
    const fresh = await member();
    assert.equal(await statusOf(fresh.other), 200);
    fresh.close();
    close();
  });

  it('tell what is at rest to nobody, and that another secret opens nothing', async () => {
    const { close } = await member();
    const ask = (...words) => execFileSync('redis-cli', ['-p', redis.url.split(':').at(-1), '-n', '3', ...words], { encoding: 'latin1', env: { ...process.env, REDISCLI_AUTH: PASSWORD } });
    const dump = ask('--scan');
    const session = dump.split('\n').find((key) => key.startsWith('doorward:session:'));
    assert.ok(session, dump);
    const record = ask('HGETALL', session);
    assert.ok(!record.includes('ann') && !record.includes('eyJ'), record);
    const stranger = await open(await freePort(), '--cookie-secret=0123456789abcdef0123456789abcdeg');
    assert.match(stranger.output(), /sealed under a secret that is not known here/);
    await stranger.stop();
    const secret = join(directory, 'another');
    writeFileSync(secret, 'another-secret-'.repeat(4));
    const refused = await run('up', '--state', join(directory, 'state'), '--sessions', `${redis.url.replace('//', `//:${PASSWORD}@`)}/3`, '--session-secret-file', secret, '--https', '127.0.0.1:0', '--http', '127.0.0.1:0', '--admin', '127.0.0.1:0');
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /none opens with the secret that is given.*\nhelp: /);
    assert.ok(!refused.stderr.includes(PASSWORD));
    close();
  });
});

describe('two doorward oauth2-proxy with nothing but a cookie secret', () => {
  it('know each other\u2019s sessions, renew tokens on the answer, and write nothing', async () => {
    const pair = ofLoopback();
    const own = scratch();
    for (const [name, text] of Object.entries(pair)) writeFileSync(join(own, `${name}.pem`), text);
    const [issuerPort, port, otherPort] = [await freePort(), await freePort(), await freePort()];
    const issuer = strictIssuer({
      port: issuerPort,
      pair,
      life: LIFE,
      trusts: join(own, 'ca.pem'),
      clients: [{
        client_id: 'proxy',
        client_secret: 'client-secret-of-the-proxy',
        redirect_uris: [`https://127.0.0.1:${port}/oauth2/callback`],
        grant_types: ['authorization_code', 'refresh_token'],
        response_types: ['code'],
        id_token_signed_response_alg: 'RS256',
      }],
    });
    await issuer.start();
    const open = (at) => startDoorward([
      'oauth2-proxy', '--https-address', `127.0.0.1:${at}`, '--provider=oidc', `--oidc-issuer-url=${issuer.url}`, `--provider-ca-file=${join(own, 'ca.pem')}`,
      '--client-id=proxy', '--client-secret=client-secret-of-the-proxy', `--cookie-secret=${COOKIE_SECRET}`,
      `--redirect-url=https://127.0.0.1:${port}/oauth2/callback`, '--email-domain=*', '--code-challenge-method=S256',
      '--scope=openid email profile groups', '--upstream=static://200', '--skip-provider-button',
      `--tls-cert-file=${join(own, 'cert.pem')}`, `--tls-key-file=${join(own, 'key.pem')}`,
    ], { DOORWARD_STATE: '' });
    const [here, there] = [await open(port), await open(otherPort)];
    const at = (process) => new Visitor({ url: `https://127.0.0.1:${process.portOf('https')}`, ca: [pair.ca] });
    const one = at(here);
    const other = at(there);
    try {
      assert.match(here.output(), /sessions are in their cookies/);
      const form = await one.visit('/oauth2/start?rd=/any', { follow: true });
      const landed = await one.submit(formAction(form), { prompt: 'login', login: 'ann', password: 'x' }, { follow: true });
      assert.deepEqual([landed.status, landed.text], [200, 'Authenticated'], here.output());
      other.cookies = one.cookies;
      assert.equal((await other.visit('/any')).status, 200);
      const cookies = () => [...one.cookies].filter(([name]) => name.startsWith('_oauth2_proxy')).map((pair) => pair.join('=')).join('; ');
      const former = cookies();
      assert.match(former, /^_oauth2_proxy(_0)?=v1\./);
      // Longer than the tokens last: ten tabs wait for one renewal, and each answer has the new cookie.
      await pause((LIFE + 2) * 1000);
      const tabs = await Promise.all(Array.from({ length: 10 }, () => one.visit('/any', { headers: { cookie: former }, cookies: false })));
      assert.deepEqual(tabs.map(({ status }) => status).filter((status) => status !== 200), []);
      assert.ok(tabs.every(({ headers }) => headers['set-cookie']?.length >= 1));
      const counts = (await one.visit(`${issuer.url}/counts`)).json();
      assert.deepEqual([counts.renewed, counts.refused], [1, 0], counts.errors.join('\n'));
      assert.notEqual(cookies(), former);
      // The other process never saw it.
      assert.equal((await other.visit('/oauth2/userinfo')).json().email, 'ann@example.com');
      const kept = cookies();
      assert.equal((await one.visit('/oauth2/sign_out')).status, 302);
      assert.equal(cookies(), '');
      for (const cookie of [former, kept]) {
        assert.equal((await one.visit('/any', { headers: { cookie }, cookies: false })).status, 302, 'this process remembers');
      }
    } finally {
      one.close();
      other.close();
      assert.equal(await here.stop(), 0);
      assert.equal(await there.stop(), 0);
      await issuer.stop();
      discard(own);
    }
  });
});

describe('two doorward authservice on one Redis', () => {
  const environment = async (issuer) => ({
    OIDC_PROVIDER: issuer.url,
    REDIRECT_URL: '/login/oidc',
    CLIENT_ID: SECRETS.OAUTH2_PROXY_CLIENT_ID,
    CLIENT_SECRET: SECRETS.OAUTH2_PROXY_CLIENT_SECRET,
    SERVER_HOSTNAME: '127.0.0.1',
    PORT: String(await freePort()),
    READINESS_PROBE_PORT: String(await freePort()),
    WEB_SERVER_PORT: String(await freePort()),
    SESSION_STORE_TYPE: 'redis',
    SESSION_STORE_REDIS_ADDR: redis.url.slice('redis://'.length),
    SESSION_STORE_REDIS_PWD: PASSWORD,
    SESSION_STORE_REDIS_DB: '4',
    DOORWARD_STATE: '/dev/null/state',
  });

  it('share sessions under a secret that is given to them, and start without none', async () => {
    const issuer = await openIssuer();
    const secret = join(directory, 'secret');
    writeFileSync(secret, `${'s3cret-'.repeat(8)}\n`, { mode: 0o600 });
    const bare = await startDoorward(['authservice'], await environment(issuer)).then(() => assert.fail('it started'), (error) => error.message);
    assert.match(bare, /needs a secret that it does not have itself\nhelp: .*DOORWARD_SESSION_SECRET_FILES/);
    assert.ok(!bare.includes(PASSWORD));
    const open = async () => startDoorward(['authservice'], { ...await environment(issuer), DOORWARD_SESSION_SECRET_FILES: secret }, BINARY);
    const [here, there] = [await open(), await open()];
    try {
      const person = new Person(here.port);
      const sent = await person.ask('/x');
      assert.equal(sent.status, 302);
      // The redirect is relative, for a host that has both; the code is carried back by hand.
      const page = await person.ask(sent.headers.location, { follow: true });
      const action = /<form[^>]*\saction="([^"]*)"/i.exec(page.text)[1].replaceAll('&amp;', '&').replaceAll('&#38;', '&').replaceAll('&#x2f;', '/');
      const landed = await person.ask(String(new URL(action, page.url)), { method: 'POST', form: { login: 'user@example.com', password: '12341234' }, follow: true });
      const back = await person.ask(`/login/oidc${landed.url.search}`);
      assert.equal(back.status, 302, back.text);
      const other = new Person(there.port);
      other.jar = person.jar;
      const seen = await other.ask('/x');
      assert.deepEqual([seen.status, seen.headers['kubeflow-userid']], [200, 'user@example.com']);
      const out = await other.ask('/authservice/logout', { method: 'POST', headers: { authorization: `Bearer ${person.jar.get('authservice_session')}` } });
      assert.equal(out.status, 201);
      await until('the end at the other', async () => (await person.ask('/x')).status === 302, 1000);
    } finally {
      assert.equal(await here.stop(), 0);
      assert.equal(await there.stop(), 0);
      await issuer.stop();
    }
  });
});
