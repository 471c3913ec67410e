// The manifests of Kubeflow 26.03 as they stand, asked as curl, scripts and other programs ask.

import assert from 'node:assert/strict';
import { createHash, createPublicKey, generateKeyPairSync, createSign, verify } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { STOCK_PASSWORD, copyOf, discard, fixture, openDoor, run, scratch, until } from './door.mjs';
import { authorizationPolicy, manifest } from './objects.mjs';
import { CLIENT, CLIENT_SECRET, mintTokens } from './tokens.mjs';
import { startUpstream } from './upstream.mjs';
import { Visitor, formAction } from './visitor.mjs';
import { exchange } from './wire.mjs';

const USER = 'user@example.com';
const COOKIE_SECRET = Buffer.from('N2QxNmZlZTkyZjhkMTFiODk0MGIwODFiM2Y4YjhhY2I=', 'base64').toString();
const COOKIE = 'oauth2_proxy_kubeflow';

let door;
let upstream;
let stranger;
let member;

before(async () => {
  upstream = await startUpstream();
  door = await openDoor({ manifests: fixture('kubeflow-26.03'), upstream: upstream.port });
  stranger = new Visitor(door);
  member = new Visitor(door);
  await member.signIn();
});
after(async () => {
  stranger?.close();
  member?.close();
  await door?.close();
  await upstream?.stop();
  discard(door?.state);
});

const claimsOf = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString());
const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

describe('without a session', () => {
  it('a page is refused with 403 and the sign-in page, which knows where to go on', async () => {
    const page = await stranger.visit('/pipeline/?x=1&y=2', { headers: { accept: 'text/html' } });
    assert.equal(page.status, 403);
    assert.match(page.headers['content-type'], /^text\/html/);
    assert.match(page.headers['cache-control'] ?? '', /no-store/);
    assert.equal(formAction(page).pathname, '/oauth2/start');
    assert.match(page.text, /name="rd"[^>]*value="\/pipeline\/\?x=1&(amp;|#38;)y=2"|value="\/pipeline\/\?x=1&(amp;|#38;)y=2"[^>]*name="rd"/);
    assert.match(page.text, /<html[^>]* lang="en"/);
    assert.ok(page.text.length < 30_000);
    assert.equal(upstream.seen('x=1&y=2').length, 0);
  });

  it('the root is refused like any other page', async () => {
    const page = await stranger.visit('/');
    assert.equal(page.status, 403);
    assert.equal(formAction(page).pathname, '/oauth2/start');
  });

  for (const path of ['/pipeline/apis/v2beta1/pipelines', '/jupyter/api/namespaces', '/ml_metadata.MetadataStoreService/GetTypes']) {
    it(`a background call to ${path} is refused with 401 and an empty JSON object`, async () => {
      const answer = await stranger.visit(path);
      assert.equal(answer.status, 401);
      assert.match(answer.headers['content-type'], /^application\/json/);
      assert.deepEqual(answer.json(), {});
      assert.equal(answer.headers['www-authenticate'], undefined);
      assert.equal(answer.headers.location, undefined);
    });
  }

  it('the paths of the issuer and of the login proxy are open', async () => {
    const keys = await stranger.visit('/dex/keys');
    assert.equal(keys.status, 200);
    assert.equal(keys.json().keys[0].alg, 'RS256');
    const discovery = await stranger.visit('/dex/.well-known/openid-configuration');
    assert.equal(discovery.json().issuer, 'http://dex.auth.svc.cluster.local:5556/dex');
    const start = await stranger.visit('/oauth2/start?rd=/x');
    assert.equal(start.status, 302);
    assert.match(start.headers.location, /^\/dex\/auth\?/);
    const asked = new URL(start.headers.location, door.url).searchParams;
    assert.equal(asked.get('client_id'), CLIENT);
    assert.equal(asked.get('redirect_uri'), '/oauth2/callback');
    assert.equal(asked.get('code_challenge_method'), 'S256');
    assert.ok(asked.get('state').length >= 16);
    assert.ok(asked.get('nonce').length >= 16);
  });

  it('who is asked for has no answer', async () => {
    assert.equal((await stranger.visit('/oauth2/userinfo')).status, 401);
    assert.equal((await stranger.visit('/oauth2/auth')).status, 401);
  });

  it('a preflight without credentials does not pass', async () => {
    const answer = await stranger.visit('/jupyter/preflight', {
      method: 'OPTIONS',
      headers: { origin: 'https://elsewhere.example', 'access-control-request-method': 'GET' },
    });
    assert.equal(answer.status, 403);
    assert.equal(upstream.seen('preflight').length, 0);
  });
});

