use libloom_redact::{Redactor, Secret};
use std::time::Instant;
fn main() {
    let secrets: Vec<(String, String)> = (0..20)
        .map(|n| {
            (
                format!("S{n}"),
                format!(
                    "tok{n:02}-{:x}{:x}",
                    0x9e3779b97f4a7c15u64.wrapping_mul(n + 7),
                    0xc2b2ae3d27d4eb4fu64.wrapping_mul(n + 3)
                ),
            )
        })
        .collect();
    let s: Vec<Secret<'_>> =
        secrets.iter().map(|(n, v)| Secret { name: n, value: v.as_bytes() }).collect();
    let t = Instant::now();
    let r = Redactor::new(&s);
    println!("build {:?}", t.elapsed());
    let mut text = String::new();
    let mut n = 0;
    while text.len() < 100_000_000 {
        n += 1;
        text.push_str(&format!("{n:>10}\t[ok] compiled unit of the project \"main\" in module core with flags -O2 -Wall............\n"));
        if n % 1000 == 0 {
            text.push_str(&secrets[n % 20].1);
        }
    }
    for chunk in [4096, 65536, 262144] {
        let t = Instant::now();
        let mut stream = r.stream();
        let mut total = 0;
        for c in text.as_bytes().chunks(chunk) {
            stream.feed(c, |p| total += p.len());
        }
        stream.finish(|p| total += p.len());
        println!(
            "{chunk}: {:.0} MB/s {total}",
            text.len() as f64 / 1e6 / t.elapsed().as_secs_f64()
        );
    }
}
