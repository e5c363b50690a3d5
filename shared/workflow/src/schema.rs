//! The JSON Schema of workflows, for editors; `loom check` knows more than it can say.

/// Draft 2020-12, with descriptions. It accepts every valid workflow, and refuses what is wrong
/// with one value by itself; references between values are beyond it.
pub const WORKFLOW_SCHEMA: &str = include_str!("../schema/workflow.schema.json");

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::job;
    use crate::source::FileId;

    /// Fixtures that are wrong only by what a schema cannot say: references, circles, places on
    /// disk, the grammar of texts, what is missing once all layers are merged, YAML itself.
    const BEYOND: &[&str] = &[
        "artifacts-paths",
        "cache-paths",
        "duplicate-job",
        "duplicate-key",
        "duplicate-variable",
        "extends-cycle",
        "extends-deep",
        "extends-self",
        "extends-twice",
        "extends-unknown",
        "image-build-missing",
        "image-build-outside",
        "include-cycle",
        "include-errors",
        "include-missing",
        "include-syntax",
        "needs-cycle",
        "needs-later",
        "needs-self",
        "needs-template",
        "needs-unknown",
        "no-job",
        "parallel-large",
        "rule-syntax",
        "script-empty",
        "script-missing",
        "secrets-overlap",
        "services-no-image",
        "stage-missing",
        "stage-unknown",
        "stages-missing",
        "crlf",
        "variables-cycle",
        "quoted-places",
    ];

    fn verdicts(kind: &str) -> Vec<(String, Option<bool>)> {
        let schema = serde_json::from_str(WORKFLOW_SCHEMA).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/workflows");
        let mut verdicts = Vec::new();
        for entry in fs::read_dir(root.join(kind)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|ending| ending != "yml") {
                continue;
            }
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).unwrap();
            let (tree, problems) = crate::yaml::parse(FileId(0), &text);
            let tree = tree.filter(|_| problems.is_empty());
            verdicts.push((name, tree.map(|tree| validator.is_valid(&job::json(&tree)))));
        }
        verdicts
    }

    #[test]
    fn it_accepts_every_good_workflow() {
        for (name, valid) in verdicts("good").into_iter().chain(verdicts("warn")) {
            assert_eq!(valid, Some(true), "{name}");
        }
    }

    #[test]
    fn it_refuses_every_bad_workflow_that_it_can() {
        let known = verdicts("bad").into_iter().filter_map(|(name, valid)| Some((name, valid?)));
        let other: Vec<(String, bool)> =
            known.filter(|(name, valid)| *valid != BEYOND.contains(&&**name)).collect();
        assert_eq!(other, [], "accepted or refused, but not as expected");
    }
}
