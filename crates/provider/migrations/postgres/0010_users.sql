-- People whom doorward itself knows. `login` is the e-mail in lower case; `details` is JSON; `version`
-- guards changes. `bcrypt_cost` is nothing for an argon2id hash, and what the dearest is found by.
CREATE TABLE users (
    user_id       TEXT PRIMARY KEY,
    login         TEXT NOT NULL,
    version       BIGINT NOT NULL,
    details       TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    bcrypt_cost   BIGINT,
    one_time      BIGINT NOT NULL,
    enabled       BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    changed_at    BIGINT NOT NULL
);
CREATE UNIQUE INDEX users_by_login ON users (login);
CREATE INDEX users_by_cost ON users (bcrypt_cost);
