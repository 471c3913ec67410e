// Somebody who visits the door over HTTPS: a client with a cookie jar that checks the certificate against doorward's
// own authority and follows redirects only when asked.

import http from 'node:http';
import https from 'node:https';
import { CookieJar } from './jar.mjs';

const REDIRECTS = new Set([301, 302, 303, 307, 308]);

export class Visitor {
  /** Cookies by name. */
  cookies = new CookieJar();
  #door;
  #agent;

  constructor(door) {
    this.#door = door;
    this.#agent = new https.Agent({ ca: door.ca, keepAlive: true, maxSockets: 64, ...(door.lookup ? { lookup: door.lookup } : {}) });
  }

  /** One request, its answer read whole: `{ status, headers, text, url }`. `path` may be a full URL. */
  async visit(path, options = {}) {
    let url = new URL(path, this.#door.url);
    let { method = 'GET', body } = options;
    for (let hop = 0; ; hop += 1) {
      const response = await this.begin(url, { ...options, method, body });
      const chunks = [];
      for await (const chunk of response) chunks.push(chunk);
      const location = response.headers.location;
      if (options.follow && REDIRECTS.has(response.statusCode) && location) {
        if (hop === 20) throw new Error(`more than 20 redirects, the last one to ${location}`);
        url = new URL(location, url);
        if (response.statusCode !== 307 && response.statusCode !== 308) [method, body] = ['GET', undefined];
        continue;
      }
      const text = Buffer.concat(chunks).toString();
      return { status: response.statusCode, headers: response.headers, text, url, json: () => JSON.parse(text) };
    }
  }

  /** One request, answered as soon as the head of the response is there; the caller reads the stream. */
  async begin(path, { method = 'GET', headers = {}, body, cookies = true } = {}) {
    const url = new URL(path, this.#door.url);
    const jar = this.cookies.header(url.pathname);
    const request = (url.protocol === 'https:' ? https : http).request(url, {
      method,
      agent: url.protocol === 'https:' ? this.#agent : undefined,
      headers: {
        // Node frames the body of a DELETE only when told its length.
        ...(typeof body === 'string' ? { 'content-length': Buffer.byteLength(body) } : {}),
        ...(cookies && jar && url.protocol === 'https:' ? { cookie: jar } : {}),
        ...headers,
      },
    });
    const response = await new Promise((resolve, reject) => {
      request.on('response', resolve);
      request.on('error', reject);
      if (typeof body?.pipe === 'function') body.pipe(request);
      else request.end(body);
    });
    for (const line of response.headers['set-cookie'] ?? []) this.cookies.take(line);
    return response;
  }

  /** Posts form fields. */
  submit(path, fields, options = {}) {
    return this.visit(path, {
      ...options,
      method: 'POST',
      body: new URLSearchParams(fields).toString(),
      headers: { 'content-type': 'application/x-www-form-urlencoded', ...options.headers },
    });
  }

  /**
   * Signs in as script clients of Kubeflow do: start, follow to the issuer's form, post `login` and `password`, keep
   * all cookies. Answers the last response, which is the page that was wanted first.
   */
  async signIn({ want = '/', user = 'user@example.com', password = '12341234' } = {}) {
    const form = await this.visit(`/oauth2/start?rd=${encodeURIComponent(want)}`, { follow: true });
    if (form.status !== 200) throw new Error(`no form at ${form.url.pathname}: ${form.status} ${form.text}`);
    return this.submit(formAction(form), { login: user, password }, { follow: true });
  }

  /** The `Cookie` header that this visitor would send. */
  cookieHeader(path = '/') {
    return this.cookies.header(path);
  }

  close() {
    this.#agent.destroy();
  }
}

/** Where the first form of a page posts to, as a full URL. */
export function formAction(page) {
  const action = /<form[^>]*\saction="([^"]*)"/i.exec(page.text)?.[1] ?? '';
  return new URL(action.replaceAll('&amp;', '&').replaceAll('&#38;', '&').replaceAll('&#x2f;', '/'), page.url);
}
