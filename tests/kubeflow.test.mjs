// Deployments as they stand, behind an Envoy that is set up from their own manifests as Istio does: Kubeflow with
// OAuth2 Proxy, Kubeflow with AuthService, and the guides that set up either by hand. Nothing of what they say is changed but
// addresses: what the pod network, mounts and `${…}` fill in.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { fixture, openDoor, plainGet, scratch } from './door.mjs';
import { ofLoopback } from './issuers.mjs';
import { extAuthz, gatewayFilters, meshOf, openEnvoy } from './mesh.mjs';
import { openMinter } from './minter.mjs';
import { freePort } from './ports.mjs';
import { askPython } from './python.mjs';
import { Person, SECRETS, installPeers, openApp, openIssuer, startDoorward } from './standing.mjs';
import { onLoopback } from './tree.mjs';

const curl = promisify(execFile).bind(undefined, 'curl');
const read = (...names) => askPython('manifests.py', ...names.map(fixture));
const base64 = (text) => Buffer.from(text, 'base64').toString();

let app;

before(async () => {
  installPeers();
  app = await openApp();
});

after(() => app?.stop());

/** What a kubelet gives to the first container of a Deployment: arguments, environment, and the files that it mounts below `root`. */
function containerOf(objects, name, root) {
  const find = (kind, wanted) => objects.find((object) => object.kind === kind && object.metadata.name === wanted);
  const { spec } = find('Deployment', name).spec.template;
  const [container] = spec.containers;
  const environment = Object.fromEntries(container.env.map(({ name: variable, value, valueFrom }) => {
    if (valueFrom?.secretKeyRef) return [variable, base64(find('Secret', valueFrom.secretKeyRef.name).data[valueFrom.secretKeyRef.key])];
    if (valueFrom?.configMapKeyRef) return [variable, find('ConfigMap', valueFrom.configMapKeyRef.name).data[valueFrom.configMapKeyRef.key]];
    return [variable, value];
  }));
  const mounts = [];
  for (const { mountPath, name: volume, subPath } of container.volumeMounts) {
    const { configMap } = spec.volumes.find((one) => one.name === volume);
    const file = join(root, mountPath);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, find('ConfigMap', configMap.name).data[subPath]);
    mounts.push(dirname(mountPath));
  }
  const args = container.args.map((arg) => mounts.reduce((text, mount) => text.replace(`=${mount}/`, `=${join(root, mount)}/`), arg));
  return { args: args.map((arg) => arg.replace('0.0.0.0:', '127.0.0.1:')), environment };
}

