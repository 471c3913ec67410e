-- Who is signed in. `name` is the SHA-256 of the cookie's value; the value itself is nowhere.
CREATE TABLE session (
    name BLOB NOT NULL PRIMARY KEY,
    login TEXT NOT NULL,
    subject TEXT NOT NULL,
    email TEXT NOT NULL,
    member_of TEXT NOT NULL,
    preferred_username TEXT,
    id_token TEXT NOT NULL,
    access_token TEXT,
    refresh_token TEXT,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL
);

CREATE INDEX session_expires ON session (expires);

-- Secrets of this store: one row for each purpose.
CREATE TABLE store_key (
    purpose TEXT NOT NULL PRIMARY KEY,
    secret BLOB NOT NULL
);
