//! The shape of a log line: one JSON object.
//!
//! It is written straight into the batch: every request writes one, so its cost counts.

use std::io::Write;
use std::net::IpAddr;

use http::{HeaderName, HeaderValue};
use model::names::{Duration, ObjectRef};
use policy::{Identified, Reason};

use super::{Basis, Entry, Frontend, StreamLine};

/// The name of a member, and what stands around it.
macro_rules! member {
    ($name:literal) => {
        concat!(",\"", $name, "\":")
    };
}

/// Adds the line of `entry`, without its end, to `out`. `time` is RFC 3339. A query never gets in:
/// it may carry codes and tokens.
pub(super) fn write(
    out: &mut Vec<u8>,
    entry: &Entry,
    time: &str,
    duration: Duration,
    complete: bool,
) {
    let mut line = Line(out);
    line.put("{\"time\":\"");
    line.put(time);
    line.put("\",\"method\":\"");
    line.put(entry.method.as_str());
    line.put("\"");
    line.text(member!("host"), &[visible(entry.host.as_ref())]);
    let path = entry.target.as_ref().map_or("", |target| target.path());
    line.text(member!("path"), &[path]);
    line.number(member!("status"), u64::from(entry.status));
    if entry.frontend != Frontend::Gateway {
        line.word(member!("frontend"), entry.frontend.as_str());
    }
    line.word(member!("outcome"), entry.became.as_str());
    if let Some(route) = &entry.route {
        line.object(member!("route"), &route.object);
    }
    if let Some(reason) = &entry.reason {
        line.reason(reason);
    }
    if let Some(basis) = &entry.basis {
        line.basis(basis, entry.host.as_ref());
    }
    line.number(member!("duration_us"), micros(duration));
    if let Some(upstream) = entry.upstream {
        line.number(member!("upstream_us"), micros(upstream));
    }
    line.number(member!("bytes"), entry.bytes);
    if !complete {
        line.put(member!("complete"));
        line.put("false");
    }
    line.text(member!("request_id"), &[visible(entry.request_id.as_ref())]);
    line.address(member!("client"), entry.client);
    line.put("}");
}

/// The same for a connection whose bytes were passed on.
pub(super) fn stream(out: &mut Vec<u8>, stream: &StreamLine<'_>, time: &str, duration: Duration) {
    let mut line = Line(out);
    line.put("{\"time\":\"");
    line.put(time);
    line.put("\",\"stream\":true");
    line.number(member!("port"), u64::from(stream.port));
    if let Some(name) = stream.server_name {
        line.text(member!("server_name"), &[name]);
    }
    line.word(member!("outcome"), stream.end.as_str());
    if let Some(route) = stream.route {
        line.object(member!("route"), &route.object);
    }
    line.reason(stream.reason);
    line.number(member!("duration_us"), micros(duration));
    line.number(member!("received"), stream.received);
    line.number(member!("sent"), stream.sent);
    line.address(member!("client"), stream.client);
    line.put("}");
}

fn visible(value: Option<&HeaderValue>) -> &str {
    value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A JSON object that is being written.
struct Line<'o>(&'o mut Vec<u8>);

