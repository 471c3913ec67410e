// What `doorward authservice` asks others: an API server and the issuer about tokens, the issuer about sessions, an authorizer
// about everybody.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { plainGet, scratch, until } from './door.mjs';
import { ofLoopback, strictIssuer } from './issuers.mjs';
import { openMinter } from './minter.mjs';
import { freePort } from './ports.mjs';
import { Person, startDoorward } from './standing.mjs';

const CLIENT = { id: 'kubeflow', secret: 'a-secret-of-the-client' };
const SCRIPT = { id: 'script', secret: 'a-secret-of-the-script' };
const BACK = 'http://127.0.0.1:9/back';

let pair;
let authority;
let issuer;
let minter;

/** Starts it on free ports, with these variables besides. */
async function openService(variables) {
  const [judge, readiness, web] = await Promise.all([freePort(), freePort(), freePort()]);
  const service = await startDoorward(['authservice'], {
    OIDC_PROVIDER: issuer.url,
    CLIENT_ID: CLIENT.id,
    CLIENT_SECRET: CLIENT.secret,
    OIDC_SCOPES: 'profile,email,groups,offline_access',
    AUTHSERVICE_URL_PREFIX: '/authservice/',
    REDIRECT_URL: `http://127.0.0.1:${judge}/authservice/oidc/callback`,
    SERVER_HOSTNAME: '127.0.0.1',
    SERVER_PORT: String(judge),
    READINESS_PROBE_PORT: String(readiness),
    WEB_SERVER_PORT: String(web),
    CA_BUNDLE: authority,
    KUBERNETES_AUTHN_ENABLED: 'false',
    ...variables,
  });
  await until('the issuer to be found', async () => (await plainGet(readiness, '/')).status === 200, 60_000);
  return service;
}

const visitorOf = (service) => new Person(service.port, { ca: pair.ca });
const bearer = (token) => ({ authorization: `Bearer ${token}` });
const ports = [];

before(async () => {
  pair = ofLoopback();
  authority = join(scratch(), 'ca.crt');
  writeFileSync(authority, pair.ca);
  minter = await openMinter();
  // Callbacks name ports that are not known yet.
  for (let port = 0; port < 6; port += 1) ports.push(await freePort());
  issuer = strictIssuer({
    port: await freePort(),
    pair,
    strict: false,
    life: 3600,
    trusts: authority,
    clients: [
      {
        client_id: CLIENT.id, client_secret: CLIENT.secret, redirect_uris: ports.map((port) => `http://127.0.0.1:${port}/authservice/oidc/callback`),
        grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'],
      },
      { client_id: SCRIPT.id, client_secret: SCRIPT.secret, redirect_uris: [BACK], grant_types: ['authorization_code'], response_types: ['code'] },
    ],
  });
  await issuer.start();
});

after(async () => {
  await issuer?.stop();
  minter?.stop();
});

/** The variables of a service at one of the ports that the issuer knows. */
function atKnownPort() {
  const port = ports.pop();
  return { SERVER_PORT: String(port), REDIRECT_URL: `http://127.0.0.1:${port}/authservice/oidc/callback` };
}

