//! The authorities that a server's clients have to be certified by.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{MOUNT, MOUNTED, secret_name, usable};
use crate::finding::{Code, Finding, Severity, codes};
use crate::manifest::gateway::{AuthoritySource, TrustSettings};
use crate::names::Secret;
use crate::objects::Object;
use crate::snapshot::{ClientTrust, Closure, Identity};
use crate::world::World;

/// Where the gateway's older chart mounts the Secret with authorities.
const AUTHORITY_MOUNT: &str = "/etc/istio/ingressgateway-ca-certs/";
const AUTHORITY_MOUNTED: &str = "istio-ingressgateway-ca-certs";

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const BEGIN_LIST: &str = "-----BEGIN X509 CRL-----";

/// Where authorities stand.
struct Found<'a> {
    object: &'a Arc<Object>,
    authorities: String,
    revoked: Option<String>,
}

/// Why there are none.
struct Lacking {
    code: Code,
    fault: String,
    remedy: String,
}

/// Finds them. A server without them lets nobody in.
pub(crate) fn client_trust(
    world: &World,
    settings: &TrustSettings,
    (gateway, line): (&Arc<Object>, u32),
    identity: &Identity,
    findings: &mut Vec<Finding>,
) -> Result<Arc<ClientTrust>, Arc<Closure>> {
    let found = find(world, settings, &identity.namespace).and_then(Found::checked);
    match found {
        Ok(found) => Ok(Arc::new(ClientTrust {
            object: found.object.reference.clone(),
            place: found.object.place.clone(),
            authorities: found.authorities.into(),
            revoked: found.revoked.map(Into::into),
            names: settings.names.clone(),
            keys: settings.keys.clone(),
            certificates: settings.certificates.clone(),
        })),
        Err(Lacking {
            code,
            fault,
            remedy,
        }) => {
            let fault = format!("{fault}, so handshakes fail");
            let field = "spec.servers.tls";
            let finding = gateway.finding(code, Severity::Error, line, field, fault, remedy);
            let closure = Arc::new(Closure::of(&finding));
            findings.push(finding);
            Err(closure)
        }
    }
}

impl Found<'_> {
    fn checked(self) -> Result<Self, Lacking> {
        let object = &self.object.reference;
        let lists = self.revoked.as_ref();
        if !self.authorities.contains(BEGIN) {
            Err(invalid(format!("the authorities in {object} are no PEM")))
        } else if lists.is_some_and(|list| !list.contains(BEGIN_LIST)) {
            Err(invalid(format!(
                "the revocation list in {object} is no PEM"
            )))
        } else {
            Ok(self)
        }
    }
}

fn invalid(fault: String) -> Lacking {
    Lacking {
        code: codes::CLIENT_AUTHORITY_INVALID,
        fault,
        remedy: "put PEM certificates into `ca.crt`, and a PEM list into `ca.crl`".to_owned(),
    }
}

fn find<'a>(
    world: &'a World,
    settings: &TrustSettings,
    namespace: &str,
) -> Result<Found<'a>, Lacking> {
    match &settings.authority {
        AuthoritySource::Missing => Err(Lacking {
            code: codes::CLIENT_AUTHORITY_ABSENT,
            fault: "no authority is named for client certificates".to_owned(),
            remedy: "name a Secret with `credentialName`".to_owned(),
        }),
        AuthoritySource::File(path) => {
            let mut found = mounted(world, path, namespace)?;
            if let Some(list) = &settings.revoked {
                found.revoked = Some(mounted(world, list, namespace)?.authorities);
            }
            Ok(found)
        }
        AuthoritySource::Credential(name) => match name.strip_prefix("configmap://") {
            Some(name) => config_map(world, name, namespace),
            None => in_secret(world, own_name(name, namespace)?, namespace),
        },
        AuthoritySource::Beside(name) => {
            let name = own_name(name, namespace)?;
            let beside = format!("{name}-cacert");
            let found = world.secret(namespace, &beside);
            let is_contradicted = found.is_some_and(|secret| secret.object.closed.is_some());
            if is_contradicted || usable(world, namespace, &beside).is_some() {
                in_secret(world, &beside, namespace)
            } else {
                in_secret(world, name, namespace)
            }
        }
    }
}

