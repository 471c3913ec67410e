//! `doorward user`: people whom doorward itself knows. A running `doorward up` on the same storage
//! sees each change with the next sign-in or renewal.

mod place;
mod print;
mod secret;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use provider::NewUser;

use crate::config::ProviderFlags;
use place::{Place, PlaceFault};
use secret::Source;

/// Arguments of `doorward user`.
#[derive(Debug, Args)]
pub(crate) struct UserArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List people.
    List {
        /// How.
        #[arg(long, value_name = "FORMAT", default_value = "text")]
        format: Format,

        #[command(flatten)]
        at: At,
    },
    /// Add somebody.
    Add {
        /// What they sign in with.
        email: String,

        /// How they are called.
        #[arg(long, default_value = "")]
        name: String,

        /// The claim `preferred_username`.
        #[arg(long, value_name = "NAME", default_value = "")]
        preferred_username: String,

        /// What they belong to. Repeatable.
        #[arg(long = "group", value_name = "GROUP")]
        groups: Vec<String>,

        /// The e-mail is not known to be theirs.
        #[arg(long)]
        unverified: bool,

        /// What their `sub` is made of, for people who come from another provider [default: a
        /// random one]
        #[arg(long)]
        id: Option<String>,

        #[command(flatten)]
        password: PasswordArgs,

        #[command(flatten)]
        at: At,
    },
    /// Give somebody another password.
    Passwd {
        /// Whom.
        email: String,

        #[command(flatten)]
        password: PasswordArgs,

        #[command(flatten)]
        at: At,
    },
    /// Remove somebody.
    Remove {
        /// Whom.
        email: String,

        #[command(flatten)]
        at: At,
    },
    /// Keep somebody out: no sign-in, no renewal of tokens.
    Disable {
        /// Whom.
        email: String,

        #[command(flatten)]
        at: At,
    },
    /// Let somebody in again.
    Enable {
        /// Whom.
        email: String,

        #[command(flatten)]
        at: At,
    },
    /// Print what somebody belongs to, after a change if there is one.
    Groups {
        /// Whose.
        email: String,

        /// Join one. Repeatable.
        #[arg(long, value_name = "GROUP")]
        add: Vec<String>,

        /// Leave one. Repeatable.
        #[arg(long, value_name = "GROUP")]
        remove: Vec<String>,

        #[command(flatten)]
        at: At,
    },
}

/// Where a password comes from; never from the command line, which others can read.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("source"))]
struct PasswordArgs {
    /// Make one and print it.
    #[arg(long, group = "source")]
    generate: bool,

    /// The first line of this file; `-` is the standard input [default: ask on the terminal]
    #[arg(long, value_name = "FILE", group = "source")]
    password_file: Option<PathBuf>,

    /// A bcrypt or argon2id hash in this file; `-` is the standard input.
    #[arg(long, value_name = "FILE", group = "source")]
    hash_file: Option<PathBuf>,

    /// None at all: they sign in in another way.
    #[arg(long, group = "source")]
    no_password: bool,

    /// They need not change it at the next sign-in.
    #[arg(long)]
    lasting: bool,
}

/// How people are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table.
    Text,
    /// JSON.
    Json,
}

/// Where they are.
#[derive(Debug, Args)]
struct At {
    /// State directory.
    #[arg(long, value_name = "DIR", env = "DOORWARD_STATE")]
    state: Option<PathBuf>,

    /// Settings.
    #[arg(long, value_name = "FILE", env = "DOORWARD_CONFIG")]
    config: Option<PathBuf>,

    #[command(flatten)]
    provider: ProviderFlags,
}

/// Does it. Exit codes: 0 done, 1 not.
pub(crate) fn run(args: UserArgs, out: &mut dyn Write) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let done = runtime
        .map_err(PlaceFault::Runtime)
        .and_then(|runtime| runtime.block_on(perform(args.what, out)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            anstream::eprintln!("doorward: {fault}");
            ExitCode::FAILURE
        }
    }
}

async fn perform(what: What, out: &mut dyn Write) -> Result<(), PlaceFault> {
    match what {
        What::List { format, at } => {
            let people = Place::open(at).await?.list().await?;
            let printed = match format {
                Format::Text => print::text(&people, out),
                Format::Json => print::json(&people, out),
            };
            printed.map_err(PlaceFault::Output)
        }
        What::Add {
            email,
            name,
            preferred_username,
            groups,
            unverified,
            id,
            password,
            at,
        } => {
            let new = NewUser {
                id,
                email,
                email_verified: !unverified,
                name,
                preferred_username,
                groups,
            };
            let place = Place::open(at).await?;
            let (password, shown) = Source::of(password)?.password()?;
            let added = place.add(new, password).await?;
            print::added(&added, shown.as_ref(), out).map_err(PlaceFault::Output)
        }
        What::Passwd {
            email,
            password,
            at,
        } => {
            let place = Place::open(at).await?;
            place.find(&email).await?;
            let (password, shown) = Source::of(password)?.password()?;
            place.reset(&email, password).await?;
            print::password_set(&email, shown.as_ref(), out).map_err(PlaceFault::Output)
        }
        What::Remove { email, at } => {
            Place::open(at).await?.remove(&email).await?;
            writeln!(out, "{email} removed").map_err(PlaceFault::Output)
        }
        What::Disable { email, at } => {
            Place::open(at).await?.enable(&email, false).await?;
            writeln!(out, "{email} disabled").map_err(PlaceFault::Output)
        }
        What::Enable { email, at } => {
            Place::open(at).await?.enable(&email, true).await?;
            writeln!(out, "{email} enabled").map_err(PlaceFault::Output)
        }
        What::Groups {
            email,
            add,
            remove,
            at,
        } => {
            let place = Place::open(at).await?;
            let groups = match add.is_empty() && remove.is_empty() {
                true => place.find(&email).await?.groups,
                false => place.regroup(&email, add, &remove).await?,
            };
            for group in groups {
                writeln!(out, "{group}").map_err(PlaceFault::Output)?;
            }
            Ok(())
        }
    }
}
