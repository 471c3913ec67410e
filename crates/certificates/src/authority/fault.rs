//! Why there is no authority.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why the own certificate authority cannot be used. Nothing was overwritten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthorityFault {
    /// The state directory cannot be made or opened.
    Directory {
        /// The state directory.
        path: PathBuf,
        /// What the operating system says.
        kind: io::ErrorKind,
    },
    /// A file is there and cannot be read.
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        kind: io::ErrorKind,
    },
    /// A file cannot be written.
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        kind: io::ErrorKind,
    },
    /// The certificate is there and its key is not.
    KeyMissing {
        /// The key file.
        path: PathBuf,
    },
    /// The key file is not a private key in PEM.
    KeyUnreadable {
        /// The key file.
        path: PathBuf,
    },
    /// The certificate file is not a certificate in PEM.
    CertificateUnreadable {
        /// The certificate file.
        path: PathBuf,
    },
    /// The certificate may not sign others.
    NotAnAuthority {
        /// The certificate file.
        path: PathBuf,
    },
    /// Key and certificate are each good and belong to different pairs.
    Mismatch {
        /// The certificate file.
        path: PathBuf,
    },
    /// The certificate has expired, or is not valid yet.
    OutOfTime {
        /// The certificate file.
        path: PathBuf,
    },
    /// The cryptographic library refuses to make a key or a signature.
    Crypto,
}

impl AuthorityFault {
    /// What to do, one sentence.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Directory { .. } | Self::Read { .. } | Self::Write { .. } => {
                "give the user that runs doorward the state directory, or name another with `--state`"
            }
            Self::KeyMissing { .. } | Self::KeyUnreadable { .. } => {
                "restore `ca.key` from a backup, or move `ca.crt` and `ca.key` away: doorward then \
                 makes a new authority, which clients have to trust anew"
            }
            Self::CertificateUnreadable { .. } | Self::NotAnAuthority { .. } => {
                "restore `ca.crt` from a backup, or move it away: doorward then makes a new one for \
                 the same key"
            }
            Self::Mismatch { .. } => {
                "restore `ca.crt` and `ca.key` from the same backup, or move both away: doorward \
                 then makes a new authority, which clients have to trust anew"
            }
            Self::OutOfTime { .. } => {
                "check this machine's clock; if it is right, move `ca.crt` and `ca.key` away: \
                 doorward then makes a new authority, which clients have to trust anew"
            }
            Self::Crypto => "report this with the version of doorward and of the operating system",
        }
    }
}

impl fmt::Display for AuthorityFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory { path, kind } => {
                write!(
                    f,
                    "the state directory `{}` cannot be used: {kind}",
                    path.display()
                )
            }
            Self::Read { path, kind } => {
                write!(f, "`{}` cannot be read: {kind}", path.display())
            }
            Self::Write { path, kind } => {
                write!(f, "`{}` cannot be written: {kind}", path.display())
            }
            Self::KeyMissing { path } => {
                write!(
                    f,
                    "`{}` is not there, and its certificate is",
                    path.display()
                )
            }
            Self::KeyUnreadable { path } => {
                write!(f, "`{}` is not a private key in PEM", path.display())
            }
            Self::CertificateUnreadable { path } => {
                write!(f, "`{}` is not a certificate in PEM", path.display())
            }
            Self::NotAnAuthority { path } => {
                write!(
                    f,
                    "`{}` is not the certificate of an authority",
                    path.display()
                )
            }
            Self::Mismatch { path } => {
                write!(
                    f,
                    "`{}` does not belong to the key beside it",
                    path.display()
                )
            }
            Self::OutOfTime { path } => {
                write!(f, "`{}` is not valid now", path.display())
            }
            Self::Crypto => f.write_str("the cryptographic library refuses to work"),
        }
    }
}

impl std::error::Error for AuthorityFault {}
