//! `mockCallback` and `mockPassword`: always the same person, for trying things out.

use aws_lc_rs::digest;
use model::names::Secret;
use subtle::ConstantTimeEq as _;

use super::{ConnectorFault, Context, Identity, Move, Purpose, Stage, Turn};

fn somebody() -> Identity {
    Identity {
        user_id: "0-385-28089-0".to_owned(),
        name: "Kilgore Trout".to_owned(),
        preferred_username: String::new(),
        email: "kilgore@kilgore.trout".to_owned(),
        email_verified: true,
        groups: vec!["authors".to_owned()],
        held: None,
    }
}

pub(super) fn callback(context: &Context, purpose: &Purpose<'_>) -> Turn<Stage> {
    match purpose {
        Purpose::Depart { state, .. } => {
            let query = crate::form::query(&[("state", state)]);
            Ok(Move::Depart(format!("{}?{query}", context.callback)))
        }
        Purpose::Return { .. } | Purpose::Again { .. } => Ok(Move::Known(somebody())),
        Purpose::Password { .. } => Err(ConnectorFault::NotForThis),
    }
}

pub(super) fn password(username: &str, secret: &Secret, purpose: &Purpose<'_>) -> Turn<Stage> {
    match purpose {
        Purpose::Password { login, password } => {
            let digest = |bytes: &[u8]| digest::digest(&digest::SHA256, bytes);
            let same = digest(secret.expose())
                .as_ref()
                .ct_eq(digest(password.as_bytes()).as_ref());
            match *login == username && bool::from(same) {
                true => Ok(Move::Known(somebody())),
                false => Ok(Move::Wrong),
            }
        }
        Purpose::Again { .. } => Ok(Move::Known(somebody())),
        Purpose::Depart { .. } | Purpose::Return { .. } => Err(ConnectorFault::NotForThis),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_pair_signs_in() {
        let run = |login, password| {
            let purpose = Purpose::Password { login, password };
            super::password("u", &Secret::new("p"), &purpose).unwrap()
        };
        assert!(matches!(run("u", "p"), Move::Known(known) if known == somebody()));
        for (login, password) in [("u", "q"), ("v", "p"), ("", ""), ("u", "")] {
            assert!(matches!(run(login, password), Move::Wrong), "{login}");
        }
    }
}
