// Chromium that trusts given authorities the way a person would make it: through the certificate store, so that every
// page load proves the certificate too.

import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { discard, scratch } from './door.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

const ARGUMENTS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
];

/** Starts Chromium; `authorities` are PEM texts that it shall trust. */
export async function openBrowser(authorities) {
  const home = scratch();
  const store = join(home, '.pki', 'nssdb');
  mkdirSync(store, { recursive: true });
  execFileSync('certutil', ['-N', '-d', `sql:${store}`, '--empty-password']);
  for (const [at, pem] of authorities.entries()) {
    const file = join(home, `${at}.pem`);
    writeFileSync(file, pem);
    execFileSync('certutil', ['-A', '-d', `sql:${store}`, '-n', `authority ${at}`, '-t', 'C,,', '-i', file]);
  }
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ARGUMENTS,
    env: { ...process.env, HOME: home, XDG_DATA_HOME: join(home, 'data') },
  });
  return {
    /** A window of its own, with its own cookies; what went wrong in it is in `complaints`. */
    async window(options = {}) {
      const context = await browser.newContext(options);
      const complaints = [];
      const hosts = new Set();
      const bodies = [];
      context.on('request', (request) => {
        if (!request.url().startsWith('data:')) hosts.add(new URL(request.url()).host);
      });
      context.on('response', (response) => {
        // A redirect has no body to ask for.
        bodies.push(response.body().then((body) => body.length, () => 0));
      });
      context.on('console', (message) => {
        if (/content security policy|refused to|blocked by/i.test(message.text())) complaints.push(message.text());
      });
      context.on('weberror', (error) => complaints.push(String(error.error())));
      return {
        context,
        complaints,
        hosts,
        page: () => context.newPage(),
        /** Bytes of everything that `load` made the window fetch. */
        async weigh(load) {
          const before = bodies.length;
          await load();
          const sizes = await Promise.all(bodies.slice(before));
          return sizes.reduce((sum, size) => sum + size, 0);
        },
        close: () => context.close(),
      };
    },
    async close() {
      await browser.close();
      discard(home);
    },
  };
}

/** What axe finds on the page as it is: one line for each rule and element. */
export async function violations(page) {
  await page.evaluate(AXE);
  const { violations: found } = await page.evaluate(() => globalThis.axe.run(document, {
    preload: false,
    runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
  }));
  return found.flatMap((rule) => rule.nodes.map((node) => `${rule.id}: ${node.target.join(' ')}: ${node.failureSummary}`));
}
