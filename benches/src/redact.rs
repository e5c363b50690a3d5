//! How fast the values of secrets are found in output, on one core.

use std::{fmt::Write as _, io, time::Instant};

use libloom_redact::{Redactor, Secret};

use crate::{
    bench::Bench,
    table::{Row, Target},
};

const OUTPUT_BYTES: usize = 100_000_000;
/// As much as is read from a job's pipe at once.
const CHUNK_BYTES: usize = 256 * 1024;
const SECRETS: u64 = 20;

/// Names and values, as long as the tokens of well-known services.
pub fn secrets() -> Vec<(String, String)> {
    let value = |number: u64| {
        let noise = number.wrapping_add(7).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        format!("tok{number:02}-{noise:016x}{:016x}", noise.rotate_left(17) ^ number)
    };
    (0..SECRETS).map(|number| (format!("SECRET_{number}"), value(number))).collect()
}

/// 100 MB of log with a value in every thousandth line.
pub fn run(bench: &Bench) -> io::Result<Vec<Row>> {
    let secrets = secrets();
    let text = log(&secrets);
    let named: Vec<Secret<'_>> =
        secrets.iter().map(|(name, value)| Secret { name, value: value.as_bytes() }).collect();
    let begun = Instant::now();
    let redactor = Redactor::new(&named);
    let built = begun.elapsed().as_secs_f64() * 1000.0;
    let mut speeds: Vec<f64> =
        (0..bench.rounds(5)).map(|_| megabytes_a_second(&redactor, text.as_bytes())).collect();
    speeds.sort_by(f64::total_cmp);
    let median = speeds[speeds.len() / 2];
    Ok(vec![
        Row::figure("20 secrets, all forms", median, "MB/s", Some(Target::AtLeast(400.0))),
        Row::figure("  until they can be found", built, "ms", None),
    ])
}

fn megabytes_a_second(redactor: &Redactor, text: &[u8]) -> f64 {
    let begun = Instant::now();
    let mut stream = redactor.stream();
    let mut shown = 0;
    for chunk in text.chunks(CHUNK_BYTES) {
        stream.feed(chunk, |part| shown += part.len());
    }
    stream.finish(|part| shown += part.len());
    assert_ne!(shown, text.len(), "values are found");
    text.len() as f64 / 1e6 / begun.elapsed().as_secs_f64()
}

fn log(secrets: &[(String, String)]) -> String {
    let mut text = String::with_capacity(OUTPUT_BYTES + 200);
    let mut values = secrets.iter().map(|(_, value)| value).cycle();
    for number in 0.. {
        let value = values.next().filter(|_| number % 1000 == 0).map_or("", String::as_str);
        writeln!(text, "{number:>10}\t[ok] compiled unit of \"main\" with flags -O2 -Wall {value}")
            .expect("a string takes everything");
        if text.len() >= OUTPUT_BYTES {
            break;
        }
    }
    text
}
