//! Browsers that have signed in before: a sealed cookie with a name for the browser and digests of
//! the accounts. Whoever steals it has ten tries more, and no more than that.

use aws_lc_rs::digest;
use data_encoding::BASE64URL_NOPAD;
use http::{HeaderMap, HeaderValue, header};
use model::names::{Duration, Timestamp};
use model::seams::Randomness;
use model::snapshot::Provider as Settings;
use serde::{Deserialize, Serialize};

use crate::claims::random_word;
use crate::sealed::{NotOurs, Purpose, Seal, Sealed};

const COOKIE: &str = "doorward_device";

/// A browser that was not used for so long is a stranger again.
const LIFETIME: Duration = Duration::from_secs(90 * 86_400);

/// Accounts of one browser; the one that was not used for longest gives way.
const ACCOUNTS: usize = 5;

/// What a browser shows of itself.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Devices {
    /// Of the browser.
    name: String,
    /// Digests of the accounts, and until when each is known.
    accounts: Vec<(String, i64)>,
}

/// What stands in the cookie for an account.
fn account_digest(account: &str) -> String {
    let lower = account.to_lowercase();
    let digest = digest::digest(&digest::SHA256, lower.as_bytes());
    BASE64URL_NOPAD.encode(&digest.as_ref()[..16])
}

impl Devices {
    /// What the cookie of a request says; nothing when there is none, or none of ours.
    pub(crate) fn of(headers: &HeaderMap, seal: &Seal) -> Self {
        let cookies = headers.get_all(header::COOKIE).iter();
        let text = cookies.filter_map(|value| value.to_str().ok());
        let mut pairs = text.flat_map(|line| line.split(';'));
        let found = pairs.find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='));
        found
            .and_then(|word| seal.open(Purpose::Device, &Sealed::split(word)).ok())
            .unwrap_or_default()
    }

    /// The browser's name, if it has signed in to `account`.
    pub(crate) fn known_for(&self, account: &str, now: Timestamp) -> Option<&str> {
        let account = account_digest(account);
        self.accounts
            .iter()
            .any(|(known, until)| *known == account && *until > now.seconds())
            .then_some(self.name.as_str())
    }

    /// The cookie with which the browser is known for `account` from now on.
    pub(crate) fn cookie_with(
        mut self,
        account: &str,
        settings: &Settings,
        seal: &Seal,
        randomness: &dyn Randomness,
        now: Timestamp,
    ) -> Result<HeaderValue, NotOurs> {
        if self.name.is_empty() {
            self.name = random_word(randomness);
        }
        let account = account_digest(account);
        self.accounts
            .retain(|(known, until)| *known != account && *until > now.seconds());
        self.accounts.truncate(ACCOUNTS - 1);
        let until = now.plus(LIFETIME).seconds();
        self.accounts.insert(0, (account, until));
        let word = seal.seal(Purpose::Device, &self, randomness)?.joined();
        let path = match &*settings.path {
            "" => "/",
            path => path,
        };
        let secure = match settings.issuer.starts_with("https:") {
            true => "; Secure",
            false => "",
        };
        let seconds = LIFETIME.as_secs();
        let text = format!(
            "{COOKIE}={word}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"
        );
        HeaderValue::try_from(text).map_err(|_| NotOurs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{SeededRandomness, settings};

    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

    fn seal(byte: u8) -> Seal {
        Seal::new(&[byte; 32], "i").unwrap()
    }

    fn shown(cookie: &HeaderValue) -> HeaderMap {
        let pair = cookie.to_str().unwrap().split_once(';').unwrap().0;
        let line = format!("a=b; {pair}; c=d");
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, HeaderValue::from_str(&line).unwrap());
        headers
    }

    #[test]
    fn a_browser_is_known_for_its_accounts_and_for_a_time() {
        let (seal_here, randomness) = (seal(1), SeededRandomness::default());
        let add = |devices: Devices, account: &str| {
            devices
                .cookie_with(account, &settings(), &seal_here, &randomness, NOW)
                .unwrap()
        };
        let first = add(Devices::default(), "Anna@x");
        let text = first.to_str().unwrap();
        assert!(
            text.contains("; Path=/dex; Max-Age=7776000; HttpOnly; SameSite=Lax"),
            "{text}"
        );
        assert!(!text.contains("anna"));
        let devices = Devices::of(&shown(&first), &seal_here);
        assert!(devices.known_for("aNNa@X", NOW).is_some());
        assert_eq!(devices.known_for("berg@x", NOW), None);
        assert_eq!(devices.known_for("anna@x", NOW.plus(LIFETIME)), None);
        let name = devices.name.clone();
        let mut cookie = add(devices, "berg@x");
        for account in ["1", "2", "3", "4"] {
            cookie = add(Devices::of(&shown(&cookie), &seal_here), account);
        }
        let devices = Devices::of(&shown(&cookie), &seal_here);
        assert_eq!(devices.known_for("berg@x", NOW), Some(name.as_str()));
        assert_eq!(devices.known_for("anna@x", NOW), None);
        // Another's cookie says nothing.
        let other = Devices::of(&shown(&cookie), &seal(2));
        assert_eq!(other.known_for("berg@x", NOW), None);
        let none = Devices::of(&HeaderMap::new(), &seal_here);
        assert_eq!(none.known_for("berg@x", NOW), None);
    }
}
