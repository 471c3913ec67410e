// Connectors of the provider with upstreams that nobody here wrote: slapd, and `oidc-provider`.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openBrowser, violations } from './browser.mjs';
import { BINARY, discard, scratch, until } from './door.mjs';
import { ofLoopback } from './issuers.mjs';
import { freePort } from './ports.mjs';

const PEER = fileURLToPath(new URL('./peers/upstream-issuer.mjs', import.meta.url));
const SLAPD = existsSync('/usr/sbin/slapd') ? '/usr/sbin/slapd' : 'slapd';

let work;
let pair;
let ldap;
let upstream;
let dex;
let base;
let app;
let appUrl;
let seen;

/** A directory with TLS that gives out no more than five entries at a time. */
async function startSlapd() {
  const home = join(work, 'slapd');
  mkdirSync(join(home, 'db'), { recursive: true });
  const [plain, tls] = [await freePort(), await freePort()];
  for (const [name, text] of [['ca', pair.ca], ['crt', pair.cert], ['key', pair.key]]) writeFileSync(join(home, `tls.${name}`), text);
  writeFileSync(join(home, 'slapd.conf'), `
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile ${home}/slapd.pid
TLSCACertificateFile ${home}/tls.ca
TLSCertificateFile ${home}/tls.crt
TLSCertificateKeyFile ${home}/tls.key
database mdb
suffix "dc=example,dc=org"
rootdn "cn=admin,dc=example,dc=org"
rootpw admin
directory ${home}/db
maxsize 10485760
limits * size.soft=5 size.hard=5 size.pr=500 size.prtotal=unlimited
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="cn=reader,dc=example,dc=org" read by * none
`);
  const groups = Array.from({ length: 12 }, (_, at) => `
dn: cn=group${at},ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: group${at}
member: cn=jane,ou=people,dc=example,dc=org
`).join('');
  const person = (cn, mail, more = '') => `
dn: cn=${cn},ou=people,dc=example,dc=org
objectClass: inetOrgPerson
cn: ${cn}
sn: Doe
uid: ${cn}
mail: ${mail}
userPassword: ${cn}-secret
${more}`;
  writeFileSync(join(home, 'tree.ldif'), `
dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: cn=reader,dc=example,dc=org
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: reader
userPassword: reader-secret

dn: ou=people,dc=example,dc=org
objectClass: organizationalUnit
ou: people
${person('jane', 'jane@example.org')}
${person('odd (x)*', 'odd@example.org')}
dn: ou=groups,dc=example,dc=org
objectClass: organizationalUnit
ou: groups
${groups}
dn: cn=above,ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: above
member: cn=group3,ou=groups,dc=example,dc=org
member: cn=circle,ou=groups,dc=example,dc=org

dn: cn=circle,ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: circle
member: cn=above,ou=groups,dc=example,dc=org

dn: cn=strangers,ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: strangers
member: cn=nobody,ou=people,dc=example,dc=org
`);
  execFileSync(SLAPD.replace(/slapd$/, 'slapadd'), ['-f', join(home, 'slapd.conf'), '-l', join(home, 'tree.ldif')]);
  const child = spawn(SLAPD, ['-d', '0', '-f', join(home, 'slapd.conf'), '-h', `ldap://127.0.0.1:${plain} ldaps://127.0.0.1:${tls}`], { stdio: 'ignore' });
  await until('slapd to serve', async () => {
    assert.equal(child.exitCode, null, 'slapd ended');
    return existsSync(join(home, 'slapd.pid'));
  }, 30_000);
  return {
    plain,
    tls,
    async change(ldif) {
      execFileSync('ldapmodify', ['-x', '-H', `ldap://127.0.0.1:${plain}`, '-D', 'cn=admin,dc=example,dc=org', '-w', 'admin'], { input: ldif });
    },
    async stop() {
      child.kill('SIGKILL');
      await once(child, 'close');
    },
  };
}

