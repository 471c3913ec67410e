//! Redis or Valkey: one server, one behind Sentinel, or a cluster.
//!
//! A session is a hash with a native time to live. What sessions are found by are sorted sets, and
//! changes are a stream. In a cluster these lie on different nodes, so nothing spans two keys; each
//! operation takes its steps in an order in which one that is cut short does no harm: a set may name
//! a session that is gone, never the other way round.

mod link;

use data_encoding::HEXLOWER;
use model::names::Timestamp;
use redis::{Script, cmd};

use super::address::RedisAddress;
use super::{Changes, Cursor, Index, Place, Row, StoreError};
use crate::sessions::value::Name;
use link::Link;

/// Every key begins so.
const PREFIX: &str = "doorward:";

/// Changes that are read at once.
const HEARD: usize = 4096;

/// Changes that are kept at most, whatever their age.
const MOST_CHANGES: usize = 1_000_000;

pub(super) struct RedisStore {
    link: Link,
    scripts: Scripts,
}

/// Fields of a session's hash: `v` version, `r` record, `s` seen, `x` expires, and `e`, `u`, `i`
/// what it is found by.
struct Scripts {
    replace: Script,
    touch: Script,
    delete: Script,
    enlist: Script,
    unlock: Script,
}

impl Scripts {
    fn new() -> Self {
        Self {
            replace: Script::new(
                "local before = redis.call('HMGET', KEYS[1], 'v', 'e', 'u', 'i')
                 if before[1] ~= ARGV[1] then return false end
                 redis.call('DEL', KEYS[1])
                 redis.call('HSET', KEYS[1], 'v', ARGV[2], 'r', ARGV[3], 'e', ARGV[4], 'u', ARGV[5],
                            'i', ARGV[6], 's', ARGV[7], 'x', ARGV[8])
                 redis.call('PEXPIRE', KEYS[1], ARGV[9])
                 return {before[2], before[3], before[4]}",
            ),
            touch: Script::new(
                "local seen = redis.call('HGET', KEYS[1], 's')
                 if not seen or tonumber(seen) >= tonumber(ARGV[1]) then return 0 end
                 redis.call('HSET', KEYS[1], 's', ARGV[1], 'x', ARGV[2])
                 redis.call('PEXPIRE', KEYS[1], ARGV[3])
                 return 1",
            ),
            delete: Script::new(
                "local before = redis.call('HMGET', KEYS[1], 'e', 'u', 'i')
                 if redis.call('DEL', KEYS[1]) == 0 then return false end
                 return before",
            ),
            enlist: Script::new(
                "redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
                 redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[3])
                 local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
                 if last[2] then
                   redis.call('EXPIRE', KEYS[1], math.max(1, math.ceil(last[2] - ARGV[3])))
                 end
                 return 1",
            ),
            unlock: Script::new(
                "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
                 return 0",
            ),
        }
    }
}

fn session_key(name: &Name) -> String {
    format!("{PREFIX}session:{}", HEXLOWER.encode(name))
}

fn renewal_key(name: &Name) -> String {
    format!("{PREFIX}renewal:{}", HEXLOWER.encode(name))
}

fn changes_key() -> String {
    format!("{PREFIX}changes")
}

/// All sessions, spread over 256 sets by the first byte of their names.
fn all_key(first: u8) -> String {
    format!("{PREFIX}all:{first:02x}")
}

fn index_key(index: Index, tag: &str) -> String {
    let kind = match index {
        Index::Email => "email",
        Index::Subject => "subject",
        Index::Sid => "sid",
    };
    format!("{PREFIX}{kind}:{tag}")
}

/// Time to live, milliseconds: by the caller's clock, as everything else.
fn lives(from: Timestamp, until: Timestamp) -> i64 {
    until.seconds().saturating_sub(from.seconds()).max(1) * 1000
}

/// An entry of the stream: its id, its fields.
type Told = (String, Vec<(String, Vec<u8>)>);

/// What a session was found by.
type Tags = (Option<String>, Option<String>, Option<String>);

impl RedisStore {
    /// Without connecting.
    pub(super) fn new(address: &RedisAddress) -> Result<Self, StoreError> {
        Ok(Self {
            link: Link::new(address)?,
            scripts: Scripts::new(),
        })
    }

