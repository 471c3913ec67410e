//! The certificate authority that doorward makes for itself at its first start.

mod fault;
mod keeping;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::names::{Duration, Timestamp};
use model::seams::{Clock, Randomness};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SerialNumber,
    date_time_ymd,
};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::{CertifiedKey, SigningKey};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::parse_x509_certificate;
use zeroize::Zeroizing;

use crate::names::{Names, Validity};
use keeping::{Keeping, Kept};

pub use fault::AuthorityFault;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Lifetime of the authority: ten years.
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(3652 * 24 * 3600);
/// How far certificates are dated back, for clients whose clock is behind.
const BACKDATED: Duration = Duration::from_secs(3600);

/// A certificate authority of its own: ECDSA P-256, ten years, `ca.crt` (mode 0644) and `ca.key`
/// (mode 0600) in the state directory. It is made once and never overwritten, because people put
/// their trust in it by hand.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    validity: Validity,
    pem: String,
    path: PathBuf,
    leaf: LeafKey,
    serials: Serials,
}

/// The key of every certificate that is issued: made anew at each start, never on disk.
struct LeafKey {
    pair: KeyPair,
    signing: Arc<dyn SigningKey>,
}

/// A certificate with its key, and its time.
#[derive(Debug)]
pub(crate) struct Issued {
    pub(crate) key: Arc<CertifiedKey>,
    pub(crate) validity: Validity,
}

impl Authority {
    /// Takes the authority from `dir`, or makes it there.
    ///
    /// A key without certificate is what a crash in the middle of the first start leaves; the
    /// certificate is then made for that key. The key is never made anew beside a certificate.
    ///
    /// # Errors
    /// When the directory cannot be used, or what is there is no pair. Nothing is overwritten.
    pub fn load_or_create(
        dir: &Path,
        clock: &dyn Clock,
        randomness: &dyn Randomness,
    ) -> Result<Self, AuthorityFault> {
        let now = clock.now();
        let serials = Serials::new(randomness);
        let keeping = Keeping::open(dir)?;
        let mut certificate = keeping.read(Kept::Certificate)?;
        let key = match (keeping.read(Kept::Key)?, &certificate) {
            (Some(text), _) => {
                KeyPair::from_pem(&text).map_err(|_| AuthorityFault::KeyUnreadable {
                    path: keeping.path(Kept::Key),
                })?
            }
            (None, Some(_)) => {
                return Err(AuthorityFault::KeyMissing {
                    path: keeping.path(Kept::Key),
                });
            }
            (None, None) => {
                let key = new_key()?;
                keeping.write(Kept::Key, &Zeroizing::new(key.serialize_pem()))?;
                key
            }
        };
        if certificate.is_none() {
            let made = certificate_of_authority(&key, now, &serials, randomness)?;
            keeping.write(Kept::Certificate, &made)?;
            certificate = keeping.read(Kept::Certificate)?;
        }
        if keeping.is_key_open() {
            tracing::warn!(
                path = %keeping.path(Kept::Key).display(),
                "the key of the certificate authority can be read by others: make its mode 0600"
            );
        }
        let pem = certificate.map(|text| text.to_string()).unwrap_or_default();
        Self::of_pair(pem, key, keeping.path(Kept::Certificate), now, serials)
    }

    fn of_pair(
        pem: String,
        key: KeyPair,
        path: PathBuf,
        now: Timestamp,
        serials: Serials,
    ) -> Result<Self, AuthorityFault> {
        let unreadable = || AuthorityFault::CertificateUnreadable { path: path.clone() };
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| unreadable())?;
        let (_, parsed) = parse_x509_certificate(&der).map_err(|_| unreadable())?;
        let validity = Validity {
            not_before: Timestamp::from_seconds(parsed.validity().not_before.timestamp()),
            not_after: Timestamp::from_seconds(parsed.validity().not_after.timestamp()),
        };
        if !parsed.is_ca() {
            return Err(AuthorityFault::NotAnAuthority { path });
        }
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err(AuthorityFault::Mismatch { path });
        }
        if now < validity.not_before || now > validity.not_after {
            return Err(AuthorityFault::OutOfTime { path });
        }
        let issuer = Issuer::from_ca_cert_der(&der, key).map_err(|_| unreadable())?;
        let leaf = LeafKey::new()?;
        Ok(Self {
            issuer,
            validity,
            pem,
            path,
            leaf,
            serials,
        })
    }

    /// The certificate that clients have to trust, in PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// The file that holds [`Self::certificate_pem`].
    pub fn certificate_path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn validity(&self) -> Validity {
        self.validity
    }

    /// Issues a certificate for a server. It never outlives the authority.
    pub(crate) fn issue(&self, names: &Names, now: Timestamp) -> Result<Issued, AuthorityFault> {
        let validity = Validity {
            not_before: now.minus(BACKDATED).max(self.validity.not_before),
            not_after: now.plus(names.lifetime()).min(self.validity.not_after),
        };
        if validity.not_after <= now {
            return Err(AuthorityFault::OutOfTime {
                path: self.path.clone(),
            });
        }
        let mut params = dated(validity, &self.serials);
        params.distinguished_name = named(common_name(names));
        params.subject_alt_names = alternative_names(names)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params
            .signed_by(&self.leaf.pair, &self.issuer)
            .map_err(|_| AuthorityFault::Crypto)?;
        // The self-signed root stays out of the chain: clients have it or do not believe it.
        let chain = vec![certificate.der().clone()];
        let key = Arc::new(CertifiedKey::new(chain, self.leaf.signing.clone()));
        Ok(Issued { key, validity })
    }
}

