// The cookies of a client: values by name, each sent below its own path only, as a browser does.

export class CookieJar extends Map {
  #paths = new Map();

  /** Takes a `Set-Cookie` line. */
  take(line) {
    const [pair, ...attributes] = line.split(';').map((part) => part.trim());
    const [name, value] = [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)];
    const said = (wanted) => attributes.find((text) => text.toLowerCase().startsWith(`${wanted}=`))?.slice(wanted.length + 1);
    const over = /^(0|-\d+)$/.test(said('max-age') ?? '') || Date.parse(said('expires')) <= Date.now();
    if (over) {
      this.delete(name);
      return;
    }
    this.set(name, value);
    this.#paths.set(name, said('path') ?? '/');
  }

  /** Names and values of what is sent to a path. */
  sent(path = '/') {
    const covers = (scope) => scope === '/' || path === scope || path.startsWith(scope.endsWith('/') ? scope : `${scope}/`);
    return [...this].filter(([name]) => covers(this.#paths.get(name) ?? '/'));
  }

  /** The `Cookie` header for a path; empty when there is nothing to send. */
  header(path = '/') {
    return this.sent(path).map((pair) => pair.join('=')).join('; ');
  }
}
