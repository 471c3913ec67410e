//! Every code, by what it is about: 01 reading, 02 gateways, 03 routes, 04 policies, 05 tokens,
//! 06 login, 07 provider, 08 certificates, 09 Gateway API and Ingress, 10 Knative and KServe,
//! 11 profiles and contributors, 12 a running site, 13 objects of the past.
//! `docs/findings.md` lists them for operators.

use super::Code;

// Reading, the mesh and containers.

/// A document is no YAML.
pub const SYNTAX: Code = Code(101);
/// A document is no Kubernetes object.
pub const NOT_AN_OBJECT: Code = Code(102);
/// An object has no name.
pub const NAMELESS: Code = Code(103);
/// The same object stands in the files twice.
pub const DUPLICATE: Code = Code(104);
/// A known kind in a version that is not read.
pub const API_VERSION: Code = Code(105);
/// A field is missing, of the wrong type, or has a value that means nothing.
pub const FIELD: Code = Code(106);
/// A field that the kind does not have.
pub const UNKNOWN_FIELD: Code = Code(107);
/// A placeholder such as `${HOST}` was never filled in.
pub const PLACEHOLDER: Code = Code(108);
/// There is no object at all.
pub const EMPTY: Code = Code(109);
/// The mesh configuration cannot be read; the gateway is closed.
pub const MESH_INVALID: Code = Code(110);
/// An entry of `extensionProviders` cannot be read; it answers no.
pub const AUTHORIZER_INVALID: Code = Code(111);
/// A setting of an entry of `extensionProviders` is old, unwise or not acted on.
pub const AUTHORIZER_SETTING: Code = Code(112);
/// A variable or file of a container comes from an object that is not in the manifests.
pub const ENVIRONMENT_SOURCE: Code = Code(118);
/// A file that a container reads is not in the manifests.
pub const FILE_ABSENT: Code = Code(119);
/// Components disagree about the header that names the user.
pub const USER_HEADER: Code = Code(120);
/// An object of a kind that is not acted on.
pub const KIND_NOT_READ: Code = Code(121);

// Gateways.

/// Sign-in happens over a server without TLS.
pub const PLAIN_HTTP: Code = Code(201);
/// No `Gateway` selects the ingress gateway.
pub const NO_GATEWAY: Code = Code(202);
/// A TLS server does not say its mode.
pub const TLS_MODE: Code = Code(203);
/// A server speaks a protocol or uses a TLS mode that is not served here.
pub const UNSUPPORTED_SERVER: Code = Code(204);
/// Two servers of one port contradict each other.
pub const SERVER_CONFLICT: Code = Code(205);
/// A `Gateway` selects another workload than the ingress gateway.
pub const OTHER_GATEWAY: Code = Code(206);
/// The ingress gateway's workload is not in the manifests; its usual identity is assumed.
pub const ASSUMED_IDENTITY: Code = Code(207);
/// A `Gateway` cannot be read.
pub const GATEWAY_INVALID: Code = Code(208);
/// A server is never chosen: another one has the same host.
pub const SERVER_HIDDEN: Code = Code(209);
/// A TLS setting has no effect, or is weaker than what is done.
pub const TLS_SETTING: Code = Code(210);
/// A `tls` or `tcp` route cannot be served as written; connections that it takes are refused.
pub const STREAM_CLOSED: Code = Code(211);
/// A `Gateway` port has no address to listen on.
pub const PORT_UNBOUND: Code = Code(212);
/// Connections of a stream server match no route, so they are closed.
pub const STREAM_WITHOUT_ROUTE: Code = Code(213);
/// No server leads plain HTTP to an HTTPS server.
pub const NO_HTTPS_REDIRECT: Code = Code(214);
/// A load balancer that speaks HTTP stands before a gateway that trusts no hop.
pub const BALANCER_DISTRUSTED: Code = Code(215);

// Routes.

