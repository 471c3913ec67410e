// Conditions of a match, and requests that meet them, or all but one.

const METHODS = ['GET', 'GET', 'GET', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'HEAD'];
const HEADERS = ['x-a', 'x-b', 'x-c'];
const VALUES = ['one', 'One', 'two', 'one,two', 'onetwo', 'o', '1', '12'];
const PARAMETERS = ['q', 'page', 'Q'];

const PREFIXES = ['/', '/a', '/a/', '/app', '/App', '/app/', '/dex', '/a/b', '/api/v1', '/v1/models/x', '', '/x%20y', '/a.b'];
const EXACTS = ['/', '/a', '/a/', '/app', '/A/b', '/api/v1/', '/a/b/c', '/x%20y', '/a;b=c'];

/** Each with paths that it takes and paths that it does not. */
const PATH_REGEXES = [
  ['.*', ['/', '/anything']],
  ['/a.*', ['/a', '/app/x', '/A']],
  ['/a', ['/a', '/a/', '/ab']],
  ['^/v[12]/x$', ['/v1/x', '/v2/x', '/v3/x', '/v1/x/y', '/z/v1/x']],
  ['/(foo|bar)/[0-9]+', ['/foo/12', '/bar/0', '/foo/', '/foo/12/x']],
  ['^/v1/models/[\\w-]+:explain$', ['/v1/models/a-b_c:explain', '/v1/models/a.b:explain', '/v1/models/\xc3\xa9:explain']],
  ['/\\w+/\\d+', ['/abc/12', '/a-c/12', '/\xc3\xa9/1', '/abc/\xd9\xa1']],
  ['(?i)/upper', ['/UPPER', '/upper', '/Upper/']],
  ['/a\\.b', ['/a.b', '/axb']],
  ['/a.b', ['/a.b', '/axb', '/a\xc3\xa9b', '/ab']],
  ['/[^/]+/b', ['/a/b', '//b', '/a/c/b']],
  ['(/a|/b)?/c', ['/c', '/a/c', '/d/c']],
  ['/x{2,3}', ['/xx', '/xxx', '/xxxx']],
  ['/\\S+', ['/a', '/']],
  ['/a\\b.*', ['/a', '/a/b', '/ab', '/a\xc3\xa9']],
  ['/[[:alpha:]]+', ['/abc', '/ab1', '/\xc3\xa9']],
  ['/[a&&b]+', ['/a&b', '/ab', '/c']],
  ['/\\Qa.b\\E', ['/a.b', '/axb']],
  ['/[a[]x', ['/[x', '/ax', '/bx']],
  ['/a{,2}', ['/a{,2}', '/aa']],
  ['/a|/b', ['/a', '/b', '/ab', '/a/b']],
];
const VALUE_REGEXES = [['one.*', ['one', 'onetwo', 'One']], ['[a-z]+', ['one', 'One', '']], ['.*', ['', 'x']], ['on', ['one', 'on']], ['one|two', ['one', 'two', 'onetwo']], ['(?i)ONE', ['one']], ['\\d+', ['12', '1x']]];

/** A `StringMatch` over a value. */
function textMatch(dice, values) {
  return dice.one([
    () => ({ exact: dice.one(values) }),
    () => ({ prefix: dice.one(values).slice(0, dice.one([1, 2, 3])) }),
    () => ({ regex: dice.one(VALUE_REGEXES)[0] }),
  ])();
}

function uriMatch(dice) {
  return dice.one([
    () => ({ exact: dice.one(EXACTS) }),
    () => ({ prefix: dice.one(PREFIXES) }),
    () => ({ prefix: dice.one(PREFIXES) }),
    () => ({ regex: dice.one(PATH_REGEXES)[0] }),
  ])();
}