/** An API server that speaks of tokens only. */
async function openApiServer() {
  const asked = [];
  const known = new Map();
  const server = https.createServer({ cert: pair.cert, key: pair.key }, async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const answer = (status, body) => {
      response.statusCode = status;
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(body));
    };
    const refuse = (code, reason) => answer(code, { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', reason, code });
    if (request.headers.authorization !== 'Bearer our-own-token') return refuse(401, 'Unauthorized');
    if (request.method !== 'POST' || request.url !== '/apis/authentication.k8s.io/v1/tokenreviews') return refuse(404, 'NotFound');
    const review = JSON.parse(Buffer.concat(chunks));
    asked.push(review);
    if (review.apiVersion !== 'authentication.k8s.io/v1' || review.kind !== 'TokenReview') return refuse(400, 'BadRequest');
    const { token, audiences } = review.spec;
    const found = known.get(token);
    const good = found?.audiences?.filter((audience) => audiences.includes(audience)) ?? [];
    const status = found?.user && good.length > 0
      ? { authenticated: true, user: found.user, audiences: good }
      : { user: {}, error: found?.error ?? '[invalid bearer token, token lookup failed]' };
    return answer(201, { ...review, metadata: { creationTimestamp: null }, status });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const kubeconfig = join(scratch(), 'kubeconfig');
  writeFileSync(kubeconfig, `
apiVersion: v1
kind: Config
current-context: here
contexts: [{name: here, context: {cluster: one, user: us}}]
clusters: [{name: one, cluster: {server: 'https://127.0.0.1:${server.address().port}', certificate-authority: ${authority}}}]
users: [{name: us, user: {token: our-own-token}}]
`);
  return { asked, known, kubeconfig, stop: () => { server.closeAllConnections(); server.close(); } };
}

describe('tokens of Kubernetes', () => {
  let server;
  let service;

  before(async () => {
    server = await openApiServer();
    server.known.set('of-a-pod', { audiences: ['gateway'], user: { username: 'system:serviceaccount:team:default-editor', uid: '1', groups: ['system:serviceaccounts', 'system:authenticated'], extra: {} } });
    server.known.set('for-others', { audiences: ['https://kubernetes.default.svc'], user: { username: 'somebody', groups: [] } });
    server.known.set('of-yesterday', { error: '[invalid bearer token, service account token has expired]' });
    service = await openService({ KUBERNETES_AUTHN_ENABLED: 'true', KUBECONFIG: server.kubeconfig, AUDIENCES: 'gateway,other', CACHE_ENABLED: 'true', USERID_PREFIX: 'k8s:' });
  });

  after(async () => {
    assert.equal(await service?.stop(), 0);
    server?.stop();
  });

  test('are reviewed by the API server, once as long as they are remembered', async () => {
    const person = visitorOf(service);
    for (let time = 0; time < 3; time += 1) {
      const answer = await person.ask('/a', { headers: bearer('of-a-pod') });
      assert.equal(answer.status, 200, answer.text);
      assert.deepEqual(['kubeflow-userid', 'kubeflow-groups', 'auth-method'].map((name) => answer.headers[name]), [
        'k8s:system:serviceaccount:team:default-editor', 'system:serviceaccounts,system:authenticated', 'header',
      ]);
    }
    assert.deepEqual(server.asked, [{ apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token: 'of-a-pod', audiences: ['gateway', 'other'] } }]);
    assert.equal((await person.ask('/authservice/verify/a', { headers: bearer('of-a-pod') })).status, 204);
  });

  test('that are for others, or nobody\'s, are none; expired ones are an end', async () => {
    const person = visitorOf(service);
    for (const [token, status] of [['for-others', 302], ['nobody', 302], ['of-yesterday', 401]]) {
      const answer = await person.ask('/a', { headers: bearer(token), cookies: false });
      assert.deepEqual([token, answer.status, answer.headers['kubeflow-userid']], [token, status, undefined]);
    }
    // Who comes without one is not asked about.
    const before = server.asked.length;
    await person.ask('/a', { cookies: false });
    await person.ask('/a', { headers: { authorization: 'Basic dTpw' }, cookies: false });
    assert.equal(server.asked.length, before);
  });

  test('are nobody\'s when the API server is gone, but for those that are remembered', async () => {
    server.stop();
    const person = visitorOf(service);
    assert.equal((await person.ask('/a', { headers: bearer('of-a-pod') })).status, 200);
    assert.equal((await person.ask('/a', { headers: bearer('another'), cookies: false })).status, 302);
  });

  test('where they are wanted and there is no cluster, nothing starts', async () => {
    const words = await openService({ KUBERNETES_AUTHN_ENABLED: 'true' }).then(() => assert.fail('it started'), (error) => error.message);
    assert.match(words, /`KUBERNETES_AUTHN_ENABLED` is set, and there is no cluster/);
  });
});

describe('opaque access tokens', () => {
  let service;
  let token;

  before(async () => {
    service = await openService({ ACCESS_TOKEN_AUTHN: 'opaque' });
    // A script that the issuer gives a token to.
    const person = new Person(issuer.url, { ca: pair.ca });
    const query = new URLSearchParams({ client_id: SCRIPT.id, redirect_uri: BACK, response_type: 'code', scope: 'openid email groups' });
    const form = await person.ask(`/auth?${query}`, { follow: true });
    const action = /<form[^>]*\saction="([^"]*)"/.exec(form.text)[1];
    let answer = await person.ask(action, { method: 'POST', form: { prompt: 'login', login: 'ann', password: 'any' } });
    while (!answer.headers.location.startsWith(BACK)) answer = await person.ask(answer.headers.location);
    const code = new URL(answer.headers.location).searchParams.get('code');
    const granted = await person.ask('/token', {
      method: 'POST', form: { grant_type: 'authorization_code', code, redirect_uri: BACK },
      headers: { authorization: `Basic ${Buffer.from(`${SCRIPT.id}:${SCRIPT.secret}`).toString('base64')}` },
    });
    token = JSON.parse(granted.text).access_token;
    assert.ok(token && !token.includes('.'), granted.text);
  });

  after(async () => assert.equal(await service?.stop(), 0));

  test('are whose the issuer says', async () => {
    const person = visitorOf(service);
    const answer = await person.ask('/a', { headers: bearer(token) });
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual(['kubeflow-userid', 'kubeflow-groups', 'auth-method'].map((name) => answer.headers[name]), ['ann@example.com', 'team,people', 'header']);
    assert.equal((await person.ask('/a', { headers: bearer('another'), cookies: false })).status, 302);
  });

  test('that do not say who it is are an end, and those of a withdrawn session are none', async () => {
    const narrow = await openService({ ACCESS_TOKEN_AUTHN: 'opaque', GROUPS_CLAIM: 'teams' });
    try {
      assert.equal((await visitorOf(narrow).ask('/a', { headers: bearer(token) })).status, 401);
    } finally {
      assert.equal(await narrow.stop(), 0);
    }
    await new Person(issuer.url, { ca: pair.ca }).ask('/forget');
    assert.equal((await visitorOf(service).ask('/a', { headers: bearer(token) })).status, 302);
  });

  test('are not taken where they are not wanted', async () => {
    const words = await openService({ ACCESS_TOKEN_AUTHN: 'both' }).then(() => assert.fail('it started'), (error) => error.message);
    assert.match(words, /`ACCESS_TOKEN_AUTHN` is neither `jwt` nor `opaque`/);
  });
});

