//! `session_store_type` and `redis_…`: where sessions are kept.

use std::sync::Arc;

use super::Settings;
use crate::finding::{Severity, codes};
use crate::manifest::session_place::{RedisPlace, RedisServers, SessionPlace};
use crate::names::Secret;

pub(super) fn sessions(settings: &mut Settings<'_>) -> SessionPlace {
    match settings.text("session_store_type").as_deref() {
        None | Some("cookie") => {
            tell_unused(settings);
            SessionPlace::Usual
        }
        Some("redis") => SessionPlace::Redis(redis(settings)),
        Some(other) => {
            let fault = format!("`session_store_type` is unknown: `{other}`");
            let remedy = "write `cookie` or `redis`";
            bad(settings, "session_store_type", fault, remedy);
            SessionPlace::Usual
        }
    }
}

/// Addresses of a Redis that nobody asks are most likely a mistake.
fn tell_unused(settings: &mut Settings<'_>) {
    const ADDRESSES: [&str; 3] = [
        "redis_connection_url",
        "redis_sentinel_connection_urls",
        "redis_cluster_connection_urls",
    ];
    for name in ADDRESSES {
        if settings.text(name).is_none() && settings.list(name).is_empty() {
            continue;
        }
        let at = settings.origin(name);
        let fault = format!("`{name}` has no effect: `session_store_type` is not `redis`");
        let remedy = "write `session_store_type = \"redis\"`, or remove it".to_owned();
        let (code, warning) = (codes::LOGIN_OPTION_IGNORED, Severity::Warning);
        settings.report(&at, code, warning, fault, remedy);
    }
}

fn redis(settings: &mut Settings<'_>) -> RedisPlace {
    let by_sentinel = settings.flag("redis_use_sentinel", false);
    let by_cluster = settings.flag("redis_use_cluster", false);
    if by_sentinel && by_cluster {
        let fault = "`redis_use_sentinel` and `redis_use_cluster` exclude each other".to_owned();
        bad(settings, "redis_use_cluster", fault, "keep one of them");
    }
    let (servers, urls) = if by_sentinel {
        let master = settings.text("redis_sentinel_master_name");
        let servers = RedisServers::Sentinels(master.unwrap_or_else(|| {
            let remedy = "name the master that the Sentinels watch";
            missing(settings, "redis_sentinel_master_name", remedy);
            "".into()
        }));
        (servers, listed(settings, "redis_sentinel_connection_urls"))
    } else if by_cluster {
        let urls = listed(settings, "redis_cluster_connection_urls");
        (RedisServers::Cluster, urls)
    } else {
        let url = settings.text("redis_connection_url");
        if url.is_none() {
            let remedy = "write it as `redis://HOST:PORT`";
            missing(settings, "redis_connection_url", remedy);
        }
        (RedisServers::One, url.iter().map(secret).collect())
    };
    RedisPlace {
        servers,
        urls,
        user: settings.text("redis_username"),
        password: settings.text("redis_password").as_ref().map(secret),
        sentinel_password: settings
            .text("redis_sentinel_password")
            .as_ref()
            .map(secret),
        authorities: settings.text("redis_ca_path"),
    }
}

fn secret(text: &Arc<str>) -> Secret {
    Secret::new(text.as_bytes())
}

fn listed(settings: &mut Settings<'_>, name: &'static str) -> Vec<Secret> {
    let urls = settings.list(name);
    if urls.is_empty() {
        missing(
            settings,
            name,
            "write each as `redis://HOST:PORT`, with commas between them",
        );
    }
    urls.iter().map(secret).collect()
}

fn missing(settings: &mut Settings<'_>, name: &str, remedy: &str) {
    let at = settings.origin(name);
    let fault = format!("`{name}` is missing");
    let code = codes::LOGIN_OPTION_MISSING;
    settings.close(&at, code, fault, remedy.to_owned());
}

