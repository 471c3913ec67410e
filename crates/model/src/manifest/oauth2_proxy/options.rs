//! Every option of OAuth2 Proxy, and what becomes of it here: in manifests, where the gateway plays
//! the login proxy, and in `doorward oauth2-proxy`, which stands in for the whole program.

mod table;

use table::OPTIONS;

/// The type of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Flag,
    List,
    Span,
    Number,
}

/// What becomes of an option. The text is the value that changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// The login is made from it.
    Acted,
    /// Nobody who asks or signs in can tell whether it is set.
    Harmless,
    /// Not acted on yet; without it less happens, and nobody more gets in.
    Later(&'static str),
    /// Narrows who may enter, and is not enforced: it closes the login.
    Narrows(&'static str),
    /// Would switch a check off; the check stays on.
    Weakens(&'static str),
}

/// What becomes of an option of `doorward oauth2-proxy`. The first text is the value that changes
/// nothing, the second says why nothing acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alone {
    /// It acts as in the original.
    Acts,
    /// It is taken, told of once, and changes nothing.
    Warns(&'static str, &'static str),
    /// Without it more would be let in, or everything be refused: the program does not start.
    Refuses(&'static str, &'static str),
}

/// One option.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// As the configuration file spells it.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) effect: Effect,
    pub(super) alone: Alone,
}

impl Known {
    /// The option of this name in the file; viper looks names up without letter case.
    pub(super) fn in_file(name: &str) -> Option<&'static Self> {
        OPTIONS
            .iter()
            .find(|option| option.name.eq_ignore_ascii_case(name))
    }

    /// The option of this flag, without its dashes.
    pub(super) fn of_flag(flag: &str) -> Option<&'static Self> {
        OPTIONS.iter().find(|option| option.flag() == flag)
    }

    /// The flag: `-` for `_`, and one item for a list.
    pub(super) fn flag(&self) -> String {
        let plural = self.name == "extra_jwt_issuers" || self.name.ends_with("_urls");
        let name = match self.name.strip_suffix('s') {
            Some(one) if self.kind == Kind::List && !plural => one,
            _ => self.name,
        };
        name.replace('_', "-")
    }

    /// All options, in the order of OAuth2 Proxy's own documentation.
    pub(super) fn all() -> &'static [Self] {
        OPTIONS
    }

    /// Names of all options in the file.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        OPTIONS.iter().map(|option| option.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_lists_name_one_item() {
        for (name, flag) in [
            ("email_domains", "email-domain"),
            ("skip_auth_regex", "skip-auth-regex"),
            ("extra_jwt_issuers", "extra-jwt-issuers"),
            (
                "redis_cluster_connection_urls",
                "redis-cluster-connection-urls",
            ),
            ("trusted_ips", "trusted-ip"),
            ("cookie_httponly", "cookie-httponly"),
            ("acr_values", "acr-values"),
        ] {
            assert_eq!(Known::in_file(name).unwrap().flag(), flag);
            assert_eq!(Known::of_flag(flag).unwrap().name, name);
        }
        assert_eq!(Known::of_flag("email-domains"), None);
        assert_eq!(Known::in_file("email-domains"), None);
        assert!(Known::in_file("Email_Domains").is_some());
    }

    #[test]
    fn no_option_stands_here_twice() {
        let mut names: Vec<_> = Known::names().collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