/// A `VirtualService` names a `Gateway` that does not exist.
pub const UNKNOWN_GATEWAY: Code = Code(301);
/// A `VirtualService` has no hosts.
pub const NO_HOSTS: Code = Code(302);
/// A `VirtualService` names no gateway, so it means sidecars only.
pub const MESH_ONLY: Code = Code(303);
/// A `VirtualService` and the `Gateway` it names have no host in common.
pub const NO_COMMON_HOST: Code = Code(304);
/// A destination names a port that its Service does not have.
pub const PORT_ABSENT: Code = Code(305);
/// A destination names a Service that is not in the manifests.
pub const UNKNOWN_SERVICE: Code = Code(306);
/// A field of a route has no effect here.
pub const ROUTE_FIELD_IGNORED: Code = Code(307);
/// A route cannot be served as written and is closed.
pub const ROUTE_CLOSED: Code = Code(308);
/// A route stands behind one that takes every request.
pub const UNREACHABLE_ROUTE: Code = Code(309);
/// A destination refuses every request by policy.
pub const DESTINATION_REFUSES: Code = Code(310);
/// A `VirtualService` cannot be read; its part of its hosts is closed.
pub const HOSTS_CLOSED: Code = Code(311);
/// A `VirtualService` is not exported to the namespace of the gateway.
pub const NOT_EXPORTED: Code = Code(313);
/// A delegate of a `VirtualService` cannot be used; the route is closed.
pub const DELEGATE: Code = Code(314);
/// A route of a delegate lies outside of every match that delegates to it.
pub const DELEGATE_OUTSIDE: Code = Code(315);
/// A destination names a subset whose places are not known; the route is closed.
pub const SUBSET: Code = Code(316);
/// A `DestinationRule` cannot be read; destinations that it is about are closed.
pub const DESTINATION_RULE: Code = Code(317);
/// A setting of a `DestinationRule` or `ServiceEntry` has no effect here.
pub const TRAFFIC_SETTING: Code = Code(318);
/// A `DestinationRule` asks for mutual TLS of the mesh, and there is no identity to do it with.
pub const MESH_TLS: Code = Code(319);
/// The certificates of TLS to an upstream are not in the manifests; the destination is closed.
pub const UPSTREAM_CREDENTIAL: Code = Code(320);
/// A `ServiceEntry` cannot be used; destinations of its hosts are closed.
pub const SERVICE_ENTRY: Code = Code(321);
/// A port speaks TLS by its name, and is asked in plain text.
pub const PLAIN_TO_TLS_PORT: Code = Code(322);
/// An injected fault concerns no request.
pub const FAULT_WITHOUT_SHARE: Code = Code(323);
/// A condition on the source of a request compares the gateway with itself.
pub const SOURCE_CONDITION: Code = Code(324);
/// A rewrite makes a path that begins with two slashes.
pub const DOUBLE_SLASH: Code = Code(325);
/// A prefix that ends in a slash leaves out the path without it.
pub const BARE_PATH: Code = Code(326);
/// A route stands behind another that takes all of its requests.
pub const HIDDEN_ROUTE: Code = Code(327);
/// A host of its own hides the routes that every host has.
pub const HIDDEN_HOST: Code = Code(328);
/// A sign-out is a redirect that browsers keep.
pub const LASTING_SIGN_OUT: Code = Code(329);
/// A workload takes mutual TLS of the mesh only.
pub const STRICT_PEER: Code = Code(330);

// Policies.

/// An `AuthorizationPolicy` is invalid; the workloads it selects are closed.
pub const POLICY_INVALID: Code = Code(401);
/// An `AuthorizationPolicy` selects no workload.
pub const POLICY_SELECTS_NOTHING: Code = Code(402);
/// A CUSTOM policy names an authorizer that the mesh does not define.
pub const AUTHORIZER_UNKNOWN: Code = Code(403);
/// A policy names a principal that no workload has.
pub const PRINCIPAL_UNKNOWN: Code = Code(404);
/// A policy is a dry run: nothing enforces it.
pub const DRY_RUN: Code = Code(405);
/// A policy attaches by `targetRefs` to what it cannot be enforced for.
pub const TARGET_REF: Code = Code(406);
/// An authorizer is not one that doorward plays, so it answers no.
pub const AUTHORIZER_ELSEWHERE: Code = Code(407);
/// A `*` in a place where it is an ordinary character.
pub const LITERAL_STAR: Code = Code(408);
/// A rule looks at a token where nothing checks one.
pub const TOKEN_UNCHECKED: Code = Code(411);
/// A policy names a port of the Service where that of the pods is meant.
pub const POLICY_PORT: Code = Code(412);
/// A policy names a method in letters that no request has.
pub const METHOD_CASE: Code = Code(413);
/// A DENY rule about requests denies every connection of a port whose bytes are passed on.
pub const DENIES_STREAMS: Code = Code(414);
/// One name stands in two spellings that differ in letter case.
pub const SPELLING: Code = Code(415);
/// Pages that sign people in are behind the sign-in.
pub const SIGN_IN_BEHIND_ITSELF: Code = Code(416);
/// An exemption from sign-in takes the paths below a route, and not the route's own.
pub const EXEMPTION_SHORT: Code = Code(417);
/// An exemption from sign-in takes more than it looks.
pub const EXEMPTION_WIDE: Code = Code(418);