fn bad(settings: &mut Settings<'_>, name: &str, fault: String, remedy: &str) {
    let at = settings.origin(name);
    let code = codes::LOGIN_OPTION_VALUE;
    settings.close(&at, code, fault, remedy.to_owned());
}

#[cfg(test)]
mod tests {
    use super::super::tests::{faults, with};
    use super::*;
    use crate::manifest::oauth2_proxy::alone::Standing;

    fn redis_of(standing: &Standing) -> &RedisPlace {
        match &standing.sessions {
            SessionPlace::Redis(place) => place,
            SessionPlace::Usual => panic!("no Redis"),
        }
    }

    #[test]
    fn redis_is_named_by_each_set_of_options() {
        let one = with(&[
            "--session-store-type=redis",
            "--redis-connection-url=redis://me:geheim@r.example:1/2",
            "--redis-username=you",
            "--redis-password=anders",
            "--redis-ca-path=/ca.pem",
        ])
        .unwrap();
        let place = redis_of(&one);
        assert_eq!(place.servers, RedisServers::One);
        assert_eq!(place.urls, [Secret::new("redis://me:geheim@r.example:1/2")]);
        assert_eq!(place.user.as_deref(), Some("you"));
        assert_eq!(place.password, Some(Secret::new("anders")));
        assert_eq!(place.authorities.as_deref(), Some("/ca.pem"));
        assert!(one.findings.is_empty());
        assert!(!format!("{place:?}").contains("geheim"));

        let sentinels = with(&[
            "--session-store-type=redis",
            "--redis-use-sentinel",
            "--redis-sentinel-master-name=main",
            "--redis-sentinel-password=wache",
            "--redis-sentinel-connection-urls=redis://a:1,redis://b:2",
        ])
        .unwrap();
        let place = redis_of(&sentinels);
        assert_eq!(place.servers, RedisServers::Sentinels("main".into()));
        assert_eq!(place.urls.len(), 2);
        assert_eq!(place.sentinel_password, Some(Secret::new("wache")));

        let cluster = with(&[
            "--session-store-type=redis",
            "--redis-use-cluster=true",
            "--redis-cluster-connection-urls=redis://a:1",
            "--redis-cluster-connection-urls=redis://b:2",
        ])
        .unwrap();
        assert_eq!(redis_of(&cluster).servers, RedisServers::Cluster);
        assert_eq!(redis_of(&cluster).urls.len(), 2);
    }

    #[test]
    fn what_is_missing_or_contradicts_itself_is_told() {
        for (words, wanted) in [
            (
                &["--session-store-type=redis"][..],
                "`redis_connection_url` is missing",
            ),
            (
                &["--session-store-type=redis", "--redis-use-sentinel"],
                "`redis_sentinel_master_name` is missing",
            ),
            (
                &["--session-store-type=redis", "--redis-use-cluster"],
                "`redis_cluster_connection_urls` is missing",
            ),
            (
                &[
                    "--session-store-type=redis",
                    "--redis-use-cluster",
                    "--redis-use-sentinel",
                ],
                "`redis_use_sentinel` and `redis_use_cluster` exclude each other",
            ),
            (
                &["--session-store-type=memcached"],
                "`session_store_type` is unknown: `memcached`",
            ),
            (
                &["--redis-insecure-skip-tls-verify"],
                "`redis_insecure_skip_tls_verify` cannot be kept: whoever stands between would learn the password of the store: name its authority in `redis_ca_path`",
            ),
        ] {
            let findings = with(words).unwrap_err();
            assert!(
                faults(&findings).contains(&wanted),
                "{:?}",
                faults(&findings)
            );
        }
        let unused = with(&["--redis-connection-url=redis://r.example"]).unwrap();
        assert_eq!(unused.sessions, SessionPlace::Usual);
        let told = ["`redis_connection_url` has no effect: `session_store_type` is not `redis`"];
        assert_eq!(faults(&unused.findings), told);
    }
}
