//! Shapes that grow: what is small once and large a thousand times over.

use fastrand::Rng;

const HEAD: &str = "version: v1\nstages: [ci]\n";

/// Every fourth of the first inputs is the next of the shapes, so that each has its turn.
pub(crate) fn nth(rng: &mut Rng, case: u64, size: usize) -> Option<Vec<u8>> {
    let number =
        usize::try_from(case / 4).ok().filter(|_| case.wrapping_sub(3).is_multiple_of(4))?;
    let shape = SHAPES.get(number)?;
    Some(cut(shape(rng, size), size))
}

/// A shape grown to at most `limit` bytes.
pub(crate) fn text(rng: &mut Rng, limit: usize) -> Vec<u8> {
    let shape = rng.choice(SHAPES).expect("there are shapes");
    let size = if rng.bool() { limit } else { rng.usize(limit / 10..limit) };
    cut(shape(rng, size), size)
}

fn cut(text: String, size: usize) -> Vec<u8> {
    let mut bytes = text.into_bytes();
    bytes.truncate(size);
    bytes
}

type Shape = fn(&mut Rng, usize) -> String;

const SHAPES: &[Shape] = &[
    |_, size| "[".repeat(size),
    |_, size| "{a: ".repeat(size / 4),
    |_, size| "- ".repeat(size / 2),
    |_, size| "- \n".repeat(size / 3),
    |_, size| format!("a: [{}]\n", "{a: b}, ".repeat(size / 9)),
    |_, size| format!("{HEAD}a: {{stage: ci, script: [{}]}}\n", "x, ".repeat(size / 4)),
    |_, size| format!("{HEAD}a: {{stage: ci, script: [\"{}\"]}}\n", "x".repeat(size - 70)),
    |_, size| grow(HEAD, size, |i| format!("j{i}: {{stage: ci, script: [x]}}\n")),
    |_, size| grow(HEAD, size, |i| format!("j{i}: {{}}\n")),
    |_, size| grow("", size, |i| format!("K{i}: x\n")),
    |_, size| grow(HEAD, size, |i| format!("j{i}: {{stage: ic, scirpt: [x], tmieout: 1}}\n")),
    |_, size| {
        let jobs = |i| format!("j{i}: {{stage: ci, script: [x], needs: [j{}]}}\n", i + 1);
        grow(HEAD, size, jobs)
    },
    |rng, size| {
        let count = rng.usize(2..2000);
        let needs: Vec<String> = (0..count).map(|i| format!("j{i}")).collect();
        let needs = needs.join(", ");
        grow(HEAD, size, |i| format!("j{i}: {{stage: ci, script: [x], needs: [{needs}]}}\n"))
    },
    |rng, size| {
        let variables = grow("", rng.usize(10..size), |i| format!(" V{i}: x\n"));
        let head = format!("{HEAD}.t:\n variables:\n{}", variables.replace(" V", "  V"));
        grow(&head, size, |i| format!("j{i}: {{extends: .t, stage: ci, script: [x]}}\n"))
    },
    |_, size| grow(HEAD, size, |i| format!(".t{i}: {{extends: .t{}, image: x}}\n", i + 1)),
    |_, size| {
        let double =
            |i| format!(".t{i}: {{extends: [.t{0}, .u{0}]}}\n.u{i}: {{extends: .t{0}}}\n", i + 1);
        grow(HEAD, size, double)
    },
    |_, size| {
        let chain = grow("", size - 60, |i| format!("  V{i}: $V{}\n", i + 1));
        format!("{HEAD}variables:\n{chain}a: {{stage: ci, script: [x]}}\n")
    },
    |_, size| {
        let fan = grow("", size - 60, |i| format!("  V{i}: $V{0}$V{0}$V{1}\n", i + 1, i / 2));
        format!("{HEAD}variables:\n{fan}a: {{stage: ci, script: [x]}}\n")
    },
    |_, size| {
        let value = "$A".repeat(size / 30);
        let parts = |i| format!(".t{i}: {{extends: .t{}, variables: {{A: '{value}'}}}}\n", i + 1);
        let templates: String = (0..9).map(parts).collect();
        format!(
            "{HEAD}{templates}.t9: {{variables: {{A: x}}}}\na: {{extends: .t0, stage: ci, script: [x]}}\n"
        )
    },
    |_, size| {
        let jobs =
            |i| format!("j{i}: {{stage: ci, parallel: 200, script: [{}]}}\n", "x, ".repeat(20));
        grow(HEAD, size, jobs)
    },
    |_, size| {
        let value = "x".repeat(size - 200);
        format!("{HEAD}a: {{stage: ci, script: [x], parallel: 200, runner_pool: \"{value}\"}}\n")
    },
    |_, size| {
        let values = grow("", size - 200, |i| format!("v{i}, "));
        format!(
            "{HEAD}a: {{stage: ci, script: [x], parallel: {{matrix: [{{A: [{values}], B: [a, b]}}]}}}}\n"
        )
    },
    |_, size| {
        let rules = grow("", size - 60, |i| format!("    - if: $A{i} =~ /(a{{50}}){{50}}{i}/\n"));
        format!("{HEAD}a:\n  stage: ci\n  script: [x]\n  rules:\n{rules}")
    },
    |_, size| {
        let rules = grow("", size - 60, |i| format!("    - if: $A{i} == 'x' && ($B || !$C)\n"));
        format!("{HEAD}a:\n  stage: ci\n  script: [x]\n  rules:\n{rules}")
    },
    |_, size| {
        let condition = "$A && ".repeat(size / 6);
        format!("{HEAD}workflow: {{rules: [{{if: '{condition}$A'}}]}}\n")
    },
    |_, size| {
        let glob = "{a,b}".repeat(size / 5);
        format!("{HEAD}a: {{stage: ci, script: [x], artifacts: {{paths: [\"{glob}\"]}}}}\n")
    },
    |_, size| {
        let globs = grow("", size - 80, |i| format!("\"**/{{a,b}}*{i}/[a-z]?\", "));
        format!("{HEAD}a: {{stage: ci, script: [x], rules: [{{changes: [{globs}]}}]}}\n")
    },
    |_, size| {
        format!("{HEAD}include:\n{}", "- local: .loom/templates/nested.yaml\n".repeat(size / 37))
    },
    |_, size| {
        format!(
            "{HEAD}a: {{stage: ci, script: [x], invariant: {}1{}}}\n",
            "[".repeat(size / 4),
            "]".repeat(size / 4)
        )
    },
    |_, size| format!("{HEAD}a: &a [{}]\n", "*a, ".repeat(size / 5)),
    |_, size| format!("{HEAD}a: {{stage: ci, script: |\n{}}}\n", "    x\n".repeat(size / 7)),
    |_, size| format!("# {}\n{HEAD}", "é".repeat(size / 2 - 30)),
    |_, size| format!("a: \"{}\"\n", "\\u0041".repeat(size / 6)),
    |_, size| grow(HEAD, size, |_| "build: {stage: ci, script: [x]}\n".to_owned()),
    |_, size| {
        let secrets =
            grow("", size - 60, |i| format!("    S{i}: {{ref: \"vault://{i}\", fiel: true}}\n"));
        format!("{HEAD}a:\n  stage: ci\n  script: [x]\n  secrets:\n{secrets}")
    },
    // Each twice the one before, and the first is empty.
    |_, size| {
        let fan = grow("", size - 90, |i| format!("  V{}: $V{i}$V{i}\n", i + 1));
        format!("{HEAD}variables:\n  V0: ''\n{fan}a: {{stage: ci, script: [x]}}\n")
    },
    |_, size| {
        let jobs = grow("", size / 2, |i| format!("j{i}: {{extends: .t, stage: ci}}, "));
        format!(
            "{{version: v1, stages: [ci], {jobs}.t: {{script: [{}]}}}}\n",
            "x, ".repeat(size / 10)
        )
    },
    |_, size| {
        let jobs = grow("", size / 2, |i| format!("j{i}: {{stage: ci, script: [x]}}\n"));
        let names = grow("", size / 2 - 80, |i| format!("u{i}, "));
        format!("{HEAD}{jobs}a: {{stage: ci, script: [x], extends: [{names}]}}\n")
    },
    |_, size| grow(HEAD, size, |i| format!("j{i}: {{stage: ci, script: [x], needs: [u]}}\n")),
    |_, size| {
        let stages = grow("", (size / 2).min(60_000), |i| format!("s{i}, "));
        let head = format!("version: v1\nstages: [{stages}]\n");
        grow(&head, size, |i| format!("j{i}: {{stage: u{i}, script: [x]}}\n"))
    },
    |_, size| {
        let name = "a".repeat(size / 2 - 40);
        format!("version: v1\nstages: [{name}]\na: {{stage: b{name}, script: [x]}}\n")
    },
    |_, size| {
        let variables = grow("", size / 2, |i| format!("V{i}: x, "));
        let templates = grow("", size / 4, |i| format!(".t{i}: {{extends: .t}}\n"));
        let names = grow("", size / 4 - 80, |i| format!(".t{i}, "));
        format!(
            "{HEAD}.t: {{variables: {{{variables}}}}}\n{templates}a: {{extends: [{names}], stage: ci, script: [x]}}\n"
        )
    },
    |_, size| {
        let variables = grow("", size - 100, |i| format!("V{i}: x, "));
        format!("{HEAD}a: {{stage: ci, script: [x], parallel: {{matrix: [{{{variables}}}]}}}}\n")
    },
    |_, size| {
        let mistakes = grow("", size / 2 - 80, |i| format!("k{i}: x, "));
        format!(
            "{HEAD}a: {{stage: ci, script: [x], secrets: {{? {} : {{{mistakes}}}}}}}\n",
            "A".repeat(size / 2)
        )
    },
    |rng, size| {
        let (levels, k) = (rng.usize(2..10), rng.usize(2..8));
        let level = |level: usize| {
            let extends =
                if level == 0 { String::new() } else { format!("extends: .t{}, ", level - 1) };
            let values = grow("", size / 10 - 60, |i| {
                format!("V{i}: \"x{}\", ", format!("$V{i}").repeat(k))
            });
            format!(".t{level}: {{{extends}variables: {{{values}}}}}\n")
        };
        let templates: String = (0..=levels).map(level).collect();
        format!("{HEAD}{templates}a: {{extends: .t{levels}, stage: ci, script: [x]}}\n")
    },
    |_, size| {
        let secrets = grow("", size / 3, |i| format!("    S{i}: {{ref: \"env://A\"}}\n"));
        let variables = grow("", size / 3, |i| format!("    S{i}: $S{}\n", i + 1));
        let job = format!("  stage: ci\n  secrets:\n{secrets}  variables:\n{variables}");
        let head = format!("{HEAD}.t:\n{job}");
        grow(&head, size, |i| format!("j{i}: {{extends: .t, script: [x]}}\n"))
    },
    |_, size| {
        let variables = grow("", size / 3, |i| format!("    V{i}: x\n"));
        let rules = grow("", size / 3, |i| format!("    - variables: {{V{i}: $V}}\n"));
        let head = format!("{HEAD}.t:\n  variables:\n{variables}  rules:\n{rules}");
        grow(&head, size, |i| format!("j{i}: {{extends: .t, stage: ci, script: [x]}}\n"))
    },
    |_, size| {
        let steps = grow("", size / 2, |i| format!("    - cd a{i}\n"));
        let head = format!("{HEAD}.t:\n  script:\n{steps}");
        grow(&head, size, |i| format!("j{i}: {{extends: .t, stage: ci}}\n"))
    },
    |_, size| {
        let jobs = |i| format!("j{i}: {{stage: ci, script: [x], needs: [j{}, j0]}}\n", i + 1);
        grow(HEAD, size, jobs)
    },
    |_, size| {
        let services =
            grow("", size - 60, |i| format!("    - {{name: s{i}, variables: {{a: 1}}}}\n"));
        format!("{HEAD}a:\n  stage: ci\n  image: x\n  script: [x]\n  services:\n{services}")
    },
];

/// `head` and as many lines as fit.
fn grow(head: &str, size: usize, line: impl Fn(usize) -> String) -> String {
    let mut text = head.to_owned();
    for i in 0.. {
        let next = line(i);
        if text.len() + next.len() > size.max(head.len() + next.len()) {
            break;
        }
        text.push_str(&next);
    }
    text
}
