//! What must be remembered between leaving for the issuer and coming back: sealed into a short-lived
//! cookie of its own, so that tabs do not disturb each other and a visitor who never signs in leaves
//! nothing behind.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;
use http::HeaderMap;
use model::names::{Duration, Timestamp};
use model::seams::Randomness;
use model::snapshot::Login;
use oidc::pkce::Verifier;
use subtle::ConstantTimeEq;

use super::target::Target;
use crate::cookies;
use crate::keys::sha256;

/// How many bytes of cookie the attempts of one browser may take together: header limits of what
/// stands behind us are not far above.
const MOST_BYTES: usize = 4096;

/// The most attempt cookies that are looked at in one request.
const MOST_READ: usize = 64;

/// Length of `state`: 32 bytes as base64url.
pub(crate) const STATE_LENGTH: usize = 43;

/// One attempt to sign in. State, nonce and PKCE verifier all come from one secret seed, which keeps
/// the cookie small.
pub(crate) struct Attempt {
    seed: [u8; 32],
    begun: Timestamp,
    issuer: IssuerTag,
    target: Target,
}

/// Tells the issuer and client of one attempt from all others: an answer is never taken to another
/// issuer than the one that was asked (RFC 9700 §4.4).
type IssuerTag = [u8; 8];

fn tag(choice: &Login) -> IssuerTag {
    let digest = sha256(&[choice.issuer.as_bytes(), b"\0", choice.client_id.as_bytes()]);
    let mut tag = IssuerTag::default();
    tag.copy_from_slice(&digest[..8]);
    tag
}

impl Attempt {
    /// A fresh attempt at the issuer of `choice`.
    pub(crate) fn new(
        choice: &Login,
        randomness: &dyn Randomness,
        begun: Timestamp,
        target: Target,
    ) -> Self {
        let mut seed = [0; 32];
        randomness.fill(&mut seed);
        Self {
            seed,
            begun,
            issuer: tag(choice),
            target,
        }
    }

    /// The one of the choices of `login` that was made; `None` when it is offered no more.
    pub(crate) fn choice<'a>(&self, login: &'a Login) -> Option<&'a Login> {
        login.choices().find(|choice| tag(choice) == self.issuer)
    }

    fn derive(&self, purpose: &str) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.seed);
        let mut derived = [0; 32];
        derived.copy_from_slice(hmac::sign(&key, purpose.as_bytes()).as_ref());
        derived
    }

    /// `state` (RFC 6749 §4.1.1).
    pub(crate) fn state(&self) -> String {
        BASE64URL_NOPAD.encode(&self.derive("state"))
    }

    /// `nonce` (OpenID Connect Core §3.1.2.1).
    pub(crate) fn nonce(&self) -> String {
        BASE64URL_NOPAD.encode(&self.derive("nonce"))
    }

    /// `code_verifier` (RFC 7636 §4.1).
    pub(crate) fn verifier(&self) -> Verifier {
        Verifier::from_random(self.derive("verifier"))
    }

    /// Where the person wanted to go.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Name of its cookie: part of the state tells attempts apart.
    pub(crate) fn cookie_name(&self, login: &Login) -> String {
        cookie_name(login, &self.state())
    }
}

/// `<cookie_name>_<first eight of the state>_csrf`.
pub(crate) fn cookie_name(login: &Login, state: &str) -> String {
    let short = state.get(..8).unwrap_or_default();
    format!("{}_{short}_csrf", login.cookie_name)
}

/// Seals and opens attempts. The key lives in the session store, so restarts do not disturb people
/// who are at the issuer.
pub(crate) struct Seal(Vec<LessSafeKey>);

impl Seal {
    /// With keys of 32 bytes: the first one seals, all open.
    pub(crate) fn new(keys: &[[u8; 32]]) -> Option<Self> {
        let keys = keys.iter().map(|key| {
            let key = UnboundKey::new(&AES_256_GCM_SIV, key).ok()?;
            Some(LessSafeKey::new(key))
        });
        keys.collect::<Option<Vec<_>>>()
            .filter(|keys| !keys.is_empty())
            .map(Self)
    }

