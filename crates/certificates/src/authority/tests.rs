//! First starts, restarts, crashes in between, and files that somebody touched.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};

use model::names::Timestamp;
use model::seams::{Clock, Randomness};
use tempfile::TempDir;
use x509_parser::parse_x509_certificate;

use super::{Authority, AuthorityFault, Names};
use crate::names::LIFETIME;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

struct At(Timestamp);

impl Clock for At {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// Different bytes each time.
#[derive(Default)]
struct Counting(AtomicU8);

impl Randomness for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0.fetch_add(1, Ordering::Relaxed));
    }
}

fn load_at(dir: &Path, now: Timestamp) -> Result<Authority, AuthorityFault> {
    Authority::load_or_create(dir, &At(now), &Counting::default())
}

fn load(dir: &Path) -> Result<Authority, AuthorityFault> {
    load_at(dir, NOW)
}

fn fault(dir: &Path) -> AuthorityFault {
    load(dir).err().expect("a fault")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_first_start_makes_an_authority_for_ten_years_and_hides_its_key() {
    let root = TempDir::new().unwrap();
    let dir = root.path().join("state/doorward");
    let authority = load(&dir).unwrap();
    assert_eq!(authority.certificate_path(), dir.join("ca.crt"));
    assert_eq!(
        fs::read_to_string(dir.join("ca.crt")).unwrap(),
        authority.certificate_pem()
    );
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("ca.crt")), 0o644);
    assert_eq!(mode(&dir.join("ca.key")), 0o600);
    let seconds = authority.validity().not_after.seconds() - NOW.seconds();
    assert_eq!(seconds / (24 * 3600), 3652);
    let names: Vec<_> = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn the_certificate_may_sign_servers_but_no_further_authority() {
    let root = TempDir::new().unwrap();
    let authority = load(root.path()).unwrap();
    let (_, pem) =
        x509_parser::pem::parse_x509_pem(authority.certificate_pem().as_bytes()).unwrap();
    let certificate = pem.parse_x509().unwrap();
    let constraints = certificate.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical);
    assert!(constraints.value.ca);
    assert_eq!(constraints.value.path_len_constraint, Some(0));
    let usage = certificate.key_usage().unwrap().unwrap().value;
    assert!(usage.key_cert_sign() && !usage.digital_signature());
}

#[test]
fn a_restart_keeps_the_authority() {
    let root = TempDir::new().unwrap();
    let first = load(root.path()).unwrap();
    let later = Timestamp::from_seconds(NOW.seconds() + 10_000_000);
    let second = load_at(root.path(), later).unwrap();
    assert_eq!(first.certificate_pem(), second.certificate_pem());
}

#[test]
fn two_first_starts_at_once_make_one_authority() {
    let root = TempDir::new().unwrap();
    let made: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| load(root.path()).unwrap()))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    for authority in &made {
        assert_eq!(authority.certificate_pem(), made[0].certificate_pem());
    }
}

#[test]
fn a_crash_at_any_step_of_the_first_start_leaves_a_state_that_starts() {
    let whole = TempDir::new().unwrap();
    load(whole.path()).unwrap();
    let key = fs::read_to_string(whole.path().join("ca.key")).unwrap();
    let states: [&[(&str, &str)]; 5] = [
        &[(".ca.key.new", "")],
        &[(".ca.key.new", &key[..key.len() / 2])],
        &[("ca.key", &key)],
        &[("ca.key", &key), (".ca.crt.new", "-----BEGIN CERT")],
        &[("ca.key", &key), (".ca.key.new", &key)],
    ];
    for state in states {
        let root = TempDir::new().unwrap();
        for (name, text) in state {
            fs::write(root.path().join(name), text).unwrap();
        }
        let made = load(root.path()).unwrap();
        if state.iter().any(|(name, _)| *name == "ca.key") {
            assert_eq!(fs::read_to_string(root.path().join("ca.key")).unwrap(), key);
        }
        assert_eq!(
            load(root.path()).unwrap().certificate_pem(),
            made.certificate_pem()
        );
    }
}