async function startUpstream(callback) {
  const port = await freePort();
  const settings = JSON.stringify({ port, cert: pair.cert, key: pair.key, callback });
  const child = spawn(process.execPath, [PEER, settings], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  return {
    url: `https://127.0.0.1:${port}`,
    async stop() {
      child.kill('SIGKILL');
      await once(child, 'close');
    },
  };
}

before(async () => {
  execFileSync(fileURLToPath(new URL('./install-peers.sh', import.meta.url)), { stdio: 'inherit' });
  work = scratch();
  pair = ofLoopback();
  ldap = await startSlapd();
  app = http.createServer((request, response) => {
    if (request.url.startsWith('/cb')) seen = new URL(request.url, appUrl);
    response.setHeader('content-type', 'text/html');
    response.end('<!doctype html><title>App</title><p>back');
  });
  app.listen(0, '127.0.0.1');
  await once(app, 'listening');
  appUrl = `http://127.0.0.1:${app.address().port}`;
  const port = await freePort();
  base = `http://127.0.0.1:${port}/dex`;
  upstream = await startUpstream(`${base}/callback`);
  const ca = join(work, 'ca.crt');
  writeFileSync(ca, pair.ca);
  const directory = (id, lines) => `
- type: ldap
  id: ${id}
  name: ${id}
  config:
${lines.map((line) => `    ${line}`).join('\n')}
    bindDN: cn=reader,dc=example,dc=org
    bindPW: $READER_SECRET
    usernamePrompt: Your short name
    userSearch: {baseDN: "ou=people,dc=example,dc=org", filter: "(objectClass=inetOrgPerson)", username: uid, idAttr: DN, emailAttr: mail, nameAttr: cn, preferredUsernameAttr: uid}
    groupSearch:
      baseDN: ou=groups,dc=example,dc=org
      filter: (objectClass=groupOfNames)
      userMatchers: [{userAttr: DN, groupAttr: member, recursionGroupAttr: member}]
      nameAttr: cn
  `;
  writeFileSync(join(work, 'config.yaml'), `
issuer: ${base}
storage: {type: memory}
web: {http: 127.0.0.1:${port}}
oauth2: {skipApprovalScreen: true}
staticClients:
- {id: app, name: App, secret: app-secret, redirectURIs: ["${appUrl}/cb", "/cb"]}
connectors:
${directory('ldaps', [`host: 127.0.0.1:${ldap.tls}`, `rootCA: ${ca}`])}
${directory('starttls', [`host: 127.0.0.1:${ldap.plain}`, 'startTLS: true', `rootCAData: ${Buffer.from(pair.ca).toString('base64')}`])}
${directory('plain', [`host: 127.0.0.1:${ldap.plain}`, 'insecureNoSSL: true'])}
${directory('untrusted', [`host: 127.0.0.1:${ldap.tls}`])}
- type: oidc
  id: upstream
  name: Upstream
  groupPrefix: "up:"
  config:
    issuer: ${upstream.url}
    clientID: dex
    clientSecret: $UPSTREAM_SECRET
    redirectURI: ${base}/callback
    rootCAs: [${ca}]
    scopes: [profile, email, groups, offline_access]
    insecureEnableGroups: true
    userNameKey: preferred_username
    getUserInfo: true
`);
  const ready = join(work, 'ready.json');
  const child = spawn(BINARY, ['dex', 'serve', join(work, 'config.yaml')], { env: { PATH: process.env.PATH, DOORWARD_READY_FILE: ready, READER_SECRET: 'reader-secret', UPSTREAM_SECRET: 'upstream-secret-of-the-test' }, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => { output += chunk; });
  await until('dex to serve', async () => {
    if (child.exitCode !== null) assert.fail(`dex ended with ${child.exitCode}:\n${output}`);
    return existsSync(ready);
  }, 30_000);
  dex = {
    output: () => output,
    async stop() {
      child.kill('SIGTERM');
      await once(child, 'close');
    },
  };
});

after(async () => {
  await dex?.stop();
  await upstream?.stop();
  await ldap?.stop();
  app?.close();
  discard(work);
});

/** One request, redirects not followed. */
async function send(url, { method = 'GET', form, headers = {} } = {}) {
  const body = form && new URLSearchParams(form).toString();
  const type = body === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded', 'content-length': Buffer.byteLength(body) };
  const response = await new Promise((resolve, reject) => {
    http.request(url, { method, headers: { ...headers, ...type }, agent: false }, resolve).on('error', reject).end(body);
  });
  const chunks = [];
  for await (const chunk of response) chunks.push(chunk);
  return { status: response.statusCode, headers: response.headers, text: Buffer.concat(chunks).toString() };
}

const SCOPE = 'openid+email+profile+groups+offline_access';
const query = (redirect = '/cb') => `client_id=app&response_type=code&state=x&scope=${SCOPE}&redirect_uri=${encodeURIComponent(redirect)}`;
const claimsOf = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString());

async function token(form) {
  const answer = await send(`${base}/token`, { method: 'POST', form: { client_id: 'app', client_secret: 'app-secret', ...form } });
  return { status: answer.status, ...JSON.parse(answer.text) };
}

const redeem = (code, redirect) => token({ grant_type: 'authorization_code', code, redirect_uri: redirect });

describe('ldap, against slapd', () => {
  async function signIn(connector, login, password) {
    const begun = await send(`${base}/auth/${connector}?${query()}`);
    assert.equal(begun.status, 302, begun.text);
    return send(new URL(begun.headers.location, base), { method: 'POST', form: { login, password } });
  }

  const GROUPS = ['above', 'circle', ...Array.from({ length: 12 }, (_, at) => `group${at}`)].sort();

  for (const connector of ['ldaps', 'starttls', 'plain']) {
    it(`signs in over ${connector}, with groups above groups, page by page`, async () => {
      const seen = await signIn(connector, 'jane', 'jane-secret');
      assert.equal(seen.status, 303, seen.text + dex.output());
      const tokens = await redeem(new URL(seen.headers.location, base).searchParams.get('code'), '/cb');
      const claims = claimsOf(tokens.id_token);
      const user = Buffer.from('cn=jane,ou=people,dc=example,dc=org');
      const sub = Buffer.concat([Buffer.from([0x0a, user.length]), user, Buffer.from([0x12, connector.length]), Buffer.from(connector)]).toString('base64url');
      assert.deepEqual([claims.sub, claims.email, claims.email_verified, claims.name, claims.preferred_username], [sub, 'jane@example.org', true, 'jane', 'jane']);
      assert.deepEqual(claims.groups, GROUPS);
    });
  }

  it('asks for what the settings call it, and refuses the rest', async () => {
    const begun = await send(`${base}/auth/ldaps?${query()}`);
    const form = await send(new URL(begun.headers.location, base));
    assert.match(form.text, /<label for="login">Your short name<\/label>/);
    for (const [login, password] of [['jane', 'wrong'], ['jane', ''], ['nobody', 'x'], ['*', 'jane-secret'], ['jane)(uid=*', 'jane-secret']]) {
      const seen = await signIn('ldaps', login, password);
      assert.equal(seen.status, 401, `${login} ${password}`);
    }
    const odd = await signIn('ldaps', 'odd (x)*', 'odd (x)*-secret');
    assert.equal(odd.status, 303, odd.text);
  });

  it('believes no directory whose certificate is not trusted', async () => {
    const seen = await signIn('untrusted', 'jane', 'jane-secret');
    assert.equal(seen.status, 502);
    assert.ok(!seen.text.includes('certificate'));
  });

  it('asks the directory again at each refresh, and drops who is gone', async () => {
    const seen = await signIn('plain', 'jane', 'jane-secret');
    let tokens = await redeem(new URL(seen.headers.location, base).searchParams.get('code'), '/cb');
    await ldap.change('dn: cn=jane,ou=people,dc=example,dc=org\nchangetype: modify\nreplace: mail\nmail: doe@example.org\n');
    tokens = await token({ grant_type: 'refresh_token', refresh_token: tokens.refresh_token });
    assert.equal(tokens.status, 200, JSON.stringify(tokens));
    assert.equal(claimsOf(tokens.id_token).email, 'doe@example.org');
    await ldap.change('dn: cn=jane,ou=people,dc=example,dc=org\nchangetype: modrdn\nnewrdn: cn=gone\ndeleteoldrdn: 1\n\ndn: cn=gone,ou=people,dc=example,dc=org\nchangetype: delete\n');
    const refused = await token({ grant_type: 'refresh_token', refresh_token: tokens.refresh_token });
    assert.equal(refused.status, 400);
    assert.equal(refused.error, 'invalid_grant');
  });
});

describe('oidc, against oidc-provider', () => {
  let browser;
  let redirect;
  before(async () => {
    browser = await openBrowser([pair.ca]);
    redirect = `${appUrl}/cb`;
  });
  after(async () => {
    await browser?.close();
  });

  it('lists the ways, goes there and comes back with who it is', async () => {
    const window = await browser.window({ viewport: { width: 320, height: 640 } });
    const page = await window.page();
    await page.goto(`${base}/auth?${query(redirect)}`);
    assert.deepEqual(await violations(page), []);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
    await page.getByRole('link', { name: 'Sign in with Upstream' }).focus();
    await page.keyboard.press('Enter');
    await page.waitForURL(/\/interaction\//);
    await page.fill('[name=login]', 'lee');
    await page.fill('[name=password]', 'x');
    await page.click('[type=submit]');
    // A refresh token is asked for with `prompt=consent`, as `promptType` says.
    await page.getByRole('heading', { name: 'Authorize' }).waitFor();
    await page.click('[type=submit]');
    await page.waitForURL(/\/cb\?/);
    const tokens = await redeem(seen.searchParams.get('code'), redirect);
    assert.equal(tokens.status, 200, JSON.stringify(tokens));
    const claims = claimsOf(tokens.id_token);
    assert.deepEqual([claims.email, claims.name, claims.groups], ['lee@example.com', 'lee', ['up:team', 'up:people']]);
    assert.equal(Buffer.from(claims.sub, 'base64url').toString(), '\n\x03lee\x12\x08upstream');
    const again = await token({ grant_type: 'refresh_token', refresh_token: tokens.refresh_token });
    assert.equal(again.status, 200, JSON.stringify(again) + dex.output());
    assert.equal(claimsOf(again.id_token).sub, claims.sub);
    // The upstream turns its refresh tokens with each use; the next one has to be known.
    const third = await token({ grant_type: 'refresh_token', refresh_token: again.refresh_token });
    assert.equal(third.status, 200, JSON.stringify(third) + dex.output());
    await window.close();
  });

  it('tells neither the browser nor the log a secret', async () => {
    for (const secret of ['upstream-secret-of-the-test', 'reader-secret', 'jane-secret', 'app-secret']) assert.ok(!dex.output().includes(secret), secret);
    const readable = readFileSync(join(work, 'config.yaml'), 'utf8');
    assert.ok(!readable.includes('reader-secret'));
  });
});
