//! What goes on at the moment, and how it looks in so many columns and rows.
//!
//! Jobs only write down what they do; drawing reads it a few times a second. So the board holds
//! the last line of each job as bytes, and what it takes to show it is done once a frame.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use libloom_console::{
    Label, Paint, Size, display_width, fit, fit_middle, pad, printable, shown_line, size,
};
use libloom_contract::{event::PhaseCode, graph::Node, logs::JobCounts};

use super::words::{elapsed, grouped};

/// Most bytes of a job's last line that are kept.
const LINE_BYTES_MAX: usize = 1024;
/// Fewest rows that are left to what was said before.
const ROWS_LEFT: usize = 2;
/// Columns that the line a job wrote must have for anything optional to stand before it.
const LINE_COLUMNS_MIN: usize = 20;

/// Everything that is going on.
#[derive(Debug)]
pub struct Board {
    began: Instant,
    /// What is done before there are jobs.
    work: Option<(String, Instant)>,
    jobs: usize,
    running: Vec<Running>,
    /// Place in `running` by job id.
    places: HashMap<String, usize>,
    /// Jobs that ended or are not run.
    pub counts: JobCounts,
}

/// A job that runs.
#[derive(Debug)]
struct Running {
    label: String,
    stage: String,
    since: Instant,
    doing: String,
    /// The last line it wrote; until then the command.
    line: Vec<u8>,
}

impl Board {
    /// Nothing goes on.
    pub fn new(now: Instant) -> Self {
        Board {
            began: now,
            work: None,
            jobs: 0,
            running: Vec::new(),
            places: HashMap::new(),
            counts: JobCounts::default(),
        }
    }

    /// Something other than jobs is being done.
    pub fn work(&mut self, text: String, now: Instant) {
        let since = match &self.work {
            // Progress of the same work.
            Some((before, since)) if first_word(before) == first_word(&text) => *since,
            _ => now,
        };
        self.work = Some((text, since));
    }

    /// There are jobs; what was done before is over.
    pub fn jobs(&mut self, count: usize, now: Instant) {
        (self.work, self.jobs, self.began) = (None, count, now);
    }

    /// A job begins, or begins again.
    pub fn started(&mut self, node: &Node, now: Instant) {
        self.ended(&node.id);
        self.places.insert(node.id.clone(), self.running.len());
        self.running.push(Running {
            label: printable(&node.label).into_owned(),
            stage: printable(&node.stage).into_owned(),
            since: now,
            doing: String::new(),
            line: Vec::new(),
        });
    }

    /// A job does not run any more.
    pub fn ended(&mut self, job_id: &str) {
        if let Some(place) = self.places.remove(job_id) {
            self.running.remove(place);
            self.places.values_mut().filter(|other| **other > place).for_each(|other| *other -= 1);
        }
    }

    fn running(&mut self, job_id: &str) -> Option<&mut Running> {
        self.places.get(job_id).and_then(|&place| self.running.get_mut(place))
    }

    /// A job enters a phase.
    pub fn phase(&mut self, job_id: &str, phase: PhaseCode) {
        let Some(job) = self.running(job_id) else { return };
        job.doing = match phase {
            PhaseCode::JobProviderPrepare => "prepare",
            PhaseCode::JobCacheRestore => "restore cache",
            PhaseCode::JobArtifactRestore => "artifacts",
            PhaseCode::JobCacheSave => "save cache",
            PhaseCode::JobCleanup => "clean up",
            _ => return,
        }
        .into();
        job.line.clear();
    }

    /// A job waits for an image of which so many bytes have come.
    pub fn pulling(&mut self, job_id: &str, image: &str, bytes: u64, bytes_total: u64) {
        let Some(job) = self.running(job_id) else { return };
        job.doing = "pull".into();
        let [bytes, bytes_total] = [bytes, bytes_total].map(size);
        job.line = format!("{image}: {bytes} of {bytes_total}").into_bytes();
    }

    /// A step of a job begins.
    pub fn step(&mut self, job_id: &str, step: String, command: &str) {
        let Some(job) = self.running(job_id) else { return };
        job.doing = step;
        job.line.clear();
        job.line.extend_from_slice(b"$ ");
        job.line.extend(command.bytes().take(LINE_BYTES_MAX));
    }

    /// A job wrote whole lines; the last one that is not empty is kept.
    pub fn output(&mut self, job_id: &str, bytes: &[u8]) {
        let Some(job) = self.running(job_id) else { return };
        let mut lines = bytes.rsplit(|&byte| byte == b'\n');
        if let Some(line) = lines.find(|line| !line.trim_ascii().is_empty()) {
            // Of a progress bar that was drawn again and again only the last state matters.
            let bar = line.trim_ascii_end().rsplit(|&byte| byte == b'\r').next();
            let line = bar.unwrap_or(line);
            job.line.clear();
            job.line.extend_from_slice(&line[..line.len().min(LINE_BYTES_MAX)]);
        }
    }

