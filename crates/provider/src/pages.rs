//! HTML pages. Ids and fields of the login and approval forms are Dex's: scripts look for them.

use askama::Template;
use model::snapshot::Provider as Settings;

use crate::authorize::Scopes;
use crate::users::Weakness;

type Html = Result<String, askama::Error>;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    path: &'a str,
    prompt: &'a str,
    name: &'a str,
    client: &'a str,
    action: &'a str,
    login: &'a str,
    back: &'a str,
    trouble: &'a str,
}

/// What the login form shows.
pub(crate) struct Login<'a> {
    /// What the name is called that is asked for.
    pub(crate) prompt: &'a str,
    /// Name of the application that asks.
    pub(crate) client: &'a str,
    /// Where the form is sent: its own address.
    pub(crate) action: &'a str,
    /// The login name as it was typed; never the password.
    pub(crate) login: &'a str,
    /// Way back to the list, or empty.
    pub(crate) back: &'a str,
    /// Why the last try failed.
    pub(crate) trouble: Trouble,
}

/// Why the last try to sign in failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// There was none.
    None,
    /// Unknown name or wrong password; which of the two is not said.
    WrongCredentials,
    /// Too many failures.
    TooMany,
    /// The password was right, and the account may not be used.
    Disabled,
}

pub(crate) fn login(settings: &Settings, page: &Login<'_>) -> Html {
    LoginPage {
        path: &settings.path,
        prompt: page.prompt,
        name: &settings.name,
        client: page.client,
        action: page.action,
        login: page.login,
        back: page.back,
        trouble: match page.trouble {
            Trouble::None => "",
            Trouble::WrongCredentials => "The name or the password is wrong.",
            Trouble::TooMany => "Too many failed attempts. Wait a little, then try again.",
            Trouble::Disabled => {
                "This account is disabled. Ask the people who run this site to enable it."
            }
        },
    }
    .render()
}

#[derive(Template)]
#[template(path = "new_password.html")]
struct NewPasswordPage<'a> {
    path: &'a str,
    name: &'a str,
    action: &'a str,
    email: &'a str,
    least: usize,
    trouble: &'a str,
}

/// What the form for a new password shows.
pub(crate) struct NewPassword<'a> {
    /// Where the form is sent: its own address.
    pub(crate) action: &'a str,
    /// Whose it is.
    pub(crate) email: &'a str,
    /// Characters at least.
    pub(crate) least: usize,
    /// Why the last try failed.
    pub(crate) trouble: Option<NewPasswordTrouble>,
}

/// Why a new password was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NewPasswordTrouble {
    /// The two fields differ.
    Differ,
    /// It is not good enough.
    Weak(Weakness),
}

pub(crate) fn new_password(settings: &Settings, page: &NewPassword<'_>) -> Html {
    let trouble = match page.trouble {
        None => "",
        Some(NewPasswordTrouble::Differ) => "The two passwords are not the same.",
        Some(NewPasswordTrouble::Weak(weakness)) => match weakness {
            Weakness::Short(_) => "The password is too short.",
            Weakness::Long => "The password is too long.",
            Weakness::Guessable => {
                "The password is easy to guess. Several words that have nothing to do with each other are better."
            }
            Weakness::Breached => "The password is in a list of stolen ones. Choose another.",
            Weakness::Unchecked => {
                "The password cannot be checked at this moment. Try again later."
            }
            Weakness::Same => "This is the password that has to be changed. Choose another.",
        },
    };
    NewPasswordPage {
        path: &settings.path,
        name: &settings.name,
        action: page.action,
        email: page.email,
        least: page.least,
        trouble,
    }
    .render()
}

#[derive(Template)]
#[template(path = "connectors.html")]
struct ConnectorsPage<'a> {
    path: &'a str,
    name: &'a str,
    connectors: &'a [(String, &'a str)],
}

/// The ways to sign in: address and name of each.
pub(crate) fn connectors(settings: &Settings, connectors: &[(String, &str)]) -> Html {
    ConnectorsPage {
        path: &settings.path,
        name: &settings.name,
        connectors,
    }
    .render()
}

#[derive(Template)]
#[template(path = "approval.html")]
struct ApprovalPage<'a> {
    path: &'a str,
    name: &'a str,
    client: &'a str,
    email: &'a str,
    action: &'a str,
    request: &'a str,
    wishes: Vec<&'a str>,
}

/// What the approval page shows.
pub(crate) struct Approval<'a> {
    pub(crate) client: &'a str,
    pub(crate) email: &'a str,
    /// Where the form is sent: its own address.
    pub(crate) action: &'a str,
    /// The field `req`.
    pub(crate) request: &'a str,
    pub(crate) scopes: &'a Scopes,
}

