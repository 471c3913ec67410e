// `doorward dex` in the place of Dex: the configurations of Kubeflow and of the on-premises guide as they stand, asked
// by curl, by the script that Kubeflow documents, and by Chromium.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import tls from 'node:tls';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { openBrowser } from './browser.mjs';
import { BINARY, discard, fixture, plainGet, scratch, until } from './door.mjs';
import { ofLoopback } from './issuers.mjs';
import { freePort } from './ports.mjs';

const PASSWORD = '12341234';
const HASH = '$2y$12$4K/VkmDd1q1Orb3xAt82zu8gk7Ad6ReFR4LCP9UeYE90NLiN9Df72';
const VARIABLES = { DEX_USER_PASSWORD: HASH, OIDC_CLIENT_ID: 'kubeflow-oidc-authservice', OIDC_CLIENT_SECRET: 'a secret of the test' };

let work;

before(() => { work = scratch(); });
after(() => discard(work));

/** The file that the ConfigMap of Kubeflow mounts, byte for byte. */
function stockFile() {
  const text = readFileSync(fixture('kubeflow-26.03/15-config.yaml'), 'utf8');
  const [block] = text.split('kind: ConfigMap');
  const lines = block.slice(block.indexOf('config.yaml: |')).split('\n').slice(1);
  return lines.map((line) => line.replace(/^ {4}/, '')).join('\n');
}

function file(text) {
  const path = join(scratch(), 'config.yaml');
  writeFileSync(path, text);
  return path;
}

