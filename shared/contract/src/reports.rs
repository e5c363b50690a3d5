//! What Loom reads in the reports of a job: tests, and variables for later jobs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    store::Document,
    version::{self, Format},
};

/// Failed tests that a manifest names.
pub const FAILED_TESTS_MAX: usize = 200;

/// The tests of a job, from its `JUnit` reports.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TestReport {
    /// Reports that were read.
    pub files: u64,
    /// Tests, skipped ones included.
    pub total: u64,
    /// Tests that failed.
    pub failed: u64,
    /// Tests that could not be carried out.
    pub errors: u64,
    /// Tests that were skipped.
    pub skipped: u64,
    /// Time of all tests, as the reports tell it.
    pub duration_ms: u64,
    /// Failed tests and those that could not be carried out, in the reports' order, at most 200.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<FailedTest>,
    /// What was wrong with the reports, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl TestReport {
    /// Tests that did not pass and were not skipped.
    pub fn bad(&self) -> u64 {
        self.failed + self.errors
    }
}

/// A test that did not pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailedTest {
    /// Its name.
    pub name: String,
    /// Its class, or what the test runner puts there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The suite around it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suite: Option<String>,
    /// The source file, where the report tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// What the report says about it, its beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// `true`: it could not be carried out; `false`: it failed.
    pub error: bool,
}

/// `jobs/<id>/dotenv.json`: variables for later jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DotenvDocument {
    /// `loom.runtime.logs.v2`.
    #[schemars(extend("const" = "loom.runtime.logs.v2"))]
    pub schema_version: String,
    /// `loom-dotenv`.
    #[schemars(extend("const" = "loom-dotenv"))]
    pub kind: String,
    /// The job.
    pub job_id: String,
    /// By name.
    pub variables: Vec<DotenvVariable>,
}

impl Document for DotenvDocument {
    const KIND: &'static str = "loom-dotenv";
    const FORMAT: Format = version::LOGS;
}

/// One variable for later jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DotenvVariable {
    /// `^[A-Za-z_][A-Za-z0-9_]*$`.
    pub name: String,
    /// As it stands in the report; nothing in it is expanded.
    pub value: String,
    /// The value holds a secret and is left out here; later jobs of the same run get it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
}

/// The variables for later jobs in a job's manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DotenvEntry {
    /// Their names.
    pub names: Vec<String>,
    /// The document with their values.
    pub path: String,
}
