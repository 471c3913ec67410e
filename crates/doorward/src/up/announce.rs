//! Where the process serves: told to a person, and to whoever started it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use model::names::Secret;
use serde_json::json;

use super::demo;

/// What the first start tells about the demo.
pub(super) struct ShownDemo {
    pub(super) password: Option<Secret>,
    pub(super) file: PathBuf,
}

/// What is bound.
pub(super) struct Addresses {
    pub(super) https: SocketAddr,
    pub(super) http: Option<SocketAddr>,
    /// Further `Gateway` ports: open while a `Gateway` has them.
    pub(super) further: BTreeMap<u16, SocketAddr>,
    /// Where other proxies ask over HTTP.
    pub(super) authorizer_http: Option<SocketAddr>,
    /// The same over gRPC.
    pub(super) authorizer_grpc: Option<SocketAddr>,
    pub(super) admin: SocketAddr,
}

impl Addresses {
    /// Written whole or not at all, so that a reader never sees half of it.
    pub(super) fn write(&self, file: &Path, authority: &Path) -> io::Result<()> {
        let body = json!({
            "https": self.https.to_string(),
            "http": self.http.map(|address| address.to_string()),
            "listen": self.further.iter().map(|(port, address)| (port.to_string(), json!(address.to_string()))).collect::<serde_json::Map<_, _>>(),
            "authorizerHttp": self.authorizer_http.map(|address| address.to_string()),
            "authorizerGrpc": self.authorizer_grpc.map(|address| address.to_string()),
            "admin": self.admin.to_string(),
            "ca": authority,
            "pid": std::process::id(),
        });
        let draft = file.with_extension("new");
        fs::write(&draft, format!("{body:#}\n"))?;
        fs::rename(&draft, file)
    }
}

/// Tells a person where to go. Standard error, because the access log has standard output.
pub(super) fn announce(addresses: &Addresses, authority: &Path, demo: Option<&ShownDemo>) {
    let Addresses {
        https,
        http,
        further,
        authorizer_http,
        authorizer_grpc,
        admin,
    } = addresses;
    anstream::eprintln!("doorward serves");
    anstream::eprintln!("  https://{https}/");
    if let Some(http) = http {
        anstream::eprintln!("  http://{http}/");
    }
    for (port, address) in further {
        anstream::eprintln!("  Gateway port {port} at {address}, while a Gateway has it");
    }
    if let Some(address) = authorizer_http {
        anstream::eprintln!("  other proxies ask at http://{address} (`ext_authz`)");
    }
    if let Some(address) = authorizer_grpc {
        anstream::eprintln!("  other proxies ask at {address} over gRPC (`ext_authz`)");
    }
    anstream::eprintln!("  admin  http://{admin}/readyz");
    anstream::eprintln!("  CA to trust  {}", authority.display());
    let Some(ShownDemo { password, file }) = demo else {
        return;
    };
    anstream::eprintln!("demo, because no manifests are named (`--manifests PATH`):");
    anstream::eprintln!("  user      {}", demo::USER);
    match password.as_ref().and_then(Secret::expose_str) {
        Some(password) => anstream::eprintln!("  password  {password}  (shown this once)"),
        None => anstream::eprintln!(
            "  password  shown at first start; remove {} for a new one",
            file.display()
        ),
    }
}
