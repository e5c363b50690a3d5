//! The JSON Schema of workflows, for editors; `loom check` knows more than it can say.

/// Draft 2020-12, with descriptions. It accepts every valid workflow, and refuses every other one
/// but for what the tests below list, with the reasons.
pub const WORKFLOW_SCHEMA: &str = include_str!("../schema/workflow.schema.json");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use serde_json::Value;

    use super::*;
    use crate::job;
    use crate::source::FileId;

    /// Fixtures that are wrong only by what a schema cannot say, by the reason.
    const BEYOND: &[(&str, &[&str])] = &[
        (
            "a name has to be among names that stand elsewhere",
            &[
                "crlf",
                "extends-dot",
                "extends-near",
                "extends-unknown",
                "needs-copy",
                "needs-in-template",
                "needs-later",
                "needs-near",
                "needs-self",
                "needs-unknown",
                "stage-in-default",
                "stage-in-template",
                "stage-of-many",
                "stage-unknown",
            ],
        ),
        (
            "names refer to each other in a circle, or in too long a chain",
            &[
                "extends-cycle",
                "extends-cycle-jobs",
                "extends-cycle-list",
                "extends-deep",
                "extends-self",
                "needs-circle-long",
                "needs-circle-two",
                "needs-circles",
                "needs-cycle",
                "variables-circle-default",
                "variables-circles",
                "variables-cycle",
                "variables-cycle-above",
            ],
        ),
        (
            "what is missing shows once templates are merged",
            &["cache-merged", "image-build-merged", "services-in-template"],
        ),
        ("one name must not stand in two mappings", &["secrets-merged", "secrets-overlap"]),
        (
            "the mistake is in another file, or that file is missing",
            &[
                "image-build-missing",
                "image-build-up",
                "include-cycle",
                "include-duplicate",
                "include-empty",
                "include-errors",
                "include-itself",
                "include-list-file",
                "include-missing",
                "include-syntax",
                "include-two-broken",
                "include-unreadable-names",
                "include-unreadable",
            ],
        ),
        ("numbers of values have to be multiplied and added", &["parallel-large", "parallel-sum"]),
        (
            "the grammar of conditions is no regular expression",
            &[
                "rule-complex",
                "rule-in-default",
                "rule-names",
                "rule-operators",
                "rule-over-two-lines",
                "rule-parentheses",
                "rule-patterns",
                "rule-syntax",
                "rule-words",
                "workflow-rule-syntax",
            ],
        ),
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
        let beyond = |name: &str| BEYOND.iter().any(|(_, names)| names.contains(&name));
        let known = verdicts("bad").into_iter().filter_map(|(name, valid)| Some((name, valid?)));
        let mut other: Vec<(String, bool)> =
            known.filter(|(name, valid)| *valid != beyond(name)).collect();
        other.sort();
        assert_eq!(other, [], "accepted (true) or refused, but not as expected");
    }

    /// YAML that cannot be parsed, or is refused as such, never reaches a schema.
    #[test]
    fn what_it_never_sees_is_yaml_itself() {
        for (name, valid) in verdicts("bad").into_iter().filter(|(_, valid)| valid.is_none()) {
            let starts = ["yaml-", "duplicate-", "nesting", "stages-twice", "empty"];
            assert!(starts.iter().any(|start| name.starts_with(start)), "{name}: {valid:?}");
        }
    }

    #[test]
    fn every_key_has_a_description() {
        let schema: Value = serde_json::from_str(WORKFLOW_SCHEMA).unwrap();
        let mut keys = 0;
        let mut nodes = vec![(String::new(), &schema)];
        while let Some((place, node)) = nodes.pop() {
            let fields = node.as_object().into_iter().flatten();
            for (key, value) in fields {
                if ["if", "then", "not", "dependentSchemas", "job_alone", "whole_cache"]
                    .contains(&key.as_str())
                {
                    continue;
                }
                nodes.push((format!("{place}/{key}"), value));
            }
            for item in node.as_array().into_iter().flatten() {
                nodes.push((place.clone(), item));
            }
            if place.ends_with("roperties")
                && node.is_object()
                && !place.ends_with("additionalProperties")
            {
                for (key, value) in node.as_object().into_iter().flatten() {
                    keys += 1;
                    assert!(value["description"].is_string(), "{place}/{key}");
                }
            }
        }
        assert!(keys > 70, "only {keys} keys were found");
    }

    #[test]
    fn its_keys_are_those_of_the_checks() {
        let schema: Value = serde_json::from_str(WORKFLOW_SCHEMA).unwrap();
        let keys = |value: &Value| -> BTreeSet<String> {
            value.as_object().unwrap().keys().cloned().collect()
        };
        let known = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect();
        let found: BTreeSet<String> = known(job::KEYS);
        assert_eq!(keys(&schema["$defs"]["job"]["properties"]), found);
        let found: BTreeSet<String> = known(crate::workflow::ROOT_KEYS);
        assert_eq!(keys(&schema["properties"]), found);
    }
}
