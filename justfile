# What a change must pass.
check: format lint test audit

format:
    cargo fmt --all --check

lint:
    cargo clippy --workspace --all-targets -- -D warnings

test:
    cargo test --workspace

# Licences, bans, advisories (cargo-deny).
audit:
    cargo deny check
