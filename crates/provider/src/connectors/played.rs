//! Upstreams that tests play: recorded shapes, question by question.

use bytes::Bytes;
use http::{HeaderMap, Response};
use serde_json::Value;

use super::{
    Answered, ConnectorFault, Context, Identity, Luggage, Move, Purpose, Question, Turn, Wanted,
};

pub(super) fn context() -> Context {
    Context {
        callback: "https://us/dex/callback".to_owned(),
        wanted: Wanted {
            groups: true,
            offline: true,
        },
        now: 1_700_000_000,
    }
}

static LUGGAGE: Luggage = Luggage {
    verifier: String::new(),
    nonce: String::new(),
};

pub(super) fn depart() -> Purpose<'static> {
    Purpose::Depart {
        state: "s",
        luggage: &LUGGAGE,
    }
}

/// Questions in their order, and what is answered.
pub(super) struct Script {
    answers: std::vec::IntoIter<(String, Value)>,
    pub(super) bodies: Vec<String>,
    pub(super) bearers: Vec<String>,
}

impl Script {
    pub(super) fn new<'a>(answers: impl IntoIterator<Item = (&'a str, Value)>) -> Self {
        let answers: Vec<_> = answers
            .into_iter()
            .map(|(question, answer)| (question.to_owned(), answer))
            .collect();
        Self {
            answers: answers.into_iter(),
            bodies: Vec::new(),
            bearers: Vec::new(),
        }
    }

    fn answer(&mut self, question: Question) -> Answered {
        let (asked, body, bearer) = match question {
            Question::Http(request) => {
                let bearer = request.headers().get("authorization");
                let bearer = bearer
                    .map_or("", |value| value.to_str().unwrap())
                    .to_owned();
                let body = String::from_utf8_lossy(request.body()).into_owned();
                (
                    format!("{} {}", request.method(), request.uri()),
                    body,
                    bearer,
                )
            }
            Question::Document { url, .. } => (format!("GET {url}"), String::new(), String::new()),
            Question::Directory(_) => panic!("no directory"),
        };
        let (wanted, answer) = self
            .answers
            .next()
            .unwrap_or_else(|| panic!("not asked for: {asked}"));
        assert_eq!(asked, wanted);
        self.bodies.push(body);
        self.bearers.push(bearer);
        Answered::Http(Response::new(Bytes::from(answer.to_string())))
    }
}

/// Somebody comes back with a code; every answer of the script has to be asked for.
pub(super) fn play<S: std::fmt::Debug>(
    script: &mut Script,
    begin: impl Fn(&Purpose<'_>) -> Turn<S>,
    next: impl Fn(S, Answered) -> Turn<S>,
) -> Result<Identity, ConnectorFault> {
    let headers = HeaderMap::new();
    let purpose = Purpose::Return {
        query: &[("code", "c")],
        headers: &headers,
        luggage: &LUGGAGE,
    };
    let mut moved = begin(&purpose)?;
    loop {
        moved = match moved {
            Move::Ask(question, stage) => next(stage, script.answer(question))?,
            Move::Known(identity) => {
                assert!(script.answers.next().is_none(), "not everything was asked");
                return Ok(identity);
            }
            other => panic!("{other:?}"),
        };
    }
}