    /// The cookie's value.
    pub(crate) fn seal(
        &self,
        login: &Login,
        attempt: &Attempt,
        randomness: &dyn Randomness,
    ) -> Option<String> {
        let mut nonce = [0; NONCE_LEN];
        randomness.fill(&mut nonce);
        let mut sealed = Vec::with_capacity(128 + attempt.target.as_str().len());
        sealed.extend_from_slice(&attempt.seed);
        sealed.extend_from_slice(&attempt.begun.seconds().to_be_bytes());
        sealed.extend_from_slice(&attempt.issuer);
        sealed.extend_from_slice(attempt.target.as_str().as_bytes());
        let context = Aad::from(context(login));
        let unique = Nonce::assume_unique_for_key(nonce);
        self.0
            .first()?
            .seal_in_place_append_tag(unique, context, &mut sealed)
            .ok()?;
        sealed.splice(0..0, nonce);
        Some(BASE64URL_NOPAD.encode(&sealed))
    }

    /// What was sealed for this login proxy, whatever its age.
    fn open(&self, login: &Login, value: &[u8]) -> Option<Attempt> {
        let sealed = BASE64URL_NOPAD.decode(value).ok()?;
        let (nonce, rest) = sealed.split_at_checked(NONCE_LEN)?;
        let plain = self.0.iter().find_map(|key| {
            let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
            // What another key could not open is spoilt.
            let mut rest = rest.to_vec();
            let length = key
                .open_in_place(nonce, Aad::from(context(login)), &mut rest)
                .ok()?
                .len();
            rest.truncate(length);
            Some(rest)
        })?;
        let (seed, rest) = plain.split_first_chunk::<32>()?;
        let (begun, rest) = rest.split_first_chunk::<8>()?;
        let (issuer, target) = rest.split_first_chunk::<8>()?;
        Some(Attempt {
            seed: *seed,
            begun: Timestamp::from_seconds(i64::from_be_bytes(*begun)),
            issuer: *issuer,
            // The settings may have changed since it was sealed.
            target: Target::first(
                [std::str::from_utf8(target).ok()?],
                &login.whitelist_domains,
            ),
        })
    }

    /// The attempt that `state` belongs to, if this browser made it and it is not too old.
    pub(crate) fn find(
        &self,
        login: &Login,
        headers: &HeaderMap,
        state: &str,
        now: Timestamp,
    ) -> Result<Attempt, AttemptFault> {
        let name = cookie_name(login, state);
        let mut fault = AttemptFault::Missing;
        for value in cookies::named(headers, &name) {
            fault = match self.open(login, value) {
                None => AttemptFault::Forged,
                Some(attempt)
                    if !bool::from(attempt.state().as_bytes().ct_eq(state.as_bytes())) =>
                {
                    AttemptFault::Forged
                }
                Some(attempt) if !attempt.is_current(login, now) => AttemptFault::TooOld,
                Some(attempt) => return Ok(attempt),
            };
        }
        Err(fault)
    }

    /// Where the attempt that `state` belongs to was to lead, however old it is: somebody who is
    /// signed in by now goes on there.
    pub(crate) fn find_target(
        &self,
        login: &Login,
        headers: &HeaderMap,
        state: &str,
    ) -> Option<Target> {
        let name = cookie_name(login, state);
        let attempt = cookies::named(headers, &name)
            .filter_map(|value| self.open(login, value))
            .find(|attempt| bool::from(attempt.state().as_bytes().ct_eq(state.as_bytes())))?;
        Some(attempt.target)
    }

    /// Names of the attempt cookies that must go before one of `length` bytes is added: spoiled
    /// ones, and the oldest beyond the limits.
    pub(crate) fn surplus(
        &self,
        login: &Login,
        headers: &HeaderMap,
        length: usize,
        now: Timestamp,
    ) -> Vec<String> {
        let mut surplus = Vec::new();
        let mut kept: Vec<(Timestamp, usize, String)> = Vec::new();
        for name in cookies::belonging(headers, login, false, true) {
            let value = cookies::named(headers, &name).next().unwrap_or_default();
            match self.open(login, value) {
                Some(attempt) if attempt.is_current(login, now) && kept.len() < MOST_READ => {
                    kept.push((attempt.begun, name.len() + value.len(), name));
                }
                _ => surplus.push(name),
            }
        }
        kept.sort_by_key(|(begun, _, _)| std::cmp::Reverse(*begun));
        let mut bytes = length;
        for (index, (_, size, name)) in kept.into_iter().enumerate() {
            bytes += size;
            if index + 1 >= login.attempt_limit || bytes > MOST_BYTES {
                surplus.push(name);
            }
        }
        surplus
    }
}