describe('paths that pretend to be exempt', () => {
  const TRICKS = [
    '/dex/../trick', '/dex/./../trick', '/dex/%2e%2e/trick', '/dex/%2E%2E/trick', '/dex/.%2e/trick', '/dex/%2e%2e%2ftrick',
    '/oauth2/../trick', '/oauth2/..%2ftrick', '/oauth2/..%5ctrick', '/oauth2/..\\trick', '/dex\\..\\trick', '//trick', '///dex//../trick',
    '/dex/..;/trick', '/oauth2/;/../trick', '/DEX/trick', '/Dex/../trick', '/OAuth2/trick', '/dex/%252e%252e/trick', '/dex%2ftrick',
    '/dex/%00/../trick', '/dex/%c0%ae%c0%ae/trick', '/trick#/dex/', '/trick?/dex/', '/dexx/trick',
  ];
  for (const path of TRICKS) {
    it(`${path} reaches no application`, async () => {
      const answer = await exchange(door, `GET ${path} HTTP/1.1\r\nhost: ${door.host}\r\nconnection: close\r\n\r\n`);
      assert.equal(answer.statuses.length, 1, answer.text.slice(0, 300));
      assert.ok(answer.statuses[0] >= 300 && answer.statuses[0] < 500, answer.text.slice(0, 300));
      assert.equal(upstream.seen('trick').length, 0);
    });
  }

  it('with a session they are routed by their normal form', async () => {
    const answer = await exchange(door, `GET /volumes/../jupyter/%2e/normal HTTP/1.1\r\nhost: ${door.host}\r\ncookie: ${member.cookieHeader()}\r\nconnection: close\r\n\r\n`);
    assert.deepEqual(answer.statuses, [200]);
    assert.deepEqual(upstream.seen('normal').map((request) => request.url), ['/normal']);
  });
});

