//! A man page of section 1 out of a clap definition.
//!
//! `clap_mangen` writes the parts; this puts the subcommands on the same page, adds what is true
//! of every command (exit codes, variables) and leaves out date and commit, so that the page
//! changes only when the definition does.

use std::io::{self, Write};

use clap::Command;
use clap_mangen::Man;

const ENDING: &str = r#".SH "EXIT STATUS"
.TP
0
done
.TP
1
the answer is no: a job failed, the workflow is invalid, a verification found damage
.TP
2
wrong command line
.TP
3
it could not be done: no repository, disk full, daemon unavailable
.TP
70
a bug in Loom
.TP
127
no such subcommand
.TP
130, 143
interrupted by SIGINT, SIGTERM
.SH ENVIRONMENT
.TP
LOOM_QUIET, LOOM_VERBOSE
if not empty and not 0: as if \-q or \-v were given
.TP
LOOM_COLOR
auto, always or never: default of \-\-color
.TP
NO_COLOR, CLICOLOR_FORCE
respected where neither \-\-color nor LOOM_COLOR says otherwise
"#;

/// The whole page, in roff.
pub(crate) fn man_page(mut command: Command) -> io::Result<Vec<u8>> {
    command.build();
    let mut page = Vec::new();
    let man = Man::new(command.clone()).date("");
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    write_subcommands(&command, &mut page)?;
    if let Some(text) = command.get_after_help() {
        writeln!(page, ".SH NOTES\n.nf\n{}\n.fi", escaped(&text.to_string()))?;
    }
    page.write_all(ENDING.as_bytes())?;
    write_see_also(&command, &mut page)?;
    Ok(with_one_preamble(&page))
}

/// `clap_mangen` begins every part with the same two requests; once is enough.
fn with_one_preamble(page: &[u8]) -> Vec<u8> {
    let page = String::from_utf8_lossy(page);
    let preamble = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";
    match page.split_once(preamble) {
        Some((before, after)) => format!("{before}{preamble}{}", after.replace(preamble, "")),
        None => page.into_owned(),
    }
    .into_bytes()
}

/// One section for each subcommand, with its own synopsis and options.
fn write_subcommands(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    // clap's own `help` subcommand has nothing to tell that `--help` does not.
    let of_clap =
        |sub: &Command| sub.get_name() == "help" && !command.is_disable_help_subcommand_set();
    let shown = |sub: &&Command| !sub.is_hide_set() && !of_clap(sub);
    for sub in command.get_subcommands().filter(shown) {
        let name = sub.get_bin_name().unwrap_or(sub.get_name()).to_owned();
        writeln!(page, ".SH \"SUBCOMMAND {}\"", escaped(&name.to_uppercase()))?;
        if let Some(about) = sub.get_long_about().or(sub.get_about()) {
            writeln!(page, "{}", escaped(&about.to_string()))?;
        }
        write_usage_and_options(sub, page)?;
        write_subcommands(sub, page)?;
    }
    Ok(())
}

fn write_usage_and_options(sub: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    let usage = sub.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    writeln!(page, ".PP\n.nf\n\\fB{}\\fR\n.fi", escaped(usage))?;
    let own = sub.clone().mut_args(|argument| {
        let told_above = argument.is_global_set() || argument.get_id() == "help";
        argument.hide(told_above)
    });
    let mut options = Vec::new();
    Man::new(own).render_options_section(&mut options)?;
    let options = String::from_utf8_lossy(&options).replace(".SH OPTIONS\n", "");
    page.write_all(options.as_bytes())
}

fn write_see_also(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    let other = if command.get_name() == "loom" { "loom\\-run" } else { "loom" };
    writeln!(page, ".SH \"SEE ALSO\"\n\\fB{other}\\fR(1)")
}

/// `text` so that roff prints it as it is.
fn escaped(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;

    #[test]
    fn page_holds_the_options_of_subcommands_and_the_exit_codes() {
        let list = Command::new("list").about("Lists foos").arg(Arg::new("all").long("all"));
        let page = man_page(Command::new("loom-foo").about("Does foo").subcommand(list)).unwrap();
        let page = String::from_utf8(page).unwrap();
        assert_eq!(page.matches(".ds Aq \\(aq").count(), 1);
        for part in ["Does foo", "SUBCOMMAND LOOM\\-FOO LIST", "\\-\\-all", "EXIT STATUS"] {
            assert!(page.contains(part), "{part} in {page}");
        }
    }

    #[test]
    fn text_cannot_become_a_request() {
        assert_eq!(escaped(".x\n\\n"), "\\&.x\n\\en");
    }
}
