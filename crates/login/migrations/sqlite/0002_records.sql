-- A session is one record in a form that every store has, with beside it only what it is found by.
-- `record` is JSON; `email`, `subject` (issuer and `sub`) and `sid` (issuer and `sid`) are what sessions are
-- ended by. `version` counts rewrites: who rewrites a session names the version that they read.
CREATE TABLE record (
    name BLOB NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    record BLOB NOT NULL,
    email TEXT NOT NULL,
    subject TEXT NOT NULL,
    sid TEXT,
    seen BIGINT NOT NULL,
    expires BIGINT NOT NULL
);

-- The issuer was not kept before; sessions of then end with their cookie or by their user.
INSERT INTO record (name, version, record, email, subject, sid, seen, expires)
SELECT name, 1,
       CAST(json_object('login', login, 'issuer', '', 'user', subject, 'email', email,
                        'groups', json(member_of), 'preferred_username', preferred_username,
                        'id_token', id_token, 'access_token', access_token,
                        'refresh_token', refresh_token, 'created', created, 'expires', expires) AS BLOB),
       lower(email), char(10) || subject, NULL, created, expires
FROM session;

DROP TABLE session;
ALTER TABLE record RENAME TO session;

CREATE INDEX session_expires ON session (expires);
CREATE INDEX session_email ON session (email);
CREATE INDEX session_subject ON session (subject);
CREATE INDEX session_sid ON session (sid) WHERE sid IS NOT NULL;

-- What other processes must forget: names of sessions that were ended or rewritten, an empty one for all
-- of them. Numbers follow each other in the order in which the changes came into force.
CREATE TABLE change (
    number BIGINT NOT NULL PRIMARY KEY,
    name BLOB NOT NULL,
    at BIGINT NOT NULL
);

CREATE INDEX change_at ON change (at);

CREATE TABLE change_count (
    one BIGINT NOT NULL PRIMARY KEY,
    number BIGINT NOT NULL
);

INSERT INTO change_count (one, number) VALUES (1, 0);

-- Who renews a session's tokens at this moment, and until when nobody else may.
CREATE TABLE renewal (
    name BLOB NOT NULL PRIMARY KEY,
    holder BLOB NOT NULL,
    until BIGINT NOT NULL
);
