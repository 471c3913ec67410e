// People of doorward's own: added on the command line while the door is open, asked for a password of their own, kept
// out again.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { openBrowser, violations } from './browser.mjs';
import { BINARY, discard, fixture, openDoor, run, scratch } from './door.mjs';
import { startUpstream } from './upstream.mjs';
import { Visitor } from './visitor.mjs';

const ANNA = 'anna@example.com';
const GOOD = 'correct horse battery';

let upstream;
let door;
let browser;
let files;

before(async () => {
  upstream = await startUpstream();
  door = await openDoor({ manifests: fixture('kubeflow-26.03'), upstream: upstream.port });
  browser = await openBrowser([door.ca]);
  files = scratch();
});
after(async () => {
  await browser?.close();
  await door?.close();
  await upstream?.stop();
  discard(door?.state, files);
});

const user = (...args) => run('user', ...args, '--state', door.state);

/** The same with something on its standard input. */
const userFed = (input, ...args) => new Promise((resolve) => {
  const child = execFile(BINARY, ['user', ...args, '--state', door.state], (error, stdout, stderr) => {
    resolve({ code: error ? error.code : 0, stdout, stderr });
  });
  child.stdin.end(input);
});

async function done(promise) {
  const { code, stdout, stderr } = await promise;
  assert.equal(code, 0, stderr);
  return stdout;
}

async function refused(promise, words) {
  const { code, stderr } = await promise;
  assert.equal(code, 1, stderr);
  assert.match(stderr, words);
  assert.match(stderr, /\nhelp: /);
}

describe('doorward user', () => {
  it('adds somebody with a password for one time, who chooses another in the browser', async () => {
    assert.match(await done(user('list')), /nobody is there/);
    const told = await done(user('add', ANNA, '--name', 'Anna', '--group', 'ml', '--generate'));
    const password = /^password: (\S+)$/m.exec(told)[1];
    const window = await browser.window({ viewport: { width: 320, height: 640 } });
    const page = await window.page();
    await page.goto(`${door.url}/jupyter/notebooks`);
    await page.click('main button');
    await page.fill('#login', ANNA);
    await page.fill('#password', password);
    await page.click('#submit-login');
    await page.waitForSelector('#again');
    assert.deepEqual(await violations(page), []);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 320, `${width}`);
    // By keyboard: the first field has the focus.
    await page.keyboard.type('password1');
    await page.keyboard.press('Tab');
    await page.keyboard.type('password1');
    await page.keyboard.press('Enter');
    await page.waitForSelector('#password-error');
    assert.match(await page.locator('#password-error').innerText(), /easy to guess/);
    assert.deepEqual(await violations(page), []);
    await page.fill('#password', GOOD);
    await page.fill('#again', GOOD);
    await page.click('#submit-password');
    await page.waitForURL(/\/jupyter\/notebooks/);
    const seen = JSON.parse(await page.locator('body').innerText());
    assert.equal(seen.headers['kubeflow-userid'], ANNA);
    await window.close?.();
  });

  it('lists people as a table and as JSON', async () => {
    assert.match(await done(user('list')), /anna@example\.com\s+Anna\s+ml\s+enabled\s+own/);
    const { users } = JSON.parse(await done(user('list', '--format', 'json')));
    assert.equal(users.length, 1);
    assert.deepEqual([users[0].email, users[0].groups, users[0].enabled, users[0].password], [ANNA, ['ml'], true, 'own']);
  });

  it('changes groups, keeps out and lets in again', async () => {
    assert.equal(await done(user('groups', ANNA, '--add', 'ops', '--remove', 'ml')), 'ops\n');
    await done(user('disable', ANNA));
    const out = new Visitor(door);
    const page = await out.signIn({ user: ANNA, password: GOOD });
    assert.equal(page.status, 401);
    assert.match(page.text, /This account is disabled/);
    await done(user('enable', ANNA));
    const back = await new Visitor(door).signIn({ want: '/jupyter/notebooks', user: ANNA, password: GOOD });
    assert.equal(back.status, 200);
    assert.equal(back.json().headers['kubeflow-userid'], ANNA);
  });

  it('takes passwords from the standard input and a file, and hashes of other programs', async () => {
    await done(userFed('another good horse\n', 'passwd', ANNA, '--password-file', '-', '--lasting'));
    const hash = join(files, 'hash');
    // `12341234`, as the stock manifests have it.
    writeFileSync(hash, '$2y$12$4K/VkmDd1q1Orb3xAt82zu8gk7Ad6ReFR4LCP9UeYE90NLiN9Df72\n');
    await done(user('add', 'berg@example.com', '--id', '23', '--hash-file', hash));
    for (const [name, password] of [[ANNA, 'another good horse'], ['berg@example.com', '12341234'], ['berg@example.com', '12341234']]) {
      const page = await new Visitor(door).signIn({ want: '/jupyter/notebooks', user: name, password });
      assert.equal(page.status, 200, name);
    }
  });

  it('refuses what cannot be, and never prints a password', async () => {
    await refused(userFed('password\n', 'passwd', ANNA, '--password-file', '-'), /easy to guess/);
    await refused(user('add', ANNA, '--generate'), /somebody's already/);
    await refused(user('passwd', 'nobody@example.com', '--generate'), /nobody has this e-mail/);
    await refused(user('add', 'nobody', '--generate'), /`nobody`: the e-mail address is none/);
    await refused(user('passwd', ANNA), /no terminal to ask/);
    await refused(user('groups', ANNA, '--add', 'a,b'), /comma/);
    await refused(run('user', 'list', '--state', join(files, 'missing')), /does not exist/);
    const { code } = await user('add', 'x@y', '--generate', '--password-file', '-');
    assert.equal(code, 2);
    assert.ok(!door.output().includes('another good horse') && !door.output().includes(GOOD));
  });

  it('removes somebody for good', async () => {
    await done(user('remove', ANNA));
    const page = await new Visitor(door).signIn({ user: ANNA, password: 'another good horse' });
    assert.equal(page.status, 401);
    assert.match(page.text, /password is wrong/);
    await refused(user('remove', ANNA), /nobody has this e-mail/);
  });

  it('tells how sign-ins ended', async () => {
    const metrics = await fetch(`http://127.0.0.1:${door.adminPort}/metrics`);
    const text = await metrics.text();
    assert.match(text, /doorward_provider_sign_ins_total\{outcome="let_in"\} [1-9]/);
    assert.match(text, /doorward_provider_sign_ins_total\{outcome="disabled"\} 1\n/);
  });
});