// Tokens.

/// A `RequestAuthentication` is invalid; the workloads it selects are closed.
pub const AUTHENTICATION_INVALID: Code = Code(501);
/// A `RequestAuthentication` selects no workload.
pub const AUTHENTICATION_SELECTS_NOTHING: Code = Code(502);

// Login.

/// The configuration of a login proxy cannot be read; it lets nobody in.
pub const LOGIN_CONFIG: Code = Code(601);
/// An option that no login proxy has.
pub const LOGIN_OPTION_UNKNOWN: Code = Code(602);
/// An option that is known and not acted on.
pub const LOGIN_OPTION_IGNORED: Code = Code(603);
/// An option that narrows who may enter and is not enforced here; the login lets nobody in.
pub const LOGIN_OPTION_UNENFORCED: Code = Code(604);
/// An option has a value that means nothing.
pub const LOGIN_OPTION_VALUE: Code = Code(605);
/// An option without which nobody can sign in is missing.
pub const LOGIN_OPTION_MISSING: Code = Code(606);
/// An option that would weaken a check; the check stays.
pub const LOGIN_OPTION_REFUSED: Code = Code(607);
/// A login proxy is meant to forward requests itself.
pub const LOGIN_UPSTREAM: Code = Code(608);
/// A secret or password hash is one that was published.
pub const PUBLISHED_SECRET: Code = Code(609);
/// A skip rule does not mean what it looks like.
pub const LOGIN_SKIP_RULE: Code = Code(610);
/// A login proxy uses a client that its provider does not have.
pub const LOGIN_CLIENT: Code = Code(611);
/// A login proxy and its provider know different secrets of one client.
pub const LOGIN_CLIENT_SECRET: Code = Code(612);
/// A login proxy sends people back to an address that its provider does not know.
pub const LOGIN_REDIRECT: Code = Code(613);
/// A login proxy sends people back to a host that is not served.
pub const FOREIGN_CALLBACK: Code = Code(614);

// Provider.

/// The configuration of an OpenID provider cannot be read; it signs nobody in.
pub const PROVIDER_CONFIG: Code = Code(701);
/// A key that the configuration of an OpenID provider does not have.
pub const PROVIDER_FIELD_UNKNOWN: Code = Code(702);
/// A setting of an OpenID provider that is known and not acted on.
pub const PROVIDER_FIELD_IGNORED: Code = Code(703);
/// A client cannot be registered as written and is left out.
pub const PROVIDER_CLIENT: Code = Code(704);
/// A user of the password list cannot sign in as written and is left out.
pub const PROVIDER_PASSWORD: Code = Code(705);
/// A connector is not supported and is left out.
pub const PROVIDER_CONNECTOR: Code = Code(706);
/// A user has no stable identifier of their own.
pub const PROVIDER_USER_ID: Code = Code(707);
/// An issuer of tokens is almost the one of a provider, and no login uses it.
pub const ISSUER_ALMOST: Code = Code(711);

// Certificates: what the manifests ask for.

/// A TLS server names a Secret that is not in the manifests.
pub const CREDENTIAL_ABSENT: Code = Code(801);
/// A Secret that a TLS server names holds no key pair.
pub const CREDENTIAL_INVALID: Code = Code(802);
/// A TLS server names its certificate in a way that is not read.
pub const CREDENTIAL_NAME: Code = Code(803);
/// A `Certificate` cannot be issued as written.
pub const CERTIFICATE_INVALID: Code = Code(804);
/// A `Certificate` is signed by another issuer than it names.
pub const ISSUER_NOT_USED: Code = Code(805);
/// A `Certificate` is not what a server should have.
pub const CERTIFICATE_UNUSUAL: Code = Code(806);
/// The authorities of client certificates are not in the manifests; handshakes fail.
pub const CLIENT_AUTHORITY_ABSENT: Code = Code(807);
/// The authorities of client certificates cannot be read; handshakes fail.
pub const CLIENT_AUTHORITY_INVALID: Code = Code(808);
/// The authorities of client certificates are named in a way that is not read; handshakes fail.
pub const CLIENT_AUTHORITY_NAME: Code = Code(809);
/// An authority or revocation list for client certificates cannot be read; handshakes fail.
pub const CLIENT_AUTHORITY_UNREADABLE: Code = Code(810);