describe('a session that the issuer has to confirm', () => {
  let service;

  before(async () => {
    service = await openService({ STRICT_SESSION_VALIDATION: 'true', ...atKnownPort() });
  });

  after(async () => assert.equal(await service?.stop(), 0));

  test('ends when its token was withdrawn over there, and outlives an issuer that is away', async () => {
    const person = visitorOf(service);
    const landed = await person.signIn('/a', { login: 'ann' });
    assert.deepEqual([landed.status, landed.headers['kubeflow-userid']], [200, 'ann@example.com'], landed.text);
    await issuer.kill();
    assert.equal((await person.ask('/a')).status, 503);
    await issuer.start();
    assert.equal((await person.ask('/a')).status, 200);
    await new Person(issuer.url, { ca: pair.ca }).ask('/forget');
    assert.equal((await person.ask('/a')).status, 302);
  });
});

describe('signing out', () => {
  let service;

  before(async () => {
    service = await openService(atKnownPort());
  });

  after(async () => assert.equal(await service?.stop(), 0));

  test('revokes the tokens of the session, and can be tried again when the issuer is away', async () => {
    const person = visitorOf(service);
    const kept = async () => {
      const names = JSON.parse((await new Person(issuer.url, { ca: pair.ca }).ask('/kept')).text);
      return ['RefreshToken', 'AccessToken'].map((wanted) => names.filter((name) => name === wanted).length);
    };
    const before = await kept();
    const landed = await person.signIn('/a', { login: 'ben' });
    assert.equal(landed.status, 200, landed.text);
    assert.deepEqual(await kept(), before.map((count) => count + 1));
    const value = person.jar.get('authservice_session');
    const out = () => person.ask('/authservice/logout', { method: 'POST', headers: bearer(value), cookies: false });
    await issuer.kill();
    assert.equal((await out()).status, 500);
    assert.equal((await person.ask('/a')).status, 200);
    await issuer.start();
    const left = await out();
    assert.deepEqual([left.status, JSON.parse(left.text)], [201, { afterLogoutURL: '/authservice/site/after_logout' }]);
    assert.equal((await person.ask('/a')).status, 302);
    assert.deepEqual(await kept(), before);
  });
});

