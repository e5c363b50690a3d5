//! `resources`: limits of a container.

use libloom_contract::graph::Resources;

use crate::check::Checker;
use crate::problem::Problem;
use crate::quantity::{size_bytes, thousandths};
use crate::tree::{Kind, Node};

pub(crate) fn resources(check: &mut Checker<'_>, node: &Node) -> Option<Resources> {
    let fields = check.mapping(node, "resources")?;
    check.unknown_keys(fields, &["cpus", "memory", "pids", "shm_size"], "in resources");
    let mut measure = |key: &str, parse: fn(&str) -> Option<u64>, fix: &str| {
        let value = fields.get(key)?;
        if !matches!(value.kind(), Kind::Number | Kind::String) {
            check.wrong_type_fix(value, "number", &format!("resources.{key}"), Some(fix));
            return None;
        }
        let text = value.as_text().unwrap_or_default();
        let found = parse(text).filter(|amount| *amount > 0);
        if found.is_none() {
            let message = format!("\"{text}\" is not a value for \"resources.{key}\"");
            check.note(Problem::error(value.mark, message).fix(fix));
        }
        found
    };
    Some(Resources {
        cpus_milli: measure("cpus", thousandths, "write it as 2 or 0.5"),
        memory_bytes: measure("memory", size_bytes, "write it as 512m or 2g"),
        pids: measure("pids", |text| text.parse().ok(), "write a whole number above 0"),
        shm_size_bytes: measure("shm_size", size_bytes, "write it as 64m or 1g"),
    })
}
