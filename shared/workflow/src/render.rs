//! Diagnostics as people read them: one line each, or a frame of the source.

use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use libloom_contract::diagnostic::{Diagnostic, Severity, Span};

use crate::source::Sources;

/// `file:line:col: CODE /pointer: message; fix`.
pub fn short(diagnostic: &Diagnostic) -> String {
    let place = diagnostic
        .span
        .as_ref()
        .map(|span| format!("{}:{}:{}: ", span.file, span.line, span.column))
        .unwrap_or_default();
    let warning = if diagnostic.severity == Severity::Warning { "warning: " } else { "" };
    let fix = diagnostic.fix.as_ref().map(|fix| format!("; {fix}")).unwrap_or_default();
    let Diagnostic { code, pointer, message, .. } = diagnostic;
    one_line(&format!("{place}{warning}{code} {pointer}: {message}{fix}"))
}

/// Control characters of the input neither break the line nor reach the terminal.
fn one_line(text: &str) -> String {
    let escape =
        |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escape).collect()
}

/// A frame with the source underlined, related places, the fix and the include chain.
pub fn human(diagnostic: &Diagnostic, sources: &Sources, colored: bool) -> String {
    let renderer = if colored { Renderer::styled() } else { Renderer::plain() };
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(one_line(&diagnostic.message)).id(diagnostic.code.clone());
    let mut group = Group::with_title(title);
    for snippet in snippets(diagnostic, sources) {
        group = group.element(snippet);
    }
    if let [_, .., _] = diagnostic.include_chain.as_slice() {
        let chain = format!("included by {}", diagnostic.include_chain.join(" -> "));
        group = group.element(Level::NOTE.message(one_line(&chain)));
    }
    if let Some(fix) = &diagnostic.fix {
        group = group.element(Level::HELP.message(one_line(fix)));
    }
    renderer.decor_style(DecorStyle::Ascii).render(&[group])
}

/// One snippet for each file that the diagnostic points into, its own first.
fn snippets<'s>(
    diagnostic: &'s Diagnostic,
    sources: &'s Sources,
) -> Vec<Snippet<'s, annotate_snippets::Annotation<'s>>> {
    let Some(primary) = &diagnostic.span else { return Vec::new() };
    let mut files = vec![primary.file.as_str()];
    for related in &diagnostic.related {
        if !files.contains(&related.span.file.as_str()) {
            files.push(&related.span.file);
        }
    }
    files
        .into_iter()
        .filter_map(|path| {
            let text = sources.by_path(path)?.text.as_str();
            let own = (primary.file == path).then(|| (clamp(text, primary), None));
            let related = diagnostic.related.iter().filter(|related| related.span.file == path);
            let related =
                related.map(|related| (clamp(text, &related.span), Some(&*related.message)));
            Some(snippet(path, text, own.into_iter().chain(related).collect()))
        })
        .collect()
}

/// The lines from the first to the last marked one: the renderer looks at all it is given.
fn snippet<'s>(
    path: &'s str,
    text: &'s str,
    marks: Vec<(Range<usize>, Option<&'s str>)>,
) -> Snippet<'s, annotate_snippets::Annotation<'s>> {
    let first = marks.iter().map(|(range, _)| range.start).min().unwrap_or(0);
    let last = marks.iter().map(|(range, _)| range.end).max().unwrap_or(0);
    let start = text[..first].rfind('\n').map_or(0, |at| at + 1);
    let end = text[last..].find('\n').map_or(text.len(), |length| last + length);
    let line = text[..start].matches('\n').count() + 1;
    let mut snippet = Snippet::source(&text[start..end]).path(path).line_start(line);
    for (range, label) in marks {
        let kind = if label.is_some() { AnnotationKind::Context } else { AnnotationKind::Primary };
        snippet =
            snippet.annotation(kind.span(range.start - start..range.end - start).label(label));
    }
    snippet
}

/// The span within the text and on character boundaries: the renderer panics on others. Of a
/// stretch over several lines only the first is underlined.
fn clamp(text: &str, span: &Span) -> Range<usize> {
    let floor = |at: usize| {
        let at = at.min(text.len());
        (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
    };
    let start = floor(span.start);
    let end = floor(span.end).max(start);
    let line = text[start..end].find('\n').map_or(end, |length| start + length);
    start..line
}
