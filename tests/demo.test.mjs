// No arguments: the demo, as somebody meets it who has just built the project.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { discard, openDoor } from './door.mjs';
import { Visitor } from './visitor.mjs';

/** What the first start tells a person. */
function told(door) {
  const text = door.output();
  return {
    url: /https:\/\/\S+/.exec(text)?.[0],
    authority: /(\/\S+\.(?:crt|pem))/.exec(text)?.[1],
    user: /user\s+(\S+@\S+)/i.exec(text)?.[1],
    password: /password\s+([^\s()]{8,})\s+\(/i.exec(text)?.[1],
  };
}

describe('the demo', () => {
  let door;
  const opened = [];
  const open = async (options) => {
    const next = await openDoor(options);
    opened.push(next.opened);
    return next;
  };
  before(async () => { door = await open(); });
  after(async () => {
    await door?.close();
    discard(door?.state);
  });

  it('prints the URL, the authority to trust, the user and a random password', () => {
    const { url, authority, user, password } = told(door);
    assert.equal(url, `${door.url}/`);
    assert.ok(existsSync(authority));
    assert.equal(authority, door.caFile);
    assert.match(user, /^\S+@\S+$/);
    assert.ok(password.length >= 12, password);
  });

  it('needs signing in', async () => {
    const page = await new Visitor(door).visit('/', { headers: { accept: 'text/html' } });
    assert.equal(page.status, 403);
    assert.match(page.text, /\/oauth2\/start/);
  });

  it('shows who one is and which headers an application gets', async () => {
    const { user, password } = told(door);
    const visitor = new Visitor(door);
    const page = await visitor.signIn({ want: '/', user, password });
    assert.equal(page.status, 200);
    assert.match(page.headers['content-type'], /^text\/html/);
    assert.ok(page.text.includes(user));
    assert.match(page.text, /kubeflow-userid/);
    assert.ok(!page.text.includes([...visitor.cookies.values()][0]), 'the page shows no cookie');
    for (const name of ['href', 'src']) {
      for (const [, target] of page.text.matchAll(new RegExp(`${name}="([^"]+)"`, 'g'))) {
        if (target.startsWith('data:')) continue;
        const part = await visitor.visit(target);
        assert.ok(part.status < 400, `${target}: ${part.status}`);
      }
    }
    visitor.close();
  });

  it('prints its password once, and keeps it', async () => {
    const { user, password } = told(door);
    await door.close();
    door = await open({ state: door.state });
    assert.ok(!door.output().includes(password));
    const visitor = new Visitor(door);
    assert.equal((await visitor.signIn({ user, password })).status, 200);
    visitor.close();
  });

  it('another state directory has another password', async () => {
    const other = await open();
    const { user, password } = told(other);
    await assert.doesNotReject(new Visitor(other).signIn({ user, password }));
    const answer = await new Visitor(door).signIn({ user, password });
    assert.equal(answer.status, 401);
    await other.close();
    discard(other.state);
  });

  it('is ready for use soon after it starts', () => {
    // The quickest counts: a machine that does other things as well delays one or the other.
    assert.ok(Math.min(...opened) < 5000, `${opened} ms`);
  });
});
