-- A spent code stays until nothing that it brought can be valid any more: coming again, it takes all
-- of that back.
ALTER TABLE codes ADD COLUMN spent_at BIGINT;
ALTER TABLE codes ADD COLUMN grant_id TEXT NOT NULL DEFAULT '';

-- The token before this one, and this one sealed: within the interval of reuse both bring it.
ALTER TABLE refresh_families ADD COLUMN previous_hash BLOB;
ALTER TABLE refresh_families ADD COLUMN sealed_token TEXT NOT NULL DEFAULT '';
ALTER TABLE refresh_families ADD COLUMN grant_id TEXT NOT NULL DEFAULT '';
ALTER TABLE refresh_families ADD COLUMN session TEXT NOT NULL DEFAULT '';
ALTER TABLE refresh_families ADD COLUMN created_at BIGINT NOT NULL DEFAULT 0;
UPDATE refresh_families SET created_at = rotated_at;
CREATE INDEX refresh_families_by_grant ON refresh_families (grant_id);
CREATE INDEX refresh_families_by_session ON refresh_families (session);

-- Grants and single tokens (by `jti`) that are good no more, until they would have expired.
CREATE TABLE revoked (
    issuer     TEXT NOT NULL,
    id         TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (issuer, id)
);
CREATE INDEX revoked_by_expiry ON revoked (expires_at);

-- Words that may come once: `jti` of client assertions and proofs of possession, as digests.
CREATE TABLE seen_words (
    word_hash  BLOB PRIMARY KEY,
    expires_at BIGINT NOT NULL
);
CREATE INDEX seen_words_by_expiry ON seen_words (expires_at);

-- Remembered sign-ins. `sid` is what clients see of one, the cookie is kept as a digest.
CREATE TABLE sign_ins (
    sid         TEXT PRIMARY KEY,
    cookie_hash BLOB NOT NULL,
    issuer      TEXT NOT NULL,
    subject     TEXT NOT NULL,
    details     TEXT NOT NULL,
    created_at  BIGINT NOT NULL,
    used_at     BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL
);
CREATE UNIQUE INDEX sign_ins_by_cookie ON sign_ins (cookie_hash);
CREATE INDEX sign_ins_by_subject ON sign_ins (issuer, subject);
CREATE INDEX sign_ins_by_expiry ON sign_ins (expires_at);

-- Which clients a remembered sign-in let in: they are told of its end.
CREATE TABLE sign_in_clients (
    sid       TEXT NOT NULL,
    client_id TEXT NOT NULL,
    PRIMARY KEY (sid, client_id)
);

-- Logout tokens that have yet to be delivered (OpenID Connect Back-Channel Logout 1.0 §2.5).
CREATE TABLE logout_notices (
    id         TEXT PRIMARY KEY,
    issuer     TEXT NOT NULL,
    client_id  TEXT NOT NULL,
    subject    TEXT NOT NULL,
    sid        TEXT NOT NULL,
    attempts   BIGINT NOT NULL,
    next_at    BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX logout_notices_by_time ON logout_notices (next_at);

-- Pushed authorization requests (RFC 9126).
CREATE TABLE pushed_requests (
    uri_hash   BLOB PRIMARY KEY,
    issuer     TEXT NOT NULL,
    client_id  TEXT NOT NULL,
    parameters TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX pushed_requests_by_expiry ON pushed_requests (expires_at);

-- Devices that wait for a person (RFC 8628). `answer` is empty until the person has decided.
CREATE TABLE devices (
    device_hash BLOB PRIMARY KEY,
    user_hash   BLOB NOT NULL,
    issuer      TEXT NOT NULL,
    client_id   TEXT NOT NULL,
    details     TEXT NOT NULL,
    answer      TEXT NOT NULL,
    pause       BIGINT NOT NULL,
    polled_at   BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL
);
CREATE UNIQUE INDEX devices_by_user_code ON devices (issuer, user_hash);
CREATE INDEX devices_by_expiry ON devices (expires_at);

-- Clients that registered themselves (RFC 7591). `version` guards changes.
CREATE TABLE registered_clients (
    issuer     TEXT NOT NULL,
    client_id  TEXT NOT NULL,
    version    BIGINT NOT NULL,
    token_hash BLOB NOT NULL,
    metadata   TEXT NOT NULL,
    secret     TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (issuer, client_id)
);
