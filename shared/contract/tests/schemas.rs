//! The schemas that are checked in are the ones the types give.

use std::{collections::BTreeSet, fs, path::Path};

#[test]
fn checked_in_schemas_are_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    let regenerate = option_env_set("LOOM_REGENERATE");
    let mut expected = BTreeSet::new();
    for (kind, schema) in libloom_contract::schema::all() {
        let file = folder.join(format!("{kind}.schema.json"));
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if regenerate {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&file, &text).unwrap();
        }
        let found = fs::read_to_string(&file).unwrap_or_default();
        assert!(found == text, "{} is stale: run with LOOM_REGENERATE=1", file.display());
        expected.insert(file);
    }
    let found: BTreeSet<_> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(found, expected);
}

#[test]
fn schemas_are_valid_and_have_distinct_kinds() {
    let mut kinds = BTreeSet::new();
    for (kind, schema) in libloom_contract::schema::all() {
        assert!(kinds.insert(kind), "{kind} twice");
        jsonschema::meta::validate(schema.as_value()).unwrap();
    }
}

#[expect(clippy::disallowed_methods, reason = "a switch of this test alone")]
fn option_env_set(name: &str) -> bool {
    std::env::var_os(name).is_some()
}