/** One match object with one to four conditions. */
export function matches(dice) {
  const match = {};
  if (dice.chance(0.75)) match.uri = uriMatch(dice);
  if (match.uri && dice.chance(0.25)) match.ignoreUriCase = true;
  if (dice.chance(0.25)) match.method = dice.one([{ exact: 'GET' }, { exact: 'POST' }, { prefix: 'P' }, { regex: 'GET|HEAD' }, { exact: 'get' }]);
  if (dice.chance(0.2)) match.authority = dice.one([{ prefix: 'g' }, { regex: '[a-z0-9]+\\.test' }, { regex: '[a-z0-9.]+(:\\d+)?' }, { exact: 'G' }, { prefix: 'G' }]);
  if (dice.chance(0.1)) match.scheme = dice.one([{ exact: 'http' }, { exact: 'https' }, { prefix: 'http' }]);
  if (dice.chance(0.35)) match.headers = conditions(dice);
  if (dice.chance(0.25)) match.withoutHeaders = conditions(dice);
  if (dice.chance(0.3)) match.queryParams = { [dice.one(PARAMETERS)]: dice.one([{ exact: '' }, { exact: '1' }, { prefix: 'a' }, { regex: '\\d+' }, { regex: '.*' }, {}, { regex: '*' }, { exact: 'a b' }, { exact: 'a%20b' }]) };
  if (dice.chance(0.1)) match.port = dice.one([80, 443]);
  return match;
}

function conditions(dice) {
  const names = HEADERS.filter(() => dice.chance(0.5));
  return Object.fromEntries(names.map((name) => [name, dice.one([{}, { regex: '*' }, textMatch(dice, VALUES), textMatch(dice, VALUES), { exact: '' }, { regex: '.*' }])]));
}

/** A request that meets one of the matches of `services`, as far as it goes; now and then it misses something. */
export function requestFor(dice, services, host) {
  const all = services.flatMap((service) => service.spec.http).flatMap((entry) => entry.match ?? [{}]);
  const match = dice.one(all);
  const request = { method: method(dice, match), target: path(dice, match), host: dice.one([host, host, host, `${host}:80`, host.toUpperCase()]), headers: [], secure: dice.chance(0.15) };
  if (match.scheme && dice.chance(0.7)) request.secure = match.scheme.exact === 'https';
  for (const [name, value] of Object.entries(match.headers ?? {})) if (dice.chance(0.85)) request.headers.push(...headerValues(dice, name, value));
  for (const name of HEADERS) if (dice.chance(0.12)) request.headers.push([name, dice.one(VALUES)]);
  for (const [name, value] of Object.entries(match.withoutHeaders ?? {})) if (dice.chance(0.2)) request.headers.push(...headerValues(dice, name, value));
  request.target += query(dice, match);
  if (['POST', 'PUT', 'PATCH'].includes(request.method)) request.body = `with ${request.method}`;
  return request;
}

const method = (dice, { method: wanted }) => (wanted && dice.chance(0.7) ? dice.one(wanted.exact === 'GET' ? ['GET'] : ['POST', 'PUT', 'GET', 'HEAD']) : dice.one(METHODS));

function path(dice, { uri, ignoreUriCase }) {
  if (!uri) return dice.one(['/', '/a', '/anything/else']);
  let found;
  if (uri.regex !== undefined) found = dice.one(PATH_REGEXES.find(([regex]) => regex === uri.regex)?.[1] ?? ['/', '/a', '/a/b/c', '/aXbX/v12/x']);
  else if (uri.exact !== undefined) found = uri.exact + dice.one(['', '', '', '/', 'x']);
  else found = uri.prefix + dice.one(['', '', '/', 'x', '/x/y', '../b', '/../b', '//x', '%2e', ';a=b']);
  if (!found.startsWith('/')) found = `/${found}`;
  if (dice.chance(ignoreUriCase ? 0.5 : 0.1)) found = found.toUpperCase();
  return found;
}

function headerValues(dice, name, value) {
  if (value.regex !== undefined && value.regex !== '*') return [[name, dice.one(VALUE_REGEXES.find(([regex]) => regex === value.regex)?.[1] ?? ['one'])]];
  const text = value.exact ?? (value.prefix === undefined ? dice.one(['one', '', 'two']) : `${value.prefix}x`);
  if (dice.chance(0.15)) return [[name, text], [name, dice.one(VALUES)]];
  return [[name, dice.chance(0.1) ? text.toUpperCase() : text]];
}

function query(dice, { queryParams }) {
  const pairs = Object.entries(queryParams ?? {}).filter(() => dice.chance(0.85)).map(([name, value]) => {
    const text = value.exact ?? value.prefix ?? dice.one(['12', 'x', '']);
    return dice.one([`${name}=${encodeURIComponent(text)}`, `${name}=${encodeURIComponent(text)}`, name, `${name}=${encodeURIComponent(text)}x`, `x=0&${name}=${encodeURIComponent(text)}&${name}=other`]);
  });
  if (dice.chance(0.15)) pairs.push('z=1');
  return pairs.length || dice.chance(0.05) ? `?${pairs.join('&')}` : '';
}