describe('signing in', () => {
  it('a script starts, posts the form, keeps the cookies and arrives', async () => {
    const script = new Visitor(door);
    const page = await script.signIn({ want: '/pipeline/?x=1&y=%2F2' });
    assert.equal(page.status, 200);
    assert.equal(page.url.href, `${door.url}/pipeline/?x=1&y=%2F2`);
    assert.equal(page.json().url, '/pipeline/?x=1&y=%2F2');
    assert.equal(page.json().headers['kubeflow-userid'], USER);
    script.close();
  });

  it('the session is one short cookie that scripts of a page cannot read', async () => {
    const script = new Visitor(door);
    const form = await script.visit('/oauth2/start?rd=/', { follow: true });
    const posted = await script.submit(formAction(form), { login: USER, password: STOCK_PASSWORD });
    const callback = await script.visit(new URL(posted.headers.location, posted.url).href);
    assert.equal(callback.status, 302);
    assert.equal(callback.headers.location, '/');
    const kept = callback.headers['set-cookie'].filter((line) => line.startsWith(`${COOKIE}=`));
    assert.equal(kept.length, 1);
    assert.match(kept[0], /; HttpOnly/i);
    assert.match(kept[0], /; Secure/i);
    assert.match(kept[0], /; SameSite=Lax/i);
    assert.match(kept[0], /; Path=\//i);
    assert.doesNotMatch(kept[0], /; Domain=/i);
    assert.ok(kept[0].split(';')[0].length < 200);
    assert.deepEqual(script.cookies.sent().map(([name]) => name), [COOKIE], 'the cookies of the flow are gone');
    script.close();
  });

  it('a wrong password is refused on the form itself', async () => {
    const script = new Visitor(door);
    const form = await script.visit('/oauth2/start?rd=/', { follow: true });
    for (const hook of ['login', 'password', 'submit-login']) assert.match(form.text, new RegExp(`id="${hook}"`));
    const answer = await script.submit(formAction(form), { login: USER, password: 'not it' });
    assert.equal(answer.status, 401);
    assert.match(answer.text, /id="login-error"/);
    const unknown = await script.submit(formAction(form), { login: 'nobody@example.com', password: STOCK_PASSWORD });
    assert.equal(unknown.status, 401);
    const second = await script.submit(formAction(answer), { login: USER, password: STOCK_PASSWORD }, { follow: true });
    assert.equal(second.status, 200);
    script.close();
  });

  for (const elsewhere of ['https://evil.example/', '//evil.example/', '/\\evil.example/', '/\t/evil.example', 'javascript:alert(1)']) {
    it(`does not lead to ${JSON.stringify(elsewhere)}`, async () => {
      const script = new Visitor(door);
      const page = await script.signIn({ want: elsewhere });
      assert.equal(page.url.href, `${door.url}/`);
      script.close();
    });
  }

  it('a callback that nobody started is refused', async () => {
    const { code } = await mintTokens(door);
    const started = new Visitor(door);
    const begun = await started.visit('/oauth2/start?rd=/');
    started.close();
    const state = encodeURIComponent(new URL(begun.headers.location, door.url).searchParams.get('state'));
    // As OAuth2 Proxy does: 500 for a state that is none, 403 for one that another browser began or that has its form.
    for (const [query, status] of [[`code=${code}&state=made-up`, 500], ['code=made-up&state=made:up', 403], ['state=x', 500], ['', 500], [`code=${code}&state=${state}`, 403]]) {
      const visitor = new Visitor(door);
      const answer = await visitor.visit(`/oauth2/callback?${query}`);
      assert.equal(answer.status, status, query);
      assert.equal(visitor.cookies.has(COOKIE), false);
      visitor.close();
    }
  });

  it('a code is good for one callback', async () => {
    const script = new Visitor(door);
    const form = await script.visit('/oauth2/start?rd=/', { follow: true });
    const before = script.cookieHeader();
    const posted = await script.submit(formAction(form), { login: USER, password: STOCK_PASSWORD });
    const callback = new URL(posted.headers.location, posted.url).href;
    assert.equal((await script.visit(callback)).status, 302);
    const thief = new Visitor(door);
    const again = await thief.visit(callback, { headers: { cookie: before } });
    assert.equal(again.status, 500, 'the token endpoint refuses the code');
    assert.equal(thief.cookies.has(COOKIE), false);
    script.close();
    thief.close();
  });
});

describe('with a session', () => {
  it('a request is rewritten and marked as the manifests say', async () => {
    const seen = (await member.visit('/jupyter/api/x?a=b')).json();
    assert.equal(seen.url, '/api/x?a=b');
    assert.equal(seen.headers['x-forwarded-prefix'], '/jupyter');
    assert.equal((await member.visit('/volumes/y')).json().url, '/y');
    assert.equal((await member.visit('/katib/z')).json().url, '/katib/z');
    assert.equal((await member.visit('/pipeline/apis/v2beta1/pipelines')).json().url, '/pipeline/apis/v2beta1/pipelines');
    assert.equal((await member.visit('/')).json().url, '/');
  });

  it('the application learns who it is', async () => {
    const { headers } = (await member.visit('/jupyter/who')).json();
    assert.equal(headers['kubeflow-userid'], USER);
    assert.equal(headers['x-auth-request-email'], USER);
    const [scheme, token] = headers.authorization.split(' ');
    assert.equal(scheme, 'Bearer');
    const claims = claimsOf(token);
    assert.equal(claims.iss, 'http://dex.auth.svc.cluster.local:5556/dex');
    assert.equal(claims.aud, CLIENT);
    assert.equal(claims.email, USER);
    assert.equal(claims.sub, 'Cg4xNTg0MTE4NTY0MTc4NBIFbG9jYWw');
    assert.equal(headers['x-forwarded-proto'], 'https');
    assert.equal(headers['x-forwarded-for'], '127.0.0.1');
    assert.match(headers['x-request-id'], /^[0-9a-f-]{32,36}$/);
    assert.equal(headers.host, door.host);
  });

  it('the application can check who it is by itself', async () => {
    const seen = async (path) => (await member.visit(path, { headers: { 'x-doorward-assertion': 'evil' } })).json().headers['x-doorward-assertion'];
    const assertion = await seen('/jupyter/who');
    const published = await stranger.visit('/doorward/.well-known/jwks.json');
    assert.equal(published.status, 200);
    assert.equal(published.headers['content-type'], 'application/jwk-set+json');
    const [head, claims, signature] = assertion.split('.');
    const { alg, kid } = JSON.parse(Buffer.from(head, 'base64url'));
    assert.equal(alg, 'EdDSA');
    const key = createPublicKey({ key: published.json().keys.find((one) => one.kid === kid), format: 'jwk' });
    assert.ok(verify(null, Buffer.from(`${head}.${claims}`), key, Buffer.from(signature, 'base64url')));
    const { exp, iat, nbf, ...rest } = JSON.parse(Buffer.from(claims, 'base64url'));
    assert.deepEqual(rest, {
      iss: 'spiffe://cluster.local/ns/istio-system/sa/istio-ingressgateway-service-account',
      aud: 'jupyter-web-app-service.kubeflow.svc.cluster.local',
      sub: 'Cg4xNTg0MTE4NTY0MTc4NBIFbG9jYWw',
      idp: 'oauth2-proxy/oauth2-proxy',
      email: USER,
    });
    assert.ok(nbf === iat && exp - iat === 300 && Math.abs(iat - Date.now() / 1000) < 130);
    // Another application gets another one: it cannot pass its own on as somebody else.
    assert.equal(claimsOf(await seen('/volumes/who')).aud, 'volumes-web-app-service.kubeflow.svc.cluster.local');
  });

  it('what a client says about itself never arrives, in no spelling', async () => {
    const forged = [
      'kubeflow-userid: evil@example.com', 'Kubeflow-UserId: evil@example.com', 'Kubeflow_UserId: evil@example.com', 'KUBEFLOW_USERID: evil@example.com',
      'kubeflow-userid: evil@example.com', 'kubeflow-groups: evil', 'kubeflow_groups: evil', 'X-Auth-Request-Email: evil@example.com',
      'x_auth_request_email: evil@example.com', 'X-Auth_Request-User: evil', 'X-Forwarded-User: evil', 'x-forwarded-email: evil@example.com',
      'X-Forwarded-Access-Token: evil', 'x-doorward-assertion: evil', 'GAP-Auth: evil@example.com', 'x-forwarded-proto: evil',
    ];
    const answer = await exchange(door, `GET /jupyter/forged HTTP/1.1\r\nhost: ${door.host}\r\ncookie: ${member.cookieHeader()}\r\n${forged.join('\r\n')}\r\nconnection: close\r\n\r\n`);
    assert.deepEqual(answer.statuses, [200]);
    const [seen] = upstream.seen('/forged');
    assert.equal(seen.headers['kubeflow-userid'], USER);
    const names = seen.rawHeaders.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase().replaceAll('_', '-'));
    assert.equal(names.filter((name) => name === 'kubeflow-userid').length, 1);
    const values = seen.rawHeaders.filter((_, at) => at % 2 === 1);
    assert.deepEqual(values.filter((value) => /^evil/.test(value)), []);
  });

  it('without a session forged names do not help either', async () => {
    const answer = await stranger.visit('/jupyter/forged-alone', { headers: { 'kubeflow-userid': USER, 'x-auth-request-email': USER } });
    assert.equal(answer.status, 403);
    assert.equal(upstream.seen('forged-alone').length, 0);
  });

  it('a service that no policy opens stays closed', async () => {
    const answer = await member.visit('/ml_metadata/closed');
    assert.equal(answer.status, 403);
    assert.doesNotMatch(answer.text, /oauth2\/start/);
    assert.equal(upstream.seen('/ml_metadata/').length, 0);
  });

  it('the login proxy says who is signed in', async () => {
    const info = (await member.visit('/oauth2/userinfo')).json();
    assert.equal(info.email, USER);
    assert.equal((await member.visit('/oauth2/auth')).status, 202);
  });

  it('a forged, cut or foreign cookie is no session', async () => {
    const value = member.cookies.get(COOKIE);
    const turned = (value[0] === 'A' ? 'B' : 'A') + value.slice(1);
    for (const cookie of [turned, value.slice(0, -1), `${value}x`, '', 'x'.repeat(4000), '%00', Buffer.alloc(32).toString('base64url')]) {
      const answer = await stranger.visit('/jupyter/cookie', { headers: { cookie: `${COOKIE}=${cookie}` } });
      assert.equal(answer.status, 403, cookie);
    }
    assert.equal(upstream.seen('/cookie').length, 0);
  });

  it('a cookie from another state directory is no session', async () => {
    const other = await openDoor({ manifests: fixture('kubeflow-26.03'), upstream: upstream.port });
    const visitor = new Visitor(other);
    await visitor.signIn();
    assert.equal((await visitor.visit('/jupyter/')).status, 200);
    const answer = await stranger.visit('/jupyter/abroad', { headers: { cookie: visitor.cookieHeader() } });
    assert.equal(answer.status, 403);
    visitor.close();
    await other.close();
    discard(other.state);
  });

  it('signing out ends the session on the server too', async () => {
    const leaver = new Visitor(door);
    await leaver.signIn();
    const cookie = leaver.cookieHeader();
    assert.equal((await leaver.visit('/jupyter/')).status, 200);
    const out = await leaver.visit('/oauth2/sign_out');
    assert.equal(out.status, 302);
    assert.equal(out.headers.location, '/');
    assert.equal(leaver.cookies.has(COOKIE), false);
    assert.equal((await leaver.visit('/jupyter/')).status, 403);
    assert.equal((await stranger.visit('/jupyter/', { headers: { cookie } })).status, 403);
    leaver.close();
  });
});