describe('Kubeflow 26.03 with doorward oauth2-proxy in Istio\'s Envoy', () => {
  const gateway = { app: 'istio-ingressgateway', istio: 'ingressgateway' };
  let door;
  let minter;
  let checker;
  let envoy;
  let asked;

  before(async () => {
    const objects = await read(...['10-services', '15-config', '20-istio-networking', '30-istio-security', '60-workloads'].map((name) => `kubeflow-26.03/${name}.yaml`));
    // Dex: this one plays it, from the same manifests.
    door = await openDoor({ manifests: fixture('kubeflow-26.03'), upstream: app.port, args: ['--https-upgrade', 'off'] });
    minter = await openMinter();
    const { args, environment } = containerOf(objects, 'oauth2-proxy', scratch());
    const port = await freePort();
    assert.ok(args.includes('--http-address=127.0.0.1:4180'), args.join(' '));
    checker = await startDoorward(['oauth2-proxy', ...args.map((arg) => arg.replace(':4180', `:${port}`))], {
      ...environment,
      DOORWARD_RESOLVE: `dex.auth=127.0.0.1:${door.http}`,
    });
    const mesh = await meshOf(objects);
    const dexKeys = (await plainGet(door.http, '/dex/keys')).text;
    // The overlay for tokens of service accounts, with the issuer of this cluster.
    const machines = {
      kind: 'RequestAuthentication',
      metadata: { name: 'm2m-token-issuer', namespace: 'istio-system' },
      spec: {
        selector: { matchLabels: { app: 'istio-ingressgateway' } },
        jwtRules: [{
          issuer: minter.issuer,
          forwardOriginalToken: true,
          fromHeaders: [{ name: 'Authorization', prefix: 'Bearer ' }],
          outputClaimToHeaders: [{ header: 'kubeflow-userid', claim: 'sub' }, { header: 'kubeflow-groups', claim: 'groups' }],
        }],
      },
    };
    const filters = gatewayFilters({
      objects: [...objects.filter(({ metadata }) => metadata), machines],
      namespaces: ['istio-system'],
      labels: gateway,
      provider: mesh.extensionProviders.find(({ name }) => name === 'oauth2-proxy'),
      cluster: 'oauth2-proxy',
      keysOf: (issuer) => (issuer === minter.issuer ? minter.keys : dexKeys),
    });
    envoy = await openEnvoy({
      clusters: { app: app.port, dex: door.http, 'oauth2-proxy': checker.port },
      listeners: [{ filters, routes: [['/dex/', 'dex'], ['/oauth2/', 'oauth2-proxy'], ['/', 'app']] }],
    });
    asked = () => checker.output().split('\n').filter((line) => line.startsWith('{')).length;
  });

  after(async () => {
    await envoy?.stop();
    assert.equal(await checker?.stop(), 0);
    minter?.stop();
    await door?.close();
  });

  test('a browser without a session gets 403 with the page, a script 401', async () => {
    const person = new Person(envoy.port);
    const page = await person.ask('/jupyter/?ns=a');
    assert.equal(page.status, 403);
    assert.match(page.headers['content-type'], /^text\/html/);
    assert.match(page.text, /<form[^>]*action="\/oauth2\/start"[^]*name="rd" value="\/jupyter\/\?ns=a"[^]*Sign in with Dex/);
    for (const path of ['/jupyter/api/namespaces', '/pipeline/apis/v2beta1/runs?x=y', '/ml_metadata.MetadataStoreService/Get', '/api/workgroup/env-info']) {
      const script = await person.ask(path);
      assert.deepEqual([path, script.status, script.headers['content-type'], script.text, script.headers['www-authenticate']], [path, 401, 'application/json', '{}', undefined]);
    }
    assert.deepEqual(app.seen, []);
  });

  test('a cookie that is of no use is taken back, on the relayed answer too', async () => {
    const person = new Person(envoy.port);
    const page = await person.ask('/', { headers: { cookie: 'oauth2_proxy_kubeflow=nothing' } });
    assert.equal(page.status, 403);
    assert.match(page.headers['set-cookie'].join(), /^oauth2_proxy_kubeflow=;.*Max-Age=0/);
  });

  test('sign-in leads through the form of Dex, and the application learns who it is', async () => {
    const person = new Person(envoy.port);
    const start = await person.ask('/oauth2/start?rd=%2Fjupyter%2F%3Fns%3Da');
    assert.equal(start.status, 302);
    const to = new URL(start.headers.location, 'http://front.example');
    assert.equal(to.pathname, '/dex/auth');
    // As the file says, for a Dex that does not look at it.
    assert.deepEqual(['prompt', 'redirect_uri', 'client_id', 'code_challenge_method', 'scope'].map((name) => to.searchParams.get(name)), [
      'none', '/oauth2/callback', 'kubeflow-oidc-authservice', 'S256', 'profile email groups openid',
    ]);
    person.jar.clear();
    const landed = await person.signIn('/oauth2/start?rd=%2Fjupyter%2F%3Fns%3Da');
    assert.equal(landed.status, 200, landed.text);
    const { url, headers } = JSON.parse(landed.text);
    assert.equal(url, '/jupyter/?ns=a');
    assert.equal(headers['kubeflow-userid'], 'user@example.com');
    assert.equal(headers['x-auth-request-email'], 'user@example.com');
    assert.equal(headers['x-auth-request-groups'], undefined);
    const claims = JSON.parse(Buffer.from(/^Bearer [\w-]+\.([\w-]+)\.[\w-]+$/.exec(headers.authorization)[1], 'base64url'));
    assert.deepEqual([claims.iss, claims.aud, claims.email], ['http://dex.auth.svc.cluster.local:5556/dex', 'kubeflow-oidc-authservice', 'user@example.com']);
    assert.deepEqual(person.jar.sent().map(([name]) => name), ['oauth2_proxy_kubeflow']);

    // Whoever they say they are besides.
    const forged = await person.ask('/a', { headers: { 'kubeflow-userid': 'root@example.com', 'kubeflow-groups': 'admins', 'x-auth-request-email': 'root@example.com', 'x-auth-request-groups': 'admins' } });
    const told = JSON.parse(forged.text).headers;
    assert.deepEqual(['kubeflow-userid', 'kubeflow-groups', 'x-auth-request-email', 'x-auth-request-groups'].map((name) => told[name]), ['user@example.com', undefined, 'user@example.com', undefined]);

    // The dashboard's way out.
    const out = await person.ask('/oauth2/sign_out');
    assert.deepEqual([out.status, out.headers.location], [302, '/']);
    assert.equal((await person.ask('/')).status, 403);
  });

  test('a program that waits for a session may do as the login script does', async () => {
    const person = new Person(envoy.port);
    const first = await person.ask('/', { follow: true });
    assert.ok([401, 403].includes(first.status));
    const landed = await person.signIn(`/oauth2/start?rd=${encodeURIComponent('/pipeline')}`);
    assert.equal(JSON.parse(landed.text).headers['kubeflow-userid'], 'user@example.com');
    const cookie = person.jar.header();
    const { stdout } = await curl(['-s', '--cookie', cookie, `http://127.0.0.1:${envoy.port}/pipeline/apis/v2beta1/runs`]);
    assert.equal(JSON.parse(stdout).headers['kubeflow-userid'], 'user@example.com');
  });

  test('a token of a machine is a matter of the token rules alone', async () => {
    const before = asked();
    const subject = 'system:serviceaccount:team:default-editor';
    const bearer = async (claims) => ({ authorization: `Bearer ${await minter.mint({ sub: subject, aud: 'istio-ingressgateway.istio-system.svc.cluster.local', ...claims })}` });
    const person = new Person(envoy.port);
    const good = await person.ask('/pipeline/apis/v2beta1/runs', { headers: { ...await bearer({}), 'kubeflow-userid': 'root@example.com', 'kubeflow-groups': 'admins' } });
    assert.equal(good.status, 200, good.text);
    const { headers } = JSON.parse(good.text);
    assert.deepEqual([headers['kubeflow-userid'], headers['kubeflow-groups']], [subject, undefined]);
    assert.match(headers.authorization, /^Bearer ey/);
    for (const [what, sent, status, said] of [
      ['expired', await bearer({ exp: 1_700_000_000 }), 401, /expired/],
      ['unknown issuer', await bearer({ iss: 'https://stranger.example' }), 401, /issuer is not configured/],
      ['forged', await bearer({ forged: true }), 401, /verification fails/],
      ['basic', { authorization: 'Basic dTpw' }, 403, /RBAC: access denied/],
    ]) {
      const answer = await person.ask('/pipeline/', { headers: sent });
      assert.equal(answer.status, status, what);
      assert.match(answer.text, said, what);
    }
    assert.equal(asked(), before, 'oauth2-proxy is not asked');
  });

  test('the ID token of a session is a bearer token for scripts', async () => {
    const person = new Person(envoy.port);
    const landed = await person.signIn('/oauth2/start?rd=/');
    const { authorization } = JSON.parse(landed.text).headers;
    const script = await new Person(envoy.port).ask('/jupyter/api/x', { headers: { authorization } });
    assert.deepEqual([script.status, JSON.parse(script.text).headers['kubeflow-userid']], [200, 'user@example.com']);
    // And for OAuth2 Proxy itself, which takes tokens of machines.
    const direct = await new Person(checker.port).ask('/jupyter/api/x', { headers: { authorization } });
    assert.deepEqual([direct.status, direct.headers['x-auth-request-email'], direct.headers.authorization], [200, 'user@example.com', authorization]);
  });
});