// Certificates: what is served.

/// A certificate that the manifests bring cannot be read.
pub const CERTIFICATE_UNREADABLE: Code = Code(851);
/// A private key that the manifests bring cannot be read.
pub const KEY_UNREADABLE: Code = Code(852);
/// A key and its certificate do not belong together.
pub const KEY_MISMATCH: Code = Code(853);
/// A certificate that the manifests bring has expired.
pub const CERTIFICATE_EXPIRED: Code = Code(854);
/// A certificate that the manifests bring is not valid yet.
pub const CERTIFICATE_NOT_YET_VALID: Code = Code(855);
/// A certificate that the manifests bring expires soon.
pub const CERTIFICATE_ENDS_SOON: Code = Code(856);
/// A certificate does not name a host that it serves.
pub const CERTIFICATE_HOST_UNNAMED: Code = Code(857);
/// A certificate has no alternative names.
pub const CERTIFICATE_NAMELESS: Code = Code(858);
/// A certificate of a server is marked as an authority.
pub const CERTIFICATE_OF_AUTHORITY: Code = Code(859);
/// The certificates of a chain are not in order.
pub const CHAIN_ORDER: Code = Code(860);
/// A `Certificate` names nothing that a certificate can be issued for.
pub const CERTIFICATE_UNISSUABLE: Code = Code(861);
/// doorward's own authority expires soon.
pub const AUTHORITY_ENDS_SOON: Code = Code(862);
/// A certificate is an older copy of one that lies in another Secret.
pub const CERTIFICATE_OUTDATED: Code = Code(863);

// Gateway API and Ingress.

/// The class of a `Gateway` is not in the manifests; it is taken for ours.
pub const GATEWAY_CLASS_ABSENT: Code = Code(901);
/// A `Gateway` is of a class of another controller.
pub const GATEWAY_ELSEWHERE: Code = Code(902);
/// An object of the Gateway API cannot be read.
pub const GATEWAY_API_INVALID: Code = Code(903);
/// A `Gateway` asks for something as a whole that cannot be had; its hosts are closed.
pub const GATEWAY_REFUSED: Code = Code(904);
/// A listener cannot be served as written.
pub const LISTENER_REFUSED: Code = Code(905);
/// A `Gateway` names a certificate that cannot be used.
pub const LISTENER_CERTIFICATE: Code = Code(906);
/// A route names a `Gateway` that does not exist.
pub const ROUTE_PARENT: Code = Code(907);
/// A route hangs on no listener of a `Gateway` that it names.
pub const ROUTE_NOT_ATTACHED: Code = Code(908);
/// A rule cannot be served as written and answers 500.
pub const RULE_REFUSED: Code = Code(909);
/// A backend cannot be resolved; its share is answered 500.
pub const BACKEND_UNRESOLVED: Code = Code(910);
/// A rule leads to no backend and answers 500.
pub const RULE_WITHOUT_BACKENDS: Code = Code(911);
/// A `BackendTLSPolicy` cannot be met; the Service that it is about is closed.
pub const BACKEND_TLS_POLICY: Code = Code(912);
/// An `Ingress` cannot be served as written; its part is closed.
pub const INGRESS_INVALID: Code = Code(921);
/// An `Ingress` is of a class of another controller.
pub const INGRESS_ELSEWHERE: Code = Code(922);
/// A backend of an `Ingress` cannot be resolved; its path is closed.
pub const INGRESS_BACKEND: Code = Code(923);
/// An `Ingress` names a Secret that holds no certificate.
pub const INGRESS_CERTIFICATE: Code = Code(924);

// Knative and KServe.

