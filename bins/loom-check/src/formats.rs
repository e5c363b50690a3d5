//! Diagnostics for other programs: SARIF 2.1.0 and the workflow commands of GitHub Actions.

use libloom_contract::diagnostic::{Diagnostic, Severity, Span};
use serde_json::{Value, json};

/// One SARIF log with one run.
pub(crate) fn sarif(diagnostics: &[Diagnostic]) -> Value {
    let mut rules: Vec<&str> = diagnostics.iter().map(|diagnostic| &*diagnostic.code).collect();
    rules.sort_unstable();
    rules.dedup();
    let rules: Vec<Value> = rules.into_iter().map(|code| json!({ "id": code })).collect();
    let results: Vec<Value> = diagnostics.iter().map(result).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "loom-check",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn result(diagnostic: &Diagnostic) -> Value {
    let locations: Vec<Value> = diagnostic.span.iter().map(location).collect();
    let related: Vec<Value> = diagnostic
        .related
        .iter()
        .map(|related| {
            let mut location = location(&related.span);
            location["message"] = json!({ "text": related.message });
            location
        })
        .collect();
    json!({
        "ruleId": diagnostic.code,
        "level": level(diagnostic),
        "message": { "text": message(diagnostic) },
        "locations": locations,
        "relatedLocations": related,
    })
}

fn location(span: &Span) -> Value {
    json!({ "physicalLocation": {
        "artifactLocation": { "uri": span.file },
        "region": {
            "startLine": span.line,
            "startColumn": span.column,
            "byteOffset": span.start,
            "byteLength": span.end - span.start,
        },
    }})
}

fn level(diagnostic: &Diagnostic) -> &'static str {
    match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn message(diagnostic: &Diagnostic) -> String {
    match &diagnostic.fix {
        Some(fix) => format!("{}; {fix}", diagnostic.message),
        None => diagnostic.message.clone(),
    }
}

/// `::error file=…,line=…,col=…,title=…::message`.
pub(crate) fn github(diagnostic: &Diagnostic) -> String {
    let mut properties = Vec::new();
    if let Some(span) = &diagnostic.span {
        properties.push(format!("file={}", property(&span.file)));
        properties.push(format!("line={}", span.line));
        properties.push(format!("col={}", span.column));
    }
    properties.push(format!("title={}", property(&diagnostic.code)));
    let text = escape(&message(diagnostic));
    format!("::{} {}::{text}", level(diagnostic), properties.join(","))
}

fn escape(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    escape(text).replace(':', "%3A").replace(',', "%2C")
}
