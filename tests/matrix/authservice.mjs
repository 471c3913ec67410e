// What an Envoy that asks AuthService's stand-in makes of a request: the results of the check, row by row. The columns are
// those of oauth2-proxy.mjs.
//
// - `who`: nobody, ann (signed in; in the group `staff`), unknown (a cookie that no store knows), header (ann, who shows the
//   value of the session as a bearer), bare (who shows nothing else), and machines with tokens of their own: machine, idtoken
//   (for the client itself), stopped (of the issuer and for an audience, and expired), forged (of another key), stranger
//   (of another issuer).

const TEXT = 'text/plain; charset=utf-8';
const HTML = 'text/html; charset=utf-8';

const TO_ISSUER = { status: 302, location: /^\/dex\/auth\?client_id=kubeflow-oidc-authservice&redirect_uri=/, cookie: /^authservice_session_.{8}_csrf=/ };
const STOPPED = { status: 401, type: TEXT, body: 'Unauthorized\n', location: false };
const ANN = { 'kubeflow-userid': 'user@example.com', 'kubeflow-groups': 'staff', 'auth-method': 'cookie' };
const BY_HEADER = { ...ANN, 'auth-method': 'header' };
/** Names that the mesh does not copy: what a client says of itself stays there, and no application may believe it. */
const UNLISTED = { 'kubeflow-groups': 'root', 'auth-method': 'root' };
const NOBODY = {};

/** Settings, as variables besides those of all. */
export const SETTINGS = {
  // Kubeflow 1.7 and 1.8.
  usual: { AUTHSERVICE_URL_PREFIX: '/authservice/', SKIP_AUTH_URLS: '/dex,/public' },
  // Kubeflow up to 1.6, and the Azure guide.
  old: { REDIRECT_URL: '/login/oidc', SKIP_AUTH_URI: '/dex /public', USERID_TOKEN_HEADER: 'kubeflow-userid-token' },
  groups: { AUTHSERVICE_URL_PREFIX: '/authservice/', GROUPS_ALLOWLIST: 'admins', HOMEPAGE_URL: '/home' },
  other: {
    AUTHSERVICE_URL_PREFIX: '/authservice/', USERID_HEADER: 'x-user', GROUPS_HEADER: 'x-groups', AUTH_METHOD_HEADER: 'x-how', USERID_PREFIX: 'corp:',
    USERID_TRANSFORMERS: '[{"matches": "@example\\\\.com$", "replaces": ""}, {"matches": "user", "replaces": "never"}]', AFTER_LOGOUT_URL: '/gone',
  },
  // Its issuer makes tokens for machines.
  machines: { AUTHSERVICE_URL_PREFIX: '/authservice/', AUDIENCES: 'gateway,other' },
  // Its issuer is not there.
  down: { AUTHSERVICE_URL_PREFIX: '/authservice/', SKIP_AUTH_URLS: '/public' },
};

/** `envoyExtAuthzHttp`: everything; and what Kubeflow's EnvoyFilter said. */
export const LISTS = {
  all: {
    includeRequestHeadersInCheck: ['authorization', 'cookie', 'x-auth-token', 'accept', 'sec-*', 'origin'],
    headersToUpstreamOnAllow: ['kubeflow-*', 'auth-method', 'x-user', 'x-groups', 'x-how'],
  },
  kubeflow: { includeRequestHeadersInCheck: ['authorization', 'cookie', 'x-auth-token'], headersToUpstreamOnAllow: ['kubeflow-userid'], statusOnError: '504' },
};