describe('an authorizer that has to agree', () => {
  const asked = [];
  let answer = [200, ''];
  let authorizer;
  let service;

  before(async () => {
    authorizer = http.createServer(async (request, response) => {
      const chunks = [];
      for await (const chunk of request) chunks.push(chunk);
      asked.push({ method: request.method, url: request.url, type: request.headers['content-type'], body: JSON.parse(Buffer.concat(chunks)) });
      if (answer === null) return request.socket.destroy();
      [response.statusCode] = answer;
      return response.end(answer[1]);
    });
    authorizer.listen(0, '127.0.0.1');
    await once(authorizer, 'listening');
    service = await openService({ EXTERNAL_AUTHZ_URL: `http://127.0.0.1:${authorizer.address().port}/judge?a=b`, HOMEPAGE_URL: '/home', ...atKnownPort() });
  });

  after(async () => {
    assert.equal(await service?.stop(), 0);
    authorizer?.closeAllConnections();
    authorizer?.close();
  });

  test('is asked about everybody who is known, and nobody else', async () => {
    const person = visitorOf(service);
    assert.equal((await person.ask('/a')).status, 302);
    assert.equal((await person.ask('/authservice/x')).status, 200);
    assert.deepEqual(asked, []);
    person.jar.clear();
    const landed = await person.signIn('/a/b?c=d', { login: 'ann' });
    assert.deepEqual([landed.status, landed.text, landed.headers['kubeflow-userid'], landed.headers['kubeflow-groups']], [200, '', 'ann@example.com', 'team,people']);
    assert.match(landed.headers['x-envoy-auth-headers-to-remove'], /x-auth-request-email/);
    const [{ method, url, type, body }] = asked;
    assert.deepEqual([method, url, type], ['POST', '/judge?a=b', 'application/json']);
    assert.match(body.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    const { user, request } = body;
    assert.deepEqual([user.name, user.id, user.groups, user.extra], ['ann@example.com', 'ann@example.com', ['team', 'people'], { 'auth-method': ['cookie'] }]);
    assert.equal(user.claims.email, 'ann@example.com');
    assert.deepEqual(request, { host: '127.0.0.1', port: String(service.port), path: '/a/b', method: 'GET' });
    assert.equal((await person.ask('/authservice/verify/a')).status, 204);

    for (const failure of [[500, 'broken'], [302, ''], [404, ''], null]) {
      answer = failure;
      const failed = await person.ask('/a');
      assert.deepEqual([failed.status, failed.text, failed.headers['kubeflow-userid']], [403, '', undefined], `${failure}`);
    }
    // The session is what it was.
    answer = [204, ''];
    assert.equal((await person.ask('/a')).status, 200);

    answer = [403, 'Ann is <b>on leave</b>'];
    const denied = await person.ask('/a');
    assert.equal(denied.status, 403);
    assert.match(denied.headers['content-type'], /^text\/html/);
    assert.match(denied.text, /Ann is &#60;b&#62;on leave[^]*href="\/home"/);
    assert.equal(denied.headers['kubeflow-userid'], undefined);
    answer = [200, ''];
    assert.equal((await person.ask('/a')).status, 302);
  });
});

describe('a header of its own for tokens', () => {
  test('is the only one where they are looked for', async () => {
    const service = await openService({ OIDC_PROVIDER: minter.issuer, CA_BUNDLE: '', ID_TOKEN_HEADER: 'X-Id-Token' });
    try {
      const token = await minter.mint({ sub: 'm', aud: CLIENT.id, email: 'machine@example.com' });
      const person = visitorOf(service);
      const named = await person.ask('/a', { headers: { 'x-id-token': `Bearer ${token}` } });
      assert.deepEqual([named.status, named.headers['kubeflow-userid']], [200, 'machine@example.com']);
      assert.equal((await person.ask('/a', { headers: bearer(token), cookies: false })).status, 302);
    } finally {
      assert.equal(await service.stop(), 0);
    }
  });
});
