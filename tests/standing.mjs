// What tests of `doorward oauth2-proxy` and `doorward authservice` need around them: the processes, an issuer, the
// application behind it all, and somebody with a cookie jar.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BINARY, STOCK_PASSWORD, discard, scratch, until } from './door.mjs';
import { CookieJar } from './jar.mjs';
import { freePort } from './ports.mjs';

/** Installs the peers that are missing. */
export const installPeers = () => execFileSync(fileURLToPath(new URL('./install-peers.sh', import.meta.url)), { stdio: 'inherit' });

/** The client that the stock manifests know. */
export const SECRETS = {
  OAUTH2_PROXY_CLIENT_ID: 'kubeflow-oidc-authservice',
  OAUTH2_PROXY_CLIENT_SECRET: 'pUBnBOY80SnXgjibTYM9ZWNzY2xreNGQok',
  OAUTH2_PROXY_COOKIE_SECRET: '7d16fee92f8d11b8940b081b3f8b8acb',
};

/** The application behind it all: tells which request it got. */
export async function openApp() {
  const seen = [];
  const server = http.createServer((request, response) => {
    const { method, url, headers } = request;
    seen.push({ method, url, headers });
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ method, url, headers }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { port: server.address().port, seen, stop: () => server.close() };
}

/** Starts a process and waits for what says that it serves. */
export async function start(command, args, environment, isReady) {
  const home = scratch();
  const child = spawn(command, args, { env: { PATH: process.env.PATH, HOME: home, ...environment }, stdio: ['ignore', 'pipe', 'pipe'] });
  const output = [];
  child.stdout.on('data', (chunk) => output.push(chunk));
  child.stderr.on('data', (chunk) => output.push(chunk));
  const ended = once(child, 'close');
  const text = () => Buffer.concat(output).toString();
  await until(`${command} to serve`, async () => {
    if (child.exitCode !== null) assert.fail(`${command} ended with ${child.exitCode}:\n${text().slice(-4000)}`);
    return isReady();
  }, 60_000).catch((error) => {
    child.kill('SIGKILL');
    throw error;
  });
  return {
    output: text,
    async stop() {
      child.kill('SIGTERM');
      await ended;
      discard(home);
      return child.exitCode;
    },
  };
}

/** Starts doorward and tells where it listens; its state is in a new directory, or in the one that is named. */
export async function startDoorward(args, environment, command = BINARY) {
  const own = scratch();
  const ready = join(own, 'ready.json');
  const process = await start(command, args, { DOORWARD_STATE: join(own, 'state'), DOORWARD_READY_FILE: ready, ...environment }, () => existsSync(ready));
  const bound = JSON.parse(readFileSync(ready, 'utf8'));
  const port = (name) => Number(bound[name].split(':').at(-1));
  return { ...process, port: bound.http ? port('http') : undefined, portOf: port };
}

/** bcrypt of `12341234`, as the stock manifests publish it. */
const PASSWORD_HASH = '$2y$12$4K/VkmDd1q1Orb3xAt82zu8gk7Ad6ReFR4LCP9UeYE90NLiN9Df72';

/**
 * An OpenID provider over plain HTTP, from the settings of a Dex.
 *
 * - `config`: those settings; without them, one client, with the callbacks that programs have by default.
 * - `people`: e-mail addresses and groups, for the settings that are made here; `path`: where it is.
 */
export async function openIssuer({ config, path = '/dex', people = { 'user@example.com': [] }, clients = [] } = {}) {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}${path}`;
  const settings = config?.(url) ?? {
    issuer: url,
    storage: { type: 'memory' },
    oauth2: { skipApprovalScreen: true },
    enablePasswordDB: true,
    staticPasswords: Object.entries(people).map(([email, groups], at) => ({ email, hash: PASSWORD_HASH, username: email.split('@')[0], userID: `1584118564178${4 + at}`, groups })),
    staticClients: [{
      id: SECRETS.OAUTH2_PROXY_CLIENT_ID,
      secret: SECRETS.OAUTH2_PROXY_CLIENT_SECRET,
      name: 'Dex Login Application',
      redirectURIs: ['/oauth2/callback', '/login/oidc', '/authservice/oidc/callback'],
    }, ...clients],
  };
  const objects = [
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'dex', namespace: 'auth' }, data: { 'config.yaml': JSON.stringify(settings) } },
    { apiVersion: 'v1', kind: 'Service', metadata: { name: 'dex', namespace: 'auth' }, spec: { ports: [{ name: 'http', port: 5556 }], selector: { app: 'dex' } } },
    {
      apiVersion: 'networking.istio.io/v1',
      kind: 'Gateway',
      metadata: { name: 'front', namespace: 'istio-system' },
      spec: { selector: { istio: 'ingressgateway' }, servers: [{ hosts: ['*'], port: { name: 'http', number: 80, protocol: 'HTTP' } }] },
    },
    {
      apiVersion: 'networking.istio.io/v1',
      kind: 'VirtualService',
      metadata: { name: 'dex', namespace: 'istio-system' },
      spec: { gateways: ['front'], hosts: ['*'], http: [{ match: [{ uri: { prefix: `${path}/` } }], route: [{ destination: { host: 'dex.auth.svc.cluster.local', port: { number: 5556 } } }] }] },
    },
  ];
  const manifests = join(scratch(), 'manifests');
  mkdirSync(manifests);
  writeFileSync(join(manifests, 'all.yaml'), objects.map((object) => `${JSON.stringify(object)}\n`).join('---\n'));
  const args = ['up', '--manifests', manifests, '--http', `127.0.0.1:${port}`, '--https', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--https-upgrade', 'off', '--log', 'warn'];
  const process = await startDoorward(args, {});
  return { ...process, port, url };
}

/**
 * Somebody with a cookie jar, one for all hosts. `origin` is where they are: a port on loopback, or a whole origin; `ports`:
 * where hosts are that are not at the port of their URL.
 */
export class Person {
  jar = new CookieJar();

  constructor(origin, { ca, lookup, ports = {} } = {}) {
    this.origin = typeof origin === 'number' ? `http://127.0.0.1:${origin}` : origin;
    this.reach = { ca, lookup };
    this.ports = ports;
  }

  async ask(path, { method = 'GET', headers = {}, form, follow = false, cookies = true } = {}) {
    // A path is sent as it is written, which a URL would clean.
    let target = path.startsWith('/') ? path.split('#')[0] : undefined;
    let url = new URL(target ? '/' : path, this.origin);
    let body = form && new URLSearchParams(form).toString();
    for (let hop = 0; ; hop += 1) {
      const jar = this.jar.header((target ?? url.pathname).split('?')[0]);
      const { request: send } = url.protocol === 'https:' ? https : http;
      const port = this.ports[url.hostname];
      const request = send(url, { method, agent: false, ...this.reach, ...(port ? { port } : {}), ...(target ? { path: target } : {}), headers: {
        ...(port ? { host: url.host } : {}),
        ...(cookies && jar ? { cookie: jar } : {}),
        ...(body ? { 'content-type': 'application/x-www-form-urlencoded', 'content-length': Buffer.byteLength(body) } : {}),
        ...headers,
      } });
      request.end(body);
      const [response] = await once(request, 'response');
      const chunks = [];
      for await (const chunk of response) chunks.push(chunk);
      for (const line of response.headers['set-cookie'] ?? []) this.jar.take(line);
      const { location } = response.headers;
      if (follow && location && hop < 20) {
        url = new URL(location, url);
        [method, body, target] = ['GET', undefined, undefined];
        continue;
      }
      return { status: response.statusCode, headers: response.headers, text: Buffer.concat(chunks).toString(), url };
    }
  }

  /** Follows to the issuer's form and signs in; answers the page that follows. */
  async signIn(path, { login = 'user@example.com', password = STOCK_PASSWORD } = {}) {
    const page = await this.ask(path, { follow: true });
    assert.equal(page.status, 200, page.text);
    const action = /<form[^>]*\saction="([^"]*)"/i.exec(page.text)[1].replaceAll('&amp;', '&').replaceAll('&#38;', '&').replaceAll('&#x2f;', '/');
    const hidden = [...page.text.matchAll(/<input[^>]*type="hidden"[^>]*>/g)].map(([input]) => [/name="([^"]*)"/.exec(input)[1], /value="([^"]*)"/.exec(input)?.[1] ?? '']);
    const form = { ...Object.fromEntries(hidden), login, password };
    return this.ask(new URL(action, page.url).href, { method: 'POST', form, follow: true });
  }
}