export const ROWS = [
  // A path that is skipped: leave to pass, and nobody is named.
  { row: 'skipped', at: 'usual', who: 'nobody', ask: 'GET /public', status: 200, app: NOBODY },
  { row: 'skipped', at: 'usual', who: 'nobody', ask: 'POST /public/a?b=c', status: 200, app: NOBODY },
  { row: 'skipped', at: 'usual', who: 'ann', ask: 'GET /public/a', status: 200, app: NOBODY },
  { row: 'skipped', at: 'usual', who: 'nobody', ask: 'GET /authservice/anything', status: 200, app: NOBODY },
  { row: 'skipped', at: 'old', who: 'nobody', ask: 'GET /public/a', lists: 'kubeflow', status: 200, app: NOBODY },
  { row: 'skipped', at: 'down', who: 'nobody', ask: 'GET /public/a', status: 200, app: NOBODY },
  // It is the path or something below it, however it is written.
  { row: 'skipped', at: 'usual', who: 'nobody', ask: 'GET /publicity', ...TO_ISSUER },
  { row: 'skipped', at: 'usual', who: 'nobody', ask: 'GET /public%2F..%2Fa', ...TO_ISSUER },
  { row: 'skipped', at: 'usual', who: 'nobody', ask: 'GET /public%23/a', ...TO_ISSUER },

  // The issuer was not found yet: a failure, which Envoy answers.
  { row: 'not ready', at: 'down', who: 'nobody', ask: 'GET /a', status: 403, body: '', location: false },
  { row: 'not ready', at: 'down', who: 'nobody', ask: 'GET /a', lists: 'kubeflow', status: 504, body: '' },
  { row: 'not ready', at: 'down', who: 'nobody', ask: 'POST /authservice/verify/a', status: 401, type: TEXT },

  // Authenticated, and nothing against it.
  { row: 'allowed', at: 'usual', who: 'ann', ask: 'GET /a?b=%2F', status: 200, cookie: false, app: ANN },
  { row: 'allowed', at: 'usual', who: 'ann', ask: 'DELETE /a', lists: 'kubeflow', status: 200, app: { ...UNLISTED, 'kubeflow-userid': 'user@example.com' } },
  { row: 'allowed', at: 'usual', who: 'header', ask: 'GET /a', status: 200, app: { ...BY_HEADER, authorization: /^Bearer / } },
  { row: 'allowed', at: 'old', who: 'ann', ask: 'GET /a', status: 200, app: { ...ANN, 'kubeflow-userid-token': /^ey/ } },
  { row: 'allowed', at: 'old', who: 'bare', ask: 'GET /a', lists: 'kubeflow', status: 200, app: { ...UNLISTED, 'kubeflow-userid-token': 'root', 'kubeflow-userid': 'user@example.com' } },
  { row: 'allowed', at: 'other', who: 'ann', ask: 'GET /a', status: 200, app: { 'x-user': 'corp:user', 'x-groups': 'staff', 'x-how': 'cookie' } },
  { row: 'allowed', at: 'machines', who: 'machine', ask: 'GET /a', status: 200, app: { 'kubeflow-userid': 'machine@example.com', 'kubeflow-groups': 'robots,arms', 'auth-method': 'header', authorization: /^Bearer ey/ } },
  { row: 'allowed', at: 'machines', who: 'idtoken', ask: 'GET /a', status: 200, app: { 'kubeflow-userid': 'machine@example.com', 'kubeflow-groups': '', 'auth-method': 'header', authorization: /^Bearer ey/ } },

  // Nobody recognised the request: to the issuer, whoever asks and how.
  { row: 'nobody', at: 'usual', who: 'nobody', ask: 'GET /a?b=c', ...TO_ISSUER },
  { row: 'nobody', at: 'usual', who: 'nobody', ask: 'POST /a', ...TO_ISSUER },
  { row: 'nobody', at: 'usual', who: 'nobody', ask: 'GET /a', with: { accept: 'application/json' }, ...TO_ISSUER },
  { row: 'nobody', at: 'usual', who: 'nobody', ask: 'GET /a', lists: 'kubeflow', ...TO_ISSUER },
  { row: 'nobody', at: 'usual', who: 'unknown', ask: 'GET /a', ...TO_ISSUER },
  { row: 'nobody', at: 'old', who: 'nobody', ask: 'GET /', lists: 'kubeflow', ...TO_ISSUER, location: /redirect_uri=%2Flogin%2Foidc&/ },
  { row: 'nobody', at: 'usual', who: 'stranger', ask: 'GET /a', ...TO_ISSUER },

  // A token that is ours, and bad.
  { row: 'stopped', at: 'machines', who: 'stopped', ask: 'GET /a', ...STOPPED },
  { row: 'stopped', at: 'machines', who: 'forged', ask: 'GET /a', ...STOPPED },
  { row: 'stopped', at: 'machines', who: 'forged', ask: 'GET /a', lists: 'kubeflow', ...STOPPED },

  // Paths are cleaned first.
  { row: 'paths', at: 'usual', who: 'nobody', ask: 'GET //a//b?c', status: 301, location: '/a/b?c' },
  { row: 'paths', at: 'usual', who: 'ann', ask: 'GET /public//a', status: 301, location: '/public/a' },

  // Not in a group that is let in: the page, and the session is over.
  { row: 'denied', at: 'groups', who: 'ann', ask: 'GET /a', status: 403, type: HTML, body: /Your account may not enter[^]*href="\/home"/, cookie: /^authservice_session=; .*Max-Age=0/ },
  { row: 'denied', at: 'groups', who: 'ann', ask: 'GET /a', ...TO_ISSUER },

  // Answered within the check: callback, sign-out, and what pages load.
  { row: 'pages', at: 'usual', who: 'nobody', ask: 'GET /authservice/oidc/callback', status: 302, location: '/authservice/site/homepage' },
  { row: 'pages', at: 'usual', who: 'nobody', ask: 'GET /authservice/oidc/callback?code=a', status: 400 },
  { row: 'pages', at: 'usual', who: 'nobody', ask: 'GET /authservice/oidc/callback?code=a&state=b', status: 400 },
  { row: 'pages', at: 'old', who: 'nobody', ask: 'GET /login/oidc?code=a&state=b', lists: 'kubeflow', status: 400 },
  { row: 'pages', at: 'usual', who: 'nobody', ask: 'POST /authservice/logout', status: 401, body: '' },
  { row: 'pages', at: 'usual', who: 'nobody', ask: 'GET /authservice/static/doorward.css', status: 203, type: /^text\/css/ },
  { row: 'pages', at: 'usual', who: 'nobody', ask: 'GET /authservice/static/nothing', status: 404 },
  // 204 is no leave to pass, so the path for others is none for Envoy.
  { row: 'verify', at: 'usual', who: 'ann', ask: 'GET /authservice/verify/a', status: 204, 'kubeflow-userid': 'user@example.com' },
  { row: 'verify', at: 'usual', who: 'nobody', ask: 'GET /authservice/verify/a', ...STOPPED },
  { row: 'verify', at: 'usual', who: 'nobody', ask: 'PUT /authservice/verify/a', ...STOPPED },
  { row: 'verify', at: 'machines', who: 'stopped', ask: 'GET /authservice/verify/a', ...STOPPED },
  // The last: who signs out is nobody.
  { row: 'pages', at: 'other', who: 'header', ask: 'POST /authservice/logout', status: 201, type: 'application/json', body: '{"afterLogoutURL":"/gone"}' },
  { row: 'pages', at: 'other', who: 'ann', ask: 'GET /a', ...TO_ISSUER },
];
