//! `LOOM_*` and `CI_*`: what every job, and partly every rule, knows without being told.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use libloom_contract::env;
use libloom_contract::graph::Node;
use libloom_contract::snapshot::Facts;

/// What predefined variables are made of.
#[derive(Debug)]
pub struct Predefined<'a> {
    /// The run.
    pub run_id: &'a str,
    /// The pipeline.
    pub pipeline_id: &'a str,
    /// Workflow file, relative to the repository root.
    pub workflow_path: &'a str,
    /// Name of the repository's folder.
    pub project_name: Cow<'a, str>,
    /// Folder the job works in, as the job sees it.
    pub workspace: &'a Path,
    /// State of the repository.
    pub facts: &'a Facts,
}

impl Predefined<'_> {
    /// Names and values that are the same for all jobs; what is not known is left out.
    pub fn of_pipeline(&self) -> BTreeMap<String, String> {
        let workspace = self.workspace.to_string_lossy();
        let mut found = known([
            (env::CI, Some("true")),
            (env::LOOM_CI, Some("true")),
            (env::RUN_ID, Some(self.run_id)),
            (env::PIPELINE_ID, Some(self.pipeline_id)),
            ("CI_PIPELINE_ID", Some(self.pipeline_id)),
            (env::WORKFLOW_PATH, Some(self.workflow_path)),
            ("CI_CONFIG_PATH", Some(self.workflow_path)),
            (env::PROJECT_DIR, Some(&workspace)),
            ("CI_PROJECT_DIR", Some(&workspace)),
            ("CI_PROJECT_NAME", Some(&self.project_name)),
        ]);
        found.append(&mut self.of_commit());
        found
    }

    /// Names and values for one job; what is not known is left out.
    pub fn of_job(&self, node: &Node) -> BTreeMap<String, String> {
        let image = node.image.as_ref().and_then(|image| image.name.as_deref());
        let mut found = self.of_pipeline();
        found.append(&mut known([
            (env::JOB_NAME, Some(&*node.id)),
            ("CI_JOB_NAME", Some(&*node.id)),
            (env::JOB_ID, Some(&*node.id)),
            ("CI_JOB_ID", Some(&*node.id)),
            (env::JOB_STAGE, Some(&*node.stage)),
            ("CI_JOB_STAGE", Some(&*node.stage)),
            (env::JOB_TARGET, Some(&*node.target)),
            (env::JOB_IMAGE, image),
            ("CI_JOB_IMAGE", image),
            (env::PROVIDER, Some(node.provider.word())),
        ]));
        found
    }

    fn of_commit(&self) -> BTreeMap<String, String> {
        let facts = self.facts;
        let sha = facts.head_sha.as_deref();
        let reference = facts.branch.as_deref().or(facts.tag.as_deref());
        let slug = reference.map(slug);
        known([
            ("CI_COMMIT_SHA", sha),
            ("CI_COMMIT_SHORT_SHA", sha.map(|sha| sha.get(..8).unwrap_or(sha))),
            ("CI_COMMIT_BRANCH", facts.branch.as_deref()),
            ("CI_COMMIT_TAG", facts.tag.as_deref()),
            ("CI_COMMIT_TITLE", facts.head_title.as_deref()),
            ("CI_COMMIT_REF_NAME", reference),
            ("CI_COMMIT_REF_SLUG", slug.as_deref()),
            ("CI_DEFAULT_BRANCH", facts.default_branch.as_deref()),
        ])
    }
}

fn known<const N: usize>(pairs: [(&str, Option<&str>); N]) -> BTreeMap<String, String> {
    let owned = |(name, value): (&str, Option<&str>)| Some((name.to_owned(), value?.to_owned()));
    pairs.into_iter().filter_map(owned).collect()
}

/// Lowercase letters, digits and single dashes, at most 63.
fn slug(reference: &str) -> String {
    let lower = reference.to_lowercase();
    let dashed: String =
        lower.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let short: String = dashed.chars().take(63).collect();
    short.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_short_and_plain() {
        assert_eq!(slug("Feature/Ünï_x"), "feature--n--x");
        assert_eq!(slug(&"a".repeat(80)).len(), 63);
    }

    #[test]
    fn what_is_not_known_is_not_there() {
        let facts = Facts { branch: Some("fix/A".into()), ..Facts::default() };
        let predefined = Predefined {
            run_id: "r",
            pipeline_id: "p",
            workflow_path: "w.yml",
            project_name: "x".into(),
            workspace: Path::new("/w"),
            facts: &facts,
        };
        let of_job = predefined.of_job(&Node::host("build", "ci"));
        let value = |name: &str| of_job.get(name).map(String::as_str);
        assert_eq!(value("CI_COMMIT_REF_SLUG"), Some("fix-a"));
        assert_eq!([value("LOOM_JOB_NAME"), value("CI_JOB_STAGE")], [Some("build"), Some("ci")]);
        assert_eq!([value("CI_COMMIT_SHA"), value("LOOM_JOB_IMAGE")], [None, None]);
        assert!(!predefined.of_pipeline().contains_key("LOOM_JOB_NAME"));
    }
}
