// `doorward oauth2-proxy` and `doorward authservice` in the place of the programs of those names: the settings that
// Kubeflow and the guides give them, unchanged, behind a real Envoy that asks them (ext_authz over HTTP).

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { BINARY, discard, plainGet, scratch, until } from './door.mjs';
import { extAuthz, openEnvoy } from './mesh.mjs';
import { freePort } from './ports.mjs';
import { Person, SECRETS, installPeers, openApp, openIssuer, startDoorward } from './standing.mjs';

let work;
let issuer;
let app;

before(async () => {
  installPeers();
  work = scratch();
  app = await openApp();
  issuer = await openIssuer();
});

after(async () => {
  await issuer?.stop();
  app?.stop();
  discard(work);
});

/** Envoy in front of the application, asking `checker`; `routes` lead elsewhere, unasked. */
function frontOf(checker, { routes, ask, allow, deny }) {
  const provider = {
    envoyExtAuthzHttp: { service: 'checker', port: 80, timeout: '10s', includeRequestHeadersInCheck: ask, headersToUpstreamOnAllow: allow, headersToDownstreamOnDeny: deny },
  };
  return openEnvoy({
    clusters: { app: app.port, issuer: issuer.port, checker },
    listeners: [{
      filters: [extAuthz(provider, 'checker', { always: true })],
      routes: [...routes.map(([prefix, cluster]) => [prefix, cluster, true]), ['/', 'app']],
    }],
  });
}

const KUBEFLOW = (issuer) => `
provider = "oidc"
oidc_issuer_url = "${issuer.url}"
scope = "profile email groups openid"
email_domains = [ "*" ]
skip_oidc_discovery = true
login_url = "/dex/auth"
redeem_url = "${issuer.url}/token"
oidc_jwks_url = "${issuer.url}/keys"
upstreams = [ "static://200" ]
skip_auth_routes = [ "^/dex/" ]
api_routes = [ "/api/", "/apis/", "^/ml_metadata" ]
skip_provider_button = false
provider_display_name = "Dex"
custom_sign_in_logo = "/custom-theme/kubeflow-logo.svg"
banner = "-"
footer = "-"
prompt = "none"
set_authorization_header = true
set_xauthrequest = true
cookie_name = "oauth2_proxy_kubeflow"
cookie_expire = "24h"
cookie_refresh = 0
code_challenge_method = "S256"
redirect_url = "/oauth2/callback"
relative_redirect_url = true
`;

