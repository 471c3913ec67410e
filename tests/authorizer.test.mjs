// Real proxies in front, which ask doorward: Envoy over HTTP and over gRPC, nginx, HAProxy, Caddy. Each runs the very file of
// `examples/`, with other ports.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openBrowser } from './browser.mjs';
import { STOCK_PASSWORD, openDoor, run, scratch, until } from './door.mjs';
import { CookieJar } from './jar.mjs';
import { extAuthz, meshOf } from './mesh.mjs';
import { freePort } from './ports.mjs';
import { askPython } from './python.mjs';
import { startUpstream } from './upstream.mjs';

const EXAMPLES = fileURLToPath(new URL('../examples/', import.meta.url));
const TARGET = process.env.CARGO_TARGET_DIR ?? fileURLToPath(new URL('../target', import.meta.url));
const wheel = (name) => join(TARGET, 'peers-venv', 'bin', name);

/** Headers that applications trust, as a client forges them. */
const FORGED = {
  'kubeflow-userid': 'root@example.com',
  'kubeflow_userid': 'root@example.com',
  'Kubeflow-Groups': 'admins',
  'x-auth-request-user': 'root',
  'x-auth-request-email': 'root@example.com',
  'x_auth_request_email': 'root@example.com',
  'x-auth-request_groups': 'admins',
  'x-auth-request-preferred-username': 'root',
  'x-auth-request-access-token': 'root',
  'x-doorward-assertion': 'root',
  'x-forwarded-user': 'root',
  'x-forwarded-email': 'root@example.com',
  'gap-auth': 'root@example.com',
};

/** A program that listens on `port` until it is stopped. */
async function start(command, args, port, options = {}) {
  const output = [];
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  child.stdout.on('data', (chunk) => output.push(chunk));
  child.stderr.on('data', (chunk) => output.push(chunk));
  const ended = once(child, 'close');
  const text = () => Buffer.concat(output).toString();
  await until(`${command} on ${port}`, async () => {
    assert.equal(child.exitCode, null, text());
    return fetchOnce({ port, path: '/' }).then(() => true, () => false);
  }, 30_000);
  return {
    text,
    async stop() {
      child.kill('SIGTERM');
      await ended;
    },
  };
}

/** One request over plain HTTP; the answer read whole. */
function fetchOnce({ port, path, method = 'GET', headers = {}, body }) {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port, path, method, headers, agent: false }, async (response) => {
      const chunks = [];
      try {
        for await (const chunk of response) chunks.push(chunk);
      } catch (error) {
        return reject(error);
      }
      const text = Buffer.concat(chunks).toString();
      return resolve({ status: response.statusCode, headers: response.headers, text });
    });
    request.on('error', reject);
    request.setTimeout(15_000, () => request.destroy(new Error(`no answer to ${path}`)));
    request.end(body);
  });
}

/** Somebody with a cookie jar. */
class Client {
  cookies = new CookieJar();

  constructor(port) {
    this.port = port;
  }

  async ask(path, { headers = {}, ...rest } = {}) {
    const jar = this.cookies.header(path.split('?')[0]);
    const cookie = [headers.cookie, jar].filter(Boolean).join('; ');
    const host = `127.0.0.1:${this.port}`;
    const answer = await fetchOnce({ port: this.port, path, ...rest, headers: { host, ...headers, ...(cookie ? { cookie } : {}) } });
    for (const line of answer.headers['set-cookie'] ?? []) this.cookies.take(line);
    return answer;
  }

  /** Follows redirects within the place. */
  async follow(path, options = {}) {
    let answer = await this.ask(path, options);
    for (let hop = 0; answer.headers.location && hop < 10; hop += 1) {
      const url = new URL(answer.headers.location, `http://127.0.0.1:${this.port}${path}`);
      assert.equal(url.host, `127.0.0.1:${this.port}`, answer.headers.location);
      path = url.pathname + url.search;
      answer = await this.ask(path);
    }
    return { ...answer, path };
  }