impl Line<'_> {
    fn put(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    fn reason(&mut self, reason: &Reason) {
        match reason {
            Reason::Rule { policy, line: at } => {
                self.object(member!("policy"), &policy.object);
                self.place(member!("place"), &policy.place.file, *at);
            }
            Reason::Default(reason) => self.word(member!("reason"), reason.as_str()),
        }
    }

    /// What a decision was made from, besides method, host, path and client. See
    /// `docs/operate.md` for what is left out.
    fn basis(&mut self, basis: &Basis, host: Option<&HeaderValue>) {
        if let Some(who) = &basis.who {
            self.text(member!("user"), &[who.email().unwrap_or(who.subject())]);
            self.groups(who);
            match who {
                Identified::Person(_) => self.word(member!("via"), "session"),
                Identified::Bearer(token) => {
                    self.word(member!("via"), "token");
                    self.text(member!("issuer"), &[token.issuer()]);
                    self.text(member!("subject"), &[token.subject()]);
                }
            }
        }
        if let Some(absence) = basis.absence {
            self.word(member!("absence"), absence.as_str());
        }
        if let Some(fault) = basis.token_fault {
            self.word(member!("token_fault"), fault.as_str());
        }
        self.number(member!("port"), basis.port.into());
        self.word(member!("scheme"), basis.scheme);
        if let Some(name) = basis.other_server_name(host) {
            self.text(member!("server_name"), &[name]);
        }
        if let Some(principal) = basis.principal() {
            self.text(member!("principal"), &[principal]);
        }
        if !basis.headers.is_empty() {
            self.headers(&basis.headers);
        }
    }

    fn groups(&mut self, who: &Identified) {
        match who {
            Identified::Person(person) => self.list(person.groups().iter().map(|group| &**group)),
            Identified::Bearer(_) => self.list(who.groups().into_iter()),
        }
    }

    fn list<'a>(&mut self, mut groups: impl Iterator<Item = &'a str>) {
        let Some(first) = groups.next() else { return };
        self.put(member!("groups"));
        self.text("[", &[first]);
        for group in groups {
            self.text(",", &[group]);
        }
        self.put("]");
    }

    /// Pairs of name and value; no value where it is a secret, no text, or long.
    fn headers(&mut self, headers: &[(HeaderName, Option<HeaderValue>)]) {
        self.put(member!("headers"));
        for (number, (name, value)) in headers.iter().enumerate() {
            self.put(if number == 0 { "[" } else { "," });
            self.text("[", &[name.as_str()]);
            match value.as_ref().and_then(|value| value.to_str().ok()) {
                Some(value) => self.text(",", &[value]),
                None => self.put(",null"),
            }
            self.put("]");
        }
        self.put("]");
    }

    /// A word of our own: nothing in it needs escaping.
    fn word(&mut self, member: &str, word: &str) {
        self.put(member);
        self.put("\"");
        self.put(word);
        self.put("\"");
    }

    /// A text that is all the pieces.
    fn text(&mut self, member: &str, pieces: &[&str]) {
        self.put(member);
        self.put("\"");
        for piece in pieces {
            self.escaped(piece);
        }
        self.put("\"");
    }

    /// A piece of a text, as JSON writes it (RFC 8259 §7).
    fn escaped(&mut self, text: &str) {
        let is_special = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
        // Looks at every byte without stopping early, which is done many bytes at a time.
        let special = text.bytes().fold(false, |any, byte| any | is_special(byte));
        if !special {
            self.put(text);
        } else if let Ok(quoted) = serde_json::to_string(text) {
            self.put(&quoted[1..quoted.len() - 1]);
        }
    }

    fn object(&mut self, member: &str, object: &ObjectRef) {
        let ObjectRef {
            kind,
            namespace,
            name,
        } = object;
        if namespace.is_empty() {
            self.text(member, &[kind, " ", name]);
        } else {
            self.text(member, &[kind, " ", namespace, "/", name]);
        }
    }

    fn number(&mut self, member: &str, number: u64) {
        self.put(member);
        self.digits(number);
    }

    fn digits(&mut self, number: u64) {
        // Neither a number nor memory can fail.
        let _ = serde_json::to_writer(&mut *self.0, &number);
    }

    /// `file:line` of a rule.
    fn place(&mut self, member: &str, file: &str, line: u32) {
        self.put(member);
        self.put("\"");
        self.escaped(file);
        self.put(":");
        self.digits(line.into());
        self.put("\"");
    }

    fn address(&mut self, member: &str, address: IpAddr) {
        self.put(member);
        self.put("\"");
        match address {
            IpAddr::V4(address) => {
                for (at, octet) in address.octets().into_iter().enumerate() {
                    if at > 0 {
                        self.put(".");
                    }
                    self.digits(octet.into());
                }
            }
            IpAddr::V6(address) => {
                let _ = write!(self.0, "{address}");
            }
        }
        self.put("\"");
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use serde_json::{Value, json};

    use super::*;

    fn written(write: impl FnOnce(&mut Line<'_>)) -> Value {
        let mut out = Vec::new();
        let mut line = Line(&mut out);
        line.put("{\"first\":0");
        write(&mut line);
        line.put("}");
        let mut written: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(
            written.as_object_mut().unwrap().remove("first"),
            Some(json!(0))
        );
        written
    }

    #[test]
    fn texts_read_back_as_they_were_whatever_they_hold() {
        let all: String = (0..0x180).filter_map(char::from_u32).collect();
        for text in [
            "",
            "plain",
            "a\"b\\c",
            "\n\u{1f}\u{7f}",
            "päth\u{2028}",
            &all,
        ] {
            let line = written(|line| {
                line.text(member!("one"), &[text]);
                line.text(member!("many"), &["<", text, ">"]);
            });
            assert_eq!(line, json!({"one": text, "many": format!("<{text}>")}));
        }
    }

    #[test]
    fn objects_and_places_are_written_as_they_are_spoken_of() {
        let whole = ObjectRef::new("Kind", "ns", "na\"me");
        let clusterwide = ObjectRef::new("Kind", "", "name");
        let line = written(|line| {
            line.object(member!("whole"), &whole);
            line.object(member!("clusterwide"), &clusterwide);
            line.place(member!("place"), "a b\\c.yaml", 7);
            line.number(member!("number"), u64::MAX);
            line.address(member!("four"), [127, 0, 10, 255].into());
            line.address(member!("six"), Ipv6Addr::LOCALHOST.into());
        });
        let expected = json!({
            "whole": whole.to_string(),
            "clusterwide": clusterwide.to_string(),
            "place": "a b\\c.yaml:7",
            "number": u64::MAX,
            "four": "127.0.10.255",
            "six": "::1",
        });
        assert_eq!(line, expected);
    }
}
