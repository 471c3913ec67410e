//! What generated policies say.

/// Values of one kind of field.
pub(super) type Words = &'static [&'static str];

const HOSTS: Words = &[
    "api.test",
    "API.test",
    "*.test",
    "api.*",
    "api.test:*",
    "*",
    "www.api.test",
    "*:8443",
    "other.org",
];
const METHODS: Words = &["GET", "POST", "DELETE", "get", "P*", "*T", "*"];
const PATHS: Words = &[
    "/",
    "/*",
    "*",
    "/a",
    "/a/*",
    "/a/b",
    "*/b",
    "/A",
    "/a*",
    "/a/b/c",
    "/a/./b",
    "/a//b",
    "*.json",
    "/a**",
    "/{*}",
    "/{**}",
    "/a/{*}",
    "/a/{**}",
    "/{*}/b",
    "/a/{**}/c",
    "/a/{*}/{**}",
    "/{*}/{*}/c",
    "/a/{**}/c.json",
];
const PORTS: Words = &["9080", "9443", "80", "443", "0"];
const PRINCIPALS: Words = &[
    "*",
    "cluster.local/ns/team-a/sa/web",
    "old.example/ns/team-a/sa/db",
    "cluster.local/ns/team-a/sa/db",
    "other.org/*",
    "*/sa/web",
    "*/ns/team-b/sa/web",
    "cluster.local/ns/team-*",
    "other.org/ns/istio-system/sa/web",
    "machine.example/host",
    "old.example/*",
    "spiffe://cluster.local/ns/team-a/sa/web",
];
const NAMESPACES: Words = &[
    "team-a",
    "team-*",
    "*",
    "*-b",
    "t*-a",
    "istio-system",
    "team",
];
const ACCOUNTS: Words = &[
    "team-a/web",
    "team-b/web",
    "web",
    "istio-system/web",
    "team-a/db",
];
const DOMAINS: Words = &[
    "cluster.local",
    "old.example",
    "*",
    "*.org",
    "*.example",
    "cluster*",
    "local",
    "machine.example",
];
const PEERS: Words = &[
    "127.0.0.1",
    "127.0.0.0/30",
    "127.0.0.4/31",
    "127.0.0.0/8",
    "10.0.0.0/8",
    "::/0",
    "0.0.0.0/0",
    "127.0.0.6",
];
const CLIENTS: Words = &[
    "192.0.2.1",
    "192.0.2.0/24",
    "198.51.100.7/32",
    "2001:db8::/32",
    "2001:db8::1",
    "127.0.0.0/29",
    "0.0.0.0/0",
    "::/0",
];
const TEXTS: Words = &[
    "*", "abc", "abc*", "*abc", "a*c", "*a*", "ABC", "abc,def", "b", "* ", "[abc]", "a.c",
];
const CLAIMS: Words = &[
    "*",
    "admins",
    "dev*",
    "*s",
    "read",
    "write",
    "read write",
    "7",
    "true",
    "me",
    "a,b",
];
const SUBJECTS: Words = &[
    "*",
    "https://issuer.example/a/me",
    "https://issuer.example/b/me",
    "https://issuer.example/a/*",
    "*/me",
    "*/*",
    "https://issuer.example/a/m*",
    "*/a/me",
    "*me",
    "https://*",
    "https://issuer.example/a",
    "plain",
    "*x/me",
    "me",
    "*/a/m*",
];
const SERVER_NAMES: Words = &["api.test", "*.test", "*", "api.*", "other.org"];

/// Fields of a source and of an operation, and what may stand in them.
pub(super) const SOURCE: [(&str, Words); 14] = [
    ("principals", PRINCIPALS),
    ("notPrincipals", PRINCIPALS),
    ("requestPrincipals", SUBJECTS),
    ("notRequestPrincipals", SUBJECTS),
    ("namespaces", NAMESPACES),
    ("notNamespaces", NAMESPACES),
    ("serviceAccounts", ACCOUNTS),
    ("notServiceAccounts", ACCOUNTS),
    ("trustDomains", DOMAINS),
    ("notTrustDomains", DOMAINS),
    ("ipBlocks", PEERS),
    ("notIpBlocks", PEERS),
    ("remoteIpBlocks", CLIENTS),
    ("notRemoteIpBlocks", CLIENTS),
];
pub(super) const OPERATION: [(&str, Words); 8] = [
    ("hosts", HOSTS),
    ("notHosts", HOSTS),
    ("ports", PORTS),
    ("notPorts", PORTS),
    ("methods", METHODS),
    ("notMethods", METHODS),
    ("paths", PATHS),
    ("notPaths", PATHS),
];
/// Keys of conditions, and what their values may be.
pub(super) const KEYS: [(&str, Words); 21] = [
    ("request.headers[x-a]", TEXTS),
    ("request.headers[X-A]", TEXTS),
    ("request.headers[x-b]", TEXTS),
    ("request.headers[User-Agent]", TEXTS),
    ("source.ip", PEERS),
    ("remote.ip", CLIENTS),
    ("source.namespace", NAMESPACES),
    ("source.principal", PRINCIPALS),
    ("source.serviceAccount", ACCOUNTS),
    ("source.trustDomain", DOMAINS),
    ("request.auth.principal", SUBJECTS),
    ("request.auth.audiences", CLAIMS),
    ("request.auth.presenter", CLAIMS),
    ("request.auth.claims[groups]", CLAIMS),
    ("request.auth.claims[scope]", CLAIMS),
    ("request.auth.claims[roles]", CLAIMS),
    ("request.auth.claims[realm][role]", CLAIMS),
    ("request.auth.claims[age]", CLAIMS),
    ("destination.port", PORTS),
    ("connection.sni", SERVER_NAMES),
    ("experimental.envoy.filters.a.b[c]", TEXTS),
];
