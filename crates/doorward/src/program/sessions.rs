//! Where sessions are kept: as the options of the program say, unless `DOORWARD_SESSIONS` says
//! something else.

use std::fs;
use std::path::{Path, PathBuf};

use login::{RedisKind, SessionSettings, StoreAddress};
use model::names::Secret;
use model::session_place::{RedisPlace, RedisServers, SessionPlace};

use super::variable;
use crate::config::{SessionFlags, SessionsConfig, SessionsFault};

/// Where sessions are kept.
pub(super) struct Kept {
    /// The file of an embedded store is not decided yet.
    pub(super) settings: SessionSettings,
    /// Its secrets come of an option of the program, which people change to sign everybody out.
    pub(super) is_derived: bool,
}

/// Settings of `place`. `secret` is what the program itself seals its cookies with, if it does.
pub(super) fn kept(place: &SessionPlace, secret: Option<&Secret>) -> Result<Kept, SessionsFault> {
    let flags = SessionFlags {
        sessions: variable("DOORWARD_SESSIONS"),
        session_secret_files: variable("DOORWARD_SESSION_SECRET_FILES")
            .unwrap_or_default()
            .split(',')
            .filter(|file| !file.is_empty())
            .map(PathBuf::from)
            .collect(),
        sessions_password_file: variable("DOORWARD_SESSIONS_PASSWORD_FILE").map(PathBuf::from),
    };
    let mut usual = SessionSettings::in_file(Path::new(""));
    usual.secrets = secret.map(login::session_secret).into_iter().collect();
    usual.store = match (place, secret) {
        (SessionPlace::Redis(place), _) => address(place)?,
        // As the program itself has them; unless there is a directory that is meant for more.
        (SessionPlace::Usual, Some(_)) if variable("DOORWARD_STATE").is_none() => {
            StoreAddress::Cookie
        }
        (SessionPlace::Usual, _) => StoreAddress::Sqlite,
    };
    let is_derived = flags.session_secret_files.is_empty();
    let settings = flags.settings_or(SessionsConfig::default(), usual)?;
    Ok(Kept {
        settings,
        is_derived,
    })
}

fn address(place: &RedisPlace) -> Result<StoreAddress, SessionsFault> {
    let RedisPlace {
        servers,
        urls,
        user,
        password,
        sentinel_password,
        authorities,
    } = place;
    let urls: Vec<&str> = urls
        .iter()
        .map(|url| url.expose_str().unwrap_or_default())
        .collect();
    let kind = match servers {
        RedisServers::One => RedisKind::Single,
        RedisServers::Cluster => RedisKind::Cluster,
        RedisServers::Sentinels(master) => RedisKind::Sentinel {
            master: master.to_string(),
        },
    };
    let mut address = StoreAddress::of_redis(&urls, kind).map_err(SessionsFault::Address)?;
    if let Some(user) = user {
        address = address.with_user(user);
    }
    if let Some(password) = password {
        address = address.with_password(password);
    }
    if let Some(password) = sentinel_password {
        address = address.with_sentinel_password(password.clone());
    }
    if let Some(path) = authorities {
        let unreadable = |error| SessionsFault::Unreadable(PathBuf::from(&**path), error);
        address = address.with_ca(fs::read(&**path).map_err(unreadable)?);
    }
    Ok(address)
}
