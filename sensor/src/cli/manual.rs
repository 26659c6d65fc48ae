//! What is made of the grammar of the command line: manual pages, and completions for shells.

use std::{fs, path::Path};

use clap::{Command, CommandFactory as _};

use super::{
    args::{Cli, Completions, Man},
    fault::{Fault, code},
    setup::{make_folder, output},
};

/// Prints what a shell needs to complete our commands.
pub(super) fn completions(args: &Completions) -> Result<u8, Fault> {
    let mut grammar = Cli::command();
    let mut out = output(&args.output.path)?;
    // Into memory first: the generator panics where writing fails.
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut grammar, "anomaly-detect", &mut text);
    out.write_all(&text)?;
    out.flush()?;
    Ok(0)
}

/// Writes manual pages: one for the program, and one for each of its commands.
pub(super) fn pages(args: &Man) -> Result<u8, Fault> {
    make_folder(&args.output)?;
    let mut grammar = Cli::command().disable_help_subcommand(true);
    // Gives each command its full name.
    grammar.build();
    page(&grammar, &args.output)?;
    Ok(0)
}

/// What the first page says besides.
const FILES: &str = ".SH FILES
.TP
/etc/anomaly\\-detect/config.toml, /etc/anomaly\\-detect/conf.d/*.toml
what the service is configured by
.TP
/var/lib/anomaly\\-detect
what the service keeps: store, models, evidence, what sinks still have to deliver
.SH SEE ALSO
systemctl(1), journalctl(1), tcpdump(1); /usr/share/doc/anomaly\\-detect
";

/// What each other page ends with.
const SEE_ALSO: &str = ".SH SEE ALSO\nanomaly\\-detect(1)\n";

/// What stands after the options in the help, in sections of a page; lines as they are, for examples are aligned.
fn sections(after: &str) -> String {
    let mut page = String::new();
    let mut is_verbatim = false;
    for line in after.lines() {
        let title = match line.strip_suffix(':') {
            Some(title) if !line.starts_with(' ') => Some((title, "")),
            _ => line
                .split_once(": ")
                .filter(|(title, _)| *title == "Exit codes"),
        };
        if let Some((title, rest)) = title {
            if is_verbatim {
                page.push_str(".fi\n");
            }
            page.push_str(&format!(".SH {}\n.nf\n", title.to_ascii_uppercase()));
            is_verbatim = true;
            if !rest.is_empty() {
                page.push_str(&escaped(rest));
            }
        } else if !line.trim().is_empty() {
            if !is_verbatim {
                page.push_str(".SH NOTES\n.nf\n");
                is_verbatim = true;
            }
            page.push_str(&escaped(line));
        }
    }
    if is_verbatim {
        page.push_str(".fi\n");
    }
    page
}

/// A line as roff shows it as it is (groff_char(7)): no requests, hyphens that can be copied.
fn escaped(line: &str) -> String {
    let line = line.replace('\\', "\\e").replace('-', "\\-");
    let guard = if line.starts_with(['.', '\'']) {
        "\\&"
    } else {
        ""
    };
    format!("{guard}{line}\n")
}

/// The page of a command and those of the commands below it, as `git-remote(1)` is that of `git remote`.
fn page(command: &Command, folder: &Path) -> Result<(), Fault> {
    let name = command
        .get_display_name()
        .unwrap_or_else(|| command.get_name());
    let man = clap_mangen::Man::new(command.clone())
        .title(name.to_ascii_uppercase())
        .section("1")
        .source(concat!("anomaly-detect ", env!("CARGO_PKG_VERSION")))
        .manual("anomaly-detect")
        // A date of the build would be another one at each build.
        .date("");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.get_subcommands().any(|below| !below.is_hide_set()) {
        man.render_subcommands_section(&mut text)?;
    }
    if let Some(after) = command.get_after_help() {
        text.extend(sections(&after.to_string()).bytes());
    }
    text.extend(if name == "anomaly-detect" {
        FILES.bytes()
    } else {
        SEE_ALSO.bytes()
    });
    let path = folder.join(format!("{name}.1"));
    fs::write(&path, text).map_err(|error| Fault::file(&path, &error, code::FAILED))?;
    for below in command
        .get_subcommands()
        .filter(|below| !below.is_hide_set())
    {
        page(below, folder)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_sections_and_no_requests() {
        let page = sections("Examples:\n  a -o -   b\n.so x\n\nExit codes: 0 ok,\n69 not.");
        assert_eq!(
            page,
            ".SH EXAMPLES\n.nf\n  a \\-o \\-   b\n\\&.so x\n.fi\n.SH EXIT CODES\n.nf\n0 ok,\n69 not.\n.fi\n"
        );
    }

    #[test]
    fn each_command_that_is_shown_has_a_page() {
        let folder = tempfile::tempdir().expect("a folder");
        let output = folder.path().to_owned();
        assert!(matches!(pages(&Man { output }), Ok(0)));
        let page = |name: &str| {
            fs::read_to_string(folder.path().join(name)).expect("a page of each command")
        };
        let whole = page("anomaly-detect.1");
        let mut grammar = Cli::command();
        grammar.build();
        for command in grammar.get_subcommands() {
            let name = command.get_name();
            if command.is_hide_set() || name == "help" {
                assert!(!whole.contains(&format!("\\-{name}(1)")), "{name}");
                continue;
            }
            let text = page(&format!("anomaly-detect-{name}.1"));
            let about = command.get_about().expect("what it does").to_string();
            assert!(text.contains(about.split([' ', '-']).next().unwrap_or("")));
            assert!(text.contains(".SH SEE ALSO"));
        }
        assert!(whole.contains(".SH EXIT CODES"));
    }
}
