//! Entry points for `fuzz/`: any bytes in; a panic, an endless run or a broken promise is a bug.

use crate::form::{self, Form};

/// A query or a form: what is read can be written and read again.
pub fn form(bytes: &[u8]) {
    let Ok(form) = Form::parse(bytes) else {
        return;
    };
    assert_eq!(form.text("no such\0name"), "");
    let kept = form.query_without("code");
    let again = Form::parse(kept.as_bytes());
    let again = again.unwrap_or_else(|fault| panic!("own query is not read: {fault:?}"));
    assert_eq!(again.query_without("code"), kept);
    assert!(again.find("code").is_none());
    form::decode_path(bytes).ok();
}

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
#[test]
fn every_kept_input_holds() {
    replay::replay("form", form);
}