describe('with a bearer token', () => {
  it('one that the provider issued is forwarded, and names its owner', async () => {
    const { id_token: token } = await mintTokens(door);
    const { headers, url } = (await stranger.visit('/jupyter/api/token', { headers: { authorization: `Bearer ${token}` } })).json();
    assert.equal(url, '/api/token');
    assert.equal(headers['kubeflow-userid'], USER);
    assert.equal(headers.authorization, `Bearer ${token}`);
  });

  it('the token verifies with the published keys', async () => {
    const { id_token: token } = await mintTokens(door);
    const [header, payload, signature] = token.split('.');
    const { kid, alg } = JSON.parse(Buffer.from(header, 'base64url').toString());
    assert.equal(alg, 'RS256');
    const jwk = (await stranger.visit('/dex/keys')).json().keys.find((key) => key.kid === kid);
    const key = createPublicKey({ key: jwk, format: 'jwk' });
    assert.ok(verify('sha256', Buffer.from(`${header}.${payload}`), key, Buffer.from(signature, 'base64url')));
    assert.equal(claimsOf(token).nonce, 'a-nonce');
  });

  it('anything else is refused', async () => {
    const { id_token: token } = await mintTokens(door);
    const [header, payload, signature] = token.split('.');
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const signed = (head, claims) => {
      const text = `${encode(head)}.${encode(claims)}`;
      return `${text}.${createSign('sha256').update(text).sign(privateKey).toString('base64url')}`;
    };
    const genuine = JSON.parse(Buffer.from(header, 'base64url').toString());
    const claims = claimsOf(token);
    const secret = JSON.stringify((await stranger.visit('/dex/keys')).json().keys[0]);
    const hmac = (text) => createHash('sha256').update(secret + text).digest('base64url');
    const refused = {
      'alg none': `${encode({ alg: 'none' })}.${payload}.`,
      'alg none, signature kept': `${encode({ ...genuine, alg: 'none' })}.${payload}.${signature}`,
      'alg None': `${encode({ alg: 'None' })}.${payload}.`,
      'alg HS256': `${encode({ alg: 'HS256' })}.${payload}.${hmac(payload)}`,
      'signed by a stranger': signed({ alg: 'RS256', kid: genuine.kid }, claims),
      'signed by a stranger, key unknown': signed({ alg: 'RS256', kid: 'unknown' }, claims),
      'its own key in the head': signed({ alg: 'RS256', jwk: privateKey.export({ format: 'jwk' }) }, claims),
      'another issuer': signed({ alg: 'RS256' }, { ...claims, iss: 'https://accounts.example.com' }),
      'claims changed': `${header}.${encode({ ...claims, email: 'admin@example.com' })}.${signature}`,
      'cut short': token.slice(0, -4),
      'no token at all': 'garbage',
      'two parts': `${header}.${payload}`,
      'not base64': '!!!.???.***',
      'empty claims': `${header}..${signature}`,
    };
    for (const [what, bearer] of Object.entries(refused)) {
      const answer = await stranger.visit('/jupyter/bearer', { headers: { authorization: `Bearer ${bearer}` } });
      assert.equal(answer.status, 401, `${what}: ${answer.status}`);
      assert.match(answer.headers['www-authenticate'] ?? '', /^Bearer /, what);
    }
    for (const header of ['Basic dXNlcjpwYXNz', `bearer ${token}`, `Token ${token}`]) {
      const answer = await stranger.visit('/jupyter/bearer', { headers: { authorization: header } });
      assert.equal(answer.status, 403, header.slice(0, 12));
    }
    assert.equal(upstream.seen('/bearer').length, 0);
  });

  it('a wrong client secret or a spent code gives no token', async () => {
    const { code } = await mintTokens(door);
    const basic = (secret) => ({ headers: { authorization: `Basic ${Buffer.from(`${CLIENT}:${secret}`).toString('base64')}` } });
    const fields = { grant_type: 'authorization_code', code, redirect_uri: '/oauth2/callback' };
    const spent = await stranger.submit('/dex/token', fields, basic(CLIENT_SECRET));
    assert.equal(spent.status, 400);
    assert.equal(spent.json().error, 'invalid_grant');
    const wrong = await stranger.submit('/dex/token', fields, basic('wrong'));
    assert.equal(wrong.status, 401);
    assert.equal(wrong.json().error, 'invalid_client');
  });
});