/// An entry of a ConfigMap of Knative or KServe cannot be read.
pub const SERVING_CONFIG: Code = Code(1001);
/// A key of a ConfigMap of Knative does not count.
pub const SERVING_KEY: Code = Code(1002);
/// A template of hosts or paths cannot be read.
pub const HOST_TEMPLATE: Code = Code(1003);
/// A template makes something that is no host, or no path.
pub const HOST_INVALID: Code = Code(1004);
/// Two objects get the same host.
pub const HOST_AMBIGUOUS: Code = Code(1005);
/// No domain is for a Route, so nobody outside reaches it.
pub const NO_DOMAIN: Code = Code(1006);
/// Hosts of models end with `example.com`.
pub const EXAMPLE_DOMAIN: Code = Code(1007);
/// The `Gateway` for models does not exist.
pub const SERVING_GATEWAY: Code = Code(1008);
/// No server of the `Gateway` for models has a host that is made.
pub const HOST_UNSERVED: Code = Code(1009);
/// The certificate that is served for a host that is made does not name it.
pub const CERTIFICATE_DEPTH: Code = Code(1010);
/// A host has routes of its own, which hide what is served on `*`.
pub const HOST_HIDES_REST: Code = Code(1011);
/// A model is behind a login that turns programs away.
pub const MODEL_LOGIN: Code = Code(1012);
/// An `InferenceService` or a Knative `Service` or `Route` cannot be read.
pub const SERVING_INVALID: Code = Code(1013);
/// An `InferenceService` runs in a way that is not served here.
pub const SERVING_UNSUPPORTED: Code = Code(1014);

// Profiles and contributors.

/// A `Profile` cannot be read; its namespace is closed.
pub const PROFILE_INVALID: Code = Code(1101);
/// The namespace of a `Profile` is not its owner's by its annotation; it is closed.
pub const PROFILE_NAMESPACE: Code = Code(1102);
/// A `Profile` claims a namespace of the mesh itself, so it has no effect.
pub const PROFILE_RESERVED: Code = Code(1103);
/// An object is not what the profile controller makes of the `Profile`; the object counts.
pub const PROFILE_DIFFERS: Code = Code(1104);
/// A plugin of a `Profile`.
pub const PROFILE_PLUGIN: Code = Code(1105);
/// The namespace of a `Profile` has no sidecars, so nothing enforces its policies.
pub const PROFILE_UNGUARDED: Code = Code(1106);
/// Components disagree about a setting of the profile controller.
pub const PROFILE_SETTING: Code = Code(1107);
/// A `RoleBinding` of a contributor does not tell who it is.
pub const BINDING_INVALID: Code = Code(1108);
/// One of the two objects of a contributor is missing.
pub const CONTRIBUTOR_HALF: Code = Code(1109);
/// A contributor whose role is `view` may change everything over HTTP.
pub const VIEWER_CHANGES: Code = Code(1110);

// A running site, seen from outside.

/// A site is served without TLS.
pub const SITE_PLAIN: Code = Code(1201);
/// Plain HTTP does not lead to HTTPS.
pub const SITE_NO_REDIRECT: Code = Code(1202);
/// The way to sign in leads over plain HTTP.
pub const SITE_DOWNGRADE: Code = Code(1203);
/// The certificate of a site is not one that browsers accept, or soon will not be.
pub const SITE_CERTIFICATE: Code = Code(1204);
/// A cookie lacks a flag.
pub const SITE_COOKIE: Code = Code(1205);
/// A path answers without sign-in.
pub const SITE_OPEN: Code = Code(1206);
/// A client is believed who it says it is.
pub const SITE_FORGED: Code = Code(1207);
/// A way out leads to any site.
pub const SITE_OPEN_REDIRECT: Code = Code(1208);
/// A site does not ask browsers to stay on HTTPS.
pub const SITE_HSTS: Code = Code(1209);

// Objects of the past.

/// An object of `rbac.istio.io`, enforced as the policy that means the same.
pub const LEGACY_RBAC: Code = Code(1301);
/// An object of `rbac.istio.io` cannot be read.
pub const LEGACY_RBAC_INVALID: Code = Code(1302);
/// Roles are asked for at the gateway, and none is bound there.
pub const LEGACY_RBAC_GATEWAY: Code = Code(1303);
/// An object of `rbac.istio.io` has no effect.
pub const LEGACY_RBAC_UNUSED: Code = Code(1304);
/// An `EnvoyFilter` that is an external authorizer, enforced as the policy that means the same.
pub const LEGACY_EXT_AUTHZ: Code = Code(1305);

// Listeners that other proxies ask.

/// Questions come in the clear to an address that others reach.
pub const ASKED_EXPOSED: Code = Code(1401);
/// Everybody is believed when they say for whom they ask.
pub const ASKED_TRUST: Code = Code(1402);
/// Nobody who asks from elsewhere is believed.
pub const ASKED_STRANGERS: Code = Code(1403);
/// How questions are answered is set up, and nobody can ask.
pub const ASKED_NOWHERE: Code = Code(1404);
/// Cookies and redirects are made for plain HTTP.
pub const ASKED_SCHEME: Code = Code(1405);