#[test]
fn what_is_no_pair_is_told_and_left_alone() {
    let root = TempDir::new().unwrap();
    load(root.path()).unwrap();
    let (crt, key) = (root.path().join("ca.crt"), root.path().join("ca.key"));
    let good_crt = fs::read_to_string(&crt).unwrap();
    let good_key = fs::read_to_string(&key).unwrap();
    let other = TempDir::new().unwrap();
    load(other.path()).unwrap();
    let other_key = fs::read_to_string(other.path().join("ca.key")).unwrap();

    fs::write(&key, &other_key).unwrap();
    assert_eq!(
        fault(root.path()),
        AuthorityFault::Mismatch { path: crt.clone() }
    );
    assert_eq!(fs::read_to_string(&key).unwrap(), other_key);

    fs::write(&key, &good_key[..60]).unwrap();
    assert_eq!(
        fault(root.path()),
        AuthorityFault::KeyUnreadable { path: key.clone() }
    );

    fs::remove_file(&key).unwrap();
    assert_eq!(
        fault(root.path()),
        AuthorityFault::KeyMissing { path: key.clone() }
    );
    assert!(!key.exists());

    fs::write(&key, &good_key).unwrap();
    for bad in ["", &good_crt[..80], "\u{0}"] {
        fs::write(&crt, bad).unwrap();
        assert_eq!(
            fault(root.path()),
            AuthorityFault::CertificateUnreadable { path: crt.clone() }
        );
        assert_eq!(fs::read_to_string(&crt).unwrap(), bad);
    }
}

#[test]
fn an_authority_out_of_its_time_is_told() {
    let root = TempDir::new().unwrap();
    let made = load(root.path()).unwrap();
    let path = root.path().join("ca.crt");
    let last = made.validity().not_after;
    assert!(load_at(root.path(), last).is_ok());
    for seconds in [last.seconds() + 1, NOW.seconds() - 2 * 24 * 3600] {
        let fault = load_at(root.path(), Timestamp::from_seconds(seconds)).err();
        assert_eq!(
            fault,
            Some(AuthorityFault::OutOfTime { path: path.clone() })
        );
    }
}

#[test]
fn a_server_certificate_that_is_no_authority_is_refused() {
    let root = TempDir::new().unwrap();
    load(root.path()).unwrap();
    let key = rcgen::KeyPair::from_pem(&fs::read_to_string(root.path().join("ca.key")).unwrap());
    let params = rcgen::CertificateParams::new(vec!["a.com".into()]).unwrap();
    let pem = params.self_signed(&key.unwrap()).unwrap().pem();
    fs::write(root.path().join("ca.crt"), pem).unwrap();
    let path = root.path().join("ca.crt");
    assert_eq!(fault(root.path()), AuthorityFault::NotAnAuthority { path });
}

#[test]
fn a_directory_that_cannot_be_made_is_told() {
    let root = TempDir::new().unwrap();
    fs::write(root.path().join("file"), "").unwrap();
    let path = root.path().join("file/state");
    let kind = std::io::ErrorKind::NotADirectory;
    assert_eq!(
        fault(&path),
        AuthorityFault::Directory {
            path: path.clone(),
            kind
        }
    );
}

#[test]
fn an_issued_certificate_is_backdated_for_ninety_days_and_never_outlives_the_authority() {
    let root = TempDir::new().unwrap();
    let authority = load(root.path()).unwrap();
    let names = Names::of("a.com").unwrap();
    let issued = authority.issue(&names, NOW).unwrap();
    let (_, parsed) = parse_x509_certificate(&issued.key.cert[0]).unwrap();
    assert_eq!(
        parsed.validity().not_before.timestamp(),
        NOW.seconds() - 3600
    );
    assert_eq!(
        parsed.validity().not_after.timestamp(),
        NOW.plus(LIFETIME).seconds()
    );
    assert!(!parsed.is_ca());
    assert_eq!(issued.key.cert.len(), 1);

    let end = authority.validity().not_after;
    let last = authority
        .issue(&names, Timestamp::from_seconds(end.seconds() - 60))
        .unwrap();
    assert_eq!(last.validity.not_after, end);
    assert!(authority.issue(&names, end).is_err());
}

#[test]
fn no_serial_number_is_used_twice_and_all_are_positive() {
    let root = TempDir::new().unwrap();
    let authority = load(root.path()).unwrap();
    let mut serials = std::collections::HashSet::new();
    for name in ["a.com", "a.com", "b.com"] {
        let issued = authority.issue(&Names::of(name).unwrap(), NOW).unwrap();
        let (_, parsed) = parse_x509_certificate(&issued.key.cert[0]).unwrap();
        assert_eq!(parsed.raw_serial().len(), 16);
        assert_eq!(parsed.raw_serial()[0] & 0x80, 0);
        assert!(serials.insert(parsed.raw_serial().to_vec()));
    }
}
