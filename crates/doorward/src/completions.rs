//! `doorward completions SHELL`.

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

/// Arguments of `doorward completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell that will read the script.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Prints the script for the command line `C`.
pub(crate) fn run<C: CommandFactory>(args: &CompletionsArgs, out: &mut dyn Write) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut C::command(), "doorward", &mut script);
    match out.write_all(&script) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    #[command(name = "doorward")]
    struct Line {
        #[arg(long)]
        some_flag: bool,
    }

    #[test]
    fn every_shell_gets_a_script_that_knows_the_flags() {
        for shell in [
            Shell::Bash,
            Shell::Elvish,
            Shell::Fish,
            Shell::PowerShell,
            Shell::Zsh,
        ] {
            let mut out = Vec::new();
            let code = run::<Line>(&CompletionsArgs { shell }, &mut out);
            assert_eq!(code, ExitCode::SUCCESS);
            assert!(
                String::from_utf8(out).unwrap().contains("some-flag"),
                "{shell}"
            );
        }
    }
}