describe('the settings of Kubeflow run doorward oauth2-proxy', () => {
  let checker;
  let envoy;

  before(async () => {
    const config = join(work, 'oauth2_proxy.cfg');
    // Dex ignores `prompt`; a provider that knows it would say `login_required`.
    writeFileSync(config, KUBEFLOW(issuer).replace('prompt = "none"\n', ''));
    // As in a container: the command is the program's own name.
    const command = join(work, 'oauth2-proxy');
    symlinkSync(BINARY, command);
    checker = await startDoorward(['--http-address=127.0.0.1:0', `--config=${config}`], {
      ...SECRETS,
      OAUTH2_PROXY_COOKIE_SECURE: 'false',
      OAUTH2_PROXY_SSL_INSECURE_SKIP_VERIFY: 'true',
      OAUTH2_PROXY_SKIP_JWT_BEARER_TOKENS: 'true',
      OAUTH2_PROXY_EXTRA_JWT_ISSUERS: '',
    }, command);
    envoy = await frontOf(checker.port, {
      routes: [['/dex/', 'issuer'], ['/oauth2/', 'checker']],
      ask: ['authorization', 'cookie'],
      allow: ['authorization', 'path', 'x-auth-request-email', 'x-auth-request-groups', 'x-auth-request-user'],
      deny: ['content-type', 'set-cookie'],
    });
  });

  after(async () => {
    await envoy?.stop();
    assert.equal(await checker?.stop(), 0);
  });

  test('a browser without a session gets the page, and comes back to where it wanted to go', async () => {
    const person = new Person(envoy.port);
    const page = await person.ask('/pipeline/?ns=a#x');
    assert.equal(page.status, 403);
    assert.match(page.headers['content-type'], /^text\/html/);
    assert.match(page.text, /action="\/oauth2\/start"/);
    const landed = await person.signIn('/oauth2/start?rd=%2Fpipeline%2F%3Fns%3Da');
    assert.equal(landed.status, 200, landed.text);
    const { url, headers } = JSON.parse(landed.text);
    assert.equal(url, '/pipeline/?ns=a');
    assert.equal(headers['x-auth-request-email'], 'user@example.com');
    assert.match(headers.authorization, /^Bearer ey[\w-]+\.[\w-]+\.[\w-]+$/);
    assert.deepEqual(person.jar.sent().map(([name]) => name), ['oauth2_proxy_kubeflow']);
    assert.ok(person.jar.get('oauth2_proxy_kubeflow').length < 200);

    const out = await person.ask('/oauth2/sign_out');
    assert.deepEqual([out.status, out.headers.location], [302, '/']);
    assert.equal((await person.ask('/')).status, 403);
  });

  test('a script gets 401, an exempt path passes, and Envoy is answered 200 and nothing else', async () => {
    const person = new Person(envoy.port);
    const script = await person.ask('/jupyter/api/namespaces');
    assert.deepEqual([script.status, script.text], [401, '{}']);
    const direct = new Person(checker.port);
    for (const [path, status, location] of [
      ['/ping', 200], ['/ready', 200], ['/robots.txt', 200], ['/dex/x', 200], ['/ml_metadata', 401], ['/oauth2/auth', 401],
      ['/oauth2/userinfo', 401], ['/a//b?c', 301, '/a/b?c'], ['/oauth2/callback?error=access_denied&state=x', 403], ['/oauth2/callback', 500],
    ]) {
      const answer = await direct.ask(path);
      assert.deepEqual([path, answer.status, answer.headers.location], [path, status, location]);
    }
    const refused = await direct.ask('/oauth2/callback?code=x&state=y');
    assert.equal(refused.status, 500);
  });

  test('what a client says of itself does not pass', async () => {
    const person = new Person(checker.port);
    const answer = await person.ask('/dex/x', { headers: { 'x-auth-request-email': 'evil@example.com', 'x-auth-request-user': 'evil' } });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['x-auth-request-email'], undefined);
    assert.equal(answer.headers.authorization, undefined);
  });

  test('a session answers proxies that ask, and its owner', async () => {
    const person = new Person(envoy.port);
    await person.signIn('/oauth2/start');
    const direct = new Person(checker.port);
    direct.jar = person.jar;
    const asked = await direct.ask('/oauth2/auth');
    assert.deepEqual([asked.status, asked.text], [202, '']);
    assert.equal(asked.headers['gap-auth'], 'user@example.com');
    assert.equal((await direct.ask('/oauth2/auth?allowed_groups=none')).status, 403);
    assert.equal((await direct.ask('/any?allowed_emails=o@example.com')).status, 403);
    const info = await direct.ask('/oauth2/userinfo');
    assert.equal(JSON.parse(info.text).email, 'user@example.com');
    const bearer = asked.headers.authorization;
    const script = await new Person(checker.port).ask('/api/x', { headers: { authorization: bearer } });
    assert.equal(script.status, 200);
    assert.equal(script.headers.authorization, bearer);
  });
});

