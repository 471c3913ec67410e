//! Secrets that stand in public examples: whoever copies one has no secret.

/// Client secrets, cookie secrets and password hashes as they were published by Kubeflow, Dex and
/// a well-known on-premises walk-through.
const SAMPLES: [&str; 7] = [
    "pUBnBOY80SnXgjibTYM9ZWNzY2xreNGQok",
    "7d16fee92f8d11b8940b081b3f8b8acb",
    "$2y$12$4K/VkmDd1q1Orb3xAt82zu8gk7Ad6ReFR4LCP9UeYE90NLiN9Df72",
    "ZXhhbXBsZS1hcHAtc2VjcmV0",
    "$2a$10$2b2cU8CPhOTaGrs1HRQuAueS7JTT5ZHsHSzYiFPm1leZck7Mc8T4W",
    "LG7jUjNiyVDPJdlarO5Mgz3CxS7kNL/1OZ0spRsL",
    "SXRNTGYzNUFtNi9MTGUvbXJmUnlLdUlYTU00a29ick4=",
];

/// Whether this value can be read in public examples.
pub(super) fn is_published(value: &[u8]) -> bool {
    SAMPLES.iter().any(|sample| sample.as_bytes() == value)
}