pub(crate) fn approval(settings: &Settings, page: &Approval<'_>) -> Html {
    let wishes = [
        (
            page.scopes.offline_access,
            "stay signed in while you are away",
        ),
        (page.scopes.profile, "know your name"),
        (page.scopes.email, "know your email address"),
        (page.scopes.groups, "know the groups you are in"),
    ];
    ApprovalPage {
        path: &settings.path,
        name: &settings.name,
        client: page.client,
        email: page.email,
        action: page.action,
        request: page.request,
        wishes: wishes
            .into_iter()
            .filter(|(wanted, _)| *wanted)
            .map(|(_, text)| text)
            .collect(),
    }
    .render()
}

#[derive(Template)]
#[template(path = "form_post.html")]
struct FormPostPage<'a> {
    path: &'a str,
    name: &'a str,
    target: &'a str,
    parameters: &'a [(&'a str, &'a str)],
}

/// A form that sends `parameters` to `target` by itself, or with its button where no script runs.
pub(crate) fn form_post(settings: &Settings, target: &str, parameters: &[(&str, &str)]) -> Html {
    FormPostPage {
        path: &settings.path,
        name: &settings.name,
        target,
        parameters,
    }
    .render()
}

#[derive(Template)]
#[template(path = "sign_out.html")]
struct SignOutPage<'a> {
    path: &'a str,
    name: &'a str,
    action: &'a str,
    email: &'a str,
    answer: &'a str,
}

/// Whether the person wants to sign out.
pub(crate) fn sign_out(settings: &Settings, action: &str, email: &str, answer: &str) -> Html {
    SignOutPage {
        path: &settings.path,
        name: &settings.name,
        action,
        email,
        answer,
    }
    .render()
}

#[derive(Template)]
#[template(path = "signed_out.html")]
struct SignedOutPage<'a> {
    path: &'a str,
    name: &'a str,
    target: &'a str,
    frames: &'a [String],
}

/// The end, with the pages of clients that end their own sessions in a frame; on to `target` after a
/// moment.
pub(crate) fn signed_out(settings: &Settings, target: Option<&str>, frames: &[String]) -> Html {
    SignedOutPage {
        path: &settings.path,
        name: &settings.name,
        target: target.unwrap_or_default(),
        frames,
    }
    .render()
}

#[derive(Template)]
#[template(path = "device.html")]
struct DevicePage<'a> {
    path: &'a str,
    name: &'a str,
    code: &'a str,
    trouble: &'a str,
}

/// Why the last code was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceTrouble {
    /// There was none.
    None,
    /// Unknown or too old.
    WrongCode,
    /// Too many wrong ones.
    TooMany,
}

/// The form for the code that a device shows.
pub(crate) fn device(settings: &Settings, code: &str, trouble: DeviceTrouble) -> Html {
    DevicePage {
        path: &settings.path,
        name: &settings.name,
        code,
        trouble: match trouble {
            DeviceTrouble::None => "",
            DeviceTrouble::WrongCode => "The code is wrong or too old.",
            DeviceTrouble::TooMany => "Too many wrong codes. Wait a little, then try again.",
        },
    }
    .render()
}

#[derive(Template)]
#[template(path = "device_done.html")]
struct DeviceDonePage<'a> {
    path: &'a str,
    name: &'a str,
}

/// The device is let in.
pub(crate) fn device_done(settings: &Settings) -> Html {
    DeviceDonePage {
        path: &settings.path,
        name: &settings.name,
    }
    .render()
}

#[derive(Template)]
#[template(path = "code.html")]
struct CodePage<'a> {
    path: &'a str,
    name: &'a str,
    code: &'a str,
}

/// The code itself, for clients that have no address.
pub(crate) fn code(settings: &Settings, code: &str) -> Html {
    CodePage {
        path: &settings.path,
        name: &settings.name,
        code,
    }
    .render()
}

#[derive(Template)]
#[template(path = "fault.html")]
struct FaultPage<'a> {
    path: &'a str,
    name: &'a str,
    status: u16,
    what: &'a str,
    next: &'a str,
    code: &'a str,
    request_id: &'a str,
}

/// What an error page shows.
pub(crate) struct Fault<'a> {
    pub(crate) status: u16,
    /// What is wrong.
    pub(crate) what: &'a str,
    /// What to do now.
    pub(crate) next: &'a str,
    /// A protocol error code, or empty.
    pub(crate) code: &'a str,
    pub(crate) request_id: &'a str,
}

pub(crate) fn fault(settings: &Settings, page: &Fault<'_>) -> Html {
    let Fault {
        status,
        what,
        next,
        code,
        request_id,
    } = *page;
    let (path, name) = (&*settings.path, &*settings.name);
    FaultPage {
        path,
        name,
        status,
        what,
        next,
        code,
        request_id,
    }
    .render()
}