describe('the values of the on-premises guide run doorward oauth2-proxy', () => {
  test('as a reverse proxy with every kind of upstream', async () => {
    const files = join(work, 'files');
    mkdirSync(files);
    writeFileSync(join(files, 'a.txt'), 'a file');
    const config = join(work, 'guide.cfg');
    // The guide's own lines; its addresses are filled in, as there.
    writeFileSync(config, `
provider = "oidc"
oidc_issuer_url = "${issuer.url}"
set_authorization_header = true
set_xauthrequest = true
cookie_samesite = "lax"
email_domains = ["*"]
skip_provider_button = true
upstreams = [ "http://127.0.0.1:${app.port}/", "file://${files}#/files/" ]
`);
    const proxy = await startDoorward(['oauth2-proxy', '--config', config, '--http-address', '127.0.0.1:0', '--redirect-url=/oauth2/callback', '--relative-redirect-url', '--cookie-secure=false', '--pass-authorization-header', '--metrics-address=127.0.0.1:0'], SECRETS);
    try {
      const person = new Person(proxy.port);
      const sent = await person.ask('/app?x=1');
      assert.equal(sent.status, 302);
      assert.ok(sent.headers.location.startsWith(`${issuer.url}/auth?`), sent.headers.location);
      // The issuer is at another port, which cookies do not tell apart.
      const landed = await person.signIn('/app?x=1');
      assert.equal(landed.url.port, String(issuer.port));
      const code = landed.url;
      assert.equal(code.pathname, '/oauth2/callback');
      const back = await person.ask(`/oauth2/callback${code.search}`);
      assert.deepEqual([back.status, back.headers.location], [302, '/app?x=1']);
      const seen = await person.ask('/app?x=1', { headers: { 'x-forwarded-email': 'evil@example.com' } });
      const { url, headers } = JSON.parse(seen.text);
      assert.equal(url, '/app?x=1');
      assert.equal(headers['x-forwarded-email'], 'user@example.com');
      assert.match(headers.authorization, /^Bearer ey/);
      assert.equal(headers.cookie, undefined);
      assert.equal(seen.headers['x-auth-request-email'], 'user@example.com');
      assert.equal((await person.ask('/files/a.txt')).text, 'a file');
      assert.equal((await person.ask('/files/x%2F..%2F..%2Fguide.cfg')).headers.location, '/guide.cfg');
      const metrics = await plainGet(proxy.portOf('metrics'), '/any');
      assert.match(metrics.text, /^# HELP/m);
    } finally {
      assert.equal(await proxy.stop(), 0);
    }
  });

  test('settings that are wrong are told, and nothing starts', async () => {
    const proxy = startDoorward(['oauth2-proxy', '--colour=red', '--provider=oidc', '--cookie-secret=short'], {});
    const words = await proxy.then(() => assert.fail('it started'), (error) => error.message);
    for (const part of ['ended with 1', '`--colour` is no flag of OAuth2 Proxy', '`cookie_secret` is not 16, 24 or 32 bytes long', '`client_id` is missing']) {
      assert.ok(words.includes(part), `${part}\n${words}`);
    }
    assert.ok(!words.includes('short'), words);
  });
});

describe('the parameters of the Azure guide run doorward authservice', () => {
  let service;
  let envoy;

  before(async () => {
    const ports = [await freePort(), await freePort(), await freePort()];
    service = await startDoorward(['authservice'], {
      OIDC_PROVIDER: issuer.url,
      OIDC_AUTH_URL: '/dex/auth',
      REDIRECT_URL: '/login/oidc',
      CLIENT_ID: SECRETS.OAUTH2_PROXY_CLIENT_ID,
      CLIENT_SECRET: SECRETS.OAUTH2_PROXY_CLIENT_SECRET,
      OIDC_SCOPES: 'profile email groups',
      SKIP_AUTH_URI: '/dex',
      USERID_HEADER: 'kubeflow-userid',
      USERID_PREFIX: '',
      USERID_CLAIM: 'email',
      PORT: String(ports[0]),
      READINESS_PROBE_PORT: String(ports[1]),
      WEB_SERVER_PORT: String(ports[2]),
      SERVER_HOSTNAME: '127.0.0.1',
      STORE_PATH: '/var/lib/authservice/data.db',
    });
    envoy = await frontOf(service.port, {
      routes: [['/dex/', 'issuer']],
      ask: ['authorization', 'cookie', 'x-auth-token'],
      allow: ['kubeflow-userid'],
      deny: ['set-cookie', 'content-type', 'location'],
    });
  });

  after(async () => {
    await envoy?.stop();
    assert.equal(await service?.stop(), 0);
  });

  test('sign-in is answered within the check, and the cookie works in curl', async () => {
    const person = new Person(envoy.port);
    const landed = await person.signIn('/pipeline/?ns=a');
    assert.equal(landed.status, 200, landed.text);
    const { url, headers } = JSON.parse(landed.text);
    assert.deepEqual([url, headers['kubeflow-userid']], ['/pipeline/?ns=a', 'user@example.com']);
    const cookie = `authservice_session=${person.jar.get('authservice_session')}`;
    const { stdout } = await promisify(execFile)('curl', ['-s', '--cookie', cookie, `http://127.0.0.1:${envoy.port}/pipeline`]);
    assert.equal(JSON.parse(stdout).headers['kubeflow-userid'], 'user@example.com');

    const direct = await new Person(service.port).ask('/x', { headers: { cookie } });
    assert.deepEqual([direct.status, direct.headers['kubeflow-groups'], direct.headers['auth-method']], [200, '', 'cookie']);
    const value = person.jar.get('authservice_session');
    const out = await new Person(service.port).ask('/authservice/logout', { method: 'POST', headers: { authorization: `Bearer ${value}` } });
    assert.equal(out.status, 201);
    assert.deepEqual(JSON.parse(out.text), { afterLogoutURL: '/authservice/site/after_logout' });
    assert.equal((await person.ask('/pipeline/')).status, 302);
  });

  test('every answer of the check', async () => {
    const direct = new Person(service.port);
    const form = { method: 'POST', headers: { 'sec-fetch-site': 'cross-site' } };
    for (const [path, options, status] of [
      ['/dex/auth', {}, 200], ['/dexter', {}, 302], ['/dex', { method: 'DELETE' }, 200], ['/dex/%2e%2e/x', {}, 302], ['/a//b', {}, 301],
      ['/', {}, 302], ['/', { method: 'POST' }, 302], ['/authservice/x', {}, 200], ['/authservice/logout', { method: 'POST' }, 401],
      ['/authservice/logout', form, 401], ['/authservice/verify/x', {}, 401], ['/authservice/verify/x', { method: 'POST' }, 401],
      ['/login/oidc', {}, 302], ['/login/oidc?code=x', {}, 400], ['/login/oidc?code=x&state=y', {}, 400], ['/x', { headers: { authorization: 'Bearer a.b.c' } }, 302],
    ]) {
      const answer = await direct.ask(path, { ...options, cookies: false });
      assert.deepEqual([path, answer.status], [path, status], answer.text);
    }
    const ready = await until('the issuer to be found', async () => (await plainGet(service.portOf('readiness'), '/')).status === 200);
    assert.ok(ready);
    assert.match((await plainGet(service.portOf('web'), '/site/after_logout')).text, /signed out/);
  });

  test('a browser that cannot read the cookie signs out from the same site only', async () => {
    const person = new Person(envoy.port);
    await person.signIn('/');
    const direct = new Person(service.port);
    direct.jar = person.jar;
    const foreign = await direct.ask('/authservice/logout', { method: 'POST', headers: { origin: 'https://evil.example' } });
    assert.equal(foreign.status, 401);
    const verified = await direct.ask('/authservice/verify/x');
    assert.deepEqual([verified.status, verified.headers['kubeflow-userid']], [204, 'user@example.com']);
    const own = await direct.ask('/authservice/logout', { method: 'POST', headers: { authorization: 'Bearer undefined', 'sec-fetch-site': 'same-origin' } });
    assert.equal(own.status, 201);
    assert.equal((await direct.ask('/authservice/verify/x')).status, 401);
  });
});