/// Serial numbers (RFC 5280 §4.1.2.2): positive, of at most 20 bytes, none used twice. They count
/// from a point drawn at each start; all leaves share one key, so a number derived from it, which
/// is what libraries do, would repeat.
struct Serials {
    first: u128,
    issued: AtomicU64,
}

impl Serials {
    fn new(randomness: &dyn Randomness) -> Self {
        let mut bytes = [0; 16];
        randomness.fill(&mut bytes);
        // The top bits keep the number positive and its length the same, whatever is counted.
        bytes[0] = 0x40 | bytes[0] & 0x1f;
        Self {
            first: u128::from_be_bytes(bytes),
            issued: AtomicU64::new(0),
        }
    }

    fn next(&self) -> SerialNumber {
        let count = self.issued.fetch_add(1, Ordering::Relaxed);
        let number = self.first.wrapping_add(u128::from(count));
        SerialNumber::from_slice(&number.to_be_bytes())
    }
}

impl LeafKey {
    fn new() -> Result<Self, AuthorityFault> {
        let pair = new_key()?;
        let der =
            PrivateKeyDer::try_from(pair.serialized_der()).map_err(|_| AuthorityFault::Crypto)?;
        let signing = any_supported_type(&der).map_err(|_| AuthorityFault::Crypto)?;
        Ok(Self { pair, signing })
    }
}

fn new_key() -> Result<KeyPair, AuthorityFault> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|_| AuthorityFault::Crypto)
}

fn certificate_of_authority(
    key: &KeyPair,
    now: Timestamp,
    serials: &Serials,
    randomness: &dyn Randomness,
) -> Result<String, AuthorityFault> {
    let validity = Validity {
        not_before: now.minus(DAY),
        not_after: now.plus(AUTHORITY_LIFETIME),
    };
    let mut params = dated(validity, serials);
    // A browser that met two authorities of one name would mix them up.
    let mut mark = [0; 4];
    randomness.fill(&mut mark);
    let mark = u32::from_be_bytes(mark);
    params.distinguished_name = named(format!("doorward authority {mark:08x}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params
        .self_signed(key)
        .map_err(|_| AuthorityFault::Crypto)?;
    Ok(certificate.pem())
}

fn dated(validity: Validity, serials: &Serials) -> CertificateParams {
    let mut params = CertificateParams::default();
    // rcgen's own type of time is reached through its only constructor.
    let moment = |at: Timestamp| {
        const YEAR_9999: i64 = 253_370_764_800;
        let seconds = at.seconds().clamp(0, YEAR_9999).unsigned_abs();
        date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds)
    };
    params.not_before = moment(validity.not_before);
    params.not_after = moment(validity.not_after);
    params.serial_number = Some(serials.next());
    params
}

fn named(common_name: String) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

/// For people who look at a list of certificates; clients read the alternative names.
fn common_name(names: &Names) -> String {
    /// X.520 allows no more.
    const LIMIT: usize = 64;
    let addresses = names.addresses().map(|address| address.to_string());
    let mut all = names.dns().map(str::to_owned).chain(addresses);
    all.find(|name| name.len() <= LIMIT)
        .unwrap_or_else(|| "doorward".into())
}

fn alternative_names(names: &Names) -> Result<Vec<SanType>, AuthorityFault> {
    let dns = names.dns().map(|name| {
        let name = name.try_into().map_err(|_| AuthorityFault::Crypto)?;
        Ok(SanType::DnsName(name))
    });
    let addresses = names
        .addresses()
        .map(|address| Ok(SanType::IpAddress(address)));
    dns.chain(addresses).collect()
}
