-- As migrations/sqlite: a session is one sealed record, with beside it only what it is found by, which is
-- hashed under a key that is not here.
CREATE TABLE session (
    name BYTEA NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    record BYTEA NOT NULL,
    email TEXT NOT NULL,
    subject TEXT NOT NULL,
    sid TEXT,
    seen BIGINT NOT NULL,
    expires BIGINT NOT NULL
);

CREATE INDEX session_expires ON session (expires);
CREATE INDEX session_email ON session (email);
CREATE INDEX session_subject ON session (subject);
CREATE INDEX session_sid ON session (sid) WHERE sid IS NOT NULL;

CREATE TABLE change (
    number BIGINT NOT NULL PRIMARY KEY,
    name BYTEA NOT NULL,
    at BIGINT NOT NULL
);

CREATE INDEX change_at ON change (at);

CREATE TABLE change_count (
    one BIGINT NOT NULL PRIMARY KEY,
    number BIGINT NOT NULL
);

INSERT INTO change_count (one, number) VALUES (1, 0);

CREATE TABLE renewal (
    name BYTEA NOT NULL PRIMARY KEY,
    holder BYTEA NOT NULL,
    until BIGINT NOT NULL
);
