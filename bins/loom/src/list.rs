//! `loom --list`: every command, foreign ones without being run.

use std::path::{Path, PathBuf};

use libloom_console::{Label, Table, printable};
use libloom_contract::exit;
use libloom_entry::Failure;

use crate::{Dispatcher, shipped};

/// Prints names and summaries; with `--verbose` also paths and shadowed copies.
pub(crate) fn print(dispatcher: &Dispatcher<'_>) -> Result<u8, Failure> {
    let console = &dispatcher.context.console;
    let verbose = console.is_verbose();
    let mut table = Table::new();
    for (name, summary) in shipped::built_in_commands() {
        push(&mut table, name, summary, verbose.then(|| "(built in)".to_owned()));
    }
    for (name, copies) in dispatcher.search.all() {
        push_command(&mut table, &name, &copies, verbose);
    }
    for (name, words, origin) in dispatcher.aliases()?.described() {
        let summary = format!("alias: {words}");
        push(&mut table, name, &summary, verbose.then(|| shown(origin)));
    }
    console.out(&table.render(console.out_paint()))?;
    Ok(exit::DONE)
}

fn push_command(table: &mut Table, name: &str, copies: &[PathBuf], verbose: bool) {
    let Some((first, shadowed)) = copies.split_first() else { return };
    let summary = shipped::summary(name).unwrap_or("(external command)");
    if verbose {
        push(table, name, summary, Some(shown(first)));
        for copy in shadowed {
            push(table, name, &format!("(shadowed by {})", shown(first)), Some(shown(copy)));
        }
    } else {
        let shadows: Vec<String> = shadowed.iter().map(|copy| shown(copy)).collect();
        let mark = format!(" (shadows {})", shadows.join(", "));
        push(
            table,
            name,
            &format!("{summary}{}", if shadows.is_empty() { "" } else { &mark }),
            None,
        );
    }
}

fn push(table: &mut Table, name: &str, summary: &str, path: Option<String>) {
    let cells = [(Some(Label::Name), name), (None, summary)].map(|(l, t)| (l, printable(t).into()));
    table.labelled_row(cells.into_iter().chain(path.map(|path| (Some(Label::Dim), path))));
}

fn shown(path: &Path) -> String {
    printable(&path.display().to_string()).into_owned()
}