    /// The lines that show it.
    pub fn frame(&self, size: Size, paint: Paint, now: Instant) -> Vec<String> {
        let columns = size.columns.saturating_sub(1);
        if let Some((text, since)) = &self.work {
            let line = format!("{}  {}", text, elapsed(now - *since));
            return vec![paint.paint(Label::Running, fit(&line, columns)).to_string()];
        }
        if self.running.is_empty() {
            return Vec::new();
        }
        let shown = &self.running[..self.running.len().min(rows(size) - 1)];
        let widths = Widths::of(shown, columns);
        let mut lines: Vec<String> = shown.iter().map(|job| widths.line(job, paint, now)).collect();
        let tally = self.tally(self.running.len() - shown.len(), now);
        lines.push(paint.paint(Label::Dim, fit(&tally, columns)).to_string());
        lines
    }

    /// `3 running, 12 waiting, 2 succeeded, 1 failed  12s`.
    fn tally(&self, hidden: usize, now: Instant) -> String {
        let counts = &self.counts;
        let running = self.running.len();
        let waiting = self.jobs.saturating_sub(running + usize_of(counts.total));
        let not_shown = format!(" ({hidden} hidden)");
        let parts = [
            (waiting, "waiting"),
            (usize_of(counts.success), "succeeded"),
            (usize_of(counts.failure), "failed"),
            (usize_of(counts.skipped), "skipped"),
            (usize_of(counts.cancelled), "cancelled"),
        ];
        let parts = parts.into_iter().filter(|(count, _)| *count > 0);
        let parts = parts.map(|(count, word)| format!(", {} {word}", grouped(count as u64)));
        format!(
            "{running} running{}{}  {}",
            if hidden > 0 { not_shown.as_str() } else { "" },
            parts.collect::<String>(),
            elapsed(now - self.began)
        )
    }
}

/// Rows of the board; a part of the screen stays for what was said before.
fn rows(size: Size) -> usize {
    size.rows.saturating_sub((size.rows / 4).max(ROWS_LEFT)).max(2)
}

fn first_word(text: &str) -> Option<&str> {
    text.split(' ').next()
}