    /// Whether it can be reached.
    pub(super) async fn ready(&self) -> Result<(), StoreError> {
        // Where a version is too old for what is used here, this says so at the start.
        self.cursor().await.map(|_| ())
    }

    /// Keeps a session.
    pub(super) async fn insert(&self, row: &Row) -> Result<(), StoreError> {
        self.enlist(row).await?;
        let lives = lives(row.seen, row.expires);
        // Made whole, with its time to live, or not at all.
        let script = Script::new(
            "redis.call('HSET', KEYS[1], 'v', ARGV[1], 'r', ARGV[2], 'e', ARGV[3], 'u', ARGV[4],
                        'i', ARGV[5], 's', ARGV[6], 'x', ARGV[7])
             return redis.call('PEXPIRE', KEYS[1], ARGV[8])",
        );
        let mut call = script.prepare_invoke();
        call.key(session_key(&row.name))
            .arg(row.version)
            .arg(&row.record)
            .arg(&row.email)
            .arg(&row.subject)
            .arg(row.sid.as_deref().unwrap_or_default())
            .arg(row.seen.seconds())
            .arg(row.expires.seconds())
            .arg(lives);
        self.link.run(&call).await
    }

    /// Puts `row` where version `before` stands; says whether it stood there.
    pub(super) async fn replace(&self, before: i64, row: &Row) -> Result<bool, StoreError> {
        self.enlist(row).await?;
        let mut call = self.scripts.replace.prepare_invoke();
        call.key(session_key(&row.name))
            .arg(before)
            .arg(row.version)
            .arg(&row.record)
            .arg(&row.email)
            .arg(&row.subject)
            .arg(row.sid.as_deref().unwrap_or_default())
            .arg(row.seen.seconds())
            .arg(row.expires.seconds())
            .arg(lives(row.seen, row.expires));
        let replaced: Option<Tags> = self.link.run(&call).await?;
        let Some((email, subject, sid)) = replaced else {
            return Ok(false);
        };
        self.tell(&row.name).await?;
        let kept = |tag: Option<String>, now: &str| tag.filter(|tag| tag != now);
        let gone = (
            kept(email, &row.email),
            kept(subject, &row.subject),
            kept(sid, row.sid.as_deref().unwrap_or_default()),
        );
        self.unlist(&row.name, gone).await?;
        Ok(true)
    }

    /// The session with this name.
    pub(super) async fn find(&self, name: &Name) -> Result<Option<Place>, StoreError> {
        let mut ask = cmd("HMGET");
        ask.arg(session_key(name)).arg(&["v", "r", "s", "x"]);
        let fields: (Option<i64>, Option<Vec<u8>>, Option<i64>, Option<i64>) =
            self.link.ask(&ask).await?;
        Ok(match fields {
            (Some(version), Some(record), Some(seen), Some(expires)) => Some(Place {
                name: *name,
                version,
                record,
                seen: Timestamp::from_seconds(seen),
                expires: Timestamp::from_seconds(expires),
            }),
            _ => None,
        })
    }

    /// Somebody showed the cookie: the session stays until `expires`.
    pub(super) async fn touch(
        &self,
        name: &Name,
        seen: Timestamp,
        expires: Timestamp,
    ) -> Result<(), StoreError> {
        let mut call = self.scripts.touch.prepare_invoke();
        call.key(session_key(name))
            .arg(seen.seconds())
            .arg(expires.seconds())
            .arg(lives(seen, expires));
        self.link.run(&call).await
    }

    /// Forgets a session; says whether there was one.
    pub(super) async fn delete(&self, name: &Name) -> Result<bool, StoreError> {
        let mut call = self.scripts.delete.prepare_invoke();
        call.key(session_key(name));
        let tags: Option<Tags> = self.link.run(&call).await?;
        // Another process may still hold it in memory though it is not here any more.
        self.tell(name).await?;
        match tags {
            Some(tags) => {
                self.unlist(name, tags).await?;
                self.take_from(&all_key(name[0]), name).await?;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Forgets the sessions of a person; gives their names.
    pub(super) async fn delete_by(&self, index: Index, tag: &str) -> Result<Vec<Name>, StoreError> {
        let mut deleted = Vec::new();
        for name in self.found_by(index, tag).await? {
            if self.delete(&name).await? {
                deleted.push(name);
            }
        }
        Ok(deleted)
    }

    /// Forgets every session; says how many.
    pub(super) async fn delete_all(&self) -> Result<u64, StoreError> {
        let mut deleted = 0;
        for first in 0..=u8::MAX {
            for name in self.members(&all_key(first)).await? {
                let mut call = self.scripts.delete.prepare_invoke();
                call.key(session_key(&name));
                if let Some(tags) = self.link.run::<Option<Tags>>(&call).await? {
                    deleted += 1;
                    self.unlist(&name, tags).await?;
                }
                self.take_from(&all_key(first), &name).await?;
            }
        }
        self.tell(b"").await?;
        Ok(deleted)
    }

    /// Sessions after `after` in the order of their names.
    pub(super) async fn list(
        &self,
        after: &[u8],
        at_most: usize,
    ) -> Result<Vec<Place>, StoreError> {
        let mut places = Vec::new();
        for first in after.first().copied().unwrap_or_default()..=u8::MAX {
            for name in self.members(&all_key(first)).await? {
                if name.as_slice() <= after {
                    continue;
                }
                if places.len() == at_most {
                    return Ok(places);
                }
                places.extend(self.find(&name).await?);
            }
        }
        Ok(places)
    }

    /// The sessions of a person.
    pub(super) async fn list_by(&self, index: Index, tag: &str) -> Result<Vec<Place>, StoreError> {
        let mut places = Vec::new();
        for name in self.found_by(index, tag).await? {
            places.extend(self.find(&name).await?);
        }
        Ok(places)
    }

    /// Takes names out of the sets of all sessions that were over at `now`, and changes that were
    /// told `told` seconds ago. Sessions go by themselves.
    pub(super) async fn sweep(&self, now: Timestamp, told: u64) -> Result<u64, StoreError> {
        let mut swept = 0;
        for first in 0..=u8::MAX {
            let mut ask = cmd("ZREMRANGEBYSCORE");
            ask.arg(all_key(first)).arg("-inf").arg(now.seconds());
            swept += self.link.ask::<u64>(&ask).await?;
        }
        // The last one stays: it shows others that none was missed.
        let Cursor(last, _) = self.cursor().await?;
        // Some server of a cluster; their clocks are those of the stream.
        let (seconds, _): (u64, u64) = self.link.ask(&cmd("TIME")).await?;
        let since = last.min(seconds.saturating_sub(told) * 1000);
        let mut ask = cmd("XTRIM");
        ask.arg(changes_key()).arg("MINID").arg("~").arg(since);
        self.link.ask::<u64>(&ask).await?;
        Ok(swept)
    }

    /// Lets `holder` alone renew a session's tokens for so many seconds; says whether nobody else
    /// does.
    pub(super) async fn lock(
        &self,
        name: &Name,
        holder: &[u8],
        seconds: u64,
    ) -> Result<bool, StoreError> {
        let mut ask = cmd("SET");
        ask.arg(renewal_key(name)).arg(holder).arg("NX");
        ask.arg("EX").arg(seconds.max(1));
        let taken: Option<String> = self.link.ask(&ask).await?;
        Ok(taken.is_some())
    }

    /// Lets others renew it again.
    pub(super) async fn unlock(&self, name: &Name, holder: &[u8]) -> Result<(), StoreError> {
        let mut call = self.scripts.unlock.prepare_invoke();
        call.key(renewal_key(name)).arg(holder);
        self.link.run(&call).await
    }

    /// Where the stream of changes stands.
    pub(super) async fn cursor(&self) -> Result<Cursor, StoreError> {
        let mut ask = cmd("XREVRANGE");
        ask.arg(changes_key()).arg("+").arg("-");
        ask.arg("COUNT").arg(1);
        let last: Vec<Told> = self.link.ask(&ask).await?;
        last.first().map_or(Ok(Cursor(0, 0)), |(id, _)| cursor(id))
    }

    /// What has changed since `since`.
    pub(super) async fn changes(&self, since: Cursor) -> Result<Changes, StoreError> {
        let mut ask = cmd("XRANGE");
        let from = format!("{}-{}", since.0, since.1);
        ask.arg(changes_key()).arg(from).arg("+");
        ask.arg("COUNT").arg(HEARD);
        let entries: Vec<Told> = self.link.ask(&ask).await?;
        let mut entries = entries.iter();
        if since != Cursor(0, 0) {
            // The one that was read last is still there unless some were forgotten, or all was lost.
            let first = entries.next().map(|(id, _)| cursor(id)).transpose()?;
            if first != Some(since) {
                return Ok(Changes::Unknown(self.cursor().await?));
            }
        }
        let (mut names, mut next) = (Vec::new(), since);
        for (id, fields) in entries {
            next = cursor(id)?;
            let (_, name) = fields.first().ok_or(StoreError::Corrupt)?;
            if name.is_empty() {
                return Ok(Changes::Unknown(next));
            }
            names.push(Name::try_from(name.as_slice()).map_err(|_| StoreError::Corrupt)?);
        }
        Ok(Changes::Of(names, next))
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) async fn close(&self) {
        self.link.close().await;
    }

    /// An empty name stands for all.
    async fn tell(&self, name: &[u8]) -> Result<(), StoreError> {
        let mut ask = cmd("XADD");
        ask.arg(changes_key()).arg("MAXLEN").arg("~");
        ask.arg(MOST_CHANGES).arg("*").arg("n").arg(name);
        self.link.ask(&ask).await
    }

    /// Names of a person's sessions. The set may have some that became another's, or are to: what
    /// stands beside the record counts.
    async fn found_by(&self, index: Index, tag: &str) -> Result<Vec<Name>, StoreError> {
        let field = match index {
            Index::Email => "e",
            Index::Subject => "u",
            Index::Sid => "i",
        };
        let mut names = Vec::new();
        for name in self.members(&index_key(index, tag)).await? {
            let mut ask = cmd("HGET");
            ask.arg(session_key(&name)).arg(field);
            let stands: Option<String> = self.link.ask(&ask).await?;
            if stands.as_deref() == Some(tag) {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Names of a set, in their order.
    async fn members(&self, key: &str) -> Result<Vec<Name>, StoreError> {
        let mut ask = cmd("ZRANGE");
        ask.arg(key).arg(0).arg(-1);
        let members: Vec<Vec<u8>> = self.link.ask(&ask).await?;
        let names = members.into_iter().map(Name::try_from);
        let mut names: Vec<Name> = names
            .collect::<Result<_, _>>()
            .map_err(|_| StoreError::Corrupt)?;
        names.sort_unstable();
        Ok(names)
    }

    async fn enlist(&self, row: &Row) -> Result<(), StoreError> {
        let keys = [
            Some(all_key(row.name[0])),
            Some(index_key(Index::Email, &row.email)),
            Some(index_key(Index::Subject, &row.subject)),
            row.sid.as_deref().map(|sid| index_key(Index::Sid, sid)),
        ];
        for key in keys.into_iter().flatten() {
            let mut call = self.scripts.enlist.prepare_invoke();
            // In the sets until the session is over for good, however long it is idle.
            call.key(key)
                .arg(row.ends.seconds())
                .arg(row.name.as_slice())
                .arg(row.seen.seconds());
            self.link.run::<()>(&call).await?;
        }
        Ok(())
    }

    async fn unlist(&self, name: &Name, tags: Tags) -> Result<(), StoreError> {
        let (email, subject, sid) = tags;
        let keys = [
            email.map(|tag| index_key(Index::Email, &tag)),
            subject.map(|tag| index_key(Index::Subject, &tag)),
            sid.filter(|tag| !tag.is_empty())
                .map(|tag| index_key(Index::Sid, &tag)),
        ];
        for key in keys.into_iter().flatten() {
            self.take_from(&key, name).await?;
        }
        Ok(())
    }

    async fn take_from(&self, key: &str, name: &Name) -> Result<(), StoreError> {
        let mut ask = cmd("ZREM");
        ask.arg(key).arg(name.as_slice());
        self.link.ask(&ask).await
    }
}

fn cursor(id: &str) -> Result<Cursor, StoreError> {
    let parts = id
        .split_once('-')
        .and_then(|(high, low)| Some(Cursor(high.parse().ok()?, low.parse().ok()?)));
    parts.ok_or(StoreError::Corrupt)
}
