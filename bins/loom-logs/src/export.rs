//! `loom logs export`: a finished run in the formats of other tools, one module each.

mod chrome;
mod github;
mod gitlab;
mod html;
mod junit;
mod otlp;
mod output;

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use libloom_console::Console;
use libloom_contract::{exit, layout::Layout, store::TEMPORARY_PREFIX};
use libloom_entry::{Context, Failure, Kind, OrFail};
use libloom_record::read;

use crate::tree::{Tree, load};

/// Write a finished run in the format of another tool
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Id of the run, a part of one, or `latest`
    #[arg(default_value = read::LATEST, hide_default_value = true)]
    run: String,
    /// What to write
    #[arg(long, value_name = "FORMAT")]
    format: Format,
    /// Write to a file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What `--format` can name.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// JUnit XML: a suite for each job, a case for each step; for Jenkins, GitLab and others
    Junit,
    /// GitHub Actions: log groups and annotations, to be printed by a step of a workflow
    Github,
    /// GitHub Actions: Markdown for the file that $GITHUB_STEP_SUMMARY names
    GithubSummary,
    /// GitLab CI: a job log with collapsible sections, to be printed by a job
    Gitlab,
    /// One HTML file: timeline and logs, without any network
    Html,
    /// Trace Event Format, for Perfetto and about:tracing
    ChromeTrace,
    /// OpenTelemetry: an ExportTraceServiceRequest, for the HTTP endpoint /v1/traces
    OtlpJson,
}

pub(crate) fn run(
    arguments: &Arguments,
    layout: &Layout,
    context: &Context,
) -> Result<u8, Failure> {
    let tree = load(layout, Some(&arguments.run), context)?;
    match &arguments.output {
        Some(path) => {
            let path = context.cwd.join(path);
            to_file(&tree, arguments.format, &path)
                .or_could_not(format_args!("cannot write `{}`", path.display()))?;
        }
        None => to_stdout(&tree, arguments.format, &context.console)?,
    }
    Ok(exit::DONE)
}

fn write(tree: &Tree, format: Format, out: &mut dyn Write) -> io::Result<()> {
    match format {
        Format::Junit => junit::write(tree, out),
        Format::Github => github::write(tree, out),
        Format::GithubSummary => github::write_summary(tree, out),
        Format::Gitlab => gitlab::write(tree, out),
        Format::Html => html::write(tree, out),
        Format::ChromeTrace => chrome::write(tree, out),
        Format::OtlpJson => otlp::write(tree, out),
    }
}

/// Whole or not at all, as documents are written.
fn to_file(tree: &Tree, format: Format, path: &Path) -> io::Result<()> {
    // A device or a pipe cannot be replaced.
    if fs::metadata(path).is_ok_and(|data| !data.is_file()) {
        let mut out = BufWriter::new(File::options().write(true).open(path)?);
        write(tree, format, &mut out)?;
        return out.flush();
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!("{TEMPORARY_PREFIX}{}-{name}", std::process::id()));
    let written = File::create_new(&temporary).and_then(|file| {
        let mut out = BufWriter::with_capacity(256 * 1024, file);
        write(tree, format, &mut out)?;
        out.flush()?;
        fs::rename(&temporary, path)
    });
    if written.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn to_stdout(tree: &Tree, format: Format, console: &Console) -> Result<(), Failure> {
    let mut out = BufWriter::with_capacity(256 * 1024, Stdout(console));
    let written = write(tree, format, &mut out).and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Kind::BrokenPipe, error))
        }
        result => result.or_could_not("cannot export the run"),
    }
}

/// stdout, as `write!` wants it.
struct Stdout<'a>(&'a Console);

impl Write for Stdout<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.out_bytes(bytes).map_err(|error| match error.is_broken_pipe() {
            true => io::Error::from(io::ErrorKind::BrokenPipe),
            false => io::Error::other(error),
        })?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
