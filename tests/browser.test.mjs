// Real Chromium at the door of a stock Kubeflow, and at the demo.
//
// DOORWARD_SCREENSHOTS=docs/images also keeps pictures of the pages.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { openBrowser, violations } from './browser.mjs';
import { STOCK_PASSWORD, discard, fixture, openDoor } from './door.mjs';
import { startUpstream } from './upstream.mjs';

const USER = 'user@example.com';
const PICTURES = process.env.DOORWARD_SCREENSHOTS && resolve(process.env.DOORWARD_SCREENSHOTS);

let upstream;
let stock;
let demo;
let browser;

before(async () => {
  upstream = await startUpstream();
  // Pictures show the address that the documentation names.
  stock = await openDoor({ manifests: fixture('kubeflow-26.03'), upstream: upstream.port, https: PICTURES ? 8443 : 0 });
  demo = await openDoor();
  browser = await openBrowser([stock.ca, demo.ca]);
});
after(async () => {
  await browser?.close();
  await stock?.close();
  await demo?.close();
  await upstream?.stop();
  discard(stock?.state, demo?.state);
});

const demoUser = () => ({
  user: /user\s+(\S+@\S+)/i.exec(demo.output())[1],
  password: /password\s+([^\s()]{8,})\s+\(/i.exec(demo.output())[1],
});

/** Clicks on the sign-in page and fills in the form that follows. */
async function signIn(page, { user = USER, password = STOCK_PASSWORD } = {}) {
  await page.click('main button');
  await page.fill('#login', user);
  await page.fill('#password', password);
  await page.click('#submit-login');
}

const seenBy = async (page) => JSON.parse(await page.locator('body').innerText());

async function picture(page, name) {
  if (!PICTURES) return;
  mkdirSync(PICTURES, { recursive: true });
  await page.screenshot({ path: join(PICTURES, `${name}.png`) });
}

describe('a person with a browser', () => {
  it('comes back to the deep link after signing in, known to the application, and can sign out', async () => {
    const window = await browser.window({ viewport: { width: 1100, height: 760 }, deviceScaleFactor: 2 });
    const page = await window.page();
    const refused = await page.goto(`${stock.url}/pipeline/?x=1&y=2#frag`);
    assert.equal(refused.status(), 403);
    assert.equal(await page.locator('h1').count(), 1);
    await picture(page, 'sign-in');
    await page.click('main button');
    await page.waitForSelector('#login');
    assert.equal(new URL(page.url()).origin, stock.url);
    assert.match(new URL(page.url()).pathname, /^\/dex\/auth\/local\/login$/);
    await picture(page, 'password');
    await page.fill('#login', USER);
    await page.fill('#password', STOCK_PASSWORD);
    await page.click('#submit-login');
    await page.waitForURL(`${stock.url}/pipeline/?x=1&y=2**`);
    const seen = await seenBy(page);
    assert.equal(seen.url, '/pipeline/?x=1&y=2');
    assert.equal(seen.headers['kubeflow-userid'], USER);

    // The next page needs no signing in.
    await page.goto(`${stock.url}/jupyter/notebooks`);
    assert.equal((await seenBy(page)).headers['kubeflow-userid'], USER);

    await page.goto(`${stock.url}/oauth2/sign_out`);
    assert.equal(page.url(), `${stock.url}/`);
    assert.equal(await page.locator('form[action="/oauth2/start"]').count(), 1);
    assert.equal((await page.goto(`${stock.url}/jupyter/notebooks`)).status(), 403);
    assert.deepEqual(window.complaints, []);
    assert.deepEqual([...window.hosts], [stock.host]);
    await window.close();
  });

  it('is told when the password is wrong, and may try again', async () => {
    const window = await browser.window();
    const page = await window.page();
    await page.goto(`${stock.url}/jupyter/again`);
    await signIn(page, { password: 'not the password' });
    await page.waitForSelector('#login-error');
    assert.ok(await page.locator('#login-error').isVisible());
    assert.equal(await page.inputValue('#login'), USER, 'the name need not be typed again');
    assert.equal(await page.inputValue('#password'), '');
    assert.ok(!(await page.content()).includes('not the password'));
    await page.fill('#password', STOCK_PASSWORD);
    await page.click('#submit-login');
    await page.waitForURL(`${stock.url}/jupyter/again`);
    assert.deepEqual(window.complaints, []);
    await window.close();
  });

  it('needs no script', async () => {
    const window = await browser.window({ javaScriptEnabled: false });
    const page = await window.page();
    await page.goto(`${stock.url}/volumes/no-script?a=b`);
    await signIn(page);
    await page.waitForURL(`${stock.url}/volumes/no-script?a=b`);
    await page.goto(`${stock.url}/oauth2/sign_out`);
    assert.equal((await page.goto(`${stock.url}/volumes/`)).status(), 403);
    await window.close();
  });

  it('needs no mouse', async () => {
    const window = await browser.window();
    const page = await window.page();
    await page.goto(`${stock.url}/volumes/keyboard`);
    const tabTo = async (selector) => {
      for (let presses = 0; presses < 10; presses += 1) {
        if (await page.evaluate((wanted) => document.activeElement?.matches(wanted), selector)) {
          const outline = await page.evaluate(() => {
            const style = getComputedStyle(document.activeElement);
            return { width: parseFloat(style.outlineWidth), style: style.outlineStyle };
          });
          assert.ok(outline.width >= 2 && outline.style !== 'none', `${selector} shows no focus`);
          return;
        }
        await page.keyboard.press('Tab');
      }
      assert.fail(`${selector} cannot be reached with Tab`);
    };
    await tabTo('main button');
    await page.keyboard.press('Enter');
    await page.waitForSelector('#login');
    await tabTo('#login');
    await page.keyboard.type(USER);
    await page.keyboard.press('Tab');
    await tabTo('#password');
    await page.keyboard.type(STOCK_PASSWORD);
    await page.keyboard.press('Tab');
    await tabTo('#submit-login');
    await page.keyboard.press('Enter');
    await page.waitForURL(`${stock.url}/volumes/keyboard`);
    await window.close();
  });

  it('with ten tabs opened at once ends in each where it wanted', async () => {
    const window = await browser.window();
    const wanted = Array.from({ length: 10 }, (_, tab) => `${stock.url}/jupyter/tab/${tab}?n=${tab}`);
    const pages = await Promise.all(wanted.map(() => window.page()));
    await Promise.all(pages.map((page, tab) => page.goto(wanted[tab])));
    await Promise.all(pages.map(async (page) => {
      await page.click('main button');
      await page.waitForSelector('#login');
    }));
    await Promise.all(pages.map(async (page, tab) => {
      await page.fill('#login', USER);
      await page.fill('#password', STOCK_PASSWORD);
      await page.click('#submit-login');
      await page.waitForURL(wanted[tab]);
    }));
    for (const [tab, page] of pages.entries()) assert.equal((await seenBy(page)).url, `/tab/${tab}?n=${tab}`);
    // Those that the applications' paths see: the provider has one of its own.
    const cookies = await window.context.cookies(stock.url);
    assert.equal(cookies.length, 1, cookies.map((cookie) => cookie.name).join(' '));
    assert.ok(cookies[0].httpOnly && cookies[0].secure);
    assert.equal(cookies[0].sameSite, 'Lax');
    await window.close();
  });

  it('going back after signing in does not end in an error', async () => {
    const window = await browser.window();
    const page = await window.page();
    await page.goto(`${stock.url}/volumes/back`);
    await signIn(page);
    await page.waitForURL(`${stock.url}/volumes/back`);
    const back = await page.goBack();
    assert.ok(!back || back.status() < 500);
    await page.goto(`${stock.url}/volumes/back`);
    assert.equal((await seenBy(page)).headers['kubeflow-userid'], USER);
    await window.close();
  });
});

/** How to reach each page that doorward itself shows, in a fresh window. */
const PAGES = {
  'the sign-in page': async (page) => { await page.goto(`${stock.url}/pipeline/?x=1`); },
  'the form': async (page) => {
    await page.goto(`${stock.url}/oauth2/start?rd=/`);
    await page.waitForSelector('#login');
  },
  'the form after a wrong password': async (page) => {
    await page.goto(`${stock.url}/oauth2/start?rd=/`);
    await page.fill('#login', USER);
    await page.fill('#password', 'wrong');
    await page.click('#submit-login');
    await page.waitForSelector('#login-error');
  },
  'a refused callback': async (page) => { await page.goto(`${stock.url}/oauth2/callback?code=x&state=y`); },
  'an issuer that does not know the client': async (page) => { await page.goto(`${stock.url}/dex/auth?client_id=nobody&redirect_uri=/x&response_type=code&scope=openid`); },
  'a refusal': async (page) => {
    await page.goto(`${stock.url}/`);
    await signIn(page);
    await page.waitForURL(`${stock.url}/`);
    await page.goto(`${stock.url}/ml_metadata/x`);
  },
  'an application that is not there': async (page) => {
    await page.goto(`${stock.url}/pipeline/hang-up`);
    await signIn(page);
    await page.waitForURL(`${stock.url}/pipeline/hang-up`);
  },
  'the demo\'s application': async (page) => {
    await page.goto(`${demo.url}/`);
    await signIn(page, demoUser());
    await page.waitForURL(`${demo.url}/`);
  },
};

describe('every page', () => {
  for (const [what, reach] of Object.entries(PAGES)) {
    it(`is for everybody and light: ${what}`, async () => {
      for (const [form, options] of Object.entries({
        light: { colorScheme: 'light', viewport: { width: 1000, height: 700 } },
        dark: { colorScheme: 'dark', viewport: { width: 1000, height: 700 } },
        'narrow, light': { colorScheme: 'light', viewport: { width: 320, height: 640 } },
        'narrow, dark, no motion': { colorScheme: 'dark', reducedMotion: 'reduce', viewport: { width: 320, height: 640 } },
      })) {
        const window = await browser.window(options);
        const page = await window.page();
        await reach(page);
        assert.deepEqual(await violations(page), [], form);
        assert.equal(await page.locator('html').getAttribute('lang'), 'en');
        assert.equal(await page.locator('main').count(), 1);
        assert.ok((await page.title()).length > 0);
        const { width, wanted } = await page.evaluate(() => ({ width: document.documentElement.scrollWidth, wanted: innerWidth }));
        assert.ok(width <= wanted, `${form}: ${width} px wide in a window of ${wanted}`);
        const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
        const [red] = ground.match(/\d+/g).map(Number);
        assert.equal(red > 128, options.colorScheme === 'light', `${form}: ${ground}`);
        assert.deepEqual(window.complaints, [], form);
        assert.ok([...window.hosts].every((host) => host === stock.host || host === demo.host), [...window.hosts].join(' '));
        const weight = await window.weigh(async () => {
          await page.reload();
          await page.waitForLoadState('networkidle');
        });
        assert.ok(weight > 0 && weight < 30_000, `${weight} bytes`);
        await window.close();
      }
    });
  }

  it('forbids scripts, frames and other hosts', async () => {
    const window = await browser.window();
    const page = await window.page();
    for (const path of ['/', '/oauth2/start?rd=/', '/oauth2/callback?code=x&state=y', '/dex/auth?client_id=nobody']) {
      const answer = await page.goto(stock.url + path);
      const policy = answer.headers()['content-security-policy'] ?? '';
      assert.match(policy, /default-src 'none'/, path);
      assert.match(policy, /frame-ancestors 'none'/, path);
      assert.doesNotMatch(policy, /unsafe/, path);
      assert.equal(answer.headers()['x-content-type-options'], 'nosniff', path);
      assert.equal(await page.locator('script, [style], style, iframe').count(), 0, path);
    }
    await window.close();
  });
});

describe('the demo', () => {
  it('shows who one is and what an application is told, on a page that reads well', async () => {
    const window = await browser.window({ viewport: { width: 1100, height: 900 }, deviceScaleFactor: 2 });
    const page = await window.page();
    await page.goto(`${demo.url}/`);
    await signIn(page, demoUser());
    await page.waitForURL(`${demo.url}/`);
    const text = await page.locator('main').innerText();
    assert.ok(text.includes(demoUser().user));
    assert.match(text, /kubeflow-userid/);
    await picture(page, 'whoami');
    await window.close();
  });
});

describe('pictures', { skip: PICTURES ? false : 'only with DOORWARD_SCREENSHOTS' }, () => {
  it('of the pages on a phone, in the dark, and of an application that is not there', async () => {
    const phone = await browser.window({ viewport: { width: 390, height: 780 }, deviceScaleFactor: 2, colorScheme: 'dark', isMobile: true, hasTouch: true });
    const small = await phone.page();
    await small.goto(`${stock.url}/oauth2/start?rd=/`);
    await picture(small, 'password-phone-dark');
    await phone.close();

    const lonely = await openDoor({ manifests: fixture('kubeflow-26.03'), state: stock.state + '-lonely' });
    const other = await openBrowser([lonely.ca]);
    const window = await other.window({ viewport: { width: 1100, height: 760 }, deviceScaleFactor: 2 });
    const page = await window.page();
    await page.goto(`${lonely.url}/jupyter/`);
    await signIn(page);
    await page.waitForURL(`${lonely.url}/jupyter/`);
    assert.match(await page.locator('main').innerText(), /jupyter-web-app-service\.kubeflow/);
    await picture(page, 'application-missing');
    await other.close();
    await lonely.close();
    discard(lonely.state);
  });
});
