//! Rounds: every contender once a round, in turns; ratios within a round.

use std::{
    fs,
    io::{self, Seek as _},
    path::{Path, PathBuf},
    process::{Child, Command},
    time::{Duration, Instant},
};

/// What one process, with all it started and waited for, took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// From start to end.
    pub wall: Duration,
    /// Processor time.
    pub cpu: Duration,
    /// Memory of the largest process of them, in bytes.
    pub peak_bytes: u64,
}

/// One of those that are compared.
pub struct Contender<'a> {
    name: String,
    command: Box<dyn Fn(&Path) -> Command + 'a>,
    leaves: Vec<PathBuf>,
}

impl<'a> Contender<'a> {
    /// `command` gets a folder that is empty, new and removed afterwards.
    pub fn new(name: impl Into<String>, command: impl Fn(&Path) -> Command + 'a) -> Self {
        Contender { name: name.into(), command: Box::new(command), leaves: Vec::new() }
    }

    /// A folder that is removed after each sample, so that nothing grows from round to round.
    pub fn leaving(mut self, folder: PathBuf) -> Self {
        self.leaves.push(folder);
        self
    }

    fn sample(&self, fresh: &Path) -> io::Result<Sample> {
        fs::create_dir(fresh)?;
        let sample = run(&mut (self.command)(fresh))
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", self.name)));
        for folder in self.leaves.iter().map(PathBuf::as_path).chain([fresh]) {
            match fs::remove_dir_all(folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        sample
    }
}

/// The samples of one contender, a round each.
#[derive(Debug)]
pub struct Samples {
    /// The contender.
    pub name: String,
    rounds: Vec<Sample>,
}

impl Samples {
    /// Median wall time in seconds.
    pub fn seconds(&self) -> f64 {
        median(self.rounds.iter().map(|sample| sample.wall.as_secs_f64()))
    }

    /// Median processor time in seconds.
    pub fn cpu_seconds(&self) -> f64 {
        median(self.rounds.iter().map(|sample| sample.cpu.as_secs_f64()))
    }

    /// Largest memory of any round, in bytes.
    pub fn peak_bytes(&self) -> u64 {
        self.rounds.iter().map(|sample| sample.peak_bytes).max().unwrap_or(0)
    }

    /// Median of `figure` over the rounds, each with what `other` took in the same round.
    pub fn median_beside(&self, other: &Samples, figure: impl Fn(f64, f64) -> f64) -> f64 {
        let pairs = self.rounds.iter().zip(&other.rounds);
        median(pairs.map(|(own, other)| figure(own.wall.as_secs_f64(), other.wall.as_secs_f64())))
    }

    /// Median of each round's ratio to `yardstick`.
    pub fn ratio(&self, yardstick: &Samples) -> f64 {
        self.median_beside(yardstick, |own, other| own / other)
    }
}

/// Runs `rounds` rounds after one that does not count; who begins changes from round to round.
pub fn compare(
    folder: &Path,
    rounds: usize,
    contenders: &[Contender<'_>],
) -> io::Result<Vec<Samples>> {
    let empty = |contender: &Contender<'_>| Samples {
        name: contender.name.clone(),
        rounds: Vec::with_capacity(rounds),
    };
    let mut all: Vec<Samples> = contenders.iter().map(empty).collect();
    for round in 0..=rounds {
        for turn in 0..contenders.len() {
            let index = (round + turn) % contenders.len();
            let fresh = folder.join(format!("round-{round}-{index}"));
            let sample = contenders[index].sample(&fresh)?;
            if round > 0 {
                all[index].rounds.push(sample);
            }
        }
    }
    Ok(all)
}

/// Runs a command that must succeed, and says what it took.
pub fn run(command: &mut Command) -> io::Result<Sample> {
    let mut errors = tempfile::tempfile()?;
    command.stderr(errors.try_clone()?);
    let started = Instant::now();
    let (status, cpu, peak_bytes) = wait(&command.spawn()?)?;
    let wall = started.elapsed();
    if status == 0 {
        return Ok(Sample { wall, cpu, peak_bytes });
    }
    errors.rewind()?;
    let said = io::read_to_string(errors)?;
    Err(io::Error::other(format!("{command:?} failed (wait status {status}): {said}")))
}

#[expect(unsafe_code, reason = "no safe wrapper of wait4 reports resource usage")]
fn wait(child: &Child) -> io::Result<(i32, Duration, u64)> {
    let pid = i32::try_from(child.id()).expect("process ids are positive and small");
    let mut status = 0;
    // SAFETY: a zeroed rusage is valid; both pointers live through the call.
    let (result, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        (libc::wait4(pid, &raw mut status, 0, &raw mut usage), usage)
    };
    if result != pid {
        return Err(io::Error::last_os_error());
    }
    let peak_bytes = u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024;
    Ok((status, duration(usage.ru_utime) + duration(usage.ru_stime), peak_bytes))
}

fn duration(time: libc::timeval) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or(0))
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_the_middle_of_what_was_sorted() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), 2.5);
    }

    #[test]
    fn every_contender_gets_a_new_folder_each_round_and_a_ratio_to_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let left = folder.path().join("left");
        let contender = |script: &'static str| {
            Contender::new(script, move |fresh| {
                let mut command = Command::new("sh");
                command.arg("-c").arg(script).current_dir(fresh);
                command
            })
        };
        let contenders = [contender("mkdir a"), contender("mkdir a ../left").leaving(left.clone())];
        let samples = compare(folder.path(), 2, &contenders).unwrap();
        assert!(samples.iter().all(|samples| samples.rounds.len() == 2));
        assert!(samples[1].ratio(&samples[0]) > 0.0);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn command_that_fails_is_no_sample() {
        let error = run(&mut Command::new("false")).unwrap_err();
        assert!(error.to_string().contains("false"), "{error}");
    }
}