/** Starts it and waits until it serves. */
async function startDex(args, environment = {}, command = BINARY) {
  const own = scratch();
  const ready = join(own, 'ready.json');
  const child = spawn(command, args, { env: { PATH: process.env.PATH, DOORWARD_STATE: join(own, 'state'), DOORWARD_READY_FILE: ready, ...environment }, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => { output += chunk; });
  const ended = once(child, 'close');
  await until('dex to serve', async () => {
    if (child.exitCode !== null) assert.fail(`dex ended with ${child.exitCode}:\n${output}`);
    return existsSync(ready);
  }, 30_000);
  const bound = JSON.parse(readFileSync(ready, 'utf8'));
  return {
    port: (name) => Number(bound[name].split(':').at(-1)),
    output: () => output,
    child,
    async stop() {
      child.kill('SIGTERM');
      await ended;
      discard(own);
      return child.exitCode;
    },
  };
}

/** Runs it to its end. */
async function runDex(args, environment = {}) {
  const child = spawn(BINARY, ['dex', ...args], { env: { PATH: process.env.PATH, ...environment }, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => { output += chunk; });
  const [code] = await once(child, 'close');
  return { code, output };
}

const curl = async (...args) => (await promisify(execFile)('curl', ['--silent', '--show-error', '--max-time', '60', ...args])).stdout;
const claimsOf = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString());

describe("Kubeflow's configuration, unchanged", () => {
  let dex;
  let base;
  before(async () => {
    // As the Deployment has it: `dex serve /etc/dex/cfg/config.yaml`; only the port is this machine's.
    const named = join(scratch(), 'dex');
    symlinkSync(BINARY, named);
    dex = await startDex(['serve', '--web-http-addr', '127.0.0.1:0', '--telemetry-addr=127.0.0.1:0', file(stockFile())], VARIABLES, named);
    base = `http://127.0.0.1:${dex.port('http')}/dex`;
  });
  after(() => dex?.stop());

  it('is ready where the probe asks', async () => {
    const probe = await plainGet(dex.port('http'), '/dex/healthz');
    assert.equal(probe.status, 200);
    assert.equal((await plainGet(dex.port('telemetry'), '/healthz/live')).text, 'ok');
    assert.equal((await plainGet(dex.port('telemetry'), '/healthz/ready')).status, 200);
    const health = await plainGet(dex.port('telemetry'), '/healthz');
    assert.equal(JSON.parse(health.text).storage.healthy, true);
  });

  it('signs in with curl, and `sub` is the one that Dex gives', async () => {
    const jar = join(work, 'jar');
    const query = 'client_id=kubeflow-oidc-authservice&redirect_uri=%2Foauth2%2Fcallback&response_type=code&scope=openid+email+groups+profile&state=s1&prompt=none';
    const form = await curl('--location', '--cookie-jar', jar, '--cookie', jar, '--output', join(work, 'form.html'), '--write-out', '%{url_effective}', `${base}/auth?${query}`);
    assert.match(form, /\/dex\/auth\/local\/login\?state=/);
    const location = await curl('--cookie', jar, '--output', join(work, 'after.html'), '--write-out', '%{http_code} %{redirect_url}', '--data-urlencode', 'login=user@example.com', '--data-urlencode', `password=${PASSWORD}`, form);
    assert.match(location, /^303 http:\/\/127\.0\.0\.1:\d+\/oauth2\/callback\?code=[^&]+&state=s1&iss=http%3A%2F%2Fdex\.auth\.svc\.cluster\.local%3A5556%2Fdex$/);
    const code = new URL(location.slice(4)).searchParams.get('code');
    const tokens = JSON.parse(await curl('--user', `kubeflow-oidc-authservice:${VARIABLES.OIDC_CLIENT_SECRET}`, '--data', 'grant_type=authorization_code', '--data-urlencode', `code=${code}`, '--data-urlencode', 'redirect_uri=/oauth2/callback', `${base}/token`));
    const claims = claimsOf(tokens.id_token);
    assert.equal(claims.sub, 'Cg4xNTg0MTE4NTY0MTc4NBIFbG9jYWw');
    assert.equal(claims.iss, 'http://dex.auth.svc.cluster.local:5556/dex');
    assert.deepEqual([claims.email, claims.email_verified, claims.name, claims.aud], ['user@example.com', true, 'user', 'kubeflow-oidc-authservice']);
    const person = JSON.parse(await curl('--header', `Authorization: Bearer ${tokens.access_token}`, `${base}/userinfo`));
    assert.equal(person.sub, claims.sub);
    const metrics = (await plainGet(dex.port('telemetry'), '/metrics')).text;
    assert.match(metrics, /http_requests_total\{code="303",handler="\/auth\/\{connector\}\/login",method="post"\} 1/);
    assert.match(metrics, /request_duration_seconds_bucket\{code="200",handler="\/token",method="post",le="10"\} 1/);
  });

  it('says what of the file has no effect, and no secret', async () => {
    assert.match(dex.output(), /`storage\.type` has no effect/);
    for (const secret of [PASSWORD, VARIABLES.OIDC_CLIENT_SECRET, HASH]) assert.ok(!dex.output().includes(secret));
  });
});

describe('words and faults', () => {
  it('tells its version', async () => {
    const { code, output } = await runDex(['version']);
    assert.equal(code, 0);
    assert.match(output, /^Dex Version: v2\.45/);
  });

  it('does not start with what Dex does not start with, says everything at once and exits 2', async () => {
    const { code, output } = await runDex(['serve', file(stockFile())]);
    assert.equal(code, 2, output);
    assert.match(output, /`hashFromEnv` names the variable `DEX_USER_PASSWORD`, which is not set/);
    assert.match(output, /`idEnv` names the variable `OIDC_CLIENT_ID`, which is not set/);
    const deaf = await runDex(['serve', file(stockFile().replace('http: 0.0.0.0:5556', ''))], VARIABLES);
    assert.equal(deaf.code, 2);
    assert.match(deaf.output, /neither `web\.http` nor `web\.https`/);
    const absent = await runDex(['serve', join(work, 'absent.yaml')]);
    assert.equal(absent.code, 2);
    assert.match(absent.output, /absent\.yaml` cannot be read/);
    const strict = await runDex(['serve', file(`${stockFile()}\njwksUri: x\n`)], { ...VARIABLES, DEX_CONFIG_DISALLOW_UNKNOWN_FIELDS: 'true' });
    assert.equal(strict.code, 2);
    assert.match(strict.output, /`jwksUri` is no setting of Dex here/);
  });
});

describe('the on-premises guide, over TLS', () => {
  let dex;
  let browser;
  let app;
  let pair;
  let port;
  let seen;
  const chain = () => join(work, 'tls.crt');
  const key = () => join(work, 'tls.key');
  before(async () => {
    pair = ofLoopback();
    writeFileSync(chain(), pair.cert);
    writeFileSync(key(), pair.key);
    app = http.createServer((request, response) => {
      // Not the icon that a browser asks for by itself.
      if (request.url !== '/favicon.ico') seen = new URL(request.url, 'http://app');
      response.setHeader('content-type', 'text/html');
      response.end('<!doctype html><title>App</title><p>back');
    });
    app.listen(0, '127.0.0.1');
    await once(app, 'listening');
    port = await freePort();
    // The values of the guide, its variables filled in; the chart adds `web`.
    dex = await startDex(['dex', 'serve', file(`
issuer: "https://127.0.0.1:${port}/dex"

storage:
  type: kubernetes
  config:
    inCluster: true

oauth2:
  skipApprovalScreen: true

staticClients:
- id: oauth2-proxy
  name: OAuth2 Proxy
  secret: "LG7jUjNiyVDPJdlarO5Mgz3CxS7kNL/1OZ0spRsL"
  redirectURIs:
    - "http://127.0.0.1:${app.address().port}/oauth2/callback"

# Password DB must be enabled in order to specify static users
enablePasswordDB: true
staticPasswords:
- email: "user1@datastrophic.io"
  hash: "${HASH}"
- email: "user2@datastrophic.io"
  hash: "${HASH}"
web:
  https: 127.0.0.1:${port}
  tlsCert: ${chain()}
  tlsKey: ${key()}
  tlsMinVersion: "1.3"
  headers: {Strict-Transport-Security: max-age=60}
  allowedOrigins: ["https://app.example"]
`)]);
    browser = await openBrowser([pair.ca]);
  });
  after(async () => {
    await browser?.close();
    await dex?.stop();
    app?.close();
  });

  it('signs in with Chromium, by keyboard, on a phone, without JavaScript', async () => {
    const window = await browser.window({ viewport: { width: 320, height: 640 }, javaScriptEnabled: false });
    const page = await window.page();
    const redirect = encodeURIComponent(`http://127.0.0.1:${app.address().port}/oauth2/callback`);
    const address = `https://127.0.0.1:${port}/dex/auth?client_id=oauth2-proxy&response_type=code&scope=openid+email&state=x&redirect_uri=${redirect}`;
    const shown = await page.goto(address);
    assert.equal(shown.headers()['strict-transport-security'], 'max-age=60');
    await page.locator('#login').focus();
    await page.keyboard.type('user1@datastrophic.io');
    await page.keyboard.press('Tab');
    await page.keyboard.type(PASSWORD);
    await page.keyboard.press('Enter');
    await page.waitForURL(/\/oauth2\/callback/);
    assert.ok(seen.searchParams.get('code'));
    assert.deepEqual(window.complaints, []);
    await window.close();
  });

  it('lets pages of named origins read what is for programs', async () => {
    const seen = async (...args) => (await curl('--cacert', caFile(), '--dump-header', '-', '--output', join(work, 'body'), ...args)).toLowerCase();
    const allowed = await seen('--header', 'Origin: https://app.example', `https://127.0.0.1:${port}/dex/keys`);
    assert.match(allowed, /access-control-allow-origin: https:\/\/app\.example/);
    const others = await seen('--header', 'Origin: https://evil.example', `https://127.0.0.1:${port}/dex/keys`);
    assert.doesNotMatch(others, /access-control/);
    const preflight = await seen('--request', 'OPTIONS', '--header', 'Origin: https://app.example', '--header', 'Access-Control-Request-Method: POST', `https://127.0.0.1:${port}/dex/token`);
    assert.match(preflight, /access-control-allow-headers: authorization/);
  });

  function caFile() {
    const path = join(work, 'ca.crt');
    writeFileSync(path, pair.ca);
    return path;
  }

  const serial = () => new Promise((resolve, reject) => {
    const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false }, () => {
      const found = [socket.getPeerCertificate().serialNumber + socket.getPeerCertificate().fingerprint256, socket.getProtocol()];
      socket.destroy();
      resolve(found);
    });
    socket.on('error', reject);
  });

  it('shows the new certificate once the files change, and speaks the versions that are named', async () => {
    const [before, version] = await serial();
    assert.equal(version, 'TLSv1.3');
    const next = ofLoopback();
    for (const [path, text] of [[chain(), next.cert], [key(), next.key]]) {
      writeFileSync(`${path}.new`, text);
      renameSync(`${path}.new`, path);
    }
    dex.child.kill('SIGHUP');
    await until('the new certificate', async () => (await serial())[0] !== before, 20_000);
  });
});