  async signIn(want) {
    const form = await this.follow(`/oauth2/start?rd=${encodeURIComponent(want)}`);
    assert.match(form.text, /<form/, `${form.status} ${form.path}`);
    const action = /<form[^>]*action="([^"]*)"/.exec(form.text)?.[1].replaceAll('&amp;', '&');
    const url = new URL(action || form.path, `http://127.0.0.1:${this.port}${form.path}`);
    const hidden = [...form.text.matchAll(/<input[^>]*type="hidden"[^>]*>/g)].map(([input]) => [
      /name="([^"]*)"/.exec(input)[1], /value="([^"]*)"/.exec(input)?.[1] ?? '',
    ]);
    const fields = new URLSearchParams([...hidden, ['login', 'user@example.com'], ['password', STOCK_PASSWORD]]);
    return this.follow(url.pathname + url.search, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', 'content-length': Buffer.byteLength(fields.toString()) },
      body: fields.toString(),
    });
  }
}

const HTML = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' };

const PROXIES = [
  {
    name: 'Envoy over HTTP',
    file: 'envoy/http.yaml',
    frontend: 'ext_authz_http',
    start: (file, port) => start(wheel('envoy'), ['-c', file, '--base-id', String(port % 60_000), '--concurrency', '1', '-l', 'warn'], port),
  },
  {
    name: 'Envoy over gRPC',
    file: 'envoy/grpc.yaml',
    frontend: 'ext_authz_grpc',
    start: (file, port) => start(wheel('envoy'), ['-c', file, '--base-id', String(port % 60_000), '--concurrency', '1', '-l', 'warn'], port),
  },
  {
    name: 'Envoy with the lists of Istio\'s mesh configuration',
    file: 'envoy/http.yaml',
    frontend: 'ext_authz_http',
    manifests(directory) {
      const signIn = join(directory, 'sign-in.yaml');
      const documents = readFileSync(signIn, 'utf8').split('\n---\n');
      const others = documents.filter((document) => !/kind: ConfigMap\nmetadata:\n  name: istio\n/.test(document));
      assert.equal(others.length, documents.length - 1);
      writeFileSync(signIn, others.join('\n---\n'));
      cpSync(join(EXAMPLES, 'istio', 'mesh.yaml'), join(directory, 'mesh.yaml'));
      const settings = join(directory, 'doorward.yaml');
      writeFileSync(settings, readFileSync(settings, 'utf8').replace(/authorizer:\n.*\n/, ''));
    },
    // What Istio makes of the fields.
    async rewrite(text) {
      const mesh = await meshOf(await askPython('manifests.py', join(EXAMPLES, 'istio', 'mesh.yaml')));
      const filter = extAuthz(mesh.extensionProviders[0], 'doorward', { always: true });
      const rewritten = text.replace(/( +- )name: envoy\.filters\.http\.ext_authz\n +typed_config:\n[^]*?(?= +- name: envoy\.filters\.http\.router\n)/, (_, item) => `${item}${JSON.stringify(filter)}\n`);
      assert.doesNotMatch(rewritten, /sec-fetch-\n|prefix: x-auth|path_prefix/);
      return rewritten;
    },
    start: (file, port) => start(wheel('envoy'), ['-c', file, '--base-id', String(port % 60_000), '--concurrency', '1', '-l', 'warn'], port),
  },
  {
    name: 'nginx',
    file: 'nginx/nginx.conf',
    frontend: 'forward_auth',
    start(file, port) {
      const prefix = scratch();
      mkdirSync(join(prefix, 'logs'));
      return start(process.env.NGINX ?? 'nginx', ['-p', prefix, '-c', file, '-g', 'daemon off;'], port, { env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` } });
    },
  },
  {
    name: 'HAProxy',
    file: 'haproxy/haproxy.cfg',
    frontend: 'forward_auth',
    start(file, port) {
      cpSync(join(EXAMPLES, 'haproxy', 'doorward.lua'), join(dirname(file), 'doorward.lua'));
      return start('haproxy', ['-db', '-C', dirname(file), '-f', file], port, { env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` } });
    },
  },
  {
    name: 'Caddy',
    file: 'caddy/Caddyfile',
    frontend: 'forward_auth',
    start: (file, port) => start(wheel('caddy'), ['run', '--adapter', 'caddyfile', '--config', file], port, { env: { ...process.env, HOME: scratch() } }),
  },
];

test('what the examples say has no error', async () => {
  const manifests = scratch();
  cpSync(join(EXAMPLES, 'manifests'), manifests, { recursive: true });
  for (const change of [() => {}, PROXIES.find((proxy) => proxy.manifests).manifests]) {
    change(manifests);
    const { code, stdout } = await run('doctor', '--format', 'json', manifests);
    assert.notEqual(code, 2, stdout);
    const findings = JSON.parse(stdout).findings ?? JSON.parse(stdout);
    assert.deepEqual(findings.filter((finding) => finding.severity === 'error'), []);
  }
});