describe('what an operator sees', () => {
  it('health, readiness and what was compiled', async () => {
    assert.equal((await door.admin('/healthz')).status, 200);
    const ready = await door.admin('/readyz');
    assert.equal(ready.status, 200);
    const { alarm, findings } = JSON.parse(ready.text);
    assert.equal(alarm, null);
    assert.ok(findings.length > 0);
    assert.ok(findings.every((finding) => /^DW\d{4}$/.test(finding.code)));
    const snapshot = JSON.parse((await door.admin('/snapshot')).text);
    assert.match(JSON.stringify(snapshot), /jupyter-web-app-jupyter-web-app/);
  });

  it('none of it on the public port', async () => {
    for (const path of ['/metrics', '/readyz', '/healthz', '/snapshot']) assert.equal((await stranger.visit(path)).status, 403);
  });

  it('metrics count requests', async () => {
    const total = async () => {
      const { text } = await door.admin('/metrics');
      assert.match(text, /^# TYPE \S+ (counter|histogram|gauge)$/m);
      const counts = [...text.matchAll(/^doorward_requests_total(?:\{[^}]*\})? (\d+)$/gm)].map((match) => Number(match[1]));
      return counts.reduce((sum, count) => sum + count, 0);
    };
    const before = await total();
    for (let times = 0; times < 3; times += 1) await member.visit('/jupyter/counted');
    // A request is counted when its answer has left, which may be just after the client has it.
    await until('three more requests', async () => (await total()) >= before + 3);
  });

  it('the access log has one line a request: who, which route, which policy, how long', async () => {
    await member.visit('/jupyter/logged?secret=in-the-query');
    const linesFor = (path) => door.records().filter((record) => record.path === path);
    await until('the line', () => linesFor('/jupyter/logged').length > 0);
    const lines = linesFor('/jupyter/logged');
    assert.equal(lines.length, 1);
    const [{ time, duration_us: duration, upstream_us: upstreamTime, bytes, request_id: id, client, route, place, ...line }] = lines;
    assert.deepEqual(
      { method: line.method, host: line.host, status: line.status, outcome: line.outcome, user: line.user },
      { method: 'GET', host: door.host, status: 200, outcome: 'forward', user: USER },
    );
    assert.match(route, /kubeflow\/jupyter-web-app-jupyter-web-app/);
    assert.match(line.policy, /kubeflow\/jupyter-web-app/);
    assert.match(place, /30-istio-security\.yaml:\d+$/);
    assert.ok(Math.abs(Date.parse(time) - Date.now()) < 60_000);
    assert.ok(duration >= upstreamTime && upstreamTime > 0 && bytes > 0);
    assert.equal(id, upstream.seen('/logged')[0].headers['x-request-id']);
    assert.equal(client, '127.0.0.1');
    assert.ok(!door.output().includes('in-the-query'), 'query strings carry secrets');

    await stranger.visit('/volumes/refused');
    await until('the refusal', () => linesFor('/volumes/refused').length > 0);
    const [refused] = linesFor('/volumes/refused');
    assert.equal(refused.status, 403);
    assert.equal(refused.outcome, 'sign_in');
    assert.match(refused.policy, /istio-system\/istio-ingressgateway-oauth2-proxy/);
    assert.equal(refused.user, undefined);
  });

  it('every decision in the log can be made again from its line, and comes out the same', async () => {
    await member.visit('/jupyter/replayed');
    await until('the line', () => door.records().some((record) => record.path === '/jupyter/replayed'));
    const aside = scratch();
    const log = join(aside, 'access.log');
    const lines = door.output().split('\n').filter((line) => line.startsWith('{') && 'status' in JSON.parse(line));
    writeFileSync(log, lines.join('\n'));
    const { code, stdout } = await run('explain', '--manifests', fixture('kubeflow-26.03'), '--replay', log, '--format', 'json');
    const { changes, replayed } = JSON.parse(stdout);
    assert.deepEqual(changes, []);
    assert.equal(code, 0);
    assert.equal(replayed.unread, 0);
    assert.equal(replayed.decisions + replayed.others, lines.length);
    assert.ok(replayed.decisions > 50, stdout);

    // Against manifests that say otherwise, the same log tells whom it concerns.
    const changed = copyOf(fixture('kubeflow-26.03'));
    writeFileSync(join(changed, '99-closed.yaml'), manifest(authorizationPolicy('kubeflow', 'closed', {
      action: 'DENY', selector: { matchLabels: { app: 'jupyter-web-app' } }, rules: [{}],
    })));
    const against = await run('explain', '--manifests', changed, '--replay', log);
    assert.equal(against.code, 1, against.stdout);
    assert.match(against.stdout, /less is let through\n {2}user@example\.com/);
    assert.match(against.stdout, /AuthorizationPolicy kubeflow\/closed .*99-closed\.yaml:\d+/);
    discard(aside, changed);
  });

  it('no secret is ever written', async () => {
    const { code, id_token: token, access_token: access } = await mintTokens(door);
    const watched = new Visitor(door);
    const form = await watched.visit('/oauth2/start?rd=/', { follow: true });
    const pending = watched.cookieHeader().split('=').slice(1).join('=');
    await watched.submit(formAction(form), { login: USER, password: 'a wrong password' });
    const posted = await watched.submit(formAction(form), { login: USER, password: STOCK_PASSWORD });
    const callback = new URL(posted.headers.location, posted.url);
    await watched.visit(callback.href);
    await watched.visit('/jupyter/', { headers: { authorization: `Bearer ${token}` } });
    await watched.visit('/oauth2/sign_out');
    const secrets = {
      'client secret': CLIENT_SECRET,
      'cookie secret': COOKIE_SECRET,
      'session cookie': member.cookies.get(COOKIE),
      'cookie of the flow': pending,
      password: STOCK_PASSWORD,
      'wrong password': 'a wrong password',
      'password, encoded': 'a+wrong+password',
      'ID token': token.split('.')[2],
      'access token': access.split('.')[2],
      'code at the token endpoint': code,
      'code in the callback': callback.searchParams.get('code'),
      'hash of the password': '$2y$12$4K',
    };
    const pages = `${(await door.admin('/snapshot')).text}${(await door.admin('/readyz')).text}${(await door.admin('/metrics')).text}`;
    for (const [what, secret] of Object.entries(secrets)) {
      assert.ok(secret.length >= 8, what);
      assert.ok(!door.output().includes(secret), `${what} in the log`);
      assert.ok(!pages.includes(secret), `${what} on the administration port`);
    }
    watched.close();
  });
});