describe('Kubeflow 1.8 with doorward authservice in Istio\'s Envoy', () => {
  let issuer;
  let service;
  let envoy;

  before(async () => {
    issuer = await openIssuer({ people: { 'user@example.com': ['staff'] } });
    const [judge, readiness, web] = await Promise.all([freePort(), freePort(), freePort()]);
    service = await startDoorward(['authservice'], {
      OIDC_PROVIDER: issuer.url,
      OIDC_AUTH_URL: '/dex/auth',
      CLIENT_ID: SECRETS.OAUTH2_PROXY_CLIENT_ID,
      CLIENT_SECRET: SECRETS.OAUTH2_PROXY_CLIENT_SECRET,
      AUTHSERVICE_URL_PREFIX: '/authservice/',
      SKIP_AUTH_URLS: '/dex',
      AFTER_LOGOUT_URL: '/',
      OIDC_SCOPES: 'profile email groups',
      USERID_HEADER: 'kubeflow-userid',
      USERID_PREFIX: '',
      USERID_CLAIM: 'email',
      STORE_PATH: '/var/lib/authservice/data.db',
      // Ports of their own, where there are other pods on the machine.
      SERVER_PORT: String(judge),
      SERVER_HOSTNAME: '127.0.0.1',
      READINESS_PROBE_PORT: String(readiness),
      WEB_SERVER_PORT: String(web),
    });
    // What the EnvoyFilter `authn-filter` said. It asks about everything, and nothing is routed to AuthService.
    const filter = extAuthz({
      envoyExtAuthzHttp: {
        service: 'authservice.istio-system.svc.cluster.local', port: 8080, timeout: '10s', statusOnError: '504',
        includeRequestHeadersInCheck: ['authorization', 'cookie', 'x-auth-token'], headersToUpstreamOnAllow: ['kubeflow-userid'],
      },
    }, 'authservice', { always: true });
    envoy = await openEnvoy({ clusters: { app: app.port, dex: issuer.port, authservice: service.port }, listeners: [{ filters: [filter], routes: [['/dex/', 'dex'], ['/', 'app']] }] });
  });

  after(async () => {
    await envoy?.stop();
    assert.equal(await service?.stop(), 0);
    await issuer?.stop();
  });

  test('sign-in, callback and sign-out are answered within the check', async () => {
    const person = new Person(envoy.port);
    const begun = await person.ask('/pipeline/?ns=a', { headers: { accept: 'application/json' } });
    assert.equal(begun.status, 302);
    const to = new URL(begun.headers.location, 'http://front.example');
    assert.deepEqual([to.pathname, to.searchParams.get('redirect_uri'), to.searchParams.get('scope')], ['/dex/auth', '/authservice/oidc/callback', 'openid profile email groups']);
    const landed = await person.signIn('/pipeline/?ns=a');
    assert.equal(landed.status, 200, landed.text);
    const { url, headers } = JSON.parse(landed.text);
    assert.deepEqual([url, headers['kubeflow-userid'], headers['kubeflow-groups']], ['/pipeline/?ns=a', 'user@example.com', undefined]);

    // A script of the SDK.
    const value = person.jar.get('authservice_session');
    const { stdout } = await curl(['-s', '--cookie', `authservice_session=${value}`, `http://127.0.0.1:${envoy.port}/pipeline/apis/v1beta1/runs`]);
    assert.equal(JSON.parse(stdout).headers['kubeflow-userid'], 'user@example.com');

    // The dashboard's script.
    const out = await person.ask('/authservice/logout', { method: 'POST', headers: { authorization: `Bearer ${value}`, 'sec-fetch-site': 'same-origin' } });
    assert.deepEqual([out.status, out.headers['content-type'], JSON.parse(out.text)], [201, 'application/json', { afterLogoutURL: '/' }]);
    assert.equal((await person.ask('/pipeline/')).status, 302);
  });

  test('what nobody vouches for does not pass, and nobody is asked about Dex', async () => {
    const person = new Person(envoy.port);
    const forged = await person.ask('/dex/.well-known/openid-configuration', { headers: { 'kubeflow-userid': 'root@example.com' } });
    assert.equal(forged.status, 200, forged.text);
    assert.equal(JSON.parse(forged.text).issuer, issuer.url);
    app.seen.length = 0;
    assert.equal((await person.ask('/a', { headers: { 'kubeflow-userid': 'root@example.com' } })).status, 302);
    assert.deepEqual(app.seen, []);
  });
});

