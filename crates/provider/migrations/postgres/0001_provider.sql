-- As migrations/sqlite; the database's own rights are what guards secrets of our own.

CREATE TABLE own_secrets (
    name  TEXT PRIMARY KEY,
    bytes BYTEA NOT NULL
);

-- One row an issuer; `ring` is JSON, replaced as a whole when `version` is still the one read.
CREATE TABLE key_rings (
    issuer  TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    ring    TEXT NOT NULL
);

-- A row is deleted by whoever redeems it.
CREATE TABLE codes (
    code_hash    BYTEA PRIMARY KEY,
    issuer       TEXT NOT NULL,
    client_id    TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    details      TEXT NOT NULL,
    expires_at   BIGINT NOT NULL
);
CREATE INDEX codes_by_expiry ON codes (expires_at);

-- Authorization requests that have had their answer. Written after a sign-in only.
CREATE TABLE answered_requests (
    id         TEXT PRIMARY KEY,
    expires_at BIGINT NOT NULL
);
CREATE INDEX answered_requests_by_expiry ON answered_requests (expires_at);

-- One row a family: the token changes with each use, the family stays.
CREATE TABLE refresh_families (
    family        TEXT PRIMARY KEY,
    issuer        TEXT NOT NULL,
    client_id     TEXT NOT NULL,
    token_hash    BYTEA NOT NULL,
    code_hash     BYTEA NOT NULL,
    details       TEXT NOT NULL,
    rotated_at    BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL
);
CREATE INDEX refresh_families_by_expiry ON refresh_families (expires_at);
CREATE INDEX refresh_families_by_code ON refresh_families (code_hash);