let browser;
before(async () => { browser = await openBrowser([]); });
after(() => browser.close());

for (const proxy of PROXIES) {
  describe(proxy.name, { timeout: 120_000 }, () => {
    let app;
    let door;
    let front;
    let port;
    let user;

    before(async () => {
      app = await startUpstream();
      const manifests = scratch();
      cpSync(join(EXAMPLES, 'manifests'), manifests, { recursive: true });
      proxy.manifests?.(manifests);
      const [httpPort, grpcPort] = [await freePort(), await freePort()];
      port = await freePort();
      const fill = (text) => text
        .replaceAll('127.0.0.1:9191', `127.0.0.1:${httpPort}`).replaceAll('127.0.0.1:9192', `127.0.0.1:${grpcPort}`)
        .replaceAll('port_value: 9191', `port_value: ${httpPort}`).replaceAll('port_value: 9192', `port_value: ${grpcPort}`)
        .replaceAll('127.0.0.1:9000', `127.0.0.1:${app.port}`).replaceAll('port_value: 9000', `port_value: ${app.port}`)
        .replaceAll('127.0.0.1:8000', `127.0.0.1:${port}`).replaceAll('port_value: 8000', `port_value: ${port}`)
        .replaceAll('http://:8000', `http://:${port}`);
      const settings = join(manifests, 'doorward.yaml');
      writeFileSync(settings, fill(readFileSync(settings, 'utf8')));
      const file = join(scratch(), proxy.file.split('/')[1]);
      const text = fill(readFileSync(join(EXAMPLES, proxy.file), 'utf8'));
      writeFileSync(file, await proxy.rewrite?.(text) ?? text);
      door = await openDoor({ manifests });
      front = await proxy.start(file, port);
      user = new Client(port);
      const wanted = await user.signIn('/deep/link?a=b%20c');
      assert.equal(wanted.path, '/deep/link?a=b%20c');
      assert.equal(wanted.status, 200, wanted.text);
    });

    after(async () => {
      await front?.stop();
      await door?.close();
      await app?.stop();
    });

    const told = (answer) => JSON.parse(answer.text).headers;

    test('somebody who signed in reaches the application, which is told who it is', async () => {
      const answer = await user.ask('/app/one?x=%2F', { headers: { cookie: 'theme=dark' } });
      assert.equal(answer.status, 200, answer.text);
      const headers = told(answer);
      assert.equal(headers['kubeflow-userid'], 'user@example.com');
      assert.equal(headers['kubeflow-groups'], 'staff');
      assert.equal(headers['x-auth-request-email'], 'user@example.com');
      assert.equal(headers['x-auth-request-groups'], 'staff');
      assert.match(headers.authorization, /^Bearer ey/);
      const claims = JSON.parse(Buffer.from(headers['x-doorward-assertion'].split('.')[1], 'base64url'));
      assert.equal(claims.email, 'user@example.com');
      assert.equal(claims.aud, '127.0.0.1');
      if (proxy.name !== 'Caddy') assert.equal(headers.cookie, 'theme=dark');
      assert.equal(app.seen('/app/one').at(-1).url, '/app/one?x=%2F');
    });

    test('bodies go past the question whole', async () => {
      const body = 'x'.repeat(200_000);
      const answer = await user.ask('/echo', { method: 'POST', body, headers: { 'content-type': 'text/plain', 'content-length': body.length } });
      assert.equal(answer.status, 200, answer.text.slice(0, 200));
      assert.equal(app.seen('/echo').at(-1).method, 'POST');
    });

    test('what a client forges never arrives', async () => {
      const answer = await user.ask('/app/forged', { headers: FORGED });
      assert.equal(answer.status, 200, answer.text);
      assert.doesNotMatch(answer.text, /root|admins/);
      assert.equal(told(answer)['kubeflow-userid'], 'user@example.com');
      // Nobody is known where nobody is asked: what is exempt carries no name at all.
      const preflight = await fetchOnce({ port, path: '/app/preflight', method: 'OPTIONS', headers: { ...FORGED, origin: 'http://other.example', 'access-control-request-method': 'PUT' } });
      assert.ok(preflight.status < 500, `${preflight.status}`);
      for (const seen of app.seen('/app/preflight')) assert.doesNotMatch(JSON.stringify(seen.headers), /root|admins/);
    });

    test('without a session a browser gets the page, a script 401, and nothing reaches the application', async () => {
      const page = await fetchOnce({ port, path: '/app/nobody', headers: HTML });
      assert.equal(page.status, 403);
      assert.match(page.headers['content-type'], /text\/html/);
      assert.match(page.text, /<form/);
      const script = await fetchOnce({ port, path: '/app/nobody', headers: { accept: 'application/json' } });
      assert.equal(script.status, 401);
      assert.equal(script.text, '{}');
      const api = await fetchOnce({ port, path: '/api/nobody' });
      assert.equal(api.status, 401);
      assert.equal(app.seen('nobody').length, 0);
    });

    test('a rule of the manifests refuses, whoever signed in', async () => {
      const answer = await user.ask('/admin/x', { headers: { accept: '*/*' } });
      assert.equal(answer.status, 403);
      assert.equal(answer.text, 'RBAC: access denied');
      assert.equal(app.seen('/admin').length, 0);
      for (const path of ['//admin/x', '/./admin/x', '/x/../admin/x', '/%61dmin/x']) {
        const other = await user.ask(path, { headers: { accept: '*/*' } });
        assert.notEqual(other.status, 200, path);
      }
    });

    test('what a client says of its request counts for nothing', async () => {
      const lies = {
        'x-forwarded-uri': '/oauth2/sign_in', 'x-forwarded-method': 'OPTIONS', 'x-forwarded-host': 'other.example',
        'x-original-uri': '/oauth2/sign_in', 'x-original-method': 'OPTIONS', 'x-original-url': '/oauth2/sign_in',
        'x-envoy-original-path': '/oauth2/sign_in', 'x-envoy-internal': 'true',
      };
      const nobody = await fetchOnce({ port, path: '/app/lies', headers: { ...lies, ...HTML } });
      assert.equal(nobody.status, 403, nobody.text);
      assert.equal(app.seen('/app/lies').length, 0);
      for (const path of ['/doorward/forward-auth', '/doorward/auth-request', '/doorward/auth-request/answer', '/check/app/lies']) {
        const answer = await user.ask(path, { headers: { ...lies, 'x-forwarded-uri': '/app/', 'x-original-uri': '/app/' } });
        assert.equal(answer.headers.authorization, undefined, path);
        assert.equal(answer.headers['x-doorward-assertion'], undefined, path);
      }
    });

    test('a WebSocket is asked about once, as it opens', async () => {
      const key = Buffer.from('0123456789abcdef').toString('base64');
      const open = (headers) => new Promise((resolve, reject) => {
        const request = http.request({ host: '127.0.0.1', port, path: '/ws', headers: { host: `127.0.0.1:${port}`, connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-key': key, 'sec-websocket-version': '13', ...headers } });
        request.on('upgrade', (response, socket) => { socket.destroy(); resolve(response.statusCode); });
        request.on('response', (response) => { response.resume(); resolve(response.statusCode); });
        request.on('error', reject);
        request.end();
      });
      const cookie = [...user.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
      assert.equal(await open({ cookie }), 101);
      assert.equal(app.seen('/ws').at(-1).headers['kubeflow-userid'], 'user@example.com');
      assert.match(String(await open({})), /^40[13]$/);
    });

    test('a browser signs in through it and ends where it wanted to go', async () => {
      const window = await browser.window();
      const page = await window.page();
      await page.goto(`http://127.0.0.1:${port}/app/browser?q=1`);
      await page.locator('button, input[type=submit]').first().click();
      await page.locator('input[name=login]').fill('user@example.com');
      await page.locator('input[name=password]').fill(STOCK_PASSWORD);
      await page.locator('button[type=submit], input[type=submit]').first().click();
      await page.waitForURL(`http://127.0.0.1:${port}/app/browser?q=1`);
      assert.match(await page.content(), /user@example\.com/);
      assert.deepEqual(window.complaints, []);
      await window.context.close();
    });

    test('the log tells how it was asked', async () => {
      const line = await until('the line', () => door.records().find((record) => record.path === '/app/one'));
      assert.equal(line.frontend, proxy.frontend);
      assert.equal(line.outcome, 'allow');
      assert.equal(line.user, 'user@example.com');
      assert.equal(line.client, '127.0.0.1');
    });

    test('a doorward that is gone lets nobody through', async () => {
      await door.kill();
      const count = app.requests.length;
      const answer = await user.ask('/app/after');
      assert.ok(answer.status >= 400, `${answer.status}`);
      assert.equal(app.requests.length, count);
    });
  });
}