describe("Kubeflow's documented script", () => {
  let dex;
  let proxy;
  let app;
  before(async () => {
    app = http.createServer((request, response) => response.end(`application: ${request.url}`));
    app.listen(0, '127.0.0.1');
    await once(app, 'listening');
    const [issuerPort, proxyPort] = [await freePort(), await freePort()];
    const issuer = `http://127.0.0.1:${issuerPort}/dex`;
    const config = stockFile().replace('http://dex.auth.svc.cluster.local:5556/dex', issuer).replace('["/oauth2/callback"]', `["http://127.0.0.1:${proxyPort}/oauth2/callback"]`).replace('0.0.0.0:5556', `127.0.0.1:${issuerPort}`);
    dex = await startDex(['dex', 'serve', file(config)], VARIABLES);
    proxy = await startDex(['oauth2-proxy', '--provider=oidc', `--oidc-issuer-url=${issuer}`, `--client-id=${VARIABLES.OIDC_CLIENT_ID}`, `--client-secret=${VARIABLES.OIDC_CLIENT_SECRET}`, '--cookie-secret=0123456789abcdef0123456789abcdef', '--cookie-secure=false', '--email-domain=*', '--prompt=none', `--redirect-url=http://127.0.0.1:${proxyPort}/oauth2/callback`, `--http-address=127.0.0.1:${proxyPort}`, `--upstream=http://127.0.0.1:${app.address().port}/`]);
    proxy.address = `http://127.0.0.1:${proxyPort}`;
  });
  after(async () => {
    await proxy?.stop();
    await dex?.stop();
    app?.close();
  });

  /** One request, as a program that is no browser sends it. */
  async function send(url, { method = 'GET', headers, body }) {
    const type = body === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded', 'content-length': body.length };
    const response = await new Promise((resolve, reject) => {
      http.request(url, { method, headers: { ...headers, ...type }, agent: false }, resolve).on('error', reject).end(body);
    });
    const chunks = [];
    for await (const chunk of response) chunks.push(chunk);
    return { status: response.statusCode, headers: response.headers, text: Buffer.concat(chunks).toString() };
  }

  /** A session as `requests` has: cookies by host, redirects followed. */
  function session() {
    const cookies = new Map();
    return {
      cookies,
      async ask(address, form) {
        let url = new URL(address);
        let hops = 0;
        let options = form ? { method: 'POST', body: new URLSearchParams(form).toString() } : {};
        for (;;) {
          const headers = { accept: '*/*', cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') };
          const response = await send(url, { ...options, headers });
          for (const cookie of response.headers['set-cookie'] ?? []) {
            const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie);
            cookies.set(name, value);
          }
          const { location } = response.headers;
          if (response.status < 300 || response.status >= 400 || !location) return { status: response.status, url, hops, text: response.text };
          url = new URL(location, url);
          hops += 1;
          options = {};
        }
      },
    };
  }

  async function logIn(password) {
    const { ask, cookies } = session();
    let page = await ask(`${proxy.address}/pipeline`);
    if (page.status === 403) page = await ask(`${page.url.origin}/oauth2/start?rd=${page.url.pathname}`);
    assert.ok(page.status === 200 && page.hops > 0, `${page.status} after ${page.hops}`);
    if (page.url.pathname.endsWith('/auth')) {
      page.url.pathname += '/local';
      page = await ask(page.url);
    }
    assert.match(page.url.pathname, /\/auth\/.*\/login$/);
    let answer = await ask(page.url, { login: 'user@example.com', password });
    if (answer.url.pathname.endsWith('/approval')) answer = await ask(answer.url, { approval: 'approve' });
    return { answer, cookies, ask };
  }

  it('signs in, and its cookies are good', async () => {
    const { answer, cookies, ask } = await logIn(PASSWORD);
    assert.equal(answer.status, 200);
    assert.ok(answer.hops > 0);
    assert.equal(answer.text, 'application: /pipeline');
    assert.ok(cookies.size > 0);
    assert.equal((await ask(`${proxy.address}/apis/x`)).text, 'application: /apis/x');
  });

  it('is told of a wrong password by 401', async () => {
    const { answer } = await logIn('wrong');
    assert.equal(answer.status, 401);
    assert.equal(answer.hops, 0);
  });
});
