// Several processes on one session store: whoever signs in at one is in at all, and what ends at one ends at all.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { discard, fixture, openDoor, run, scratch, until } from './door.mjs';
import { CookieJar } from './jar.mjs';
import { startRedis } from './redis.mjs';
import { startUpstream } from './upstream.mjs';
import { Visitor } from './visitor.mjs';

const TREE = fixture('kubeflow-26.03');
const adminUrl = (door) => `http://127.0.0.1:${door.adminPort}`;

let upstream;
before(async () => {
  try {
    execFileSync('redis-server', ['--version']);
  } catch {
    assert.fail('redis-server is not installed: run tests/install-peers.sh');
  }
  upstream = await startUpstream();
});
after(() => upstream?.stop());

describe('two processes on one Redis', () => {
  let redis;
  let here;
  let there;
  let secrets;

  before(async () => {
    redis = await startRedis();
    secrets = scratch();
    const secret = join(secrets, 'secret');
    writeFileSync(secret, `${'s3cret-'.repeat(8)}\n`, { mode: 0o600 });
    const args = ['--sessions', redis.url, '--session-secret-file', secret];
    here = await openDoor({ manifests: TREE, upstream: upstream.port, args });
    there = await openDoor({ manifests: TREE, upstream: upstream.port, args });
  });
  after(async () => {
    await here?.close();
    await there?.close();
    await redis?.stop();
    discard(secrets, here?.state, there?.state);
  });

  /** Somebody who is signed in at `here`, and the same browser at `there`. */
  async function member() {
    const one = new Visitor(here);
    await one.signIn();
    const other = new Visitor(there);
    other.cookies = one.cookies;
    return { one, other, close: () => { one.close(); other.close(); } };
  }
  const isIn = async (visitor) => (await visitor.visit('/jupyter/x')).status === 200;

  it('knows at each who signed in at one, and ends at all what one ends', async () => {
    const { one, other, close } = await member();
    assert.ok(await isIn(one));
    assert.ok(await isIn(other));
    await one.visit('/oauth2/sign_out');
    one.cookies = new CookieJar(other.cookies);
    const began = performance.now();
    await until('the end at the other', async () => !(await isIn(other)));
    assert.ok(performance.now() - began < 1000);
    close();
  });

  it('is administered at any of them', async () => {
    const { one, other, close } = await member();
    assert.ok(await isIn(one));
    assert.ok(await isIn(other));
    const at = (door) => ['--admin', adminUrl(door)];
    const listed = JSON.parse((await run('session', 'list', '--format', 'json', ...at(there))).stdout);
    assert.equal(listed.sessions.length, 1);
    const [{ id, user }] = listed.sessions;
    assert.equal(user, 'user@example.com');
    const cookie = [...one.cookies.values()].find((value) => value.length === 64);
    assert.ok(cookie && !JSON.stringify(listed).includes(cookie));
    const table = await run('session', 'list', '--user', 'USER@example.com', ...at(here));
    assert.match(table.stdout, new RegExp(`^${id} +user@example.com `, 'm'));
    const none = await run('session', 'end', '0123456789abcdef', ...at(there));
    assert.equal(none.code, 1);
    assert.match(none.stderr, /there is no session `0123456789abcdef`\nhelp: /);
    const ended = await run('session', 'end', id, ...at(there));
    assert.deepEqual([ended.code, ended.stdout], [0, '1 session ended\n']);
    for (const visitor of [one, other]) await until('the end', async () => !(await isIn(visitor)), 1000);
    // A page in a browser is no administrator.
    for (const headers of [{ origin: 'https://evil.example' }, { 'sec-fetch-site': 'cross-site' }]) {
      const answer = await fetch(`${adminUrl(here)}/sessions?all=true`, { method: 'DELETE', headers }).catch(() => undefined);
      if (headers.origin) assert.equal(answer?.status, 403);
    }
    for (const wrong of ['/sessions', '/sessions?user=', '/sessions?users=x', '/sessions?all=yes']) {
      assert.equal((await fetch(adminUrl(here) + wrong, { method: 'DELETE' })).status, 400, wrong);
    }
    assert.equal((await run('session', 'end', ...at(here))).code, 2);
    close();
  });

  it('loses nobody when Redis is killed under requests, and says what is wrong meanwhile', async () => {
    const { one, other, close } = await member();
    assert.ok(await isIn(one));
    assert.ok(await isIn(other));
    let over = false;
    const wrong = [];
    let asked = 0;
    const load = [one, other].map(async (visitor) => {
      while (!over) {
        const { status } = await visitor.visit('/jupyter/x');
        asked += 1;
        if (status !== 200) wrong.push(status);
      }
    });
    const alarm = async (door) => JSON.parse((await door.admin('/readyz')).text).sessions;
    for (let round = 0; round < 2; round += 1) {
      await redis.kill();
      await until('the alarm', () => alarm(here));
      await until('the alarm', () => alarm(there));
      assert.match(await alarm(here), /^the session store has not answered for \d+ seconds/);
      assert.match((await here.admin('/metrics')).text, /^doorward_session_store_up 0$/m);
      await redis.start();
      await until('no alarm', async () => !(await alarm(here)) && !(await alarm(there)));
    }
    over = true;
    await Promise.all(load);
    assert.ok(asked > 20, `${asked}`);
    assert.deepEqual(wrong, []);
    const fresh = await member();
    assert.ok(await isIn(fresh.other));
    fresh.close();
    close();
  });
});

describe('sessions in the state directory', () => {
  it('are listed and ended beside the process that has them', async () => {
    const door = await openDoor({ manifests: TREE, upstream: upstream.port });
    const visitor = new Visitor(door);
    await visitor.signIn();
    assert.equal((await visitor.visit('/jupyter/x')).status, 200);
    const listed = await run('session', 'list', '--state', door.state);
    assert.match(listed.stdout, /user@example\.com/);
    const ended = await run('session', 'end', '--user', 'user@example.com', '--state', door.state);
    assert.equal(ended.stdout, '1 session ended\n');
    await until('the end', async () => (await visitor.visit('/jupyter/x')).status !== 200, 1000);
    const empty = await run('session', 'list', '--state', door.state);
    assert.equal(empty.stdout, 'nobody is signed in\n');
    visitor.close();
    await door.close();
    discard(door.state);
  });

  it('are not made by looking for them', async () => {
    const state = scratch();
    const answer = await run('session', 'list', '--state', state);
    assert.equal(answer.code, 1);
    assert.match(answer.stderr, /does not exist\nhelp: /);
    discard(state);
  });
});

it('is told what is wrong with its settings, without a password', async () => {
  for (const [args, words] of [
    [['--sessions', 'mysql://me:geheim@h'], /begins with none of/],
    [['--sessions', 'redis://:geheim@127.0.0.1:1'], /needs a secret/],
  ]) {
    const state = scratch();
    const { code, stderr } = await run('up', '--state', state, ...args);
    assert.equal(code, 2);
    assert.match(stderr, words);
    assert.ok(!stderr.includes('geheim'));
    discard(state);
  }
});