describe('the on-premises guide: its values run doorward oauth2-proxy, its mesh lists and policy make the Envoy', () => {
  let issuer;
  let checker;
  let envoy;
  let pair;
  let port;

  before(async () => {
    pair = ofLoopback();
    port = await freePort();
    const host = `127.0.0.1:${port}`;
    const filled = (text) => text.replaceAll('${INGRESS_HOST}', host)
      .replaceAll('${PWD_HASH}', () => '$2y$12$4K/VkmDd1q1Orb3xAt82zu8gk7Ad6ReFR4LCP9UeYE90NLiN9Df72');
    const values = async (name) => {
      const file = join(scratch(), name);
      writeFileSync(file, filled(readFileSync(fixture(`seeds/onprem/${name}`), 'utf8')));
      return (await askPython('manifests.py', file))[0];
    };
    const [mesh, dex, proxy] = [await values('istio-values.yaml'), await values('dex-values.yaml'), await values('oauth2-proxy-values.yaml')];
    const [policy] = await read('seeds/onprem/08-authorizationpolicy-external-auth.yaml');

    issuer = await openIssuer({ config: () => dex.config });
    // What the chart makes of the values: the file is mounted as it stands, ids and secrets are in the environment, and a
    // cookie secret that nobody gave is drawn.
    const mount = scratch();
    writeFileSync(join(mount, 'ca.crt'), pair.ca);
    writeFileSync(join(mount, 'oauth2_proxy.cfg'), proxy.config.configFile.replace('/etc/gateway-cert', mount));
    const own = await freePort();
    checker = await startDoorward([
      'oauth2-proxy', `--http-address=127.0.0.1:${own}`, '--https-address=127.0.0.1:4443', `--metrics-address=127.0.0.1:${await freePort()}`, `--config=${join(mount, 'oauth2_proxy.cfg')}`,
    ], {
      OAUTH2_PROXY_CLIENT_ID: proxy.config.clientID,
      OAUTH2_PROXY_CLIENT_SECRET: proxy.config.clientSecret,
      OAUTH2_PROXY_COOKIE_SECRET: proxy.config.cookieSecret ?? 'x3Yc7VqkPz0aWm5TnRj2LsEe8uGhBd1F',
    });
    const filters = gatewayFilters({
      objects: [policy],
      namespaces: ['ingress'],
      labels: { app: 'istio-ingressgateway', istio: 'ingressgateway' },
      provider: mesh.meshConfig.extensionProviders[0],
      cluster: 'oauth2-proxy',
    });
    // Its route to `/oauth2` leads to a port that is none; what is asked there is answered within the check.
    envoy = await openEnvoy({
      clusters: { app: app.port, dex: issuer.port, 'oauth2-proxy': checker.port },
      listeners: [{ port, filters, tls: pair, routes: [['/dex', 'dex'], ['/', 'app']] }],
    });
  });

  after(async () => {
    await envoy?.stop();
    assert.equal(await checker?.stop(), 0);
    await issuer?.stop();
  });

  test('a visitor is led to Dex at once, signs in and comes back', async () => {
    const person = new Person(`https://127.0.0.1:${port}`, { ca: pair.ca });
    const sent = await person.ask('/a?b=c');
    assert.equal(sent.status, 302);
    const to = new URL(sent.headers.location);
    // Its request went there by itself before (RFC 9126).
    assert.deepEqual([to.origin, to.pathname, ...to.searchParams.keys()], [`https://127.0.0.1:${port}`, '/dex/auth', 'client_id', 'request_uri']);
    assert.match(sent.headers['set-cookie'][0], /; Secure/);
    const landed = await person.signIn('/a?b=c', { login: 'user1@datastrophic.io' });
    assert.equal(landed.status, 200, landed.text);
    const { url, headers } = JSON.parse(landed.text);
    assert.equal(url, '/a?b=c');
    assert.equal(headers['x-auth-request-email'], 'user1@datastrophic.io');
    assert.match(headers['x-auth-request-user'], /./);
    assert.match(headers.authorization, /^Bearer ey/);
    const forged = await person.ask('/a', { headers: { 'x-auth-request-access-token': 'root', 'x-auth-request-email': 'root@example.com', path: '/' } });
    const told = JSON.parse(forged.text).headers;
    assert.deepEqual([told['x-auth-request-email'], told['x-auth-request-access-token']], ['user1@datastrophic.io', undefined]);

    const out = await person.ask('/oauth2/sign_out');
    assert.deepEqual([out.status, out.headers.location], [302, '/']);
    assert.equal((await person.ask('/a')).status, 302);
  });

  test('whom nobody asks about is Dex alone, and a token counts for nothing without a session', async () => {
    const person = new Person(`https://127.0.0.1:${port}`, { ca: pair.ca });
    assert.equal((await person.ask('/dex/.well-known/openid-configuration')).status, 200);
    app.seen.length = 0;
    for (const path of ['/dexter', '/a', '/oauth2/', '/dex%2F..%2Fa']) {
      const answer = await person.ask(path, { headers: { authorization: 'Bearer a.b.c' } });
      assert.equal(answer.status, 302, path);
    }
    assert.deepEqual(app.seen, []);
  });
});

