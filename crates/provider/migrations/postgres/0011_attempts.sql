-- Budgets of failed sign-ins that are overdrawn; `budget` is a digest of whose they are.
CREATE TABLE attempts (
    budget   BYTEA PRIMARY KEY,
    failures BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL
);
CREATE INDEX attempts_by_expiry ON attempts (expires_at);