impl Attempt {
    fn is_current(&self, login: &Login, now: Timestamp) -> bool {
        // A minute ahead is another replica's clock.
        let ahead = self.begun > now.plus(Duration::from_secs(60));
        !ahead && now < self.begun.plus(login.attempt_lifetime)
    }
}

/// Binds a sealed attempt to its purpose and its login proxy.
fn context(login: &Login) -> Vec<u8> {
    format!("sign-in attempt 2\0{}\0{}", login.key(), login.cookie_name).into_bytes()
}

/// Why an attempt cannot go on. The visitor's browser, or somebody who lured it here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttemptFault {
    /// The browser brought no cookie for it: not begun here, or its cookie was dropped.
    Missing,
    /// The cookie was not sealed here for this login proxy, or belongs to another state.
    Forged,
    /// Begun too long ago.
    TooOld,
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::COOKIE;

    use super::*;
    use crate::fixture::{self, SeededRandomness};

    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);
    const LIFETIME: Duration = Duration::from_secs(15 * 60);

    fn seal() -> Seal {
        Seal::new(&[[7; 32]]).unwrap()
    }

    fn target(text: &str) -> Target {
        Target::parse(text, &[]).unwrap()
    }

    fn headers(cookies: &[(String, String)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in cookies {
            let value = HeaderValue::from_str(&format!("{name}={value}")).unwrap();
            headers.append(COOKIE, value);
        }
        headers
    }

    fn sealed(randomness: &SeededRandomness, begun: Timestamp, path: &str) -> (Attempt, String) {
        let attempt = Attempt::new(&fixture::login(), randomness, begun, target(path));
        let value = seal()
            .seal(&fixture::login(), &attempt, randomness)
            .unwrap();
        (attempt, value)
    }

    #[test]
    fn an_attempt_comes_back_as_it_left() {
        let randomness = SeededRandomness::default();
        let login = fixture::login();
        let (attempt, value) = sealed(&randomness, NOW, "/a?b=c");
        assert!(value.len() < 200, "{}", value.len());
        let state = attempt.state();
        assert_eq!(state.len(), STATE_LENGTH);
        let headers = headers(&[(attempt.cookie_name(&login), value)]);
        let found = seal()
            .find(&login, &headers, &state, NOW.plus(LIFETIME).minus(SECOND))
            .unwrap();
        assert_eq!(found.target(), &target("/a?b=c"));
        assert_eq!(found.nonce(), attempt.nonce());
        assert_eq!(found.verifier().as_str(), attempt.verifier().as_str());
        assert_ne!(found.nonce(), state);
        assert_ne!(found.verifier().as_str(), state);
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_attempt_of_another_age_browser_state_key_or_proxy_does_not() {
        let randomness = SeededRandomness::default();
        let login = fixture::login();
        let (attempt, value) = sealed(&randomness, NOW, "/a");
        let (other, _) = sealed(&randomness, NOW, "/a");
        let state = attempt.state();
        let name = attempt.cookie_name(&login);
        let mine = headers(&[(name.clone(), value.clone())]);
        let find = |headers: &HeaderMap, state: &str, now| {
            seal()
                .find(&login, headers, state, now)
                .map(|_| ())
                .unwrap_err()
        };
        assert_eq!(
            find(&mine, &state, NOW.plus(LIFETIME)),
            AttemptFault::TooOld
        );
        assert_eq!(
            find(&mine, &state, NOW.minus(LIFETIME)),
            AttemptFault::TooOld
        );
        assert_eq!(find(&HeaderMap::new(), &state, NOW), AttemptFault::Missing);
        assert_eq!(find(&mine, &other.state(), NOW), AttemptFault::Missing);
        let same_beginning = format!("{}{}", &state[..8], &other.state()[8..]);
        assert_eq!(find(&mine, &same_beginning, NOW), AttemptFault::Forged);
        assert_eq!(
            seal().find_target(&login, &mine, &state),
            Some(target("/a")),
            "however old"
        );
        assert_eq!(seal().find_target(&login, &mine, &same_beginning), None);
        let mut bent = value.clone();
        bent.replace_range(20..21, if &value[20..21] == "A" { "B" } else { "A" });
        for bad in ["", "x", "AAAA", &bent] {
            let bad = headers(&[(name.clone(), bad.to_owned())]);
            assert_eq!(find(&bad, &state, NOW), AttemptFault::Forged);
        }
        let stranger = Seal::new(&[[8; 32]])
            .unwrap()
            .find(&login, &mine, &state, NOW);
        assert_eq!(stranger.map(|_| ()).unwrap_err(), AttemptFault::Forged);
        let mut foreign = fixture::login();
        foreign.object.name = "another".into();
        let foreign = seal().find(&foreign, &mine, &state, NOW);
        assert_eq!(foreign.map(|_| ()).unwrap_err(), AttemptFault::Forged);
    }

    #[test]
    fn ten_tabs_fit_and_the_oldest_make_room() {
        let randomness = SeededRandomness::default();
        let login = fixture::login();
        let mut held: Vec<(String, String)> = Vec::new();
        for minute in 0..10 {
            let begun = NOW.plus(Duration::from_secs(minute));
            let (attempt, value) = sealed(&randomness, begun, "/pipeline/#/runs?ns=team");
            let name = attempt.cookie_name(&login);
            let length = name.len() + value.len();
            assert!(
                seal()
                    .surplus(&login, &headers(&held), length, begun)
                    .is_empty(),
                "{minute}"
            );
            held.push((name, value));
        }
        let surplus = seal().surplus(
            &login,
            &headers(&held),
            200,
            NOW.plus(Duration::from_secs(10)),
        );
        assert_eq!(surplus, [held[0].0.clone()]);
        let surplus = seal().surplus(&login, &headers(&held), 4000, NOW.plus(SECOND * 10));
        assert_eq!(surplus.len(), 10);
        let late = NOW.plus(LIFETIME).plus(Duration::from_secs(4));
        assert_eq!(seal().surplus(&login, &headers(&held), 200, late).len(), 5);
    }

    #[test]
    fn an_attempt_belongs_to_the_issuer_and_client_that_it_was_begun_at() {
        let randomness = SeededRandomness::default();
        let mut login = fixture::login();
        let mut other = login.clone();
        other.issuer = "https://other.example".into();
        login.others = vec![other.clone().into()];
        let attempt = Attempt::new(&other, &randomness, NOW, target("/a"));
        let value = seal().seal(&login, &attempt, &randomness).unwrap();
        let mine = headers(&[(attempt.cookie_name(&login), value)]);
        let found = seal().find(&login, &mine, &attempt.state(), NOW).unwrap();
        let chosen = found.choice(&login).unwrap();
        assert_eq!(&*chosen.issuer, "https://other.example");
        login.others.clear();
        assert!(found.choice(&login).is_none());
        other.client_id = "another".into();
        login.others = vec![other.into()];
        assert!(found.choice(&login).is_none());
    }

    #[test]
    fn spoiled_attempt_cookies_are_cleared_away() {
        let login = fixture::login();
        let held = headers(&[
            ("oauth2_proxy_kubeflow_csrf".to_owned(), "old".to_owned()),
            (
                "oauth2_proxy_kubeflow_abcdefgh_csrf".to_owned(),
                "forged".to_owned(),
            ),
            ("someone_elses_csrf".to_owned(), "x".to_owned()),
        ]);
        assert_eq!(
            seal().surplus(&login, &held, 200, NOW),
            [
                "oauth2_proxy_kubeflow_csrf",
                "oauth2_proxy_kubeflow_abcdefgh_csrf"
            ]
        );
    }
}
