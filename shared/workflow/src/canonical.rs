//! Canonical JSON (RFC 8785) and the digest of a graph's meaning.

use std::fmt::{self, Write};

use libloom_contract::graph::{Graph, Node};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::source::hex;

/// SHA-256 of the graph without provenance, in canonical form.
///
/// Node by node and straight into the hash: values of all nodes at once, or their text, would be most
/// of the memory that a large workflow needs.
pub fn digest(graph: &Graph) -> String {
    let shell = without_nodes(graph);
    let fields = value(&shell.without_provenance());
    let mut bare =
        Graph { edges: Vec::new(), workflow_rules: Vec::new(), variables: Vec::new(), ..shell };
    let fields = fields.as_object().expect("a graph is an object");
    let mut keys: Vec<&String> = fields.keys().collect();
    keys.sort();
    let mut hash = Hash(Sha256::new());
    for (index, key) in keys.into_iter().enumerate() {
        hash.text(if index == 0 { "{\"" } else { ",\"" });
        hash.text(key);
        hash.text("\":");
        if key == "nodes" {
            hash.nodes(&mut bare, &graph.nodes);
        } else {
            write_value(&mut hash, &fields[key]);
        }
    }
    hash.text("}");
    hex(&hash.0.finalize())
}

/// Takes text in place of a string.
struct Hash(Sha256);

impl Hash {
    fn text(&mut self, text: &str) {
        self.0.update(text);
    }

    fn nodes(&mut self, shell: &mut Graph, nodes: &[Node]) {
        for (index, node) in nodes.iter().enumerate() {
            self.text(if index == 0 { "[" } else { "," });
            shell.nodes = vec![node.clone()];
            write_value(self, &value(&shell.without_provenance())["nodes"][0]);
        }
        self.text(if nodes.is_empty() { "[]" } else { "]" });
    }
}

impl fmt::Write for Hash {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.text(text);
        Ok(())
    }
}

/// Not `..graph.clone()`: that would copy the nodes only to drop them.
fn without_nodes(graph: &Graph) -> Graph {
    Graph {
        schema_version: graph.schema_version.clone(),
        kind: graph.kind.clone(),
        digest: String::new(),
        stages: graph.stages.clone(),
        workflow_rules: graph.workflow_rules.clone(),
        variables: graph.variables.clone(),
        nodes: Vec::new(),
        edges: graph.edges.clone(),
        sources: Vec::new(),
    }
}

fn value(graph: &Graph) -> Value {
    serde_json::to_value(graph).expect("a graph has string keys only and no failing serializer")
}

/// The one text that RFC 8785 allows for a JSON value.
pub fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write_value(&mut text, value);
    text
}

/// Neither a string nor a hash ever refuses to be written to.
fn write_value(out: &mut impl Write, value: &Value) {
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let _ = out.write_str(if index == 0 { "[" } else { "," });
                write_value(out, item);
            }
            let _ = out.write_str(if items.is_empty() { "[]" } else { "]" });
        }
        Value::Object(fields) => write_object(out, fields),
        Value::Number(number) => {
            let _ = out.write_str(&ecma_number(number));
        }
        // serde_json escapes exactly what the RFC asks for.
        Value::Null | Value::Bool(_) | Value::String(_) => {
            let _ = write!(out, "{value}");
        }
    }
}

/// Keys are sorted by their UTF-16 code units.
fn write_object(out: &mut impl Write, fields: &serde_json::Map<String, Value>) {
    let mut keys: Vec<&String> = fields.keys().collect();
    keys.sort_by(|a, b| a.encode_utf16().cmp(b.encode_utf16()));
    for (index, key) in keys.iter().enumerate() {
        let _ = out.write_str(if index == 0 { "{" } else { "," });
        let _ = write!(out, "{}:", Value::from(key.as_str()));
        write_value(out, &fields[*key]);
    }
    let _ = out.write_str(if keys.is_empty() { "{}" } else { "}" });
}

/// Numbers as ECMAScript prints them: the RFC knows only doubles.
fn ecma_number(number: &serde_json::Number) -> String {
    let double = number.as_f64().unwrap_or_default();
    if double == 0.0 {
        return "0".to_owned();
    }
    let scientific = format!("{:e}", double.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits = mantissa.replace('.', "");
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let sign = if double < 0.0 { "-" } else { "" };
    format!("{sign}{}", ecma(&digits, exponent + 1))
}

/// `digits` with the decimal point after the first `point` of them.
fn ecma(digits: &str, point: i32) -> String {
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let zeros = |n: i32| "0".repeat(usize::try_from(n).unwrap_or(0));
    match point {
        point if count <= point && point <= 21 => format!("{digits}{}", zeros(point - count)),
        point if 0 < point && point <= 21 => {
            let (whole, fraction) = digits.split_at(usize::try_from(point).unwrap_or(0));
            format!("{whole}.{fraction}")
        }
        point if -6 < point && point <= 0 => format!("0.{}{digits}", zeros(-point)),
        point => {
            let sign = if point > 0 { '+' } else { '-' };
            let (first, rest) = digits.split_at(1);
            let dot = if rest.is_empty() { "" } else { "." };
            format!("{first}{dot}{rest}e{sign}{}", (point - 1).abs())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::source::sha256_hex;

    #[test]
    fn the_digest_is_of_the_whole_canonical_document() {
        let text = "version: v1\nstages: [a, b]\nx: {stage: a, script: [s], invariant: [1.5]}\ny: {stage: b, script: [s], needs: [x]}\n";
        let files = crate::Files {
            read: &|_| Err(std::io::ErrorKind::NotFound.into()),
            exists: &|_| false,
        };
        let graph = crate::compile("w.yml", text.into(), &files).graph.unwrap();
        let whole = canonical(&value(&graph.without_provenance()));
        assert_eq!(graph.digest, sha256_hex(whole.as_bytes()));
    }

    #[test]
    fn keys_and_numbers_follow_the_rfc() {
        let value = json!({
            "\u{20ac}": 1, "\r": 2, "\u{fb33}": 3, "1": 4, "\u{1f600}": 5, "\u{80}": 6, "\u{f6}": 7,
        });
        let expected = "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"\u{f6}\":7,\"\u{20ac}\":1,\"\u{1f600}\":5,\"\u{fb33}\":3}";
        assert_eq!(canonical(&value), expected);
        let numbers =
            json!([333_333_333.333_333_3, 1E30, 4.50, 2e-3, 1e-27, -0.0, 1e21, 1e20, 100, -1.5e-7]);
        let expected =
            "[333333333.3333333,1e+30,4.5,0.002,1e-27,0,1e+21,100000000000000000000,100,-1.5e-7]";
        assert_eq!(canonical(&numbers), expected);
    }
}
