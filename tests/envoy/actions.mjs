// Rewrites, redirects and header edits.

const REWRITE_MATCHES = [
  { uri: { prefix: '/foo' } }, { uri: { prefix: '/foo/' } }, { uri: { prefix: '/' } }, { uri: { exact: '/exact' } }, { uri: { regex: '/r/.*' } }, undefined,
  { uri: { prefix: '/Foo' }, ignoreUriCase: true }, { uri: { prefix: '/jupyter/' } }, { uri: { prefix: '/a/b' } }, { method: { exact: 'GET' } },
];
const REWRITES = [
  { uri: '/' }, { uri: '/bar' }, { uri: '/bar/' }, { uri: '/jupyter/' }, { uri: '/a/b' }, { uri: '/foo' }, { authority: 'other.example' }, { uri: '/x', authority: 'other.example:8080' },
  { uriRegexRewrite: { match: '/foo/(.*)', rewrite: '/\\1' } }, { uriRegexRewrite: { match: '[0-9]+', rewrite: 'N' } }, { uriRegexRewrite: { match: '^/([^/]+)/([^/]+)', rewrite: '/\\2/\\1' } },
  { uriRegexRewrite: { match: 'x', rewrite: '\\0\\0' } }, { uriRegexRewrite: { match: '/+', rewrite: '/' } }, { uriRegexRewrite: { match: 'o*', rewrite: '0' } }, { uri: '/q?fixed=1' },
];

/** An `http` entry that rewrites. */
export function rewrites(dice, forward) {
  const match = dice.one(REWRITE_MATCHES);
  return { ...match && { match: [match] }, rewrite: dice.one(REWRITES), ...forward };
}

/** An `http` entry that redirects or answers. */
export function redirects(dice) {
  const match = dice.one([undefined, { uri: { prefix: '/old' } }, { uri: { exact: '/logout' } }, { uri: { prefix: '/' } }, { uri: { regex: '/r/.*' } }]);
  const found = match ? { match: [match] } : {};
  if (dice.chance(0.15)) return { ...found, directResponse: dice.one([{ status: 200, body: { string: 'here' } }, { status: 503 }, { status: 404, body: { string: 'gone' } }, { status: 200, body: { bytes: 'aGVyZQ==' } }]) };
  const redirect = {};
  if (dice.chance(0.5)) redirect.uri = dice.one(['/new', '/new/path', '/new?x=y', '/', '/new#part']);
  if (dice.chance(0.4)) redirect.authority = dice.one(['new.example', 'new.example:8443']);
  if (dice.chance(0.4)) redirect.scheme = dice.one(['http', 'https']);
  if (dice.chance(0.3)) redirect.port = dice.one([80, 443, 8080]);
  else if (dice.chance(0.3)) redirect.derivePort = dice.one(['FROM_PROTOCOL_DEFAULT', 'FROM_REQUEST_PORT']);
  if (!redirect.uri && !redirect.authority && !redirect.scheme && !redirect.port) redirect.uri = '/only';
  if (dice.chance(0.6)) redirect.redirectCode = dice.one([301, 302, 303, 307, 308]);
  return { ...found, redirect };
}

/** `headers` of an entry or a destination. */
export function headerEdits(dice) {
  const names = ['x-a', 'x-b', 'x-new', 'X-Upper', 'x-mixed-case'];
  const map = (list) => Object.fromEntries(list.filter(() => dice.chance(0.35)).map((name) => [name, dice.one(['set', 'a, b', '100%%', 'with space'])]));
  const request = { set: map(names), add: map(names), remove: names.filter(() => dice.chance(0.2)) };
  if (dice.chance(0.2)) request.set[dice.one(['host', 'Host', ':authority'])] = dice.one(['set.example', 'set.example:99']);
  if (dice.chance(0.1)) request.remove.push('host');
  if (dice.chance(0.1)) request.set[':path'] = '/dropped';
  const response = { set: map(['x-first', 'x-third']), add: map(['x-first', 'x-second', 'x-third']), remove: ['x-first', 'x-second'].filter(() => dice.chance(0.25)) };
  return dice.chance(0.5) ? { request, response } : dice.one([{ request }, { response }]);
}