fn own_name<'a>(name: &'a str, namespace: &str) -> Result<&'a str, Lacking> {
    secret_name(name, namespace).map_err(|(fault, remedy)| Lacking {
        code: codes::CLIENT_AUTHORITY_NAME,
        fault,
        remedy,
    })
}

/// The keys that Istio tries, each with its revocation list.
const KEYS: [(&str, &str); 2] = [("cacert", "crl"), ("ca.crt", "ca.crl")];

fn in_secret<'a>(world: &'a World, name: &str, namespace: &str) -> Result<Found<'a>, Lacking> {
    let Some(secret) = usable(world, namespace, name) else {
        return Err(absent("Secret", namespace, name));
    };
    let found = first(&secret.data, |value: &Secret| {
        value.expose_str().map(str::to_owned)
    });
    let (authorities, revoked) =
        found.ok_or_else(|| invalid(format!("{} holds no authority", secret.object.reference)))?;
    Ok(Found {
        object: &secret.object,
        authorities,
        revoked,
    })
}

fn config_map<'a>(world: &'a World, name: &str, namespace: &str) -> Result<Found<'a>, Lacking> {
    let name = match name.split_once('/') {
        None => name,
        Some((other, name)) if other == namespace => name,
        Some((other, _)) => {
            return Err(Lacking {
                code: codes::CLIENT_AUTHORITY_NAME,
                fault: format!("a gateway in `{namespace}` must not read ConfigMaps of `{other}`"),
                remedy: format!("copy it to `{namespace}`"),
            });
        }
    };
    let map = world.config_map(namespace, name);
    let Some(map) = map.filter(|map| map.object.closed.is_none()) else {
        return Err(absent("ConfigMap", namespace, name));
    };
    let found = first(&map.data, |entry| Some(entry.text.to_string()));
    let (authorities, revoked) =
        found.ok_or_else(|| invalid(format!("{} holds no authority", map.object.reference)))?;
    Ok(Found {
        object: &map.object,
        authorities,
        revoked,
    })
}

fn first<T>(
    data: &BTreeMap<Arc<str>, T>,
    text: impl Fn(&T) -> Option<String>,
) -> Option<(String, Option<String>)> {
    let given = |text: &String| !text.is_empty();
    KEYS.iter().find_map(|(key, list)| {
        let authorities = text(data.get(*key)?).filter(given)?;
        let revoked = match data.get(*list).map(&text) {
            // No text is no PEM either: without the list, whom it revokes would get in.
            Some(None) => Some(String::new()),
            Some(list) => list.filter(given),
            None => None,
        };
        Some((authorities, revoked))
    })
}

/// A file that the gateway's chart mounts from a Secret.
fn mounted<'a>(world: &'a World, path: &str, namespace: &str) -> Result<Found<'a>, Lacking> {
    let mounts = [(AUTHORITY_MOUNT, AUTHORITY_MOUNTED), (MOUNT, MOUNTED)];
    let found = mounts
        .into_iter()
        .find_map(|(mount, name)| Some((name, path.strip_prefix(mount)?)));
    let Some((name, key)) = found else {
        return Err(Lacking {
            code: codes::CLIENT_AUTHORITY_NAME,
            fault: format!("the file `{path}` is not read"),
            remedy: "name a Secret with `caCertCredentialName`".to_owned(),
        });
    };
    let Some(secret) = usable(world, namespace, name) else {
        return Err(absent("Secret", namespace, name));
    };
    let text = secret.data.get(key).and_then(Secret::expose_str);
    let text = text
        .filter(|text| !text.is_empty())
        .ok_or_else(|| invalid(format!("{} has no `{key}`", secret.object.reference)))?;
    Ok(Found {
        object: &secret.object,
        authorities: text.to_owned(),
        revoked: None,
    })
}

fn absent(kind: &str, namespace: &str, name: &str) -> Lacking {
    Lacking {
        code: codes::CLIENT_AUTHORITY_ABSENT,
        fault: format!("{kind} `{namespace}/{name}` with the authorities of clients is not here"),
        remedy: format!("add it to `{namespace}`"),
    }
}
