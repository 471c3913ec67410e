//! Every key of Dex's configuration and what becomes of it here. The page that lists them, the
//! reader and its tests have no other list.

use Becomes::{Acts, ActsAlone, Refuses, Warns, WarnsAlone};

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Becomes {
    /// It does what it does in Dex.
    Acts,
    /// It does under `doorward dex serve`; `doorward up` has listeners and a log of its own.
    ActsAlone,
    /// It has no effect, and says why, once.
    Warns(&'static str),
    /// The same under `doorward dex serve` alone: `doorward up` was never meant to do it.
    WarnsAlone(&'static str),
    /// The configuration is not taken, for the reason given.
    Refuses(&'static str),
}

const STORE: &str =
    "keys, codes and tokens are in doorward's own database, not where Dex keeps them";
const GRPC: &str = "the administration API is not served over gRPC";
const PAGES: &str = "the pages are doorward's own";
const UNBUILT: &str = "this type of connector is not built yet";
const LATER: &str = "it is not acted on yet";

/// Keys by their path; `[]` is a list, `(…)` the type of a connector. A key below none of these is
/// unknown; one without keys below it may hold anything.
#[rustfmt::skip]
pub(super) static KEYS: &[(&str, Becomes)] = &[
    ("issuer", Acts),
    ("storage.type", WarnsAlone(STORE)),
    ("storage.config", WarnsAlone(STORE)),
    ("web.http", ActsAlone),
    ("web.https", ActsAlone),
    ("web.tlsCert", ActsAlone),
    ("web.tlsKey", ActsAlone),
    ("web.tlsMinVersion", ActsAlone),
    ("web.tlsMaxVersion", ActsAlone),
    ("web.headers", ActsAlone),
    ("web.allowedOrigins", ActsAlone),
    ("web.allowedHeaders", ActsAlone),
    ("web.clientRemoteIP.header", ActsAlone),
    ("web.clientRemoteIP.trustedProxies", ActsAlone),
    ("telemetry.http", ActsAlone),
    ("telemetry.enableProfiling", WarnsAlone("nothing is profiled over the network")),
    ("grpc.addr", Warns(GRPC)),
    ("grpc.tlsCert", Warns(GRPC)),
    ("grpc.tlsKey", Warns(GRPC)),
    ("grpc.tlsClientCA", Warns(GRPC)),
    ("grpc.tlsMinVersion", Warns(GRPC)),
    ("grpc.tlsMaxVersion", Warns(GRPC)),
    ("grpc.reflection", Warns(GRPC)),
    ("frontend.dir", Warns(PAGES)),
    ("frontend.logoURL", Warns(PAGES)),
    ("frontend.issuer", Acts),
    ("frontend.theme", Warns(PAGES)),
    ("frontend.extra", Warns(PAGES)),
    ("logger.level", ActsAlone),
    ("logger.format", ActsAlone),
    ("logger.excludeFields", WarnsAlone("the log has the attributes of doorward")),
    ("expiry.idTokens", Acts),
    ("expiry.signingKeys", Acts),
    ("expiry.authRequests", Acts),
    ("expiry.deviceRequests", Acts),
    ("expiry.refreshTokens.disableRotation", Acts),
    ("expiry.refreshTokens.reuseInterval", Acts),
    ("expiry.refreshTokens.absoluteLifetime", Acts),
    ("expiry.refreshTokens.validIfNotUsedFor", Acts),
    ("signer.type", Acts),
    ("signer.config.keysRotationPeriod", Acts),
    ("signer.config.algorithm", Acts),
    ("signer.config.addr", Warns("keys are in doorward's own database, not in a vault")),
    ("signer.config.token", Warns("keys are in doorward's own database, not in a vault")),
    ("signer.config.keyName", Warns("keys are in doorward's own database, not in a vault")),
    ("oauth2.grantTypes", Acts),
    ("oauth2.responseTypes", Acts),
    ("oauth2.skipApprovalScreen", Acts),
    ("oauth2.alwaysShowLoginScreen", Acts),
    ("oauth2.passwordConnector", Warns(LATER)),
    ("oauth2.pkce.enforce", Acts),
    ("oauth2.pkce.codeChallengeMethodsSupported", Acts),
    ("staticClients[].id", Acts),
    ("staticClients[].idEnv", Acts),
    ("staticClients[].secret", Acts),
    ("staticClients[].secretEnv", Acts),
    ("staticClients[].name", Acts),
    ("staticClients[].redirectURIs", Acts),
    ("staticClients[].public", Acts),
    ("staticClients[].trustedPeers", Acts),
    ("staticClients[].allowedConnectors", Acts),
    ("staticClients[].mfaChain", Acts),
    ("staticClients[].logoURL", Warns(PAGES)),
    ("staticClients[].postLogoutRedirectURIs", Acts),
    ("staticClients[].backchannelLogoutURI", Acts),
    ("staticClients[].refreshTokenLifetime", Acts),
    ("staticClients[].ssoSharedWith", Warns(LATER)),
    ("staticClients[].clientCredentialsClaims.groups", Acts),
    ("enablePasswordDB", Acts),
    ("staticPasswords[].email", Acts),
    ("staticPasswords[].hash", Acts),
    ("staticPasswords[].hashFromEnv", Acts),
    ("staticPasswords[].username", Acts),
    ("staticPasswords[].name", Acts),
    ("staticPasswords[].preferredUsername", Acts),
    ("staticPasswords[].emailVerified", Acts),
    ("staticPasswords[].userID", Acts),
    ("staticPasswords[].groups", Acts),
    ("sessions.cookieName", Acts),
    ("sessions.absoluteLifetime", Acts),
    ("sessions.validIfNotUsedFor", Acts),
    ("sessions.rememberMeCheckedByDefault", Warns(LATER)),
    ("sessions.ssoSharedWithDefault", Warns(LATER)),
    ("sessions.cookieEncryptionKey", Warns("cookies hold nothing but a random name")),
    ("mfa", Refuses("a second factor is not asked for yet, and one would be enough without it")),
    ("connectors[].type", Acts),
    ("connectors[].id", Acts),
    ("connectors[].name", Acts),
    ("connectors[].grantTypes", Acts),
    ("connectors[].groupPrefix", Acts),
    ("connectors[].config(mockCallback)", Warns(UNBUILT)),
    ("connectors[].config(mockPassword)", Warns(UNBUILT)),
    ("connectors[].config(oidc)", Warns(UNBUILT)),
    ("connectors[].config(oauth)", Warns(UNBUILT)),
    ("connectors[].config(ldap)", Warns(UNBUILT)),
    ("connectors[].config(authproxy)", Warns(UNBUILT)),
    ("connectors[].config(github)", Warns(UNBUILT)),
    ("connectors[].config(gitlab)", Warns(UNBUILT)),
    ("connectors[].config(google)", Warns(UNBUILT)),
    ("connectors[].config(microsoft)", Warns(UNBUILT)),
    ("connectors[].config(gitea)", Warns(UNBUILT)),
    ("connectors[].config(bitbucket-cloud)", Warns(UNBUILT)),
    ("connectors[].config(linkedin)", Warns(UNBUILT)),
    ("connectors[].config(openshift)", Warns(UNBUILT)),
    ("connectors[].config(atlassian-crowd)", Warns(UNBUILT)),
    ("connectors[].config(keystone)", Warns(UNBUILT)),
    ("doorward.strict", Acts),
    ("connectors[].config(saml)", Warns("the library for signatures of XML is too young to be relied on; connect over OpenID Connect instead")),
];

/// Every key and what becomes of it.
pub fn keys() -> impl Iterator<Item = (&'static str, Becomes)> {
    KEYS.iter().copied()
}