describe('the Azure guide: its parameters run doorward authservice', () => {
  const TENANT = '3aaaaaaa-0000-4000-8000-000000000001';
  const HOST = 'login.microsoftonline.com';
  let issuer;
  let service;
  let envoy;
  let pair;
  let port;
  let entra;
  let entraPort;

  before(async () => {
    pair = ofLoopback(`IP:127.0.0.1,DNS:${HOST}`);
    port = await freePort();
    entraPort = await freePort();
    const parameters = Object.fromEntries(
      readFileSync(fixture('seeds/azure/30-oidc-authservice.params'), 'utf8').trim().split('\n').map((line) => {
        const [, name, value] = /^([^=]+)=(.*)$/.exec(line);
        const filled = value.replace('<client_id>', SECRETS.OAUTH2_PROXY_CLIENT_ID).replace('<client_secret>', SECRETS.OAUTH2_PROXY_CLIENT_SECRET)
          .replace('<tenant_id>', TENANT).replace('<load_balancer_ip or dns_name>', `127.0.0.1:${port}`);
        assert.doesNotMatch(filled, /</);
        return [name, filled];
      }),
    );
    // An issuer of that name; its sign-in is at a path of its own.
    issuer = await openIssuer({
      path: `/${TENANT}/v2.0`,
      config: () => ({
        issuer: `https://${HOST}/${TENANT}/v2.0`,
        storage: { type: 'memory' },
        oauth2: { skipApprovalScreen: true },
        enablePasswordDB: true,
        staticPasswords: [{ email: 'user@example.com', hash: '$2y$12$4K/VkmDd1q1Orb3xAt82zu8gk7Ad6ReFR4LCP9UeYE90NLiN9Df72', username: 'user', userID: '1' }],
        staticClients: [{ id: parameters.client_id, secret: parameters.application_secret, name: 'Kubeflow', redirectURIs: [parameters.oidc_redirect_uri] }],
      }),
    });
    entra = await openEnvoy({
      clusters: { issuer: issuer.port },
      listeners: [{ port: entraPort, filters: [], tls: pair, routes: [[`/${TENANT}/oauth2/v2.0/authorize`, 'issuer', false, `/${TENANT}/v2.0/auth`], ['/', 'issuer']] }],
    });
    const [judge, readiness, web] = await Promise.all([freePort(), freePort(), freePort()]);
    const bundle = join(scratch(), 'ca.crt');
    writeFileSync(bundle, pair.ca);
    service = await startDoorward(['authservice'], {
      // As the StatefulSet of that time has them from the parameters.
      USERID_HEADER: parameters['userid-header'],
      USERID_PREFIX: parameters['userid-prefix'],
      USERID_CLAIM: 'email',
      OIDC_PROVIDER: parameters.oidc_provider,
      OIDC_AUTH_URL: parameters.oidc_auth_url,
      OIDC_SCOPES: 'profile email',
      REDIRECT_URL: parameters.oidc_redirect_uri,
      SKIP_AUTH_URI: parameters.skip_auth_uri,
      CLIENT_ID: parameters.client_id,
      CLIENT_SECRET: parameters.application_secret,
      STORE_PATH: '/var/lib/authservice/data.db',
      PORT: String(judge),
      SERVER_HOSTNAME: '127.0.0.1',
      READINESS_PROBE_PORT: String(readiness),
      WEB_SERVER_PORT: String(web),
      CA_BUNDLE: bundle,
      DOORWARD_RESOLVE: `${HOST}=127.0.0.1:${entraPort}`,
    });
    const filter = extAuthz({
      envoyExtAuthzHttp: {
        service: 'authservice.istio-system.svc.cluster.local', port: 8080, timeout: '10s', statusOnError: '504',
        includeRequestHeadersInCheck: ['authorization', 'cookie', 'x-auth-token'], headersToUpstreamOnAllow: ['kubeflow-userid'],
      },
    }, 'authservice', { always: true });
    envoy = await openEnvoy({
      clusters: { app: app.port, authservice: service.port },
      listeners: [{ port, filters: [filter], tls: pair, routes: [['/', 'app']] }],
    });
  });

  after(async () => {
    await envoy?.stop();
    assert.equal(await service?.stop(), 0);
    await entra?.stop();
    await issuer?.stop();
  });

  test('somebody signs in over there, and the cookie works in curl as in the SDK', async () => {
    // The name leads here, whatever its port.
    const person = new Person(`https://127.0.0.1:${port}`, { ca: pair.ca, lookup: onLoopback, ports: { [HOST]: entraPort } });
    const sent = await person.ask('/pipeline/');
    assert.equal(sent.status, 302);
    const to = new URL(sent.headers.location);
    assert.deepEqual([`${to.origin}${to.pathname}`, to.searchParams.get('redirect_uri')], [`https://${HOST}/${TENANT}/oauth2/v2.0/authorize`, `https://127.0.0.1:${port}/login/oidc`]);
    const landed = await person.signIn('/pipeline/');
    assert.equal(landed.status, 200, landed.text);
    assert.equal(JSON.parse(landed.text).headers['kubeflow-userid'], 'user@example.com');
    const cookie = `authservice_session=${person.jar.get('authservice_session')}`;
    const authority = join(scratch(), 'ca.crt');
    writeFileSync(authority, pair.ca);
    const { stdout } = await curl(['-s', '--cacert', authority, '--cookie', cookie, `https://127.0.0.1:${port}/pipeline/apis/v1beta1/experiments?resource_reference_key.id=a`]);
    const { url, headers } = JSON.parse(stdout);
    assert.deepEqual([url, headers['kubeflow-userid']], ['/pipeline/apis/v1beta1/experiments?resource_reference_key.id=a', 'user@example.com']);
    const without = await curl(['-s', '-o', '-', '-w', '%{http_code}', '--cacert', authority, '--cookie', 'authservice_session=other', `https://127.0.0.1:${port}/pipeline`]);
    assert.match(without.stdout, /302$/);
  });
});