fn usize_of(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// `copying the repository: 12,345 of 50,000 files, 1.2 GiB`.
pub fn progress(phase: &str, done: u64, total: Option<u64>, bytes: Option<u64>) -> String {
    let of = total.map(|total| format!(" of {}", grouped(total))).unwrap_or_default();
    let bytes = bytes.map(|bytes| format!(", {}", size(bytes))).unwrap_or_default();
    match phase {
        "copy" => format!("copying the repository: {}{of} files{bytes}", grouped(done)),
        phase => format!("{}: {}{of}{bytes}", printable(phase), grouped(done)),
    }
}

/// Columns of the parts of a job's line; 0: left out.
#[derive(Debug)]
struct Widths {
    /// All of them together.
    columns: usize,
    label: usize,
    stage: usize,
    doing: usize,
    line: usize,
}

impl Widths {
    const ELAPSED: usize = 6;
    /// Below that there is only room for the label.
    const COLUMNS_MIN: usize = 30;

    fn of(jobs: &[Running], columns: usize) -> Self {
        let widest = |part: fn(&Running) -> &str, most: usize| {
            jobs.iter().map(|job| display_width(part(job))).max().unwrap_or(0).min(most)
        };
        let label = widest(|job| &job.label, (columns / 4).max(12));
        let mut widths = Widths {
            columns,
            label,
            stage: widest(|job| &job.stage, 12),
            doing: widest(|job| &job.doing, 16),
            line: 0,
        };
        for narrower in [false, true] {
            if widths.room(columns) < LINE_COLUMNS_MIN {
                if narrower { widths.doing = 0 } else { widths.stage = 0 }
            }
        }
        widths.line = widths.room(columns);
        widths
    }

    /// Columns that are left for what the job wrote.
    fn room(&self, columns: usize) -> usize {
        let parts = [2, self.label, self.stage, Self::ELAPSED, self.doing];
        let taken: usize = parts.iter().filter(|part| **part > 0).map(|part| part + 2).sum();
        // Behind the two blanks at the start there is no gap.
        columns.saturating_sub(taken - 2)
    }

    fn line(&self, job: &Running, paint: Paint, now: Instant) -> String {
        if self.columns < Self::COLUMNS_MIN {
            return fit(&job.label, self.columns);
        }
        let mut text = String::from("  ");
        let mut part = |label: Option<Label>, part: &str, width: usize| {
            if width > 0 {
                let part = pad(&fit_middle(part, width), width);
                match label {
                    Some(label) => text.push_str(&paint.paint(label, part).to_string()),
                    None => text.push_str(&part),
                }
                text.push_str("  ");
            }
        };
        part(Some(Label::Name), &job.label, self.label);
        part(Some(Label::Dim), &job.stage, self.stage);
        let time = format!("{:>width$}", elapsed(now - job.since), width = Self::ELAPSED);
        part(Some(Label::Running), &time, Self::ELAPSED);
        part(Some(Label::Dim), &job.doing, self.doing);
        let line = shown_line(&job.line, false);
        text.push_str(&fit(line.trim_start(), self.line));
        text
    }
}

/// Time between two looks at the board.
pub const TICK: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str, stage: &str) -> Node {
        Node::host(id, stage)
    }

    fn board(jobs: &[(&str, &str)], now: Instant) -> Board {
        let mut board = Board::new(now);
        board.jobs(jobs.len() + 3, now);
        for (id, output) in jobs {
            board.started(&node(id, "test"), now);
            board.phase(id, PhaseCode::JobProviderPrepare);
            board.output(id, output.as_bytes());
        }
        board
    }

    fn frame(board: &Board, columns: usize, rows: usize, now: Instant) -> Vec<String> {
        board.frame(Size { columns, rows }, Paint::new(false), now)
    }

    #[test]
    fn each_running_job_has_a_line_and_all_are_counted() {
        let now = Instant::now();
        let mut board = board(&[("unit", "one\ntwo\n\n"), ("lint", "10%\r20%\n")], now);
        board.counts.add(libloom_contract::Status::Failure);
        let lines = frame(&board, 80, 24, now + Duration::from_secs(75));
        assert_eq!(
            lines,
            [
                "  unit  test   1m15s  prepare  two",
                "  lint  test   1m15s  prepare  20%",
                "2 running, 2 waiting, 1 failed  1m15s",
            ]
        );
    }

    #[test]
    fn nothing_is_wider_or_higher_than_the_terminal() {
        let now = Instant::now();
        let long = "x".repeat(300);
        let names: Vec<String> = (0..40).map(|number| format!("{long}-{number}")).collect();
        let jobs: Vec<(&str, &str)> = names
            .iter()
            .map(|name| (name.as_str(), "日本語の出力 \x1b[2J\x1b[1;1H wide wide wide"))
            .collect();
        let board = board(&jobs, now);
        for (columns, rows) in [(80, 24), (40, 10), (20, 5), (3, 2), (1, 1), (500, 100)] {
            let lines = frame(&board, columns, rows, now);
            assert!(lines.len() < rows.max(3), "{} lines in {rows} rows", lines.len());
            for line in lines {
                assert!(display_width(&line) < columns, "{line:?} in {columns}");
                assert!(!line.contains('\x1b'), "{line:?}");
            }
        }
        let narrow = frame(&board, 40, 10, now);
        assert!(narrow[0].starts_with("  xxxxxx…xxx-0      0s  日本語の"), "{narrow:?}");
        assert_eq!(narrow[7], "40 running (33 hidden), 3 waiting  0s");
    }

    #[test]
    fn a_job_that_ended_leaves_the_others_in_place() {
        let now = Instant::now();
        let mut board = board(&[("a", "1\n"), ("b", "2\n"), ("c", "3\n")], now);
        board.ended("b");
        board.output("c", b"4\n");
        board.output("b", b"lost\n");
        let lines = frame(&board, 80, 24, now);
        assert!(lines[0].ends_with("  1") && lines[1].ends_with("  4"), "{lines:?}");
        board.ended("a");
        board.ended("c");
        assert!(frame(&board, 80, 24, now).is_empty());
    }

    #[test]
    fn a_step_shows_its_command_until_it_writes() {
        let now = Instant::now();
        let mut board = board(&[("a", "old\n")], now);
        board.step("a", "script/02".into(), "make\ttest");
        assert!(frame(&board, 80, 24, now)[0].ends_with("script/02  $ make  test"));
    }

    #[test]
    fn work_before_jobs_keeps_its_time() {
        let now = Instant::now();
        let mut board = Board::new(now);
        board.work(progress("copy", 1, None, Some(0)), now);
        board.work(progress("copy", 12_345, Some(50_000), Some(3 << 20)), now + TICK);
        let lines = frame(&board, 80, 24, now + Duration::from_secs(3));
        assert_eq!(lines, ["copying the repository: 12,345 of 50,000 files, 3.0 MiB  3s"]);
        board.jobs(1, now);
        assert!(frame(&board, 80, 24, now).is_empty());
    }
}
